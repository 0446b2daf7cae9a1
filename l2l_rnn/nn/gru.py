"""The gated recurrent unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2l_rnn import functional
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.layer_calls import HasTorchCounterpart
from l2l_rnn.functional.recurrence.weights import State
from l2l_rnn.nn.recurrent_layer import CELLS, RecurrentLayer


@CELLS.register("gru")
@configurable
class GRU(RecurrentLayer, HasTorchCounterpart):
    """Gated recurrent unit network.

    `r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)`, `z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)`,
    `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`, `h' = (1 - z) * n + z * h`. The rows of
    `weight_ih_l0` (`W_i·`), `weight_hh_l0` (`W_h·`) and the biases stack r, z, n. Arguments, shapes
    and errors are as in `RecurrentLayer`.

    Example:
        >>> import torch
        >>> GRU(3, 5, batch_first=True)(torch.zeros(2, 7, 3))[0].shape
        torch.Size([2, 7, 5])

    Source: K. Cho et al., 2014, Learning Phrase Representations using RNN Encoder-Decoder, eq. 5-8;
    parameters and position of the reset gate as in `torch.nn.GRU`.
    """

    gates = 3

    @property
    def _kernel(self) -> Any:
        return torch.gru

    def _cell(self) -> str | None:
        return "gru"

    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        return functional.gru(x, self._weights(layer), state, batch_sizes)
