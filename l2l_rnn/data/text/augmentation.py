"""Meta-augmentation of texts: tasks in writing systems that do not exist."""

from __future__ import annotations

import dataclasses

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_number
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError


def letter_ids(vocabulary: CharacterVocabulary) -> Tensor:
    """Return the ids of a vocabulary's lowercase letters, `(letters,)` int64.

    Example:
        >>> letter_ids(CharacterVocabulary(["Bana, 1"]))
        tensor([6, 7])
    """
    found = [i for token, i in vocabulary.token_ids.items() if token.isalpha() and token.islower()]
    return torch.tensor(found, dtype=torch.int64)


def permute_tokens(
    batch: TaskBatch,
    ids: Tensor,
    fraction: tuple[float, float] = (0.2, 1.0),
    *,
    generator: Generator | None = None,
) -> TaskBatch:
    """Exchange tokens by a random permutation of each task, the same in support and query set.

    A network that has seen few training classes may recognize them instead of comparing a query
    with the support set. In a task with exchanged letters, only the support set helps.

    Args:
        batch: tasks of token ids, padded with 0.
        ids: the ids that may be exchanged, such as those of `letter_ids`.
        fraction: bounds of the share of `ids` that a task exchanges, which is drawn uniformly.
        generator: random number generator; None uses torch's global generator.

    Returns:
        A new batch; `batch` is not modified.

    Raises:
        ArgumentTypeError: the sequences are not token ids.
        ArgumentError: `ids` has fewer than two ids, has one twice or has the padding id, or the
            fractions are not increasing numbers from 0 to 1.

    Example:
        >>> x, y = torch.tensor([[[2, 3, 4, 0]]]), torch.tensor([[0]])
        >>> generator = torch.Generator().manual_seed(0)
        >>> batch = permute_tokens(TaskBatch(x, y, x, y), torch.tensor([2, 3, 4]), (1, 1),
        ...                        generator=generator)
        >>> batch.support_x, batch.query_x
        (tensor([[[2, 4, 3, 0]]]), tensor([[[2, 4, 3, 0]]]))

    Source: J. Rajendran, A. Irpan and E. Jang, 2020, Meta-Learning Requires Meta-Augmentation, here
    with a permutation of the inputs instead of the labels.
    """
    who = "permute_tokens"
    if batch.support_x.is_floating_point():
        raise ArgumentTypeError(
            f"{who}: the sequences must be token ids, got {batch.support_x.dtype}; use the "
            "augmentations of time series for real-valued steps"
        )
    if ids.dim() != 1 or len(ids) < 2 or len(ids.unique()) < len(ids) or bool((ids <= 0).any()):
        raise ArgumentError(
            f"{who}: ids must be at least two different positive ids, got {ids.tolist()}; padding, "
            "0, stays in place"
        )
    lowest, highest = (check_number(who, "fraction", f, least=0, most=1) for f in fraction)
    if lowest > highest:
        raise ArgumentError(f"{who}: fraction must be increasing, got {fraction}; swap the bounds")
    size = 1 + max(int(x.max()) for x in (batch.support_x, batch.query_x, ids) if x.numel())
    ids = ids.cpu()
    support, query = [], []
    for xs, xq in zip(batch.support_x, batch.query_x, strict=True):
        share = lowest + (highest - lowest) * torch.rand((), generator=generator).item()
        chosen = ids[torch.randperm(len(ids), generator=generator)[: round(share * len(ids))]]
        table = torch.arange(size)
        table[chosen] = chosen[torch.randperm(len(chosen), generator=generator)]
        table = table.to(xs.device, xs.dtype)
        support.append(table[xs])
        query.append(table[xq])
    return dataclasses.replace(batch, support_x=torch.stack(support), query_x=torch.stack(query))
