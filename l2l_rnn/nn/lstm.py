"""The long short-term memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2l_rnn import functional
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.affine import product_type
from l2l_rnn.functional.compiled_code import operations_are_watched
from l2l_rnn.functional.layer_calls import HasTorchCounterpart
from l2l_rnn.functional.recurrence import compiled_passes
from l2l_rnn.functional.recurrence.weights import State
from l2l_rnn.nn.recurrent_layer import CELLS, RecurrentLayer

_FEW = 8  # sequences; see `LSTM._run_fused`


@CELLS.register("lstm")
@configurable
class LSTM(RecurrentLayer, HasTorchCounterpart):
    """Long short-term memory network.

    `i, f, o = sigmoid(W_i· x + b_i· + W_h· h + b_h·)`, `g = tanh(W_ig x + b_ig + W_hg h + b_hg)`,
    `c' = f * c + i * g`, `h' = o * tanh(c')`, projected by `weight_hr_l0` if `proj_size` is given.
    The rows of `weight_ih_l0`, `weight_hh_l0` and the biases stack i, f, g, o. The state is
    `(h, c)`. The other arguments, shapes and errors are as in `RecurrentLayer`.

    Args:
        proj_size: size that each output is projected to; 0 for no projection.

    Example:
        >>> outputs, (h, c) = LSTM(3, 5, num_layers=2, bidirectional=True)(torch.zeros(7, 2, 3))
        >>> outputs.shape, h.shape
        (torch.Size([7, 2, 10]), torch.Size([4, 2, 5]))

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory; parameters as in
    `torch.nn.LSTM`.
    """

    gates = 4
    projects = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
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
            proj_size=proj_size,
        )

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size

    @property
    def _kernel(self) -> Any:
        return torch.lstm

    def _run_fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        """Run oneDNN's LSTM for a few sequences of one task without gradients, in float32 on a CPU.

        CPU time on one thread, in ms, for 1, 25 and 400 sequences of 32 steps, 16 features and 64
        units:

        - torch's layer 0.5, 1.6, 23; the compiled recurrence 1.0, 1.3, 14;
        - with first-order gradients, torch's layer 0.9, 4.7, 92; compiled 1.9, 5.3, 36;
        - 25 and 400 ragged sequences, torch's layer 2.2, 15; compiled 3.3, 10.

        torch's GRU and RNN were not faster than the compiled ones. torch's kernel is therefore used
        for up to 8 sequences of equal length. Without compiled code it is used for any number of
        sequences, because single torch operations are usually even slower.
        """
        names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else [])]
        weights = [
            getattr(self, name + suffix)
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
            for name in names
        ]
        if (
            self._has_tasks
            or self.proj_size
            or x.device.type != "cpu"
            or (compiled_passes.compiled() and x.shape[1] > _FEW)
            or product_type(x) != torch.float32
            or self._takes_gradients(x, *state, *weights)
            or operations_are_watched()
        ):
            return None
        y, h, c = torch.lstm(
            x[0],
            tuple(s[:, 0].to(x.dtype) for s in state),
            weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            True,
        )
        return y.unsqueeze(0), tuple(s.transpose(0, 1).unsqueeze(0) for s in (h, c))

    def _cell(self) -> str | None:
        return None if self.proj_size else "lstm"

    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        weight_hr = self._stacked("weight_hr", layer) if self.proj_size else None
        return functional.lstm(x, self._weights(layer), state, batch_sizes, weight_hr=weight_hr)
