"""Controllers: the networks that steer the heads of a memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn import functional


class Controller(nn.Module, ABC):
    """A layer that reads a step and the last reads of the memory. Not for direct use.

    `project` computes the part that depends only on the input, for all steps at once.

    Args:
        input_size: `F`, features of a step.
        read_size: `R W`, features of all reads.
        hidden_size: `H`, hidden units.

    Attributes:
        gates: `G`, rows of the weights per hidden unit.
        recurrent: whether the controller also reads its last output.
        weight_input: the weight of the input, `(G H, F)`.
        weight_back: the weight of the last reads and, if `recurrent`, of the last output,
            `(G H, R W)` or `(G H, R W + H)`.
        bias: `(G H,)`.

    Shapes:
        projected `(…, G H)`, reads `(…, R W)`, hidden `(…, H)`, cell `(…, cell_size)`.
    """

    task_axis: ClassVar[bool] = True
    gates: ClassVar[int]
    recurrent: ClassVar[bool]
    has_cell: ClassVar[bool]

    def __init__(
        self,
        input_size: int,
        read_size: int,
        hidden_size: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.cell_size = hidden_size if self.has_cell else 0
        rows, back = self.gates * hidden_size, read_size + self.recurrent * hidden_size

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_input = empty(rows, input_size)
        self.weight_back = empty(rows, back)
        self.bias = empty(rows)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights uniformly from `[-1/sqrt(H), 1/sqrt(H)]`, and set biases to 0."""
        bound = 1 / math.sqrt(self.hidden_size)
        nn.init.uniform_(self.weight_input, -bound, bound)
        nn.init.uniform_(self.weight_back, -bound, bound)
        nn.init.zeros_(self.bias)

    def project(self, x: Tensor) -> Tensor:
        """Compute the part of the gates that depends only on the input, for any number of steps."""
        return functional.linear(x, self.weight_input, self.bias)

    @abstractmethod
    def step(
        self, projected: Tensor, reads: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the next output and cell."""

    def _gates(self, projected: Tensor, back: Tensor) -> Tensor:
        weight = self.weight_back
        if weight.dim() == back.dim() == 2:
            return torch.addmm(projected, back, weight.mT)
        if weight.dim() == back.dim() == 3:
            return torch.baddbmm(projected, back, weight.mT)
        return projected + functional.linear(back, weight)


class LSTMController(Controller):
    """An LSTM: `c' = f c + i g`, `h' = o tanh(c')`, with sigmoid gates i, f, o and a tanh gate g.

    The rows of its weights stack i, f, g, o, as in torch. The forget gate's bias is initially 1.
    """

    gates = 4
    recurrent = True
    has_cell = True

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.ones_(self.bias[self.hidden_size : 2 * self.hidden_size])

    def step(
        self, projected: Tensor, reads: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        gates = self._gates(projected, torch.cat([reads, hidden], -1))
        units = self.hidden_size
        a_if, a_g, a_o = gates.split([2 * units, units, units], -1)
        i, f = a_if.sigmoid().chunk(2, -1)
        cell = torch.addcmul(f * cell, i, a_g.tanh())
        return a_o.sigmoid() * cell.tanh(), cell


class FeedForwardController(Controller):
    """A layer of tanh units without state, `h' = tanh(W_x x + W_r r + b)`."""

    gates = 1
    recurrent = False
    has_cell = False

    def step(
        self, projected: Tensor, reads: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self._gates(projected, reads).tanh(), cell


CONTROLLERS: dict[str, type[Controller]] = {
    "lstm": LSTMController,
    "feedforward": FeedForwardController,
}
