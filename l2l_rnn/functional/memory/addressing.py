"""Addressing of memory slots: by content, by location, by free space, and in the order of writes.

Weights over slots are non-negative and sum to at most 1. All functions are twice differentiable.
Leading axes `…`, including the task axis, broadcast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.errors import ShapeError

_EPS = 1e-6  # norm below which a vector counts as short
_TINY = 1e-16  # added to the argument of a logarithm: 1 / x^2 is still finite in float32


def cosine_similarity(memory: Tensor, keys: Tensor, eps: float = _EPS) -> Tensor:
    """Compute the cosine similarity `k · m / (|k| |m|)` of every key and every slot.

    Norms are computed as `sqrt(|v|^2 + eps^2)`. The similarity of a zero vector is therefore 0, and
    every derivative is finite, at most about `1 / eps`. If `|v|^2` overflows, as for norms above
    about 1e19 in float32, the similarity is 0 too.

    Args:
        memory: `m`, the slots.
        keys: `k`, one per head.
        eps: norm below which a vector counts as short.

    Shapes:
        memory `(…, M, W)`, keys `(…, R, W)` -> `(…, R, M)`.

    Raises:
        ShapeError: keys and slots differ in size.

    Example:
        >>> memory = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, -2.0]])
        >>> cosine_similarity(memory, torch.tensor([[2.0, 0.0]])).round(decimals=4)
        tensor([[1., 0., 0.]])
    """
    _check_sizes("cosine_similarity", memory, keys)
    return unit_vectors(keys, eps) @ memory.mT * _inverse_lengths(memory, eps).unsqueeze(-2)


def content_weights(memory: Tensor, keys: Tensor, strengths: Tensor, eps: float = _EPS) -> Tensor:
    """Compute content weights, the softmax over slots of `beta * cos(k, m)`.

    Args:
        memory: `m`, the slots.
        keys: `k`, one per head.
        strengths: `beta`, one per key; a larger value gives sharper weights.
        eps: as in `cosine_similarity`.

    Shapes:
        memory `(…, M, W)`, keys `(…, R, W)`, strengths `(…, R)` -> `(…, R, M)`.

    Raises:
        ShapeError: keys and slots differ in size.

    Example:
        >>> memory = torch.eye(2)
        >>> content_weights(memory, torch.tensor([[1.0, 0.0]]), torch.tensor([10.0]))
        tensor([[9.9995e-01, 4.5398e-05]])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, eq. 5 and 6.
    """
    _check_sizes("content_weights", memory, keys)
    scale = strengths * _inverse_lengths(keys, eps)
    similar = (keys * scale.unsqueeze(-1)) @ memory.mT
    return torch.softmax(similar * _inverse_lengths(memory, eps).unsqueeze(-2), -1)


def unit_vectors(x: Tensor, eps: float = _EPS) -> Tensor:
    """Compute `x / sqrt(|x|^2 + eps^2)`, which has norm 1 unless x is short.

    Shapes:
        `(…, K)` -> `(…, K)`.
    """
    return x * _inverse_lengths(x, eps).unsqueeze(-1)


def bounded_exp(x: Tensor) -> Tensor:
    """Compute `exp x`, limited to the largest sharpness that has an effect.

    Shapes:
        `(…)` -> `(…)`.
    """
    return x.clamp(max=math.log(_sharpest(x))).exp()


def bounded_softplus(x: Tensor) -> Tensor:
    """Compute `log(1 + exp x)`, with the same limit.

    Shapes:
        `(…)` -> `(…)`.
    """
    return F.softplus(x).clamp(max=_sharpest(x))


def bounded_exp_slope(x: Tensor) -> Tensor:
    """Compute the derivative of `bounded_exp`."""
    return x.exp().masked_fill(x > math.log(_sharpest(x)), 0)


def masked_softmax(scores: Tensor, allowed: Tensor) -> Tensor:
    """Compute the softmax over the allowed positions of the last axis; all others get 0.

    If no position is allowed, all weights are 0.

    Args:
        scores: any finite values.
        allowed: True at the positions to include.

    Shapes:
        scores `(…, M)`, allowed `(…, M)` or broadcastable to it -> `(…, M)`.

    Example:
        >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))
        tensor([[0.5000, 0.5000],
                [0.0000, 0.0000]])
    """
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~allowed, lowest).softmax(-1).masked_fill(~allowed, 0)


def one_hot(slots: Tensor, count: int) -> Tensor:
    """Return whether each index is that of a slot. Unlike torch's `one_hot`, `vmap` can map it.

    Shapes:
        `(…)` -> `(…, count)`, bool.
    """
    return slots.unsqueeze(-1) == torch.arange(count, device=slots.device)


def interpolate(before: Tensor, now: Tensor, gates: Tensor) -> Tensor:
    """Compute `g * now + (1 - g) * before`, which keeps or replaces the previous weights.

    Shapes:
        before and now `(…, M)`, gates `(…)` -> `(…, M)`.

    Example:
        >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.25))
        tensor([0.7500, 0.2500])

    Source: as `content_weights`, eq. 7.
    """
    return torch.lerp(before, now, gates.unsqueeze(-1))


def shift(weights: Tensor, shifts: Tensor) -> Tensor:
    """Shift weights along the ring of slots by a circular convolution.

    `w'(i) = sum_j w(i - j) s(j)`, where j goes from -r to r.

    Args:
        weights: `w`.
        shifts: `s`, the weight of each shift j from -r to r; +1 moves to the next slot.

    Shapes:
        weights `(…, M)`, shifts `(…, 2 r + 1)` -> `(…, M)`.

    Raises:
        ShapeError: the number of shifts is even.

    Example:
        >>> shift(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.25, 0.75]))
        tensor([0.7500, 0.0000, 0.2500])

    Source: as `content_weights`, eq. 8.
    """
    if shifts.shape[-1] % 2 == 0:
        raise ShapeError(
            f"shift: shifts must have an odd size 2 r + 1, from -r to r, got {shifts.shape[-1]}; "
            "add or remove one"
        )
    reach = shifts.shape[-1] // 2
    moved = torch.stack([weights.roll(j, -1) for j in range(-reach, reach + 1)], -2)
    return (shifts.unsqueeze(-2) @ moved).squeeze(-2)


def sharpen(weights: Tensor, exponents: Tensor) -> Tensor:
    """Compute `w(i)^gamma / sum_j w(j)^gamma`, in logarithms to avoid underflow and overflow.

    Args:
        weights: `w`, non-negative.
        exponents: `gamma`, at least 1; a larger value gives sharper weights.

    Shapes:
        weights `(…, M)`, exponents `(…)` -> `(…, M)`.

    Example:
        >>> sharpen(torch.tensor([0.8, 0.2, 0.0]), torch.tensor(2.0)).round(decimals=4)
        tensor([0.9412, 0.0588, 0.0000])

    Source: as `content_weights`, eq. 9. 1e-16 is added to every weight.
    """
    return torch.softmax((weights + _TINY).log() * exponents.unsqueeze(-1), -1)


def allocation(usage: Tensor) -> Tensor:
    """Compute allocation weights over the free slots, the least used one first.

    `a(phi_j) = (1 - u(phi_j)) prod_{i<j} u(phi_i)`, where `phi` lists the slots in ascending order
    of usage. The weights sum to less than 1 if no slot is free, and to 0 if all are in use.

    Args:
        usage: `u`, the usage of each slot, from 0 (free) to 1 (in use).

    Shapes:
        usage `(…, M)` -> `(…, M)`.

    Example:
        >>> allocation(torch.tensor([1.0, 0.5, 0.25, 1.0])).round(decimals=4)
        tensor([0.0000, 0.1250, 0.7500, 0.0000])

    Source: A. Graves et al., 2016, Hybrid computing using a neural network with dynamic external
    memory, Methods, eq. 1 of "Dynamic memory allocation". Here the product is computed as a sum of
    logarithms, with 1e-16 added to the usage. As in the paper, the order of the slots has no
    derivative. Usage is rounded to multiples of `2^-16` before sorting, so that floating-point
    errors do not decide which slot comes first; tied slots stay in the order of their indices.
    """
    # A stable argsort has no batching rule, but sort has one.
    order = (usage.detach() * 2**16).round().sort(dim=-1, stable=True).indices
    ascending = usage.gather(-1, order)
    # Rounding may leave values below 0. No clamp: its derivative at 0 depends on the torch version.
    used = ascending.masked_fill(ascending < 0, 0)
    logarithms = (used + _TINY).log()
    below = (logarithms.cumsum(-1) - logarithms).exp()
    return ((1 - ascending) * below).gather(-1, order.argsort(-1))


def temporal_links(links: Tensor, precedence: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Update the temporal links between slots and the precedence after a write.

    `L'(i, j) = (1 - w(i) - w(j)) L(i, j) + w(i) p(j)`, 0 where i = j, and
    `p' = (1 - sum_i w(i)) p + w`.

    Args:
        links: `L`, the degree to which slot i was written right after slot j.
        precedence: `p`, the degree to which each slot was written last.
        weights: `w`, the weights of this write.

    Returns:
        The new links and precedence.

    Shapes:
        links `(…, M, M)` with a zero diagonal, precedence and weights `(…, M)`.

    Example:
        >>> first, second = torch.eye(2)
        >>> links, last = temporal_links(torch.zeros(2, 2), first, second)
        >>> links.tolist(), last.tolist()
        ([[0.0, 0.0], [1.0, 0.0]], [0.0, 1.0])

    Source: as `allocation`, "Temporal memory linkage".
    """
    rows, columns = weights.unsqueeze(-1), precedence.unsqueeze(-2)
    off_diagonal = 1 - torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    kept = links * (1 - rows - weights.unsqueeze(-2))
    links = torch.addcmul(kept, rows * off_diagonal, columns)
    precedence = torch.addcmul(weights, 1 - weights.sum(-1, keepdim=True), precedence)
    return links, precedence


def _sharpest(x: Tensor) -> float:
    """Return the largest sharpness, strength or exponent that has an effect, `2^46` in float32.

    It gives all weights to the largest values even if others differ from them only by rounding. The
    products of a greater one, and of the gradients that it multiplies, would only overflow.
    """
    limits = torch.finfo(x.dtype)
    return min(limits.eps**-2, limits.max**0.75)  # the second in float16


def _inverse_lengths(vectors: Tensor, eps: float) -> Tensor:
    return (vectors.square().sum(-1) + eps**2).rsqrt()


def _check_sizes(who: str, memory: Tensor, keys: Tensor) -> None:
    if memory.dim() < 2 or keys.dim() < 2 or memory.shape[-1] != keys.shape[-1]:
        raise ShapeError(
            f"{who}: memory must be (…, M, W) and keys (…, R, W) with the same W, got "
            f"{tuple(memory.shape)} and {tuple(keys.shape)}; project the keys"
        )
