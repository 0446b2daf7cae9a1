"""The recurrences `h_t = cell(W_ih x_t + W_hh h_{t-1} + b)` over packed blocks of many tasks.

The axis `A` counts independent parameter sets: the tasks, the directions of a layer, or both
flattened together; 1 if there is but one. Steps come packed as in `packing`: `batch_sizes` says how
many sequences take each step, and P is their sum.

All of them share this form:

Args:
    x: the packed steps.
    weights: the parameters, gates stacked in torch's order.
    state: the initial state, a tuple of tensors with the output `h` first.
    batch_sizes: sequences that take each step, non-increasing, none above B.

Shapes:
    x `(A, P, F)`; for G gates, `weights.ih` `(A, GH, F)`, `weights.hh` `(A, GH, H)` and the biases
    `(A, GH)`; states `(A, B, H)` -> the state after every step, a tuple of `(A, P, H)` like
    `state`, the outputs first.

Their derivatives are written by hand, to second order, in `packed_recurrence`; a third derivative
raises a DerivativeError. Under a transform of `torch.func`, and where an LSTM projects its outputs,
they go step by step instead and have every derivative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.axes import transforms_are_active
from l2l_rnn.functional.affine import linear
from l2l_rnn.functional.recurrence.autograd import packed_recurrence
from l2l_rnn.functional.recurrence.cells import GRUCell, LSTMCell, ReluCell, TanhCell

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]


class Weights(NamedTuple):
    """The parameters of a recurrence, named as torch names a layer's; biases may be None."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None

    def stacked(self) -> Tensor:
        """`[W_ih b_ih b_hh W_hh]`: `(A, GH, F + 2 + H)`, or `(A, GH, F + H)` without biases."""
        return torch.cat([self.ih, *(b.unsqueeze(-1) for b in self._biases()), self.hh], -1)

    def project(self, x: Tensor) -> Tensor:
        """`W_ih x_t + b_ih + b_hh` of all steps: `(A, P, F)` -> `(A, P, GH)`."""
        ones = x.new_ones(1).expand(*x.shape[:-1], len(self._biases()))
        return linear(torch.cat([x, ones], -1), self.stacked()[..., : -self.hh.shape[-1]])

    def _biases(self) -> list[Tensor]:
        # Never summed: torch accumulates wrong gradients over several backward() calls when two
        # parameters receive views of one gradient.
        return [b for b in (self.bias_ih, self.bias_hh) if b is not None]


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

    Args and shapes are the module's, with G = 1; `nonlinearity` is `phi`, `"tanh"` or `"relu"`. A
    relu network's h is held at 0 where `valid`, `(A, P, 1)`, is False, lest it overflow there.

    Source: J. L. Elman, 1990, Finding Structure in Time.
    """
    relu = nonlinearity == "relu"
    outside = ~valid if relu and valid is not None else None
    if not transforms_are_active():
        cell = ReluCell() if relu else TanhCell()
        return packed_recurrence(cell, x, weights.stacked(), state, batch_sizes, outside)
    projected, recurrent = weights.project(x), weights.hh.mT
    if outside is not None:
        projected = projected.masked_fill(outside, -torch.inf)

    def step(a: Tensor, state: State) -> State:
        a = torch.baddbmm(a, state[0], recurrent)
        return (a.relu() if relu else a.tanh(),)

    return _run(step, projected, state, batch_sizes)


def gru(x: Tensor, weights: Weights, state: State, batch_sizes: Sequence[int]) -> State:
    """Run the gated recurrent unit, in torch's form.

    `r, z = sigmoid(W_i· x + b_i· + W_h· h + b_h·)`,
    `n = tanh(W_in x + b_in + r * (W_hn h + b_hn))`, `h' = n + z * (h - n)`.

    Args and shapes are the module's, with G = 3 (r, z, n).

    Source: K. Cho et al., 2014, Learning Phrase Representations using RNN Encoder-Decoder, eq. 5-8;
    the reset gate is applied after the product, as cuDNN does.
    """
    hidden = weights.hh.shape[-1]
    # The reset gate multiplies W_hn h + b_hn: input and state have rows of their own for n.
    ih, hh, b_ih, b_hh = weights
    four = Weights(
        _with_zeros(ih, 3 * hidden),
        _with_zeros(hh, 2 * hidden),
        None if b_ih is None else _with_zeros(b_ih, 3 * hidden),
        None if b_hh is None else _with_zeros(b_hh, 2 * hidden),
    )
    if not transforms_are_active():
        return packed_recurrence(GRUCell(), x, four.stacked(), state, batch_sizes)
    recurrent = four.hh.mT

    def step(a: Tensor, state: State) -> State:
        (h,) = state
        a_rz, a_n, q = torch.baddbmm(a, h, recurrent).split([2 * hidden, hidden, hidden], -1)
        r, z = a_rz.sigmoid().chunk(2, -1)
        n = torch.tanh(a_n + r * q)
        return (n + z * (h - n),)

    return _run(step, four.project(x), state, batch_sizes)


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
    `g = tanh(a_g)`, `c' = f * c + i * g`, `h' = o * tanh(c')`, and `h' = W_hr h'` where outputs are
    projected.

    Args and shapes are the module's, with G = 4 (i, f, g, o), state `(h, c)`; `weight_hr`,
    `(A, P, H)`, projects the output to P values, or None.

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, with the forget gate
    of F. Gers et al., 2000, and the projection of H. Sak et al., 2014.
    """
    if weight_hr is None and not transforms_are_active():
        return packed_recurrence(LSTMCell(), x, weights.stacked(), state, batch_sizes)
    hidden = state[1].shape[-1]
    recurrent = weights.hh.mT

    def step(a: Tensor, state: State) -> State:
        h, c = state
        a_if, a_g, a_o = torch.baddbmm(a, h, recurrent).split([2 * hidden, hidden, hidden], -1)
        i, f = a_if.sigmoid().chunk(2, -1)
        c = f * c + i * a_g.tanh()
        h = a_o.sigmoid() * c.tanh()
        return (h if weight_hr is None else h @ weight_hr.mT, c)

    return _run(step, weights.project(x), state, batch_sizes)


def _with_zeros(parameter: Tensor, row: int) -> Tensor:
    """Insert H rows of zeros before a row: `(A, 3H, …)` -> `(A, 4H, …)`."""
    before, after = parameter[:, :row], parameter[:, row:]
    return torch.cat([before, torch.zeros_like(parameter[:, : parameter.shape[1] // 3]), after], 1)


def _run(step: Step, projected: Tensor, state: State, batch_sizes: Sequence[int]) -> State:
    """Apply `step` to the block of each step in turn."""
    states = []
    for block in projected.split(batch_sizes, 1):
        state = step(block, tuple(s[:, : block.shape[1]] for s in state))  # those still going on
        states.append(state)
    return tuple(torch.cat(parts, 1) for parts in zip(*states, strict=True))
