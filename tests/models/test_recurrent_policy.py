"""The recurrent policy: steps equal a sequence, N tasks equal a loop, exact derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import RecurrentPolicy


@pytest.fixture(params=[False, True], ids=["choices", "continuous"])
def policy(request):
    torch.manual_seed(0)
    return RecurrentPolicy(4, 3, continuous=request.param, hidden_size=5)


def outputs(policy, inputs):
    actions, values, _ = policy(inputs)
    return (actions.mean if hasattr(actions, "loc") else actions.logits), actions.entropy(), values


def test_steps_one_by_one_equal_the_sequence(policy):
    x, state, parts = torch.randn(6, 7, 4), None, []
    for step in range(7):
        actions, values, state = policy(x[:, step : step + 1], state)
        parts.append((actions.entropy(), values))
    _, entropy, values = outputs(policy, x)
    torch.testing.assert_close(torch.cat([part[0] for part in parts], 1), entropy)
    torch.testing.assert_close(torch.cat([part[1] for part in parts], 1), values)


def test_tasks_equal_a_loop(policy):
    x = torch.randn(3, 6, 7, 4)
    learner = MAML(policy, lr=0.5).clone(tasks=3)
    logits, entropy, values = outputs(learner, x)
    learner.adapt(
        values.square().mean((1, 2)) + logits.square().mean((1, 2, 3)) + entropy.flatten(1).mean(1)
    )
    together = outputs(learner, x)
    for n in range(3):
        one = MAML(policy, lr=0.5).clone()
        logits, entropy, values = outputs(one, x[n])
        one.adapt(values.square().mean() + logits.square().mean() + entropy.mean())
        for found, wanted in zip(together, outputs(one, x[n]), strict=True):
            torch.testing.assert_close(found[n], wanted, atol=1e-5, rtol=1e-4)


def test_derivatives_are_exact(policy):
    policy.double()
    x = torch.randn(1, 2, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in policy.named_parameters()]

    def function(x, *parameters):
        named = dict(zip(names, parameters, strict=True))
        actions, values, _ = functional_call(policy, named, (x,))
        return (actions.mean if hasattr(actions, "loc") else actions.logits), values

    inputs = (x, *(p.detach().requires_grad_() for p in policy.parameters()))
    assert gradcheck(function, inputs, fast_mode=True)
    assert gradgradcheck(function, inputs, fast_mode=True)


def test_sizes_are_checked():
    with pytest.raises(ArgumentError, match="RecurrentPolicy: action_size must be"):
        RecurrentPolicy(3, 0)
