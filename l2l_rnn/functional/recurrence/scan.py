"""Linear recurrences `h_t = a_t h_{t-1} + b_t`, with all steps computed by a scan."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from l2l_rnn.functional.compiled_code import operations_are_watched
from l2l_rnn.functional.recurrence import compiled_passes, reference
from l2l_rnn.functional.recurrence.minimal import min_recurrence
from l2l_rnn.functional.recurrence.reference import positive
from l2l_rnn.functional.recurrence.weights import State

# Values per step above which a plain loop over steps is fastest on a CPU, because each operation
# then takes longer than the overhead of calling it.
_WIDE_STEP = 8192


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Compute `h_t = a_t h_{t-1} + b_t` for every step, elementwise.

    The gradient of a scan is a scan from the end, `lambda_t = dh_t + a_{t+1}* lambda_{t+1}`, with
    `db = lambda`, `da_t = lambda_t h_{t-1}*` and `dh_0 = a_1* lambda_1`, where `*` is the complex
    conjugate. The function therefore has derivatives of every order, without a graph of steps.

    Args:
        a: factors, real or complex; stable for `|a| <= 1`.
        b: terms, of the same dtype as `a`.
        h0: the state before the first step, of the same dtype as `a`.

    Shapes:
        a, b `(A, S, …)`, h0 `(A, …)` -> `(A, S, …)`. Axes of `a` after the first may have size 1
        and are then broadcast; a factor that all steps share is cheaper.

    Example:
        >>> ones = torch.ones(1, 4)
        >>> linear_scan(ones / 2, ones, torch.zeros(1))
        tensor([[1.0000, 1.5000, 1.7500, 1.8750]])

    Source: G. Blelloch, 1990, Prefix Sums and Their Applications, section 1.4. Here the scan has
    two levels, steps within blocks and blocks, instead of a tree.
    """
    if operations_are_watched():
        return reference.linear_scan(a, b, h0)
    return _scan(a, b, h0)


# Not traced, like `packed_recurrence`.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def _scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    h: Tensor = _LinearScan.apply(a, b, h0)
    return h


