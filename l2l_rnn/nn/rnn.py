"""The simple recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2l_rnn import functional
from l2l_rnn.checks import check_choice
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.layer_calls import HasTorchCounterpart
from l2l_rnn.functional.recurrence.weights import State
from l2l_rnn.nn.recurrent_layer import CELLS, RecurrentLayer


@CELLS.register("rnn")
@configurable
class RNN(RecurrentLayer, HasTorchCounterpart):
    """Simple recurrent network: `h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)`.

    `W_ih`, `W_hh`, `b_ih`, `b_hh` are `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`
    in the first layer; `phi` is `nonlinearity`, `"tanh"` or `"relu"`. The other arguments, shapes
    and errors are as in `RecurrentLayer`.

    Example:
        >>> outputs, h = RNN(3, 5)(torch.zeros(7, 2, 3))
        >>> outputs.shape, h.shape
        (torch.Size([7, 2, 5]), torch.Size([1, 2, 5]))

    Source: J. L. Elman, 1990, Finding Structure in Time; parameters as in `torch.nn.RNN`.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
        )
        self.nonlinearity = check_choice("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))

    @property
    def _kernel(self) -> Any:
        return torch.rnn_relu if self.nonlinearity == "relu" else torch.rnn_tanh

    def _cell(self) -> str | None:
        return self.nonlinearity

    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        return functional.rnn(
            x,
            self._weights(layer),
            state,
            batch_sizes,
            nonlinearity=self.nonlinearity,
            valid=valid,
        )
