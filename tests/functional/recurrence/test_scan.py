"""The linear scan: every algorithm against a loop, with derivatives of every order."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn.functional import linear_scan
from l2l_rnn.functional.recurrence.scan import _in_blocks, _in_turn

REAL, COMPLEX = torch.float64, torch.complex128


def problem(steps, *axes, tasks=2, dtype=REAL, shared=False):
    generator = torch.Generator().manual_seed(steps)
    double = {"generator": generator, "dtype": dtype}
    given = (1, 1, *axes[1:])[: 1 + len(axes)] if shared else (steps, *axes)
    a = 2 * torch.rand(tasks, *given, **double) - 1
    a = (a - 1j) / 2**0.5 if dtype == COMPLEX else a
    return a, torch.randn(tasks, steps, *axes, **double), torch.randn(tasks, *axes, **double)


def loop(a, b, h):
    states = []
    a = a.expand_as(b)
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, 1)


KINDS = pytest.mark.parametrize("dtype", [REAL, COMPLEX], ids=["real", "complex"])
SHARED = pytest.mark.parametrize("shared", [False, True], ids=["own factors", "shared factors"])


@KINDS
@SHARED
@pytest.mark.parametrize("axes", [(), (3,), (3, 4)], ids=str)
@pytest.mark.parametrize("steps", [1, 2, 15, 16, 17, 64, 65, 100])
def test_every_algorithm_equals_the_loop(steps, axes, shared, dtype):
    given = problem(steps, *axes, shared=shared, dtype=dtype)
    expected = loop(*given)
    torch.testing.assert_close(linear_scan(*given), expected)
    torch.testing.assert_close(_in_turn(*given), expected)
    for length in (1, 2, 7, steps, steps + 3):
        torch.testing.assert_close(_in_blocks(*given, length), expected)


@KINDS
@SHARED
@pytest.mark.parametrize("steps", [3, 17])
def test_derivatives(steps, shared, dtype):
    made = problem(steps, 2, tasks=1, shared=shared, dtype=dtype)
    given = [tensor.requires_grad_() for tensor in made]
    assert gradcheck(linear_scan, given)
    assert gradgradcheck(linear_scan, given)


@KINDS
@SHARED
def test_third_derivative(shared, dtype):
    found = []
    for scan in (linear_scan, loop):
        made = problem(20, 2, shared=shared, dtype=dtype)
        a, b, h0 = (tensor.requires_grad_() for tensor in made)
        value = scan(a, b, h0).sin().sum().real
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, a, create_graph=True)
            value = gradient.square().sum().real
        found.append(torch.autograd.grad(value, [a, b, h0]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@KINDS
@SHARED
def test_under_vmap(shared, dtype):
    a, b, h0 = problem(20, 3, shared=shared, dtype=dtype)
    mapped = torch.func.vmap(lambda a, b, h: linear_scan(a[None], b[None], h[None])[0])
    torch.testing.assert_close(mapped(a, b, h0), loop(a, b, h0))


def test_long_runs_of_small_factors_stay_exact():
    """Products of many factors underflow to 0."""
    a, b = torch.full((1, 1000, 1), 1e-3), torch.ones(1, 1000, 1)
    h = linear_scan(a, b, torch.zeros(1, 1))
    torch.testing.assert_close(h[0, -1], torch.tensor([1 / (1 - 1e-3)]))
    assert h.isfinite().all()
