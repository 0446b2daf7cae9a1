"""The linear recurrent unit against its equations, and properties outside the contract."""

import copy
import math

import learn2learn
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.nn import LRU

FEATURES, HIDDEN, BATCH, STEPS, TASKS = 3, 4, 5, 7, 3
RAGGED = [7, 1, 4, 3, 6]


def make(*layers, dtype=torch.float64, **options):
    torch.manual_seed(0)
    layer = LRU(FEATURES, HIDDEN, *layers, batch_first=True, dtype=dtype, **options)
    for name, p in layer.named_parameters():
        if name.startswith("bias"):
            nn.init.normal_(p)  # initially 0
    return layer


@pytest.fixture
def layer():
    return make()


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(BATCH, STEPS, FEATURES, generator=generator, dtype=torch.float64)


def close(found, expected, rtol=1e-10, atol=1e-12):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


def in_turn(p, x, h=None, suffix="_l0", phi=nn.functional.gelu):
    """Run one sequence `(S, F)` by the equations; return its outputs and states."""
    p = {name.removesuffix(suffix): value for name, value in p.items() if name.endswith(suffix)}
    b, c = (
        torch.complex(*p[name].chunk(2, axis))
        for name, axis in [("weight_ih", 0), ("weight_ho", 1)]
    )
    factor = torch.exp(torch.complex(-p["nu_log"].exp(), p["theta_log"].exp()))
    h = torch.zeros_like(factor) if h is None else h
    outputs, states = [], []
    for step in x:
        h = factor * h + p["gamma_log"].exp() * (b @ step.to(b))
        states.append(h)
        outputs.append(phi((c @ h).real + p["weight_io"] @ step + p.get("bias_o", 0)))
    return torch.stack(outputs), torch.stack(states)


