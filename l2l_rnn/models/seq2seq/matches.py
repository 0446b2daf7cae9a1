"""Comparison of tokens with the rows of a memory: only which tokens are equal counts, not which."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.functional import token_lengths


def windows(tokens: Tensor, count: int, *, after: bool = False) -> Tensor:
    """Return the tokens before each step, the nearest first, with 0 beyond the beginning.

    Args:
        tokens: token ids.
        count: number of tokens.
        after: whether to return the tokens after each step instead.

    Shapes:
        tokens `(…, T)` -> `(…, T, count)`.

    Example:
        >>> windows(torch.tensor([5, 6, 7]), 2)
        tensor([[0, 0],
                [5, 0],
                [6, 5]])
    """
    if after:
        return windows(tokens.flip(-1), count).flip(-2)
    padded = F.pad(tokens, (count, 0))
    starts = range(count - 1, -1, -1)
    parts = [padded[..., start : start + tokens.shape[-1]] for start in starts]
    return torch.stack(parts, -1) if parts else tokens.unsqueeze(-1)[..., :0]


def common(first: Tensor, second: Tensor) -> Tensor:
    """Count how many tokens of two windows agree from the nearest on.

    Shapes:
        first `(…, Q, n)`, second `(…, M, n)` -> `(…, Q, M)` int16, from 0 to n.

    Example:
        >>> common(torch.tensor([[6, 5]]), torch.tensor([[6, 5], [6, 4], [3, 5]]))
        tensor([[2, 1, 0]], dtype=torch.int16)
    """
    # These are the largest tensors of the model, so they have small types.
    total = torch.zeros((), dtype=torch.int16, device=first.device)
    agree = torch.ones((), dtype=torch.bool, device=first.device)
    for one, other in zip(first.int().unbind(-1), second.int().unbind(-1), strict=True):
        agree = agree & (one.unsqueeze(-1) == other.unsqueeze(-2))
        total = total + agree.to(torch.int16)
    return total.expand(*first.shape[:-1], second.shape[-2])


def last_tokens(tokens: Tensor, count: int) -> Tensor:
    """Return the last tokens of each sequence, the last one first, with 0 beyond the beginning.

    Shapes:
        tokens `(…, S)`, padded with 0 -> `(…, count)`.

    Example:
        >>> last_tokens(torch.tensor([[3, 4, 0], [5, 0, 0]]), 2)
        tensor([[4, 3],
                [5, 0]])
    """
    at = token_lengths(tokens).unsqueeze(-1) - torch.arange(1, count + 1, device=tokens.device)
    return torch.where(at >= 0, tokens.gather(-1, at.clamp_min(0)), 0)


def shared_places(first: Tensor, second: Tensor) -> Tensor:
    """Number the set of places where the last tokens of two sequences agree.

    Bit k of the number tells whether they agree at the k-th place from the end.

    Shapes:
        first `(…, B, A)`, second `(…, K, A)` -> `(…, B, K)`, from 0 to `2^A - 1`.

    Example:
        >>> shared_places(torch.tensor([[7, 4, 3]]), torch.tensor([[7, 0, 0], [7, 4, 9]]))
        tensor([[1, 3]])
    """
    same = first.unsqueeze(-2) == second.unsqueeze(-3)
    bits = 2 ** torch.arange(first.shape[-1], device=first.device)
    return (same * bits).sum(-1)


def equal_tokens(first: Tensor, second: Tensor, dtype: torch.dtype) -> Tensor:
    """Compare each of the last tokens of a sequence with each of those of another.

    Args:
        first, second: see `last_tokens`. Padding equals nothing.
        dtype: the type of the result.

    Shapes:
        first `(…, B, A)`, second `(…, K, A)` -> `(…, B, K, A * A)`, 1 where two tokens are equal,
        else 0.

    Example:
        >>> equal_tokens(torch.tensor([[7, 4]]), torch.tensor([[4, 7], [0, 4]]), torch.float32)
        tensor([[[0., 1., 1., 0.],
                 [0., 0., 0., 1.]]])
    """
    one, other = first.unsqueeze(-2).unsqueeze(-1), second.unsqueeze(-3).unsqueeze(-2)
    return ((one == other) & (one != 0)).flatten(-2).to(dtype)
