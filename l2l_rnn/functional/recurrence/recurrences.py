"""The recurrences `h_t = cell(W_ih x_t + W_hh h_{t-1} + b)` over packed blocks of many tasks.

The axis `A` counts independent parameter sets: the tasks, the directions of a layer, or both
flattened together. Its size is 1 for a single set. Steps are packed as described in `packing`:
`batch_sizes` holds the number of sequences that take each step, and P is their sum.

The functions share these arguments:

Args:
    x: the packed steps.
    weights: the parameters, gates stacked in torch's order.
    state: the initial state, a tuple of tensors with the output `h` first.
    batch_sizes: number of sequences that take each step, non-increasing, at most B.

Shapes:
    x `(A, P, F)`; for G gates, `weights.ih` `(A, GH, F)`, `weights.hh` `(A, GH, H)` and the biases
    `(A, GH)`; states `(A, B, H)` -> the state after every step, a tuple of `(A, P, H)` like
    `state`, the outputs first.

`packed_recurrence` has their hand-written first and second derivatives; a third derivative raises a
DerivativeError. Under a transform of `torch.func`, forward-mode differentiation or a dispatch mode
such as `FlopCounterMode`, and for an LSTM with `proj_size`, they run step by step in `reference`
and have derivatives of every order.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from l2l_rnn.functional.compiled_code import operations_are_watched
from l2l_rnn.functional.recurrence import reference
from l2l_rnn.functional.recurrence.autograd import packed_recurrence
from l2l_rnn.functional.recurrence.cells import (
    PackedGRUCell,
    PackedLSTMCell,
    PackedReluCell,
    PackedTanhCell,
)
from l2l_rnn.functional.recurrence.weights import State, Weights


def rnn(
    x: Tensor,
    weights: Weights,
    state: State,
    batch_sizes: Sequence[int],
    *,
    nonlinearity: str = "tanh",
    valid: Tensor | None = None,
) -> State:
    """Run the simple recurrence `h_t = phi(W_ih x_t + W_hh h_{t-1} + b)`.

    Arguments and shapes are described in the module, with G = 1. `nonlinearity` is `phi`, `"tanh"`
    or `"relu"`. A ReLU network does not update h where `valid`, `(A, P, 1)`, is False, because h
    could overflow there.

    Source: J. L. Elman, 1990, Finding Structure in Time.
    """
    relu = nonlinearity == "relu"
    valid = valid if relu else None
    if operations_are_watched():
        return reference.rnn(x, weights, state, batch_sizes, nonlinearity=nonlinearity, valid=valid)
    cell, outside = (
        PackedReluCell() if relu else PackedTanhCell(),
        None if valid is None else ~valid,
    )
    return packed_recurrence(cell, x, weights.stacked(), state, batch_sizes, outside)


def gru(x: Tensor, weights: Weights, state: State, batch_sizes: Sequence[int]) -> State:
    """Run the gated recurrent unit, in torch's form.

    `r, z = sigmoid(W_i· x + b_i· + W_h· h + b_h·)`,
    `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`, `h' = (1 - z) * n + z * h`.

    Arguments and shapes are described in the module, with G = 3 (r, z, n).

    Source: K. Cho et al., 2014, Learning Phrase Representations using RNN Encoder-Decoder, eq. 5-8;
    the reset gate is applied after the product, as in cuDNN.
    """
    if operations_are_watched():
        return reference.gru(x, weights, state, batch_sizes)
    four = reference.separate_n(weights).stacked()
    return packed_recurrence(PackedGRUCell(), x, four, state, batch_sizes)


def lstm(
    x: Tensor,
    weights: Weights,
    state: State,
    batch_sizes: Sequence[int],
    *,
    weight_hr: Tensor | None = None,
) -> State:
    """Run the long short-term memory.

    With `a = W_ih x + W_hh h + b`: `i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)`,
    `g = tanh(a_g)`, `c' = f * c + i * g`, `h' = o * tanh(c')`. With `weight_hr`, the output is
    `W_hr h'`.

    Arguments and shapes are described in the module, with G = 4 (i, f, g, o) and the state
    `(h, c)`. `weight_hr`, `(A, proj_size, H)`, projects the output to `proj_size` values; None for
    no projection.

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, with the forget gate
    of F. Gers et al., 2000, and the projection of H. Sak et al., 2014.
    """
    if weight_hr is not None or operations_are_watched():
        return reference.lstm(x, weights, state, batch_sizes, weight_hr=weight_hr)
    return packed_recurrence(PackedLSTMCell(), x, weights.stacked(), state, batch_sizes)
