"""The naive references against torch's cells."""

import pytest
import torch
from torch import nn

from l2l_rnn.functional.recurrence import reference
from tests.functional.recurrence.problems import (
    FEATURES,
    FUNCTIONS,
    HIDDEN,
    PACKED,
    SIZES,
    TASKS,
    close,
    packed_problem,
)


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


@pytest.mark.parametrize("name", PACKED)
def test_references_have_a_third_derivative(name):
    given, options, leaves = packed_problem(name)
    run = getattr(reference, FUNCTIONS.get(name, name))
    value = run(*given, SIZES, **options)[0].sin().sum()
    for _ in range(2):
        (gradient,) = torch.autograd.grad(value, leaves[0], create_graph=True)
        value = gradient.square().sum()
    if name != "relu":  # ReLU is piecewise linear
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
