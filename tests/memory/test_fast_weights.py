"""Fast weights against the loops that define them, and on examples worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.memory.fast_weights import delta_rule, hebbian_rule
from l2l_rnn.memory import DeltaFastWeights, HebbianFastWeights, fast_weights


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_delta_rule_retrieves_what_was_written_exactly():
    keys, _ = torch.linalg.qr(numbers(5, 5))
    values, nothing = numbers(5, 3, seed=1), torch.zeros(3, 5, dtype=torch.float64)
    ones = torch.ones(5, dtype=torch.float64)
    _, weights = delta_rule(keys, keys, values, ones, nothing)
    torch.testing.assert_close(keys @ weights.mT, values, rtol=0, atol=1e-14)
    other = values.flip(0)  # a second write replaces, where the Hebbian rule adds
    _, replaced = delta_rule(keys, keys, other, ones, weights)
    torch.testing.assert_close(keys @ replaced.mT, other, rtol=0, atol=1e-14)
    added = hebbian_rule(keys, other, hebbian_rule(keys, values, nothing))
    torch.testing.assert_close(keys @ added.mT, values + other, rtol=0, atol=1e-14)


def test_a_store_retrieves_exactly_through_its_gate():
    memory = DeltaFastWeights(None, 4, 2, features="unit").double()
    with torch.no_grad():
        memory.gate_bias.fill_(60.0)
    keys, _ = torch.linalg.qr(numbers(4, 4))
    state = memory.write(memory.blank(), 3 * keys, numbers(4, 2, seed=1))
    torch.testing.assert_close(memory.read(state, 7 * keys), numbers(4, 2, seed=1))


@pytest.mark.parametrize("gate", [0.1, 0.5, 0.9])
def test_the_gate_says_how_far(gate):
    memory = DeltaFastWeights(None, 2, 1, features="unit", gate=gate).double()
    key = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    state = memory.blank()
    for written in (1, 2):
        state = memory.write(state, key, torch.tensor([[5.0]], dtype=torch.float64))
        wanted = 5 * (1 - (1 - gate) ** written)
        assert memory.read(state, key).item() == pytest.approx(wanted)


@pytest.mark.parametrize("steps", [1, 7, 64, 65, 150])
def test_the_delta_rule_is_its_loop(steps):
    q, k, v = (numbers(2, steps, n, seed=n) for n in (3, 3, 2))
    k = F.normalize(k + 1, dim=-1)
    gates, weights = numbers(2, steps, seed=5).sigmoid(), numbers(2, 2, 3, seed=6)
    y, last = delta_rule(q, k, v, gates, weights)
    for t in range(steps):
        error = v[:, t] - (weights @ k[:, t, :, None])[..., 0]
        weights = weights + gates[:, t, None, None] * error.unsqueeze(-1) * k[:, t, None]
        torch.testing.assert_close(y[:, t], (weights @ q[:, t, :, None])[..., 0])
    torch.testing.assert_close(last, weights)


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_the_hebbian_rule_is_its_loop(decay):
    k, v, weights = numbers(2, 6, 3), numbers(2, 6, 2, seed=1), numbers(2, 2, 3, seed=2)
    found = hebbian_rule(k, v, weights, decay=decay, rate=0.3)
    for t in range(6):
        weights = decay * weights + 0.3 * v[:, t, :, None] * k[:, t, None]
    torch.testing.assert_close(found, weights)


def test_features_of_a_delta_layer_add_up_to_one():
    memory = DeltaFastWeights(3, 4, 2).double()
    x = numbers(2, 5, 3)
    y, state = memory(x)
    q, k, v = memory.projection(x)
    p, r = ((F.elu(a) + 1) / (F.elu(a) + 1).sum(-1, keepdim=True) for a in (k, q))
    weights = torch.zeros(2, 2, 4, dtype=torch.float64)
    for t in range(5):
        error = v[:, t] - (weights @ p[:, t, :, None])[..., 0]
        weights = weights + 0.5 * error.unsqueeze(-1) * p[:, t, None]
        torch.testing.assert_close(y[:, t], (weights @ r[:, t, :, None])[..., 0])
    torch.testing.assert_close(state.weights, weights)


@pytest.mark.parametrize("settling", [1, 3])
def test_a_hebbian_layer_is_its_equations(settling):
    torch.manual_seed(0)
    memory = HebbianFastWeights(3, 4, decay=0.9, rate=0.4, settling_steps=settling).double()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    x = numbers(3, 3)
    y, state = memory(x.unsqueeze(0))

    def settled(z):
        return F.layer_norm(z, (4,), memory.gain, memory.shift).relu()

    h, weights = torch.zeros(4).double(), torch.zeros(4, 4).double()
    for t in range(3):
        weights = 0.9 * weights + 0.4 * torch.outer(h, h)
        z = memory.weight_hh @ h + memory.weight_ih @ x[t] + memory.bias
        h = settled(z)
        for _ in range(settling):
            h = settled(z + weights @ h)
        torch.testing.assert_close(y[0, t], h)
    torch.testing.assert_close(state.weights[0], weights)


@pytest.mark.parametrize("lengths", [None, [[0, 7, 3], [4, 2, 6]]], ids=["whole", "ragged"])
@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("settling", [1, 3])
def test_blocks_of_a_hebbian_layer_are_its_steps(monkeypatch, settling, tasks, lengths):
    torch.manual_seed(0)
    memory = HebbianFastWeights(3, 4, rate=0.3, settling_steps=settling, dtype=torch.float64)
    if tasks:
        for name, p in list(memory.named_parameters()):
            setattr(memory, name, torch.nn.Parameter(p + 0.1 * torch.randn(2, *p.shape).double()))
    x = torch.randn(2, 3, 7, 3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        _, before = memory(torch.randn(2, 3, 2, 3, dtype=torch.float64))
    counts = None if lengths is None else torch.tensor(lengths)
    parameters = [x, *memory.parameters()]

    def derivatives():
        outputs, state = memory(x, before, lengths=counts)
        total = sum((part.square() * part.cos()).sum() for part in (outputs, *state))
        first = torch.autograd.grad(total, parameters, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), parameters)
        return [outputs, *state, *first, *second]

    monkeypatch.setattr(fast_weights, "_FEW", math.inf)
    expected = derivatives()
    monkeypatch.setattr(fast_weights, "_FEW", 0)
    for block in (3, 64):
        monkeypatch.setattr(fast_weights, "_BLOCK", block)
        for found, right in zip(derivatives(), expected, strict=True):
            torch.testing.assert_close(found, right)


@pytest.mark.parametrize("hidden", [16, 128])
def test_what_a_hebbian_layer_reads_does_not_drown_what_comes_in(hidden):
    torch.manual_seed(0)
    x = torch.randn(8, 50, 4)
    other = x.clone()
    other[:, -1] = torch.randn(8, 4)

    def difference(**options):
        memory = HebbianFastWeights(4, hidden, **options)
        one, two = (memory(given)[0][:, -1] for given in (x, other))
        return ((one - two).norm() / one.norm()).item()

    assert difference() > 0.9
    assert difference(rate=0.5) < 0.6  # the paper's rate


def test_a_hebbian_store_by_hand():
    memory = HebbianFastWeights(None, key_size=2, value_size=1, decay=0.5, rate=2.0)
    keys = torch.eye(2)
    state = memory.write(memory.blank(), keys, torch.tensor([[3.0], [5.0]]))
    assert memory.read(state, keys).tolist() == [[3.0], [10.0]]
    assert memory.write(state, keys[:1], torch.tensor([[1.0]])).weights.tolist() == [[3.5, 5.0]]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (HebbianFastWeights, {"decay": 1.1}, r"decay must lie in \[0, 1\], got 1.1"),
        (HebbianFastWeights, {"rate": 0.0}, "rate must be positive, got 0.0"),
        (HebbianFastWeights, {"settling_steps": 0}, "settling_steps must be a positive integer"),
        (HebbianFastWeights, {"key_size": 3}, "a layer's keys and values are its hidden states"),
        (DeltaFastWeights, {"features": "relu"}, "features must be 'elu' or 'unit', got 'relu'"),
        (DeltaFastWeights, {"gate": 1.0}, r"gate must lie in \(0, 1\), got 1.0"),
    ],
)
def test_bad_options(kind, options, message):
    with pytest.raises(ArgumentError, match=message):
        kind(4, **options)
