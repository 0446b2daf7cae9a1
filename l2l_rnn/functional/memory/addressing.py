"""Where a memory is read and written: by content, by place, at free slots, in the order of writing.

Weights over slots are non-negative and sum to 1, or to less where a memory may leave slots alone.
Everything is differentiable twice; leading axes `…` broadcast, the task axis among them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.errors import ShapeError

_LEAST_LENGTH = 1e-6  # vectors shorter than this count as having hardly a direction
_LEAST = 1e-16  # added to what a logarithm is taken of: 1 / x^2 is still finite in float32


def cosine_similarities(memory: Tensor, keys: Tensor, least: float = _LEAST_LENGTH) -> Tensor:
    """Compute `k · m / (|k| |m|)` of every key and every slot.

    Lengths are `sqrt(|v|^2 + least^2)`, so that a vector of zeros is like nothing, with similarity
    0, and all derivatives are finite: none is larger than about `1 / least`.

    Args:
        memory: slots, `m`.
        keys: `k`.
        least: the length below which a vector counts as short.

    Shapes:
        memory `(…, M, W)`, keys `(…, K, W)` -> `(…, K, M)`.

    Raises:
        ShapeError: the keys are not as wide as the slots.

    Example:
        >>> memory = torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, -2.0]])
        >>> cosine_similarities(memory, torch.tensor([[2.0, 0.0]])).round(decimals=4)
        tensor([[1., 0., 0.]])
    """
    if memory.dim() < 2 or keys.dim() < 2 or memory.shape[-1] != keys.shape[-1]:
        raise ShapeError(
            f"cosine_similarities: memory must be (…, M, W) and keys (…, K, W), as wide, got "
            f"{tuple(memory.shape)} and {tuple(keys.shape)}"
        )
    return (
        (keys * _inverse_lengths(keys, least).unsqueeze(-1))
        @ memory.mT
        * _inverse_lengths(memory, least).unsqueeze(-2)
    )


def content_weights(
    memory: Tensor, keys: Tensor, strengths: Tensor, least: float = _LEAST_LENGTH
) -> Tensor:
    """Compute weights by content, `softmax over slots of beta * cos(k, m)`.

    Args:
        memory: slots, `m`.
        keys: `k`, one for each head.
        strengths: `beta`, of each key; the larger, the more the likest slot stands out.
        least: as in `cosine_similarities`.

    Shapes:
        memory `(…, M, W)`, keys `(…, K, W)`, strengths `(…, K)` -> `(…, K, M)`.

    Raises:
        ShapeError: the keys are not as wide as the slots.

    Example:
        >>> memory = torch.eye(2)
        >>> content_weights(memory, torch.tensor([[1.0, 0.0]]), torch.tensor([10.0]))
        tensor([[9.9995e-01, 4.5398e-05]])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, eq. 5 and 6.
    """
    if memory.dim() < 2 or keys.dim() < 2 or memory.shape[-1] != keys.shape[-1]:
        raise ShapeError(
            f"content_weights: memory must be (…, M, W) and keys (…, K, W), as wide, got "
            f"{tuple(memory.shape)} and {tuple(keys.shape)}"
        )
    scale = strengths * _inverse_lengths(keys, least)
    similar = (keys * scale.unsqueeze(-1)) @ memory.mT
    return torch.softmax(similar * _inverse_lengths(memory, least).unsqueeze(-2), -1)


def interpolate(before: Tensor, now: Tensor, gates: Tensor) -> Tensor:
    """Compute `g * now + (1 - g) * before`, which keeps or replaces the weights of the step before.

    Shapes:
        before and now `(…, M)`, gates `(…)` -> `(…, M)`.

    Example:
        >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor(0.25))
        tensor([0.7500, 0.2500])

    Source: as `content_weights`, eq. 7.
    """
    return torch.lerp(before, now, gates.unsqueeze(-1))


def shift(weights: Tensor, shifts: Tensor) -> Tensor:
    """Move weights along the slots, which form a ring: a circular convolution.

    `w'(i) = sum_j w(i - j) s(j)`, where j goes from -r to r.

    Args:
        weights: `w`.
        shifts: `s`, how much moves by each j, from -r on; a weight moves by +1 to the next slot.

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
            f"shift: shifts must be 2 r + 1, from -r to r, an odd number, got {shifts.shape[-1]}"
        )
    reach = shifts.shape[-1] // 2
    moved = torch.stack([weights.roll(j, -1) for j in range(-reach, reach + 1)], -2)
    return (shifts.unsqueeze(-2) @ moved).squeeze(-2)


def sharpen(weights: Tensor, exponents: Tensor) -> Tensor:
    """Compute `w(i)^gamma / sum_j w(j)^gamma`, by logarithms, so that nothing under- or overflows.

    Args:
        weights: `w`, none negative.
        exponents: `gamma`, 1 or more; the larger, the more the greatest weight stands out.

    Shapes:
        weights `(…, M)`, exponents `(…)` -> `(…, M)`.

    Example:
        >>> sharpen(torch.tensor([0.8, 0.2, 0.0]), torch.tensor(2.0)).round(decimals=4)
        tensor([0.9412, 0.0588, 0.0000])

    Source: as `content_weights`, eq. 9. 1e-16 is added to every weight.
    """
    return torch.softmax((weights + _LEAST).log() * exponents.unsqueeze(-1), -1)


def allocation(usage: Tensor) -> Tensor:
    """Compute weights over the slots that are free, the least used one first.

    With the slots in ascending order of usage, `phi`: `a(phi_j) = (1 - u(phi_j)) prod_{i<j}
    u(phi_i)`. They sum to less than 1 where no slot is free, and to 0 where all are in use.

    Args:
        usage: `u`, how much each slot is in use, from 0 to 1.

    Shapes:
        usage `(…, M)` -> `(…, M)`.

    Example:
        >>> allocation(torch.tensor([1.0, 0.5, 0.25, 1.0])).round(decimals=4)
        tensor([0.0000, 0.1250, 0.7500, 0.0000])

    Source: A. Graves et al., 2016, Hybrid computing using a neural network with dynamic external
    memory, Methods, eq. 1 of "Dynamic memory allocation". The product is computed by
    logarithms of usage plus 1e-16. The order of the slots has no derivative, as there. Usages are
    ordered in steps of `2^-16`, so that rounding does not decide which slot comes first: slots that
    tie stay in the order of their indices.
    """
    order = (usage.detach() * 2**16).round().argsort(dim=-1, stable=True)
    ascending = usage.gather(-1, order)
    # Rounding may leave less than 0. What a clamp has for a derivative at 0 depends on torch.
    used = ascending.masked_fill(ascending < 0, 0)
    logarithms = (used + _LEAST).log()
    below = (logarithms.cumsum(-1) - logarithms).exp()
    return ((1 - ascending) * below).gather(-1, order.argsort(-1))


def temporal_links(links: Tensor, precedence: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Compute which slot was written after which, and which was written last.

    `L'(i, j) = (1 - w(i) - w(j)) L(i, j) + w(i) p(j)`, 0 where i = j, and
    `p' = (1 - sum_i w(i)) p + w`.

    Args:
        links: `L`, how much slot i was written just after slot j.
        precedence: `p`, how much each slot was the last one written.
        weights: `w`, those of the write.

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


def _inverse_lengths(vectors: Tensor, least: float) -> Tensor:
    return (vectors.square().sum(-1) + least**2).rsqrt()