class _LinearScan(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        steps, width = b.shape[1], h0.numel()
        if steps < 16 or (width > _WIDE_STEP and not a.is_cuda):
            h = _in_turn(a, b, h0)
        else:
            h = _in_blocks(a, b, h0, math.isqrt(steps - 1) + 1)
        ctx.save_for_backward(a, h0, h)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, h0, h = ctx.saved_tensors
        a = a.conj()
        # The first factor of the reversed scan multiplies a state of 0, so any value will do.
        after = torch.cat([a[:, 1:], a[:, :1]], 1)
        lam = linear_scan(after.flip(1), dh.flip(1), torch.zeros_like(h0)).flip(1)
        before = torch.cat([h0.unsqueeze(1), h[:, :-1]], 1)
        return (lam * before.conj()).sum_to_size(a.shape), lam, a[:, 0] * lam[:, 0]


def _in_turn(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Run the steps one after another."""
    h = torch.empty_like(b, memory_format=torch.contiguous_format)
    factors = a.expand(-1, b.shape[1], *a.shape[2:]).unbind(1)
    for factor, term, state in zip(factors, b.unbind(1), h.unbind(1), strict=True):
        h0 = torch.addcmul(term, factor, h0, out=state)
    return h


def _in_blocks(a: Tensor, b: Tensor, h0: Tensor, length: int) -> Tensor:
    """Run all blocks of `length` steps at once from 0, then add the effect of their true starts."""
    steps = b.shape[1]
    b = _blocks(b, length)  # (A, length, blocks, …)
    a = _blocks(a, length) if a.shape[1] > 1 else a.unsqueeze(2)  # or (A, 1, 1, …)
    within = _in_turn(a, b, torch.zeros_like(b[:, 0]))
    zeros = a.new_zeros(len(a), length, *a.shape[2:])
    products = _in_turn(a, zeros, torch.ones_like(a[:, 0]))  # of a, since a block's start
    ends = _in_turn(products[:, -1], within[:, -1], h0)
    starts = torch.cat([h0.unsqueeze(1), ends[:, :-1]], 1)  # (A, blocks, …)
    h = within.addcmul_(products, starts.unsqueeze(1))
    return h.transpose(1, 2).flatten(1, 2)[:, :steps]


def _blocks(x: Tensor, length: int) -> Tensor:
    """Split into blocks, padded with zeros: `(A, S, …)` -> `(A, length, blocks, …)`."""
    missing = -x.shape[1] % length
    if missing:  # padding comes last, so it affects no earlier state
        x = torch.cat([x, x.new_zeros(len(x), missing, *x.shape[2:])], 1)
    return x.unflatten(1, (-1, length)).transpose(1, 2)


def min_gru(projected: Tensor, state: State) -> State:
    """Run the minimal gated recurrent unit: `h_t = (1 - z) h_{t-1} + z g(a_n)`, `z = sigmoid(a_z)`.

    `g(x) = x + 1/2` for `x >= 0`, `sigmoid(x)` below.

    Args:
        projected: the pre-activations of z and n, stacked.
        state: the initial h, a tuple of one.

    Shapes:
        projected `(A, S, B, 2H)`, h `(A, B, H)` -> h after every packed step, `(A, S B, H)`.

    Source: L. Feng et al., 2024, Were RNNs All We Needed?, section 3.1 and appendix B.
    """
    (h0,) = state
    if _is_compiled(projected, h0):
        return (min_recurrence(projected, h0).flatten(1, 2),)
    a_z, a_n = projected.chunk(2, -1)
    # sigmoid(-x) is 1 - sigmoid(x) and stays precise where the gate is nearly 1.
    return _scanned((-a_z).sigmoid(), a_z.sigmoid() * positive(a_n), state)


def min_lstm(projected: Tensor, state: State) -> State:
    """Run the minimal long short-term memory: `h_t = f' h_{t-1} + i' g(a_n)`.

    `f' = f / (f + i)`, `i' = i / (f + i)` with `f, i = sigmoid(a_f), sigmoid(a_i)`; `g` as in
    `min_gru`.

    Args:
        projected: the pre-activations of f, i and n, stacked.
        state: the initial h, a tuple of one.

    Shapes:
        projected `(A, S, B, 3H)`, h `(A, B, H)` -> h after every packed step, `(A, S B, H)`.

    Source: L. Feng et al., 2024, Were RNNs All We Needed?, section 3.2 and appendix B.
    """
    a_f, a_i, a_n = projected.chunk(3, -1)
    # f / (f + i) = sigmoid(log f - log i), which is finite even if both gates are nearly 0.
    balance = F.logsigmoid(a_f) - F.logsigmoid(a_i)
    if _is_compiled(projected, *state):
        return min_gru(torch.cat([-balance, a_n], -1), state)
    return _scanned(balance.sigmoid(), (-balance).sigmoid() * positive(a_n), state)


def lru(projected: Tensor, nu_log: Tensor, theta_log: Tensor, state: State) -> State:
    """Run the linear recurrent unit: `h_t = lambda * h_{t-1} + b_t` with complex numbers.

    `lambda = exp(-exp(nu_log) + i exp(theta_log))`, so that `|lambda| < 1`. A complex number is
    stored as two real numbers, the real part first.

    Args:
        projected: the terms `b`.
        nu_log, theta_log: the logarithms of the decay and the phase of `lambda`.
        state: the initial h, a tuple of one.

    Shapes:
        projected `(A, S, B, 2H)`, nu_log and theta_log `(A, H)`, h `(A, B, 2H)` -> h after every
        packed step, `(A, S B, 2H)`.

    Source: A. Orvieto et al., 2023, Resurrecting Recurrent Neural Networks for Long Sequences,
    section 3.3.
    """
    real = torch.promote_types(projected.dtype, torch.float32)  # no complex half
    exponent = torch.complex(-nu_log.to(real).exp(), theta_log.to(real).exp())
    b, h0 = (
        torch.view_as_complex(x.to(real).unflatten(-1, (-1, 2)).contiguous())
        for x in (projected, state[0])
    )
    h = linear_scan(exponent.exp().unsqueeze(1).unsqueeze(1), b, h0)
    return (torch.view_as_real(h).flatten(-2).flatten(1, 2).to(state[0].dtype),)


def _is_compiled(*tensors: Tensor) -> bool:
    return not operations_are_watched() and compiled_passes.serve(compiled_passes.MINIMAL, tensors)


def _scanned(factors: Tensor, terms: Tensor, state: State) -> State:
    return (linear_scan(factors, terms, state[0]).flatten(1, 2),)
