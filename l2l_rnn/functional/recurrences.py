"""The recurrences `h_t = cell(a_t, h_{t-1})` over packed blocks of many tasks.

Each function takes the input projections of all steps, made in one product outside, and runs what
is sequential. The axis `A` counts independent parameter sets: the tasks, the directions of a layer,
or both flattened together; 1 if there is but one. Steps come packed as in `packing`: `batch_sizes`
says how many sequences take each step, and P is their sum. All are differentiable twice, on any
device.

All of them share this form:

Args:
    projected: `a`, the input projections with every bias that can be added ahead.
    weight_hh: the recurrent weight, gates stacked in torch's order.
    state: the initial state, a tuple of tensors with the output `h` first.
    batch_sizes: sequences that take each step, non-increasing, none above B.

Shapes:
    projected `(A, P, GH)` for G gates, weight_hh `(A, GH, H)`, states `(A, B, H)` -> the state
    after every step, a tuple of `(A, P, H)` like `state`, the outputs first.

Their derivatives are written by hand, to second order: `packed_rnn`, `packed_gru`, `packed_lstm`; a
third derivative raises a DerivativeError. Under a transform of `torch.func`, and where an LSTM
projects its outputs, they go step by step instead and have every derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from l2l_rnn.axes import transforms_are_active
from l2l_rnn.functional.packed_gru import packed_gru
from l2l_rnn.functional.packed_lstm import packed_lstm
from l2l_rnn.functional.packed_rnn import packed_rnn

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]


def rnn(
    projected: Tensor,
    weight_hh: Tensor,
    state: State,
    batch_sizes: Sequence[int],
    *,
    nonlinearity: str = "tanh",
) -> State:
    """Run the simple recurrence `h_t = phi(a_t + W_hh h_{t-1})`.

    Args and shapes are the module's, with G = 1, biases all in `projected`; `nonlinearity` is
    `phi`, `"tanh"` or `"relu"`.

    Source: J. L. Elman, 1990, Finding Structure in Time.
    """
    if not transforms_are_active():
        return (packed_rnn(projected, weight_hh, state[0], batch_sizes, nonlinearity),)
    phi = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]
    recurrent = weight_hh.mT

    def step(a: Tensor, state: State) -> State:
        return (phi(torch.baddbmm(a, state[0], recurrent)),)

    return _run(step, projected, state, batch_sizes)


def gru(
    projected: Tensor,
    weight_hh: Tensor,
    state: State,
    batch_sizes: Sequence[int],
    *,
    bias_hn: Tensor | None = None,
) -> State:
    """Run the gated recurrent unit, in torch's form.

    `r, z = sigmoid(a_rz + W_rz h)`, `n = tanh(a_n + r * (W_n h + b_hn))`, `h' = n + z * (h - n)`.

    Args and shapes are the module's, with G = 3 (r, z, n); `bias_hn`, `(A, H)`, is the one bias
    that cannot be added ahead, since the reset gate multiplies it.

    Source: K. Cho et al., 2014, Learning Phrase Representations using RNN Encoder-Decoder, eq. 5-8;
    the reset gate is applied after the product, as cuDNN does.
    """
    hidden = state[0].shape[-1]
    if bias_hn is None:
        bias_hn = projected.new_zeros(len(projected), hidden)
    if not transforms_are_active():
        return (packed_gru(projected, weight_hh, bias_hn, state[0], batch_sizes),)
    recurrent_rz, recurrent_n = weight_hh.mT.split([2 * hidden, hidden], -1)
    bias = bias_hn.unsqueeze(-2)

    def step(a: Tensor, state: State) -> State:
        (h,) = state
        a_rz, a_n = a.split([2 * hidden, hidden], -1)
        r, z = torch.baddbmm(a_rz, h, recurrent_rz).sigmoid().chunk(2, -1)
        n = torch.tanh(a_n + r * torch.baddbmm(bias, h, recurrent_n))
        return (n + z * (h - n),)

    return _run(step, projected, state, batch_sizes)


def lstm(
    projected: Tensor,
    weight_hh: Tensor,
    state: State,
    batch_sizes: Sequence[int],
    *,
    weight_hr: Tensor | None = None,
) -> State:
    """Run the long short-term memory.

    `i, f, o = sigmoid(a_ifo + W_ifo h)`, `u = tanh(a_u + W_u h)`, `c' = f * c + i * u`,
    `h' = o * tanh(c')`, and `h' = W_hr h'` where outputs are projected.

    Args and shapes are the module's, with G = 4 (i, f, u, o), state `(h, c)`, biases all in
    `projected`; `weight_hr`, `(A, P, H)`, projects the output to P values, or None.

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, with the forget gate
    of F. Gers et al., 2000, and the projection of H. Sak et al., 2014.
    """
    h0, c0 = state
    if weight_hr is None and not transforms_are_active():
        return packed_lstm(projected, weight_hh, h0, c0, batch_sizes)
    hidden = c0.shape[-1]
    recurrent = weight_hh.mT

    def step(a: Tensor, state: State) -> State:
        h, c = state
        a_if, a_u, a_o = torch.baddbmm(a, h, recurrent).split([2 * hidden, hidden, hidden], -1)
        i, f = a_if.sigmoid().chunk(2, -1)
        c = f * c + i * a_u.tanh()
        h = a_o.sigmoid() * c.tanh()
        return (h if weight_hr is None else h @ weight_hr.mT, c)

    return _run(step, projected, state, batch_sizes)


def _run(step: Step, projected: Tensor, state: State, batch_sizes: Sequence[int]) -> State:
    """Apply `step` to the block of each step in turn."""
    states = []
    for block in projected.split(batch_sizes, 1):
        state = step(block, tuple(s[:, : block.shape[1]] for s in state))  # those still going on
        states.append(state)
    return tuple(torch.cat(parts, 1) for parts in zip(*states, strict=True))
