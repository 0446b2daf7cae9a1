"""The dynamics model: standardized inputs and targets, learners on it, contexts and derivatives."""

import copy
import math
import pickle

import pytest
import torch

from l2l_rnn.algorithms import MAML, ALPaCA
from l2l_rnn.configuration import build, configuration_of
from l2l_rnn.control import Arm, Pendulum, RandomActions, record
from l2l_rnn.errors import ArgumentError, ShapeError, UnknownNameError
from l2l_rnn.models import DynamicsModel, TransitionEncoder


def transitions(bodies, steps=40):
    generator = torch.Generator().manual_seed(1)
    policy = RandomActions(bodies.action_size, generator=generator)
    return record(bodies, policy, steps, generator=generator)


@pytest.fixture
def arm():
    torch.manual_seed(0)
    bodies = Arm.draw(3, torch.Generator().manual_seed(0))
    model = DynamicsModel(4, 2, angles=bodies.angles, hidden_size=7)
    found = transitions(bodies)
    model.fit_moments(*found[:3])
    return model, found


def test_inputs_and_targets_are_standardized_and_inverted(arm):
    model, (states, actions, following, _) = arm
    x, y = model.inputs(states, actions), model.targets(states, following)
    for values in (x, y):
        flat = values.flatten(0, -2)
        torch.testing.assert_close(flat.mean(0), torch.zeros(flat.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(flat.std(0, correction=0), torch.ones(flat.shape[1]))
    torch.testing.assert_close(model.following(states, y), following)
    turned = states + torch.tensor([2 * math.pi, -4 * math.pi, 0, 0])  # the same pose
    torch.testing.assert_close(model.inputs(turned, actions), x, atol=1e-4, rtol=1e-4)


def test_predicted_states_stay_near_those_of_the_data(arm):
    model, (states, actions, following, _) = arm
    step = model.stepper(lambda x: 1e6 * torch.ones(*x.shape[:-1], 4))
    found = step(states, actions)
    low, high = following[..., 2:].amin((0, 1)), following[..., 2:].amax((0, 1))
    torch.testing.assert_close(found[..., 2:], (high + 0.2 * (high - low)).expand(3, 40, 2))
    assert (found[..., :2] > 1000).all()  # angles have no limits
    fresh = DynamicsModel(4, 2)
    assert (
        fresh.stepper(lambda x: 1e6 * torch.ones(1, 4))(states[0, :1], actions[0, :1]).min() > 9e5
    )


def test_learners_adapt_it_for_many_bodies_as_in_a_loop(arm):
    model, (states, actions, following, _) = arm
    x, y = model.inputs(states, actions), model.targets(states, following)

    def maml(x, y, **tasks):
        learner = MAML(model, lr=0.1).clone(**tasks)
        for _ in range(2):
            learner.adapt((learner(x) - y).square().mean((-1, -2)))
        return learner

    def alpaca(x, y, **tasks):
        learner = ALPaCA(model.encoder, outputs=4).clone(**tasks)
        learner.write(x, y)
        return learner

    for adapted in (maml, alpaca):
        together = adapted(x[:, :30], y[:, :30], tasks=3)
        step = model.stepper(together)
        found = step(states, actions)
        error = (model.targets(states, found) - y)[:, 30:].square().mean()
        for n in range(3):
            alone = model.stepper(adapted(x[n, :30], y[n, :30]))
            torch.testing.assert_close(found[n], alone(states[n], actions[n]), atol=1e-5, rtol=1e-5)
    assert error < 0.3  # ALPaCA's
    assert error < (model(x) - y)[:, 30:].square().mean()


def test_contexts_can_be_read_step_by_step(arm):
    _, (states, actions, following, _) = arm
    for cell in ("gru", "lstm"):
        model = DynamicsModel(4, 2, cell=cell, context_size=5)
        x, y = model.inputs(states, actions), model.targets(states, following)
        context, _ = model.read(x, y)
        assert context.shape == (3, 5)
        early, held = model.read(x[:, :12], y[:, :12])
        for step in range(12, 40):
            early, held = model.read(x[:, step : step + 1], y[:, step : step + 1], held)
        torch.testing.assert_close(early, context)
        outputs = model.stepper(None, context)(states, actions)
        for n in range(3):
            alone, _ = model.read(x[n], y[n])
            torch.testing.assert_close(alone, context[n])
            found = model.stepper(None, alone)(states[n], actions[n])
            torch.testing.assert_close(found, outputs[n])
        assert model.blank(3).shape == (3, 5)
        assert not torch.allclose(model(x, context), model(x, model.blank(3)))


def test_a_recurrent_model_takes_the_task_axis(arm):
    _, (states, actions, following, _) = arm
    model = DynamicsModel(4, 2, cell="gru", context_size=5)
    learner = MAML(model, lr=0.1).clone(tasks=3)
    x, y = model.inputs(states, actions), model.targets(states, following)
    contexts, _ = learner.read(x, y)
    learner.adapt((learner(x, contexts) - y).square().mean((-1, -2)))
    found = learner(x, learner.read(x, y)[0])
    for n in range(3):
        alone = MAML(model, lr=0.1).clone()
        alone.adapt((alone(x[n], alone.read(x[n], y[n])[0]) - y[n]).square().mean())
        again = alone(x[n], alone.read(x[n], y[n])[0])
        torch.testing.assert_close(found[n], again, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", [None, "gru"])
def test_derivatives_are_exact(cell):
    torch.manual_seed(0)
    model = DynamicsModel(2, 1, angles=[0], hidden_size=2, num_layers=1, cell=cell, context_size=1)
    model = model.double()
    states, actions = torch.randn(3, 2).double(), torch.randn(3, 1).double()
    targets = torch.randn(3, 2).double()
    names = [name for name, _ in model.named_parameters()]

    def outputs(states, actions, *parameters):
        def run(states, actions):
            x = model.inputs(states, actions)
            context = () if cell is None else (model.read(x, targets)[0],)
            return model.following(states, model(x, *context))

        holder = torch.nn.Module()
        holder.model, holder.forward = model, run
        values = {f"model.{n}": p for n, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(holder, values, (states, actions))

    inputs = [states, actions, *model.parameters()]
    inputs = [value.detach().clone().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(outputs, inputs)
    assert torch.autograd.gradgradcheck(outputs, inputs)


def test_copies_and_saved_models_predict_the_same(arm):
    model, (states, actions, *_) = arm
    expected = model.stepper()(states, actions)
    made = build(configuration_of(model))
    made.load_state_dict(model.state_dict())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), made):
        torch.testing.assert_close(other.stepper()(states, actions), expected)
    with torch.no_grad():
        torch.testing.assert_close(model.stepper()(states, actions), expected)
    half = copy.deepcopy(model).double()
    torch.testing.assert_close(
        half.stepper()(states.double(), actions.double()).float(), expected, atol=1e-5, rtol=1e-5
    )
    assert model.stepper()(states[:, :0], actions[:, :0]).shape == (3, 0, 4)
    torch.testing.assert_close(model.stepper()(states[:, :1], actions[:, :1]), expected[:, :1])


def test_bad_arguments():
    for call, error, message in [
        (lambda: DynamicsModel(0, 1), ArgumentError, "state_size must be a positive integer"),
        (
            lambda: DynamicsModel(2, 1, angles=[2]),
            ArgumentError,
            "angles must be an integer from 0 to 1, got 2",
        ),
        (lambda: DynamicsModel(2, 1, angles=[0, 0]), ArgumentError, "angles must differ"),
        (lambda: DynamicsModel(2, 1, cell="gro"), UnknownNameError, "did you mean 'gru'"),
        (
            lambda: DynamicsModel(2, 1).read(torch.zeros(3, 3), torch.zeros(3, 2)),
            ArgumentError,
            "set cell",
        ),
        (
            lambda: DynamicsModel(2, 1)(torch.zeros(3, 3), torch.zeros(2)),
            ArgumentError,
            "expected no context, got one",
        ),
        (
            lambda: DynamicsModel(2, 1, cell="gru")(torch.zeros(3, 3)),
            ArgumentError,
            "expected a context, got none",
        ),
        (
            lambda: DynamicsModel(2, 1).inputs(torch.zeros(3, 2), torch.zeros(3, 2)),
            ShapeError,
            r"actions must be \(…, 1\)",
        ),
        (
            lambda: DynamicsModel(2, 1).inputs(torch.zeros(3, 4), torch.zeros(3, 1)),
            ShapeError,
            "set state_size",
        ),
        (lambda: TransitionEncoder(2, 0), ArgumentError, "hidden_size must be a positive"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_a_constant_variable_is_standardized_to_zero():
    model = DynamicsModel(2, 1)
    states = torch.tensor([[1.0, 5.0], [2.0, 5.0], [4.0, 5.0]])
    model.fit_moments(
        states, torch.zeros(3, 1), states + torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
    )
    x = model.inputs(states, torch.zeros(3, 1))
    assert (x[:, 1:] == 0).all()
    assert x[:, 0].std() > 0.5
    body = Pendulum()
    assert model.stepper()(body.start(), torch.zeros(1)).shape == (2,)
