"""The parameters and the state of a recurrence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.functional.affine import linear
from l2l_rnn.functional.contiguous import join_columns

State = tuple[Tensor, ...]


class Weights(NamedTuple):
    """The parameters of a recurrence, named as in torch's layers.

    Shapes:
        for G gates, ih `(A, GH, F)`, hh `(A, GH, H)`, bias_ih and bias_hh `(A, GH)` or None.
    """

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None

    def stacked(self) -> Tensor:
        """Concatenate to `[W_ih b_ih b_hh W_hh]`.

        Shapes:
            `(A, GH, F + 2 + H)`, or `(A, GH, F + H)` without biases.
        """
        columns = [self.ih, *(b.unsqueeze(-1) for b in self._biases()), self.hh]
        return join_columns(columns)

    def project(self, x: Tensor) -> Tensor:
        """Compute `W_ih x_t + b_ih + b_hh` for all steps: `(A, P, F)` -> `(A, P, GH)`."""
        ones = x.new_ones(1).expand(*x.shape[:-1], len(self._biases()))
        return linear(torch.cat([x, ones], -1), self.stacked()[..., : -self.hh.shape[-1]])

    def _biases(self) -> list[Tensor]:
        # Each bias has its own column. If they were summed, both parameters would receive views of
        # one gradient tensor, and several backward() calls would accumulate wrong values.
        return [b for b in (self.bias_ih, self.bias_hh) if b is not None]
