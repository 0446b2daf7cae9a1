"""The minimal recurrences: against their equations step by step, and every use of a layer."""

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, vmap

from l2l_rnn.models.encoder import CELLS
from l2l_rnn.nn import MinGRU, MinLSTM

FEATURES, HIDDEN, BATCH, STEPS = 3, 4, 5, 7


def positive(x):
    return x + 0.5 if x >= 0 else x.sigmoid()


def min_gru(a, h):
    z, n = a[:HIDDEN].sigmoid(), torch.stack([positive(v) for v in a[HIDDEN:]])
    return (1 - z) * h + z * n


def min_lstm(a, h):
    f, i = a[: 2 * HIDDEN].sigmoid().chunk(2)
    n = torch.stack([positive(v) for v in a[2 * HIDDEN :]])
    return f / (f + i) * h + i / (f + i) * n


STEP = {MinGRU: min_gru, MinLSTM: min_lstm}


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
    """One sequence `(S, F)` by the equations: all its states."""
    weight, bias = getattr(layer, "weight_ih" + suffix), getattr(layer, "bias_ih" + suffix, 0)
    states = []
    for step in x:
        h = STEP[kind](weight @ step + bias, h)
        states.append(h)
    return torch.stack(states)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("steps", [1, STEPS, 40])
def test_it_follows_its_equations(kind, steps, bias):
    layer = kind(FEATURES, HIDDEN, bias=bias, batch_first=True).double()
    x = torch.randn(BATCH, steps, FEATURES, dtype=torch.float64)
    h0 = torch.randn(1, BATCH, HIDDEN, dtype=torch.float64)
    outputs, final = layer(x, h0)
    for b in range(BATCH):
        expected = in_turn(kind, layer, x[b], h0[0, b])
        torch.testing.assert_close(outputs[b], expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(final[0, b], expected[-1], rtol=1e-10, atol=1e-12)


def test_a_carried_state_goes_on_as_the_unbroken_run(layer, x):
    whole, final = layer(x)
    first, state = layer(x[:, :3])
    second, end = layer(x[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(end, final, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("two_ways", [False, True])
def test_lengths_equal_a_run_for_each_sequence(kind, x, layers, two_ways):
    layer = kind(FEATURES, HIDDEN, layers, batch_first=True, bidirectional=two_ways).double()
    lengths = torch.tensor([7, 1, 4, 3, 6])
    padded = x.masked_fill((torch.arange(STEPS) >= lengths[:, None])[..., None], torch.nan)
    outputs, final = layer(padded, lengths=lengths)
    for b, length in enumerate(lengths.tolist()):
        alone, end = layer(x[b : b + 1, :length])
        torch.testing.assert_close(outputs[b, :length], alone[0], rtol=1e-10, atol=1e-12)
        assert not outputs[b, length:].any()
        torch.testing.assert_close(final[:, b], end[:, 0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lengths", [None, [2, 1]])
def test_first_and_second_derivatives(kind, lengths):
    layer = kind(2, 2, batch_first=True, bidirectional=True).double()
    x = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    h0 = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)
    given = {} if lengths is None else {"lengths": torch.tensor(lengths)}

    def compute(x, h0, *parameters):
        return functional_call(layer, dict(zip(names, parameters, strict=True)), (x, h0), given)

    inputs = [x, h0, *(v.detach().requires_grad_() for v in values)]
    assert gradcheck(compute, inputs, fast_mode=True)
    assert gradgradcheck(compute, inputs, fast_mode=True, atol=1e-4)


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


def test_tasks_equal_a_loop(kind, layer, x):
    tasks = torch.stack([x, 2 * x])
    singles = [copy.deepcopy(layer) for _ in range(2)]
    for name, p in list(layer._parameters.items()):
        layer._parameters[name] = torch.stack([p.detach(), 3 * p.detach()])
        singles[1]._parameters[name].data.mul_(3)
    outputs, final = layer(tasks)
    for n, single in enumerate(singles):
        own, end = single(tasks[n])
        torch.testing.assert_close(outputs[n], own, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(final[n], end, rtol=1e-10, atol=1e-12)


def test_under_vmap(layer, x):
    together = torch.stack([x, 2 * x])
    torch.testing.assert_close(vmap(lambda x: layer(x)[0])(together)[1], layer(2 * x)[0])


def test_saturated_gates_stay_finite(kind):
    layer = kind(1, 1, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(-300.0)
    x = torch.ones(1, 30, 1, requires_grad=True)
    outputs, _ = layer(x)
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(kind, layer, x, copied):
    other = kind(FEATURES, HIDDEN, batch_first=True).double()
    other.load_state_dict(layer.state_dict())
    for twin in (copied(layer), other):
        assert torch.equal(twin(x)[0], layer(x)[0])


def test_every_minimal_layer_has_a_name_for_models(kind):
    assert CELLS[kind.__name__.lower()] is kind