def pairs(h):
    return torch.view_as_real(h).flatten(-2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("phi", [nn.functional.gelu, None])
@pytest.mark.parametrize("steps", [1, STEPS, 40])
def test_layer_equals_its_equations(steps, phi, bias):
    layer = make(bias=bias, nonlinearity=None if phi is None else "gelu")
    x = torch.randn(BATCH, steps, FEATURES, dtype=torch.float64)
    h0 = torch.randn(BATCH, HIDDEN, dtype=torch.complex128)
    outputs, final = layer(x, pairs(h0)[None])
    assert outputs.shape == (BATCH, steps, HIDDEN)
    assert final.shape == (1, BATCH, 2 * HIDDEN)
    p = dict(layer.named_parameters())
    for b in range(BATCH):
        y, states = in_turn(p, x[b], h0[b], phi=phi or torch.clone)
        close([outputs[b], final[0, b]], [y, pairs(states[-1])])


def test_layers_and_directions_equal_the_equations(x):
    layer = make(2, bidirectional=True)
    outputs, final = layer(x)
    p = dict(layer.named_parameters())
    for b in range(BATCH):
        read, ends = x[b], []
        for level in ("_l0", "_l1"):
            forth, after = in_turn(p, read, suffix=level)
            back, before = in_turn(p, read.flip(0), suffix=level + "_reverse")
            read = torch.cat([forth, back.flip(0)], -1)
            ends += [pairs(after[-1]), pairs(before[-1])]
        close([outputs[b], final[:, b]], [read, torch.stack(ends)])


def test_single_precision_over_many_steps():
    x = torch.randn(1, 3000, FEATURES)
    layer = make(dtype=torch.float32, r_min=0.99, r_max=0.9999)
    exact = copy.deepcopy(layer).double()
    torch.testing.assert_close(layer(x)[0].double(), exact(x.double())[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("ring", [(0.0, 1.0), (0.5, 0.9), (0.99, 0.999)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_initial_ring(ring, dtype):
    torch.manual_seed(0)
    layer = LRU(2, 2000, r_min=ring[0], r_max=ring[1], max_phase=math.pi / 10, dtype=dtype)
    assert all(p.isfinite().all() for p in layer.parameters())
    radius = (-layer.nu_log_l0.exp()).exp()
    assert ring[0] - 1e-6 <= radius.min()
    assert radius.max() <= ring[1] + 1e-6
    share = (radius.square() - ring[0] ** 2) / (ring[1] ** 2 - ring[0] ** 2)
    assert share.mean().item() == pytest.approx(0.5, abs=0.03)
    assert layer.theta_log_l0.exp().max() <= math.pi / 10 + 1e-6
    norm = layer.gamma_log_l0.exp().square() + radius.square()
    torch.testing.assert_close(norm, torch.ones_like(norm), rtol=1e-4, atol=1e-4)


def test_states_of_white_noise_have_unit_variance():
    torch.manual_seed(0)
    _, final = LRU(64, 64, r_min=0.9, r_max=0.99)(torch.randn(600, 50, 64))
    assert final.square().sum(-1).mean().item() / 64 == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"r_min": 0.9, "r_max": 0.5},
            "r_max must be a number above 0.9 and of at most 1, got 0.5",
        ),
        ({"r_min": -0.1}, "r_min must be a number of at least 0 and below 1, got -0.1"),
        ({"r_min": 0.5, "r_max": 0.5}, "r_max must be a number above 0.5"),
        ({"r_max": 1.1}, "r_max must be .*, got 1.1"),
        ({"r_max": float("nan")}, "r_max must be .*, got nan"),
        ({"max_phase": 0.0}, r"max_phase must be a number above 0 and of at most 6.28\d*, got 0.0"),
        ({"max_phase": 7}, "max_phase must be .*, got 7"),
        ({"nonlinearity": "tanh"}, "unknown nonlinearity 'tanh'. Known: gelu"),
    ],
    ids=str,
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ArgumentError, match=f"^LRU: .*{message}"):
        LRU(3, 4, **options)


def test_a_state_of_real_units_raises(layer, x):
    with pytest.raises(ShapeError, match=r"LRU: hx must have shape \(1, 5, 8\), got \(1, 5, 4\)"):
        layer(x, torch.zeros(1, BATCH, HIDDEN).double())


def test_a_packed_sequence_equals_its_padded_form(x):
    layer = make(2, bidirectional=True)
    h0 = torch.randn(4, BATCH, 2 * HIDDEN, dtype=torch.float64)
    lengths = torch.tensor(RAGGED)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    outputs, final = layer(packed, h0)
    outputs, _ = pad_packed_sequence(outputs, batch_first=True)
    close([outputs, final], layer(x, h0, lengths=lengths))


def test_a_long_scan_has_the_derivatives_of_a_loop(layer):
    x = torch.randn(2, 50, FEATURES, dtype=torch.float64, requires_grad=True)
    p = dict(layer.named_parameters())
    found = []
    for outputs in (layer(x)[0], torch.stack([in_turn(p, row)[0] for row in x])):
        value, tensors = outputs.sin().sum(), [x, *p.values()]
        derivatives = []
        for _ in range(3):
            gradients = torch.autograd.grad(value, tensors, create_graph=True)
            derivatives += gradients
            value = sum(g.square().sum() for g in gradients)
        found.append(derivatives)
    close(*found, rtol=1e-7, atol=1e-8)


class Model(nn.Module):
    task_axis = True

    def __init__(self):
        super().__init__()
        self.recurrence = make()

    def forward(self, x):
        return self.recurrence(x)[0][..., -1, :]


def meta_gradient_of_plain_operations(model, x, target, query, query_target, lr):
    p = dict(model.recurrence.named_parameters())

    def loss(p, x, target):
        last = torch.stack([in_turn(p, row)[0][-1] for row in x])
        return (last - target).square().mean()

    for _ in range(2):
        gradients = torch.autograd.grad(loss(p, x, target), list(p.values()), create_graph=True)
        p = {name: value - lr * g for (name, value), g in zip(p.items(), gradients, strict=True)}
    return torch.autograd.grad(loss(p, query, query_target), list(model.parameters()))


def test_meta_gradient_equals_plain_operations():
    torch.manual_seed(2)
    model, lr = Model(), 0.1
    x, query = torch.randn(2, TASKS, BATCH, 20, FEATURES, dtype=torch.float64)
    target, query_target = torch.randn(2, TASKS, BATCH, HIDDEN, dtype=torch.float64)
    tasks = list(zip(x, target, query, query_target, strict=True))
    each = [meta_gradient_of_plain_operations(model, *task, lr) for task in tasks]
    expected = [sum(parts) for parts in zip(*each, strict=True)]

    learner = MAML(model, lr).clone(tasks=TASKS)
    for _ in range(2):
        learner.adapt((learner(x) - target).square().mean((1, 2)))
    value = (learner(query) - query_target).square().mean((1, 2)).sum()
    close(torch.autograd.grad(value, list(model.parameters())), expected, rtol=1e-8)

    total = 0
    for x_n, target_n, query_n, query_target_n in tasks:
        learner = learn2learn.algorithms.MAML(model, lr).clone()
        for _ in range(2):
            learner.adapt((learner(x_n) - target_n).square().mean())
        total = total + (learner(query_n) - query_target_n).square().mean()
    close(torch.autograd.grad(total, list(model.parameters())), expected, rtol=1e-8)


def test_half_precision_and_autocast(x):
    layer = make(2, dtype=torch.float32)
    exact = layer(x.float())
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x.float())
    sum(layer_output.float().sum() for layer_output in mixed).backward()
    assert [t.dtype for t in half] == [torch.bfloat16] * 2
    assert layer.nu_log_l0.grad.isfinite().all()
    for found in (half, mixed):
        close([t.float() for t in found], exact, rtol=0.1, atol=0.1)


def test_extreme_rings_have_finite_parameters():
    torch.manual_seed(0)
    for radii in ({"r_min": 0.9999}, {"r_min": 0.999999}, {"r_max": 1e-3}):
        layer = LRU(1, 4096, **radii)
        assert all(parameter.isfinite().all() for parameter in layer.parameters())
