"""Addressing of memory slots: by content, by location, by free slots, and in the order of writes.

Weights over slots are non-negative and sum to at most 1. All functions are differentiable twice.
Leading axes `…`, the task axis among them, broadcast.
"""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.errors import ShapeError

_EPS = 1e-6  # the length below which a vector counts as short
_TINY = 1e-16  # added to the argument of a logarithm: 1 / x^2 is still finite in float32


def cosine_similarity(memory: Tensor, keys: Tensor, eps: float = _EPS) -> Tensor:
    """Compute `k · m / (|k| |m|)` of every key and every slot.

    Lengths are `sqrt(|v|^2 + eps^2)`. The similarity of a zero vector is therefore 0, and every
    derivative is finite, of size at most about `1 / eps`.

    Args:
        memory: slots, `m`.
        keys: `k`.
        eps: the length below which a vector counts as short.

    Shapes:
        memory `(…, M, W)`, keys `(…, R, W)` -> `(…, R, M)`.

    Raises:
        ShapeError: keys and slots have different sizes.

    Example:
        >>> memory = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, -2.0]])
        >>> cosine_similarity(memory, torch.tensor([[2.0, 0.0]])).round(decimals=4)
        tensor([[1., 0., 0.]])
    """
    _check_sizes("cosine_similarity", memory, keys)
    return unit_vectors(keys, eps) @ memory.mT * _inverse_lengths(memory, eps).unsqueeze(-2)


def content_weights(memory: Tensor, keys: Tensor, strengths: Tensor, eps: float = _EPS) -> Tensor:
    """Compute weights by content, `softmax over slots of beta * cos(k, m)`.

    Args:
        memory: slots, `m`.
        keys: `k`, one for each head.
        strengths: `beta`, one for each key; the larger, the sharper the weights.
        eps: as in `cosine_similarity`.

    Shapes:
        memory `(…, M, W)`, keys `(…, R, W)`, strengths `(…, R)` -> `(…, R, M)`.

    Raises:
        ShapeError: keys and slots have different sizes.

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
    """Compute `x / sqrt(|x|^2 + eps^2)`, which has length 1 but for short vectors.

    Shapes:
        `(…, K)` -> `(…, K)`.
    """
    return x * _inverse_lengths(x, eps).unsqueeze(-1)


def masked_softmax(scores: Tensor, allowed: Tensor) -> Tensor:
    """Compute the softmax over the allowed positions of the last axis, with 0 at all others.

    Where no position is allowed, all weights are 0.

    Args:
        scores: any finite values.
        allowed: which positions take part, bool.

    Shapes:
        scores `(…, M)`, allowed `(…, M)` or broadcastable to it -> `(…, M)`.

    Example:
        >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, True], [False, False]]))
        tensor([[0.5000, 0.5000],
                [0.0000, 0.0000]])
    """
    lowest = torch.finfo(scores.dtype).min / 2
    return scores.masked_fill(~allowed, lowest).softmax(-1).masked_fill(~allowed, 0)


def interpolate(before: Tensor, now: Tensor, gates: Tensor) -> Tensor:
    """Compute `g * now + (1 - g) * before`, which keeps or replaces the weights of the last step.

    Shapes:
        before and now `(…, M)`, gates `(…)` -> `(…, M)`.

    Example:
        >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.25))
        tensor([0.7500, 0.2500])

    Source: as `content_weights`, eq. 7.
    """
    return torch.lerp(before, now, gates.unsqueeze(-1))


def shift(weights: Tensor, shifts: Tensor) -> Tensor:
    """Shift weights along the slots, which form a ring, by a circular convolution.

    `w'(i) = sum_j w(i - j) s(j)`, where j goes from -r to r.

    Args:
        weights: `w`.
        shifts: `s`, the share that moves by each j, from -r to r; +1 moves to the next slot.

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
            f"shift: shifts must be 2 r + 1, from -r to r, an odd number, got {shifts.shape[-1]}; "
            "add or remove one"
        )
    reach = shifts.shape[-1] // 2
    moved = torch.stack([weights.roll(j, -1) for j in range(-reach, reach + 1)], -2)
    return (shifts.unsqueeze(-2) @ moved).squeeze(-2)


def sharpen(weights: Tensor, exponents: Tensor) -> Tensor:
    """Compute `w(i)^gamma / sum_j w(j)^gamma`, in logarithms against under- and overflow.

    Args:
        weights: `w`, not negative.
        exponents: `gamma`, at least 1; the larger, the sharper the weights.

    Shapes:
        weights `(…, M)`, exponents `(…)` -> `(…, M)`.

    Example:
        >>> sharpen(torch.tensor([0.8, 0.2, 0.0]), torch.tensor(2.0)).round(decimals=4)
        tensor([0.9412, 0.0588, 0.0000])

    Source: as `content_weights`, eq. 9. 1e-16 is added to every weight.
    """
    return torch.softmax((weights + _TINY).log() * exponents.unsqueeze(-1), -1)


def allocation(usage: Tensor) -> Tensor:
    """Compute weights over the free slots, the least used one first.

    With `phi` the slots in ascending order of usage, `a(phi_j) = (1 - u(phi_j)) prod_{i<j}
    u(phi_i)`. The sum is below 1 where no slot is free, and 0 where all are in use.

    Args:
        usage: `u`, how much each slot is in use, from 0 to 1.

    Shapes:
        usage `(…, M)` -> `(…, M)`.

    Example:
        >>> allocation(torch.tensor([1.0, 0.5, 0.25, 1.0])).round(decimals=4)
        tensor([0.0000, 0.1250, 0.7500, 0.0000])

    Source: A. Graves et al., 2016, Hybrid computing using a neural network with dynamic external
    memory, Methods, eq. 1 of "Dynamic memory allocation". The product is computed
    in logarithms of usage plus 1e-16. The order of the slots has no derivative, as there. Usages
    are ordered in steps of `2^-16`, so that rounding does not decide which slot comes first: slots
    that tie stay in the order of their indices.
    """
    order = (usage.detach() * 2**16).round().argsort(dim=-1, stable=True)
    ascending = usage.gather(-1, order)
    # Rounding may leave values below 0. No clamp: its derivative at 0 depends on the torch version.
    used = ascending.masked_fill(ascending < 0, 0)
    logarithms = (used + _TINY).log()
    below = (logarithms.cumsum(-1) - logarithms).exp()
    return ((1 - ascending) * below).gather(-1, order.argsort(-1))


def temporal_links(links: Tensor, precedence: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Update which slot was written after which, and which was written last.

    `L'(i, j) = (1 - w(i) - w(j)) L(i, j) + w(i) p(j)`, 0 where i = j, and
    `p' = (1 - sum_i w(i)) p + w`.

    Args:
        links: `L`, how much slot i was written right after slot j.
        precedence: `p`, how much each slot was the last one written.
        weights: `w`, of this write.

    Returns:
        The new links and precedence.

    Shapes:
        links `(…, M, M)`, with a diagonal of 0, precedence and weights `(…, M)`.

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


def _inverse_lengths(vectors: Tensor, eps: float) -> Tensor:
    return (vectors.square().sum(-1) + eps**2).rsqrt()


def _check_sizes(who: str, memory: Tensor, keys: Tensor) -> None:
    if memory.dim() < 2 or keys.dim() < 2 or memory.shape[-1] != keys.shape[-1]:
        raise ShapeError(
            f"{who}: memory must be (…, M, W) and keys (…, R, W), of one size W, got "
            f"{tuple(memory.shape)} and {tuple(keys.shape)}; project the keys"
        )
