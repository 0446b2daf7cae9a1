"""The naive references: against torch's cells, and every faster route against them."""

import pytest
import torch
from torch import nn

from l2l_rnn import functional
from l2l_rnn.functional.recurrence import compiled_passes, reference
from l2l_rnn.functional.recurrence.weights import Weights

TASKS, FEATURES, HIDDEN = 2, 3, 4
SIZES = [3, 3, 2, 1, 1]  # sequences that take each step
STEPS, BATCH = 6, 3
# Gates and tensors of the state of the recurrences with a recurrent weight.
PACKED = {"rnn": (1, 1), "relu": (1, 1), "gru": (3, 1), "lstm": (4, 2), "projected lstm": (4, 2)}
# Blocks of the projected input of the recurrences without one.
SCANNED = {"min_gru": 2, "min_lstm": 3, "lru": 2}
OPTIONS = {"relu": {"nonlinearity": "relu"}}
FUNCTIONS = {"relu": "rnn", "projected lstm": "lstm"}


def random(*shape, dtype=torch.float64):
    return (torch.randn(shape, dtype=torch.float64) / 2).to(dtype).requires_grad_()


def packed_problem(name, bias=True, dtype=torch.float64):
    """Return the positional arguments without the sizes, the keyword arguments, and the leaves."""
    torch.manual_seed(0)
    gates, states = PACKED[name]
    rows, outputs = gates * HIDDEN, 2 if name == "projected lstm" else HIDDEN
    x = random(TASKS, sum(SIZES), FEATURES, dtype=dtype)
    shapes = [(rows, FEATURES), (rows, outputs), *([(rows,), (rows,)] if bias else [])]
    weights = Weights(*(random(TASKS, *shape, dtype=dtype) for shape in shapes))
    sizes = (outputs, HIDDEN)[:states]
    state = tuple(random(TASKS, BATCH, size, dtype=dtype) for size in sizes)
    options = dict(OPTIONS.get(name, {}))
    leaves = [x, *(w for w in weights if w is not None), *state]
    if outputs != HIDDEN:
        options["weight_hr"] = random(TASKS, outputs, HIDDEN, dtype=dtype)
        leaves.append(options["weight_hr"])
    return (x, weights, state), options, leaves


def scanned_problem(name, dtype=torch.float64):
    torch.manual_seed(0)
    projected = random(TASKS, STEPS, BATCH, SCANNED[name] * HIDDEN, dtype=dtype)
    state = (random(TASKS, BATCH, (2 if name == "lru" else 1) * HIDDEN, dtype=dtype),)
    factors = [random(TASKS, HIDDEN, dtype=dtype) for _ in range(2)] if name == "lru" else []
    return (projected, *factors, state), [projected, *factors, *state]


def both_orders(outputs, leaves):
    """Return the outputs, and the first and second derivatives of a function of them."""
    value = sum((output * output.cos()).sum() for output in outputs)
    first = torch.autograd.grad(value, leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.sin().sum() for g in first), leaves)
    return [*outputs, *first, *second]


def close(found, expected, dtype):
    for one, other in zip(found, expected, strict=True):
        if dtype == torch.float64:
            torch.testing.assert_close(one, other)
        else:  # rounding in proportion to the largest element
            scale = other.abs().max().item() or 1.0
            torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-5)


DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("rnn", nn.RNNCell),
        ("relu", lambda *sizes, **more: nn.RNNCell(*sizes, nonlinearity="relu", **more)),
        ("gru", nn.GRUCell),
        ("lstm", nn.LSTMCell),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_references_equal_torchs_cells(name, cell, bias):
    (x, weights, state), options, _ = packed_problem(name, bias)
    run = getattr(reference, FUNCTIONS.get(name, name))
    states = [part.split(SIZES, 1) for part in run(x, weights, state, SIZES, **options)]
    for n in range(TASKS):
        own = cell(FEATURES, HIDDEN, bias=bias, dtype=torch.float64)
        names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
        own.load_state_dict(
            {name: w[n].detach() for name, w in zip(names, weights, strict=True) if w is not None}
        )
        current = [part[n] for part in state]
        for t, block in enumerate(x.split(SIZES, 1)):
            before = [part[: SIZES[t]] for part in current]
            current = own(block[n], before[0] if len(before) == 1 else tuple(before))
            current = [current] if isinstance(current, torch.Tensor) else list(current)
            close([part[t][n] for part in states], current, torch.float64)


@DTYPES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", PACKED)
def test_packed_recurrences_equal_their_references(name, bias, dtype):
    results = []
    for module in (functional, reference):
        given, options, leaves = packed_problem(name, bias, dtype)
        run = getattr(module, FUNCTIONS.get(name, name))
        results.append(both_orders(run(*given, SIZES, **options), leaves))
    close(*results, dtype)


@pytest.mark.parametrize("name", PACKED)
def test_torch_passes_equal_the_references_in_float32(name, monkeypatch):
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    test_packed_recurrences_equal_their_references(name, True, torch.float32)


@DTYPES
@pytest.mark.parametrize("name", SCANNED)
def test_scanned_recurrences_equal_their_references(name, dtype):
    results = []
    for module in (functional, reference):
        given, leaves = scanned_problem(name, dtype)
        results.append(both_orders(getattr(module, name)(*given), leaves))
    close(*results, dtype)


@pytest.mark.parametrize("name", ["min_gru", "min_lstm"])
def test_scans_equal_the_references_in_float32(name, monkeypatch):
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    test_scanned_recurrences_equal_their_references(name, torch.float32)


@pytest.mark.parametrize("name", PACKED)
def test_references_have_a_third_derivative(name):
    given, options, leaves = packed_problem(name)
    run = getattr(reference, FUNCTIONS.get(name, name))
    value = run(*given, SIZES, **options)[0].sin().sum()
    for _ in range(2):
        (gradient,) = torch.autograd.grad(value, leaves[0], create_graph=True)
        value = gradient.square().sum()
    if name != "relu":  # which is piecewise linear
        (third,) = torch.autograd.grad(value, leaves[0])
        assert third.isfinite().all()
        assert third.any()


def test_steps_that_are_not_valid_leave_the_state_as_it_is():
    (x, weights, state), _, leaves = packed_problem("lstm")
    valid = torch.rand(TASKS, sum(SIZES), 1) < 0.5

    def overflowing(a, state):
        return tuple(part * 1e200 for part in reference.lstm_step(a, state))

    h, c = reference.run(reference.lstm_step, x, weights, state, SIZES, valid)
    blocks = zip(h.split(SIZES, 1), c.split(SIZES, 1), valid.split(SIZES, 1), strict=True)
    before = state
    for *after, inside in blocks:
        for now, then in zip(after, before, strict=True):
            then = then[:, : now.shape[1]]
            assert ((now != then).any(-1, keepdim=True) == inside).all()
        before = after
    outputs = reference.run(overflowing, x, weights, state, SIZES, torch.zeros_like(valid))
    gradients = torch.autograd.grad(sum(part.sum() for part in outputs), leaves, allow_unused=True)
    assert all(g.isfinite().all() for g in gradients if g is not None)
