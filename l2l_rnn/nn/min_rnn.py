"""Minimal recurrences, with gates that read only the input, so that one scan computes all steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.contiguous import join_columns
from l2l_rnn.functional.recurrence.weights import State
from l2l_rnn.nn.recurrent_layer import CELLS, RecurrentLayer


class _Minimal(RecurrentLayer):
    """Base class of the minimal recurrences: no recurrent weight, all steps at once."""

    dense: ClassVar[bool] = True

    def _parameter_shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, features)}
        return shapes | {"bias_ih": (rows,)} if self.bias else shapes

    def _projected(self, layer: int, x: Tensor, batch_sizes: Sequence[int]) -> Tensor:
        """Compute the gates' pre-activations at every step: x `(A, S B, F)` -> `(A, S, B, GH)`."""
        weight = self._stacked("weight_ih", layer)
        if self.bias:  # as a column of the weight, so that one product has the gradients of both
            bias = self._stacked("bias_ih", layer).unsqueeze(-1)
            weight = join_columns([weight, bias])
            x = F.pad(x, (0, 1), value=1.0)
        a = functional.linear(x, weight)
        return a.unflatten(1, (len(batch_sizes), -1))


@CELLS.register("mingru")
@configurable
class MinGRU(_Minimal):
    """Minimal gated recurrent unit network.

    `z_t = sigmoid(W_z x_t + b_z)`, `n_t = g(W_n x_t + b_n)`,
    `h_t = (1 - z_t) * h_{t-1} + z_t * n_t`, with `g(x) = x + 1/2` for `x >= 0` and `sigmoid(x)`
    below, which keeps the state positive. The rows of `weight_ih_l0` and `bias_ih_l0` stack z, n;
    there is no recurrent weight. Arguments, shapes and errors are as in `RecurrentLayer`. The layer
    has derivatives of every order, except in float32 on a CPU: compiled code has only the first
    two, and a third derivative raises a DerivativeError.

    Example:
        >>> import torch
        >>> outputs, h = MinGRU(3, 5, batch_first=True)(torch.zeros(2, 7, 3))
        >>> outputs.shape, h.shape
        (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]))

    Source: L. Feng et al., 2024, Were RNNs All We Needed?, section 3.1 and appendix B. Here the
    scan does not use logarithms; it is still stable, because its factors are between 0 and 1.
    """

    gates = 2

    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        return functional.min_gru(self._projected(layer, x, batch_sizes), state)


@CELLS.register("minlstm")
@configurable
class MinLSTM(_Minimal):
    """Minimal long short-term memory network.

    `f, i = sigmoid(W_f x + b_f), sigmoid(W_i x + b_i)`, `n = g(W_n x + b_n)`,
    `h_t = f / (f + i) * h_{t-1} + i / (f + i) * n`, with `g` as in `MinGRU`. The rows of
    `weight_ih_l0` and `bias_ih_l0` stack f, i, n; there is no recurrent weight and no cell state.
    Everything else is as in `MinGRU`.

    Example:
        >>> import torch
        >>> MinLSTM(3, 5)(torch.zeros(7, 2, 3))[0].shape
        torch.Size([7, 2, 5])

    Source: L. Feng et al., 2024, Were RNNs All We Needed?, section 3.2 and appendix B.
    """

    gates = 3

    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        return functional.min_lstm(self._projected(layer, x, batch_sizes), state)
