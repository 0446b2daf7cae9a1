"""Naive references: each recurrence step by step, from the equations in its paper.

Autograd differentiates these functions to any order, including under the transforms of
`torch.func`. They take the same arguments as the functions of the same names in
`l2l_rnn.functional`, which call them where no faster route applies. Every faster route is tested
against them.

A recurrence is a step function `step(a, state) -> state`. It takes the pre-activations
`a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh`, `(A, n, GH)`, and the state before the step, and
returns the state after it. A state is a tuple of tensors `(A, n, ·)`, `h` first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.functional.affine import linear
from l2l_rnn.functional.contiguous import contiguous_gradients
from l2l_rnn.functional.recurrence.weights import State, Weights

Step = Callable[[Tensor, State], State]


def run(
    step: Step,
    x: Tensor,
    weights: Weights,
    state: State,
    batch_sizes: Sequence[int],
    valid: Tensor | None = None,
) -> State:
    """Apply a step function to the packed steps in turn and return the state after each.

    Args:
        step: the step function, as described in the module.
        x: the packed steps.
        weights: the parameters.
        state: the initial state, any number of tensors, `h` first.
        batch_sizes: number of sequences that take each step, non-increasing, at most B.
        valid: False at steps that leave the state unchanged; None if there are no such steps.

    Shapes:
        x `(A, P, F)`, states `(A, B, ·)`, valid `(A, P, 1)` -> a tuple of `(A, P, ·)` like `state`.
    """
    projected = weights.project(x).split(batch_sizes, 1)
    recurrent = contiguous_gradients(weights.hh.mT)
    masks = [None] * len(projected) if valid is None else valid.split(batch_sizes, 1)
    states = []
    for ih, mask in zip(projected, masks, strict=True):
        before = tuple(s[:, : ih.shape[1]] for s in state)  # the sequences that take this step
        state = step(torch.baddbmm(ih, before[0], recurrent), before)
        if mask is not None:
            state = tuple(torch.where(mask, s, b) for s, b in zip(state, before, strict=True))
        states.append(state)
    return tuple(torch.cat(steps, 1) for steps in zip(*states, strict=True))


# -- recurrences with a recurrent weight ----------------------------------------------------------


def tanh_step(a: Tensor, state: State) -> State:
    """Compute `h' = tanh(a)`."""
    return (torch.tanh(a),)


def relu_step(a: Tensor, state: State) -> State:
    """Compute `h' = max(a, 0)`."""
    return (torch.relu(a),)


def gru_step(a: Tensor, state: State) -> State:
    """Compute `h' = (1 - z) * n + z * h`; `a` stacks r, z, and the parts of n from x and from h."""
    (h,) = state
    r, z, n_x, n_h = a.chunk(4, -1)
    n = torch.tanh(n_x + torch.sigmoid(r) * n_h)
    return (n + torch.sigmoid(z) * (h - n),)


def lstm_step(a: Tensor, state: State) -> State:
    """Compute `c' = f * c + i * g` and `h' = o * tanh(c')`; `a` stacks i, f, g, o."""
    _, c = state
    i, f, g, o = a.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def rnn(
    x: Tensor,
    weights: Weights,
    state: State,
    batch_sizes: Sequence[int],
    *,
    nonlinearity: str = "tanh",
    valid: Tensor | None = None,
) -> State:
    """Run the simple recurrence, like `l2l_rnn.functional.rnn`."""
    step = relu_step if nonlinearity == "relu" else tanh_step
    return run(step, x, weights, state, batch_sizes, valid)


def gru(x: Tensor, weights: Weights, state: State, batch_sizes: Sequence[int]) -> State:
    """Run the gated recurrent unit, like `l2l_rnn.functional.gru`."""
    return run(gru_step, x, separate_n(weights), state, batch_sizes)


def separate_n(weights: Weights) -> Weights:
    """Split the rows of a GRU's n into a block for x and one for h: `(A, 3H, ·)` -> `(A, 4H, ·)`.

    The reset gate multiplies only `W_hn h + b_hn`, so the two parts must not be summed first.
    """

    def insert(parameter: Tensor, block: int) -> Tensor:
        blocks = list(parameter.chunk(3, 1))
        return torch.cat([*blocks[:block], torch.zeros_like(blocks[0]), *blocks[block:]], 1)

    ih, hh, bias_ih, bias_hh = weights
    return Weights(
        insert(ih, 3),
        insert(hh, 2),
        None if bias_ih is None else insert(bias_ih, 3),
        None if bias_hh is None else insert(bias_hh, 2),
    )


def lstm(
    x: Tensor,
    weights: Weights,
    state: State,
    batch_sizes: Sequence[int],
    *,
    weight_hr: Tensor | None = None,
) -> State:
    """Run the long short-term memory, like `l2l_rnn.functional.lstm`."""
    if weight_hr is None:
        return run(lstm_step, x, weights, state, batch_sizes)
    projection = contiguous_gradients(weight_hr.mT)

    def projected_step(a: Tensor, state: State) -> State:
        h, c = lstm_step(a, state)
        return h @ projection, c

    return run(projected_step, x, weights, state, batch_sizes)


def single_step(cell: str, x: Tensor, state: State, weights: Weights) -> State:
    """Compute the state after one step, like `l2l_rnn.functional.recurrence.single_step`."""
    h, a_x = state[0], linear(x, weights.ih, weights.bias_ih)
    a_h = linear(h, weights.hh, weights.bias_hh)
    if cell == "tanh":
        return (torch.tanh(a_x + a_h),)
    if cell == "relu":
        return (torch.relu(a_x + a_h),)
    if cell == "gru":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = a_x.chunk(3, -1), a_h.chunk(3, -1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return (n + torch.sigmoid(x_z + h_z) * (h - n),)
    i, f, g, o = (a_x + a_h).chunk(4, -1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


# -- recurrences with gates that read only the input ----------------------------------------------
#
# Here `projected`, `(A, S, B, ·)`, is the projection of the input at every step, and there is no
# product with the state.


def positive(x: Tensor) -> Tensor:
    """Compute `g(x) = x + 1/2` for `x >= 0`, `sigmoid(x)` below."""
    return torch.where(x >= 0, x + 0.5, torch.sigmoid(x))


def min_gru_step(a: Tensor, state: State) -> State:
    """Compute `h' = (1 - z) * h + z * n`; `a` stacks z, n."""
    (h,) = state
    z, n = a.chunk(2, -1)
    z = torch.sigmoid(z)
    return ((1 - z) * h + z * positive(n),)


def min_lstm_step(a: Tensor, state: State) -> State:
    """Compute `h' = f / (f + i) * h + i / (f + i) * n`; `a` stacks f, i, n.

    `f / (f + i)` is `sigmoid(log f - log i)`, which is finite even if both gates are 0.
    """
    (h,) = state
    f, i, n = a.chunk(3, -1)
    balance = F.logsigmoid(f) - F.logsigmoid(i)
    return (torch.sigmoid(balance) * h + torch.sigmoid(-balance) * positive(n),)


def min_gru(projected: Tensor, state: State) -> State:
    """Run the minimal gated recurrent unit, like `l2l_rnn.functional.min_gru`."""
    return _without_products(min_gru_step, projected, state)


def min_lstm(projected: Tensor, state: State) -> State:
    """Run the minimal long short-term memory, like `l2l_rnn.functional.min_lstm`."""
    return _without_products(min_lstm_step, projected, state)


def lru(projected: Tensor, nu_log: Tensor, theta_log: Tensor, state: State) -> State:
    """Run the linear recurrent unit, like `l2l_rnn.functional.lru`."""
    factor = torch.exp(torch.complex(-torch.exp(nu_log), torch.exp(theta_log))).unsqueeze(1)

    def step(b: Tensor, state: State) -> State:
        h = factor * _complex(state[0]) + _complex(b)  # lambda * h + b
        return (torch.view_as_real(h).flatten(-2),)

    return _without_products(step, projected, state)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Compute `h_t = a_t h_{t-1} + b_t`, like `l2l_rnn.functional.linear_scan`."""
    states, h = [], h0
    factors = a.expand(-1, b.shape[1], *a.shape[2:]).unbind(1)
    for factor, term in zip(factors, b.unbind(1), strict=True):
        h = factor * h + term
        states.append(h)
    return torch.stack(states, 1)


def _without_products(step: Step, projected: Tensor, state: State) -> State:
    states = []
    for a in projected.unbind(1):
        state = step(a, state)
        states.append(state)
    return tuple(torch.cat(steps, 1) for steps in zip(*states, strict=True))


def _complex(x: Tensor) -> Tensor:
    """Convert pairs of real and imaginary parts to complex numbers: `(…, 2H)` -> `(…, H)`."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
