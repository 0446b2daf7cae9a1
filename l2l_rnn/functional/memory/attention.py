"""Looking up by content: how alike keys are, and weights that add up to 1 over those allowed."""

from __future__ import annotations

import torch
from torch import Tensor


def cosine_similarity(queries: Tensor, keys: Tensor, eps: float = 1e-12) -> Tensor:
    """Compute `q . k / (|q| |k|)` of every query with every key; 0 for a vector of zeros.

    Args:
        queries: what is looked for.
        keys: where.
        eps: added to squared lengths; larger, it makes short vectors less alike and keeps their
            derivatives small.

    Shapes:
        queries `(…, Q, K)`, keys `(…, M, K)` -> `(…, Q, M)`.

    Example:
        >>> cosine_similarity(torch.tensor([[3.0, 0.0]]), torch.eye(2))
        tensor([[1., 0.]])
    """
    return unit_vectors(queries, eps) @ unit_vectors(keys, eps).mT


def unit_vectors(x: Tensor, eps: float = 1e-12) -> Tensor:
    """Compute `x / sqrt(|x|^2 + eps)`, of length 1 but for zeros. Shapes: `(…, K)` -> `(…, K)`."""
    return x * (x.square().sum(-1, keepdim=True) + eps).rsqrt()


def masked_softmax(scores: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Compute the softmax over the allowed places of the last axis; 0 at all others.

    Where nothing is allowed, all weights are 0.

    Args:
        scores: any finite values.
        allowed: which places take part; all of them if None.

    Shapes:
        scores `(…, M)`, allowed `(…, M)` or what expands to it -> `(…, M)`.

    Example:
        >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))
        tensor([[0.5000, 0.5000],
                [0.0000, 0.0000]])
    """
    if allowed is None:
        return scores.softmax(-1)
    lowest = torch.finfo(scores.dtype).min / 2
    return scores.masked_fill(~allowed, lowest).softmax(-1).masked_fill(~allowed, 0)
