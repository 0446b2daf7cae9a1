"""Episodes dealt to two sides, so that support and query of a task share none."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def deal_episodes(
    episodes: Tensor, shots: int, queries: int, generator: Generator | None = None
) -> Tensor:
    """Choose items of two sides of each task, the support's first; no episode is on both.

    A task's episodes are dealt in random order: the first ones to the support, as many as come
    nearest to half of the items and leave either side enough, the rest to the query. Items of a
    side are drawn without replacement.

    Args:
        episodes: the episode of each item, 0 or more.
        shots: items of the support.
        queries: items of the query. Either way the episodes fall, they are to suffice: see
            `most_samples`.
        generator: fixes what is drawn; None draws from torch's own.

    Shapes:
        episodes `(N, items)` int64; returns `(N, shots + queries)`, places of items.

    Example:
        >>> episodes = torch.tensor([[0, 0, 0, 1, 1, 1]])
        >>> places = deal_episodes(episodes, 2, 2)
        >>> episodes[0, places[0]].tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
        True
    """
    tasks, items = episodes.shape
    sizes = torch.zeros(tasks, int(episodes.max()) + 1, dtype=torch.int64)
    sizes.scatter_add_(1, episodes, torch.ones_like(episodes))
    order = torch.rand(sizes.shape, generator=generator).argsort(-1)
    dealt = torch.nn.functional.pad(sizes.gather(1, order).cumsum(-1), (1, 0))  # (N, E + 1)
    off = (dealt - items / 2).abs()
    off[(dealt < shots) | (dealt > items - queries)] = torch.inf
    first = order.argsort(-1) < off.argmin(-1, keepdim=True)  # (N, E)
    support = first.gather(1, episodes)
    keys = torch.rand(tasks, items, generator=generator)
    sides = (keys.masked_fill(~support, 2), shots), (keys.masked_fill(support, 2), queries)
    return torch.cat([key.topk(count, largest=False).indices for key, count in sides], -1)


def most_samples(episodes: Tensor) -> int:
    """Return how many items a task can have, support and query together, however they are dealt.

    Shapes:
        episodes `(G, items)` int64.
    """
    longest = max(int(row.bincount().max()) for row in episodes)
    return episodes.shape[1] - longest + 1
