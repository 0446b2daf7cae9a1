"""The linear scan: every way of computing it against a loop, with derivatives of every order."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn.functional import linear_scan
from l2l_rnn.functional.scan import _in_blocks, _in_turn


def problem(steps, *axes, tasks=2):
    generator = torch.Generator().manual_seed(steps)
    double = {"generator": generator, "dtype": torch.float64}
    a = 2 * torch.rand(tasks, steps, *axes, **double) - 1
    return a, torch.randn(tasks, steps, *axes, **double), torch.randn(tasks, *axes, **double)


def loop(a, b, h):
    states = []
    for t in range(a.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, 1)


@pytest.mark.parametrize("axes", [(), (3,), (3, 4)], ids=str)
@pytest.mark.parametrize("steps", [1, 2, 15, 16, 17, 64, 65, 100])
def test_every_way_is_the_loop(steps, axes):
    given = problem(steps, *axes)
    expected = loop(*given)
    torch.testing.assert_close(linear_scan(*given), expected)
    torch.testing.assert_close(_in_turn(*given), expected)
    for length in (1, 2, 7, steps, steps + 3):
        torch.testing.assert_close(_in_blocks(*given, length), expected)


@pytest.mark.parametrize("steps", [3, 17])
def test_derivatives(steps):
    given = [tensor.requires_grad_() for tensor in problem(steps, 2, tasks=1)]
    assert gradcheck(linear_scan, given)
    assert gradgradcheck(linear_scan, given)


def test_the_third_derivative():
    found = []
    for scan in (linear_scan, loop):
        a, b, h0 = (tensor.requires_grad_() for tensor in problem(20, 2))
        value = scan(a, b, h0).sin().sum()
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, a, create_graph=True)
            value = gradient.square().sum()
        found.append(torch.autograd.grad(value, [a, b, h0]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_under_vmap():
    a, b, h0 = problem(20, 3)
    mapped = torch.func.vmap(lambda a, b, h: linear_scan(a[None], b[None], h[None])[0])
    torch.testing.assert_close(mapped(a, b, h0), loop(a, b, h0))


def test_long_runs_of_small_factors_stay_exact():
    """Products of many factors underflow to 0, never to anything worse."""
    a, b = torch.full((1, 1000, 1), 1e-3), torch.ones(1, 1000, 1)
    h = linear_scan(a, b, torch.zeros(1, 1))
    torch.testing.assert_close(h[0, -1], torch.tensor([1 / (1 - 1e-3)]))
    assert h.isfinite().all()
