"""The minimal recurrences against their equations, and properties outside the contract."""

import pytest
import torch

from l2l_rnn.functional.recurrence import reference
from l2l_rnn.nn import MinGRU, MinLSTM

FEATURES, HIDDEN, BATCH, STEPS = 3, 4, 5, 7


STEP = {MinGRU: reference.min_gru_step, MinLSTM: reference.min_lstm_step}


@pytest.fixture(params=STEP, ids=lambda kind: kind.__name__)
def kind(request):
    torch.manual_seed(0)
    return request.param


@pytest.fixture
def layer(kind):
    return kind(FEATURES, HIDDEN, batch_first=True).double()


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, STEPS, FEATURES, generator=generator, dtype=torch.float64)


def in_turn(kind, layer, x, h, suffix="_l0"):
    """Run one sequence `(S, F)` by the equations; return all its states."""
    weight, bias = getattr(layer, "weight_ih" + suffix), getattr(layer, "bias_ih" + suffix, 0)
    states = []
    for step in x:
        (h,) = STEP[kind](weight @ step + bias, (h,))
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, STEPS, 40])
def test_layer_equals_its_equations(kind, steps, bias):
    layer = kind(FEATURES, HIDDEN, bias=bias, batch_first=True).double()
    x = torch.randn(BATCH, steps, FEATURES, dtype=torch.float64)
    h0 = torch.randn(1, BATCH, HIDDEN, dtype=torch.float64)
    outputs, final = layer(x, h0)
    for b in range(BATCH):
        expected = in_turn(kind, layer, x[b], h0[0, b])
        torch.testing.assert_close(outputs[b], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(final[0, b], expected[-1], rtol=1e-10, atol=1e-12)


def test_a_long_scan_has_the_derivatives_of_a_loop(kind, layer):
    x = torch.randn(2, 50, FEATURES, dtype=torch.float64, requires_grad=True)
    found = []
    for outputs in (
        layer(x)[0],
        torch.stack([in_turn(kind, layer, row, torch.zeros(HIDDEN).double()) for row in x]),
    ):
        tensors = [x, layer.weight_ih_l0]
        first = torch.autograd.grad(outputs.sin().sum(), tensors, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), tensors)
        found.append([*first, *second])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_saturated_gates_stay_finite(kind):
    layer = kind(1, 1, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(-300.0)
    x = torch.ones(1, 30, 1, requires_grad=True)
    outputs, _ = layer(x)
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert x.grad.isfinite().all()
