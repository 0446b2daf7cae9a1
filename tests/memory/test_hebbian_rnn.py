"""The Hebbian recurrent network against its equations."""

import math

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import HebbianRNN, hebbian_rnn


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("inner", [1, 3])
def test_the_equations(inner):
    torch.manual_seed(0)
    layer = HebbianRNN(3, 4, decay=0.9, lr=0.4, inner_steps=inner).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    x = numbers(3, 3)
    y, state = layer(x.unsqueeze(0))

    def activation(z):
        return F.layer_norm(z, (4,), layer.gain, layer.shift).relu()

    h, weights = torch.zeros(4).double(), torch.zeros(4, 4).double()
    for t in range(3):
        weights = 0.9 * weights + 0.4 * torch.outer(h, h)
        z = layer.weight_hh @ h + layer.weight_ih @ x[t] + layer.bias
        h = activation(z)
        for _ in range(inner):
            h = activation(z + weights @ h)
        torch.testing.assert_close(y[0, t], h)
    torch.testing.assert_close(state.weights[0], weights)


@pytest.mark.parametrize("lengths", [None, [[0, 7, 3], [4, 2, 6]]], ids=["whole", "ragged"])
@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("inner", [1, 3])
def test_blocks_equal_single_steps(monkeypatch, inner, tasks, lengths):
    torch.manual_seed(0)
    layer = HebbianRNN(3, 4, lr=0.3, inner_steps=inner, dtype=torch.float64)
    if tasks:
        for name, p in list(layer.named_parameters()):
            setattr(layer, name, torch.nn.Parameter(p + 0.1 * torch.randn(2, *p.shape).double()))
    x = torch.randn(2, 3, 7, 3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        _, before = layer(torch.randn(2, 3, 2, 3, dtype=torch.float64))
    counts = None if lengths is None else torch.tensor(lengths)
    parameters = [x, *layer.parameters()]

    def derivatives():
        outputs, state = layer(x, before, lengths=counts)
        total = sum((part.square() * part.cos()).sum() for part in (outputs, *state))
        first = torch.autograd.grad(total, parameters, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), parameters)
        return [outputs, *state, *first, *second]

    monkeypatch.setattr(hebbian_rnn, "_FEW", math.inf)
    expected = derivatives()
    monkeypatch.setattr(hebbian_rnn, "_FEW", 0)
    for block in (3, 64):
        monkeypatch.setattr(hebbian_rnn, "_BLOCK", block)
        for found, right in zip(derivatives(), expected, strict=True):
            torch.testing.assert_close(found, right)


@pytest.mark.parametrize("hidden", [16, 128])
def test_the_default_learning_rate_leaves_the_input_visible(hidden):
    torch.manual_seed(0)
    x = torch.randn(8, 50, 4)
    other = x.clone()
    other[:, -1] = torch.randn(8, 4)

    def difference(**options):
        layer = HebbianRNN(4, hidden, **options)
        one, two = (layer(given)[0][:, -1] for given in (x, other))
        return ((one - two).norm() / one.norm()).item()

    assert difference() > 0.9
    assert difference(lr=0.5) < 0.6  # the learning rate in the paper


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.1}, r"decay must be a number of at least 0 and of at most 1, got 1\.1"),
        ({"lr": 0.0}, r"lr must be a number above 0, got 0\.0"),
        ({"inner_steps": 0}, "inner_steps must be a positive integer, got 0"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=f"^HebbianRNN: {message}"):
        HebbianRNN(**{"input_size": 4, **options})
