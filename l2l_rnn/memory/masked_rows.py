"""Sets of examples with padding: the rows that are written, and where they go."""

from __future__ import annotations

import torch
from torch import Tensor


def examples_first(
    keys: Tensor, values: Tensor, mask: Tensor, most: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Sort rows so that examples come before padding, in their own order.

    Padding gets finite values and passes no gradient on, whatever it held.

    Args:
        keys, values: the rows.
        mask: True where a row is an example.
        most: the largest number of examples, to which rows are cut; None keeps all rows.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, mask `(…, B)`.

    Example:
        >>> rows = torch.tensor([[1.0], [torch.nan], [3.0]])
        >>> examples_first(rows, rows, torch.tensor([True, False, True]), 2)[0].tolist()
        [[1.0], [3.0]]
    """
    order = (~mask).long().sort(dim=-1, stable=True).indices  # argsort has no batching rule
    if most is not None:
        order = order[..., :most]
    mask = mask.gather(-1, order)

    def chosen(rows: Tensor, fill: float) -> Tensor:
        index = order.unsqueeze(-1).expand(*order.shape, rows.shape[-1])
        return torch.where(mask.unsqueeze(-1), rows.gather(-2, index), fill)

    return chosen(keys, 1.0), chosen(values, 0.0), mask


def put_rows(slots: Tensor, rows: Tensor, places: Tensor, new: Tensor) -> Tensor:
    """Replace some slots by rows.

    Args:
        slots: the content of all slots.
        rows: the rows to choose from.
        places: for each slot, the row that it gets; read only where `new` is True.
        new: the slots to replace.

    Shapes:
        slots `(…, M, E)`, rows `(…, B, E)`, places and new `(…, M)` -> `(…, M, E)`.

    Example:
        >>> rows, places = torch.tensor([[5.0], [7.0]]), torch.tensor([1, 9])
        >>> put_rows(torch.zeros(2, 1), rows, places, torch.tensor([True, False])).tolist()
        [[7.0], [0.0]]
    """
    index = places.clamp(0, rows.shape[-2] - 1).unsqueeze(-1)
    index = index.expand(*places.shape, rows.shape[-1])
    return torch.where(new.unsqueeze(-1), rows.gather(-2, index).to(slots.dtype), slots)
