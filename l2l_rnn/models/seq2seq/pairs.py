"""Checks of pairs of source and target, and their padding."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_tensor
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import token_lengths
from l2l_rnn.functional.losses import check_mask


def check_tokens(who: str, name: str, tokens: Tensor, vocab_size: int) -> None:
    """Check that token ids are integers `(…, B, S)` from 0 to `vocab_size - 1`.

    Args:
        who: begins the error message.
        name: `"source"` or `"target"`.
        tokens: token ids.
        vocab_size: number of ids.

    Raises:
        ArgumentTypeError: they are not a tensor of integers.
        ShapeError: there are fewer than two axes, or no step.
        ArgumentError: an id is out of range.
    """
    check_tensor(who, name, tokens)
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise ArgumentTypeError(
            f"{who}: {name} must be integer token ids, got {tokens.dtype}; convert with .long()"
        )
    if tokens.dim() < 2 or tokens.shape[-1] == 0:
        raise ShapeError(
            f"{who}: {name} must be (…, B, S) with at least one step, got shape "
            f"{tuple(tokens.shape)}; add a batch axis, or drop empty sequences"
        )
    values = readable_values(tokens)
    if values is not None and values.numel():
        low, high = map(int, values.aminmax())
        if low < 0 or high >= vocab_size:
            raise ArgumentError(
                f"{who}: {name} ids must be from 0 to {vocab_size - 1}, got "
                f"{low if low < 0 else high}; encode with the model's own vocabulary, or set "
                f"{name}_vocab_size"
            )


def check_not_empty(who: str, name: str, tokens: Tensor, mask: Tensor | None = None) -> None:
    """Check that no sequence is all padding, except where the mask is False.

    Raises:
        ArgumentError: a sequence has no token; the message has its index.
    """
    empty = readable_values((token_lengths(tokens) == 0) & (True if mask is None else mask))
    if empty is not None and empty.any():
        where = tuple(int(i) for i in empty.nonzero()[0])
        raise ArgumentError(
            f"{who}: {name} of pair {where[0] if len(where) == 1 else where} is empty, all "
            "padding; drop the pair, or pass mask= with False there"
        )


def check_pairs(
    who: str, source: Tensor, target: Tensor, mask: Tensor | None, sizes: tuple[int, int]
) -> None:
    """Check pairs of token ids `(…, B, S)` and `(…, B, T)`, and their mask `(…, B)`.

    Args:
        who: begins the error message.
        source, target: token ids.
        mask: False where a pair is padding; None if there is none.
        sizes: numbers of source and target ids.

    Raises:
        ArgumentTypeError, ShapeError, ArgumentError: as in `check_tokens` and `check_not_empty`;
            also if the numbers of sources and targets differ, or the mask does not fit.
    """
    check_tokens(who, "source", source, sizes[0])
    check_tokens(who, "target", target, sizes[1])
    if source.shape[:-1] != target.shape[:-1]:
        raise ShapeError(
            f"{who}: target must have one sequence for each source, {tuple(source.shape[:-1])}, "
            f"got {tuple(target.shape[:-1])}; pass as many targets as sources"
        )
    if mask is not None:
        check_mask(who, mask, source.shape[:-1])
    check_not_empty(who, "source", source, mask)
    check_not_empty(who, "target", target, mask)


def shifted(target: Tensor) -> Tensor:
    """Return the decoder's inputs for a target: 0, which starts it, and all tokens but the last.

    Example:
        >>> shifted(torch.tensor([[5, 6, 2]]))
        tensor([[0, 5, 6]])
    """
    return F.pad(target[..., :-1], (1, 0))
