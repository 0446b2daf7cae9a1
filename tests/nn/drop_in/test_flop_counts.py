"""`FlopCounterMode` counts the matrix products of all layers."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from l2l_rnn.functional.recurrence import reference
from l2l_rnn.functional.recurrence.weights import Weights
from l2l_rnn.nn import GRU, LSTM, RNN
from tests.memory.cases import LAYER_CASES

STEPS, BATCH, FEATURES, HIDDEN = 5, 2, 3, 4
DTYPES = [torch.float32, torch.float64]
REFERENCES = {RNN: reference.rnn, GRU: reference.gru, LSTM: reference.lstm}


def count(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def run_and_differentiate(layer, x, order):
    y = layer(x)[0].sin().sum()
    if order:
        gradients = torch.autograd.grad(y, list(layer.parameters()), create_graph=order > 1)
    if order > 1:
        total = sum(g.sin().sum() for g in gradients)
        torch.autograd.grad(total, list(layer.parameters()), allow_unused=True)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", REFERENCES)
def test_counts_equal_the_reference(kind, dtype, order):
    layer = kind(FEATURES, HIDDEN, dtype=dtype)
    x = torch.randn(STEPS, BATCH, FEATURES, dtype=dtype)
    h = torch.zeros(1, BATCH, HIDDEN, dtype=dtype)

    class Reference(nn.Module):
        def forward(self, x):
            weights = Weights(*(p.unsqueeze(0) for p in layer.parameters()))
            state = (h, h) if kind is LSTM else (h,)
            return REFERENCES[kind](x.flatten(0, 1).unsqueeze(0), weights, state, [BATCH] * STEPS)

    plain = Reference()
    plain.parameters = layer.parameters
    found = count(lambda: run_and_differentiate(layer, x, order))
    assert found == count(lambda: run_and_differentiate(plain, x, order)) > 0
    if order == 0:
        blocks = 4 if kind is GRU else layer.gates  # the two parts of a GRU's n have own products
        columns = FEATURES + 2 + HIDDEN  # two for the biases
        assert found == 2 * STEPS * BATCH * blocks * HIDDEN * columns


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grad", [False, True])
def test_every_layer_is_counted(recurrent, dtype, grad):
    """At least the products with the recurrent and the input weights, at any setting."""
    layer = recurrent.make(dtype=dtype, num_layers=2, bidirectional=True)
    x = torch.randn(STEPS, BATCH, FEATURES, dtype=dtype)
    with torch.set_grad_enabled(grad):
        found = count(lambda: layer(x))
    weights = [p for p in layer.parameters() if p.dim() == 2]
    assert found >= 2 * STEPS * BATCH * sum(map(torch.Tensor.numel, weights))
    assert count(lambda: layer(torch.cat([x, x]))) == 2 * found


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_backward_pass_alone_is_counted(recurrent, dtype):
    layer = recurrent.make(dtype=dtype)
    x = torch.randn(STEPS, BATCH, FEATURES, dtype=dtype)
    loss = layer(x)[0].sin().sum()
    expected = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
    found = []

    def backward():
        first = torch.autograd.grad(loss, list(layer.parameters()), create_graph=True)
        total = sum(g.sin().sum() for g in first)
        torch.autograd.grad(total, list(layer.parameters()), allow_unused=True)
        found.extend(first)

    assert count(backward) > 2 * STEPS * BATCH * layer.weight_ih_l0.numel()
    torch.testing.assert_close(tuple(found), expected)


@pytest.mark.parametrize("name", LAYER_CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_layers(name, dtype):
    layer = LAYER_CASES[name](dtype=dtype)
    x = torch.randn(BATCH, STEPS, FEATURES, dtype=dtype)
    found = count(lambda: layer(x))
    assert found > 0
    with torch.no_grad():
        assert count(lambda: layer(x)) == found
