"""Affine maps and embeddings, with an optional task axis on their parameters."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.functional.contiguous import contiguous_gradients


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `y = x W^T + b`, where each task has its own `W` and `b`.

    Args:
        x: inputs.
        weight: `W`.
        bias: `b`, or None.

    Shapes:
        x `(…, F)`, weight `(H, F)`, bias `(H,)` -> `(…, H)`, or
        x `(N, …, F)`, weight `(N, H, F)`, bias `(N, H)` -> `(N, …, H)`; x has at least two axes
        after `N`.

    Example:
        >>> linear(torch.ones(2, 3, 4), torch.ones(2, 5, 4)).shape
        torch.Size([2, 3, 5])
    """
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    rows = x.flatten(weight.dim() - 2, -2)  # (N, rows, F)
    y = rows @ contiguous_gradients(weight.mT)
    if bias is not None:
        y = y + bias.unsqueeze(-2).to(y.dtype)
    return y.reshape(*x.shape[:-1], weight.shape[-2])


def product_type(x: Tensor) -> torch.dtype:
    """Return the dtype of a matrix product with x, which under autocast is not x's own."""
    empty = x.new_empty(0, 0)
    return (empty @ empty).dtype


def precise(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, or in float32 on devices that have no float64."""
    return tensor.float() if tensor.device.type == "mps" else tensor.double()


def embedding(tokens: Tensor, weight: Tensor) -> Tensor:
    """Look up a vector for each token id, where each task has its own table.

    The ids are not checked: an id outside the table may read another task's vector.

    Args:
        tokens: token ids, starting at 0.
        weight: the table, with one row per id.

    Shapes:
        tokens `(…)`, weight `(ids, features)` -> `(…, features)`, or
        tokens `(N, …)`, weight `(N, ids, features)` -> `(N, …, features)`.

    Example:
        >>> embedding(torch.tensor([[0], [1]]), torch.arange(8.0).reshape(2, 2, 2)).tolist()
        [[[0.0, 1.0]], [[6.0, 7.0]]]
    """
    if weight.dim() == 3:
        tasks, size = weight.shape[:2]
        if tasks > 1:
            offsets = torch.arange(0, tasks * size, size, device=tokens.device)
            tokens = tokens + offsets.reshape(tasks, *[1] * (tokens.dim() - 1))
        weight = weight.flatten(0, 1)
    return F.embedding(tokens, weight)
