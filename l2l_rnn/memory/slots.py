"""A memory's slots as a store: each slot holds a key and its value, the oldest is overwritten."""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn import functional


def write_slots(memory: Tensor, written: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Write keys with values into the next slots, which form a ring, all at once.

    It is the write of a Neural Turing Machine whose head is at one slot, erases all of it, adds the
    key and the value, and moves on by one; B of them in turn.

    Args:
        memory: the slots.
        written: how many were written before, which says where the head stands.
        keys, values: what to write, in this order.

    Returns:
        The slots afterwards; of more than M writes the last M are left.

    Shapes:
        memory `(…, M, K + V)`, written `(…)`, keys `(…, B, K)`, values `(…, B, V)`.

    Example:
        >>> key, value = torch.ones(1, 2), torch.full((1, 1), 5.0)
        >>> write_slots(torch.zeros(2, 3), torch.tensor(3), key, value).tolist()
        [[0.0, 0.0, 0.0], [1.0, 1.0, 5.0]]
    """
    slots, more = memory.shape[-2], keys.shape[-2]
    if more == 0:
        return memory
    place = torch.arange(slots, device=memory.device)
    # The last of the writes that lands at each slot: counted back from the last write of all.
    last = more - 1 - (written.unsqueeze(-1) + more - 1 - place) % slots  # (…, M)
    rows = torch.cat([keys, values], -1).to(memory.dtype)
    index = last.clamp_min(0).unsqueeze(-1).expand(*last.shape, memory.shape[-1])
    return torch.where((last >= 0).unsqueeze(-1), rows.gather(-2, index), memory)


def slot_weights(memory: Tensor, written: Tensor, queries: Tensor, strength: Tensor) -> Tensor:
    """Compute how much of each slot a query reads: by its key, among the slots written.

    Args:
        memory: the slots.
        written: how many were written.
        queries: what to look up.
        strength: `beta` of the content weights.

    Shapes:
        memory `(…, M, K + V)`, written `(…)`, queries `(…, Q, K)`, strength `()` or `(N,)` ->
        `(…, Q, M)`, all 0 where nothing was written.
    """
    keys = memory[..., : queries.shape[-1]]
    similar = functional.cosine_similarities(keys, queries)
    similar = similar * strength.reshape(*strength.shape, *[1] * (similar.dim() - strength.dim()))
    filled = torch.arange(memory.shape[-2], device=memory.device) < written.unsqueeze(-1)
    filled = filled.unsqueeze(-2)
    least = torch.finfo(similar.dtype).min
    return torch.softmax(similar.masked_fill(~filled, least), -1) * filled
