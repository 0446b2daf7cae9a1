"""Partition of episodes into support and query, so that the two sets share no episode."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def partition_episodes(
    episodes: Tensor, shots: int, queries: int, generator: Generator | None = None
) -> Tensor:
    """Draw the support and query items of each task from different episodes.

    The episodes of a task are shuffled. The first ones go to the support set, the rest to the query
    set. Among the cuts that leave both sets enough items, the one closest to the middle is used.
    Within a set, items are drawn without replacement.

    Args:
        episodes: episode of each item, at least 0.
        shots: support items of each task.
        queries: query items of each task. `shots + queries` must be at most `max_samples`.
        generator: random number generator; None uses torch's global generator.

    Returns:
        Positions of the items in their rows, the support items first.

    Shapes:
        episodes `(N, items)` int64; returns `(N, shots + queries)`.

    Example:
        >>> episodes = torch.tensor([[0, 0, 0, 1, 1, 1]])
        >>> items = partition_episodes(episodes, 2, 2)
        >>> episodes[0, items[0]].tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
        True
    """
    tasks, items = episodes.shape
    sizes = torch.zeros(tasks, int(episodes.max()) + 1, dtype=torch.int64)
    sizes.scatter_add_(1, episodes, torch.ones_like(episodes))
    order = torch.rand(sizes.shape, generator=generator).argsort(-1)
    # Items in the support set, for every number of episodes in it, 0 .. E: (N, E + 1).
    support_sizes = torch.nn.functional.pad(sizes.gather(1, order).cumsum(-1), (1, 0))
    imbalance = (support_sizes - items / 2).abs()
    imbalance[(support_sizes < shots) | (support_sizes > items - queries)] = torch.inf
    first = order.argsort(-1) < imbalance.argmin(-1, keepdim=True)  # (N, E)
    support = first.gather(1, episodes)
    keys = torch.rand(tasks, items, generator=generator)
    sets = (keys.masked_fill(~support, 2), shots), (keys.masked_fill(support, 2), queries)
    return torch.cat([key.topk(count, largest=False).indices for key, count in sets], -1)


def max_samples(episodes: Tensor) -> int:
    """Return the maximum number of samples of a task, support and query together.

    A task with at most this many samples can be partitioned in any proportion.

    Shapes:
        episodes `(G, items)` int64.
    """
    longest = max(int(row.bincount().max()) for row in episodes)
    return episodes.shape[1] - longest + 1
