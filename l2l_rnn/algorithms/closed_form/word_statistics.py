"""Counts of the words of texts, given as token ids."""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_int, check_tensor
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError


def check_words(who: str, x: Tensor, vocab_size: int) -> None:
    """Check that x holds token ids `(…, B, S)`.

    Raises:
        ArgumentTypeError: it is not an integer tensor.
        ShapeError: it has too few axes, or no words.
        ArgumentError: an id is not from 0 to `vocab_size - 1`.
    """
    check_tensor(who, "x", x)
    if x.is_floating_point() or x.dtype == torch.bool:
        raise ArgumentTypeError(
            f"{who}: token ids must be integers, got {x.dtype}; encode the texts first"
        )
    if x.dim() < 2 or x.shape[-1] == 0:
        raise ShapeError(
            f"{who}: x must be (…, B, S) with at least one word, got shape {tuple(x.shape)}; add a "
            "batch axis, or drop empty texts"
        )
    values = readable_values(x)
    if values is not None and values.numel():
        low, high = map(int, values.aminmax())
        if low < 0 or high >= vocab_size:
            raise ArgumentError(
                f"{who}: token ids must be from 0 to {vocab_size - 1}, got "
                f"{low if low < 0 else high}; set vocab_size"
            )


def known_words(x: Tensor, unknown: int | None) -> Tensor:
    """Return which ids are neither padding nor the id of unknown words."""
    return x != 0 if unknown is None else (x != 0) & (x != unknown)


def word_counts(
    texts: Tensor, vocab_size: int, labels: Tensor | None = None, *, unknown: int | None = 1
) -> Tensor:
    """Count each word in texts, or in the texts of each class.

    Args:
        texts: token ids, padded with 0.
        vocab_size: `V`, number of token ids.
        labels: class of each text; None counts all texts together.
        unknown: id that is not counted, besides padding; None if there is none.

    Shapes:
        texts `(items, S)`, labels `(items,)` -> `(V,)`, or with labels `(classes, V)`; float64.

    Raises:
        ArgumentTypeError: the texts are not integers.
        ShapeError: the texts are not `(items, S)`, or there is another number of labels.
        ArgumentError: an id is not from 0 to `vocab_size - 1`.
        DataError: no text has a known word.

    Example:
        >>> texts = torch.tensor([[2, 3, 1], [2, 2, 0]])
        >>> word_counts(texts, 4)
        tensor([0., 0., 3., 1.], dtype=torch.float64)
        >>> word_counts(texts, 4, torch.tensor([1, 0])).shape
        torch.Size([2, 4])
    """
    who = "word_counts"
    size = check_int(who, "vocab_size", vocab_size)
    check_words(who, texts, size)
    if texts.dim() != 2 or (labels is not None and labels.shape != texts.shape[:1]):
        raise ShapeError(
            f"{who}: texts must be (items, S) and labels (items,), got {tuple(texts.shape)} and "
            f"{None if labels is None else tuple(labels.shape)}; flatten the other axes"
        )
    known = known_words(texts, unknown)
    if not known.any():
        raise DataError(
            f"{who}: texts must have known words, got none; encode them with the vocabulary of "
            "the word vectors"
        )
    classes = 1 if labels is None else int(labels.max()) + 1
    rows = 0 if labels is None else labels.unsqueeze(-1) * size
    counts = torch.bincount((texts + rows)[known], minlength=classes * size)
    return counts.double() if labels is None else counts.double().view(classes, size)
