"""The experiments with bodies: their measures, learners and policy."""

import dataclasses

import pytest
import torch

from benchmarks.few_shot.columns import Experience
from benchmarks.few_shot.methods.control import body_method, learners, planning, policy
from benchmarks.few_shot.problems.body_problem import NAMES, BodyProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.control import Transitions

CPU = torch.device("cpu")
MEASURE = planning.Measure(
    horizon=4, rollouts=10, candidates=8, iterations=1, steps=12, most_horizon=4
)
TRAINING = Training(
    steps=50, minutes=1, tasks=8, lr=5e-3, validate_every=25, clip=10.0, validation_tasks=10
)
NETWORK = {"hidden_size": 16, "num_layers": 1}
OPTIONS = {"measure": MEASURE, "network": NETWORK, "training": TRAINING}
PENDULUM = Experience("pendulum", 60)


def problem_of(name, bodies=60, columns=(PENDULUM,)):
    spec = dataclasses.replace(SPECS[name], train_bodies=bodies, columns=columns)
    return BodyProblem(spec, seed=3, device=CPU, test_tasks=12)


@pytest.fixture(scope="module")
def problem():
    return problem_of("dynamics")


def test_the_true_model_predicts_without_error_and_no_change_with_error_1(problem):
    true = body_method.TrueControl(problem, "true", measure=MEASURE).evaluate(PENDULUM)
    assert true.tolist() == pytest.approx([0] * 12, abs=1e-9)
    still = body_method.NoChange(problem, "still", measure=MEASURE).evaluate(PENDULUM)
    assert still.mean().item() == pytest.approx(1, abs=0.3)
    wild = planning.rollout_errors(
        problem, problem.tasks("pendulum", "test", 12), MEASURE, lambda s, a: s * torch.nan
    )
    assert wild.tolist() == [planning.WORST] * 12


def test_learners_that_adapt_beat_the_network_that_does_not(problem):
    """After 50 steps: 60 transitions tell which motors are reversed."""
    torch.manual_seed(0)
    errors = {}
    for method, label in (
        (body_method.UnadaptedMethod, "network"),
        (body_method.FineTunedMethod, "fine-tuned"),
        (body_method.ALPaCAMethod, "ALPaCA"),
        (body_method.MAMLMethod, "MAML"),
        (body_method.MemoryControl, "memory"),
    ):
        made = method(problem, label, **OPTIONS)
        history = made.train()
        assert history.best < history.points[0]["validation"]
        errors[label] = made.evaluate(PENDULUM).mean().item()
    quadratic = body_method.QuadraticControl(problem, "ridge", measure=MEASURE)
    errors["ridge"] = quadratic.evaluate(PENDULUM).mean().item()
    assert errors["ALPaCA"] < 0.5 * min(errors["network"], errors["ridge"])
    assert max(errors["memory"], errors["fine-tuned"]) < errors["network"]


def test_rows_share_the_trainings_of_equal_networks():
    for form in ("default", "full"):
        entries = {entry.name: entry for entry in SPECS["control"].entries[form]}
        one, other = entries["ALPaCA"], entries["ALPaCA, adapting online"]
        assert one.trainings.keys() == other.trainings.keys()
        plain, tuned = entries["network, not adapted"], entries["network, fine-tuned"]
        assert plain.trainings.keys() == tuned.trainings.keys()
        assert len(plain.trainings) == len(NAMES)
        assert not plain.trainings.keys() & one.trainings.keys()


def test_returns_are_shares_of_the_true_models():
    column = Experience("cart-pole")
    problem = problem_of("control", columns=(column,))
    true = body_method.TrueControl(problem, "true", measure=MEASURE)
    random = body_method.RandomControl(problem, "random", measure=MEASURE)
    assert true.evaluate(column).mean().item() == pytest.approx(1)
    assert random.evaluate(column).mean().item() == pytest.approx(0, abs=1e-6)
    returns = true.details()["returns"]["cart-pole"]
    assert 12 >= returns["return"] == returns["true model"] > returns["random actions"] > 0


@pytest.mark.parametrize("kind", [learners.ALPaCADynamics, learners.RecurrentDynamics])
def test_observed_transitions_are_added_to_the_experience(problem, kind):
    torch.manual_seed(0)
    train = problem.train_bodies["pendulum"].some(slice(3))
    dynamics = kind(train, NETWORK)
    states, actions = train.wide.states, train.wide.actions
    with torch.no_grad():
        known = dynamics.adapted(train.experience.first(9)).step(states, actions)
        model = dynamics.adapted(train.experience.first(6))
        before = model.step(states, actions)
        for step in range(6, 9):
            model.observe(*(part[:, step] for part in train.experience[:3]))
        torch.testing.assert_close(model.step(states, actions), known, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(before, known, atol=1e-4)


def test_quadratic_regression_fits_a_quadratic_system():
    torch.manual_seed(0)
    states, actions = torch.randn(2, 60, 2), torch.randn(2, 60, 1)
    factors = torch.tensor([1.0, -2.0]).reshape(2, 1, 1)
    change = factors * states[..., :1] * actions
    following = states + torch.cat([change, change + 1], -1)
    model = learners.DynamicsModel(2, 1)
    model.fit_moments(states, actions, following)
    support = Transitions(states, actions, following, states[..., 0])
    fitted = learners.QuadraticRegression(model, support, regularization=1e-4)
    torch.testing.assert_close(fitted.step(states, actions), following, atol=1e-2, rtol=1e-2)


def test_lives_have_an_experience_and_an_episode():
    problem = problem_of("control", columns=(Experience("cart-pole"),))
    tasks = problem.tasks("cart-pole", "validation", 6)
    torch.manual_seed(0)
    made = policy.BodyPolicy(tasks, hidden_size=8)
    states = tasks.bodies.start(torch.Generator().manual_seed(5))

    def lives(explore):
        generator = torch.Generator().manual_seed(1)
        return policy.live(made, tasks.bodies, 60, 80, generator, explore=explore, states=states)

    life = lives(explore=True)
    assert life.rewards.shape == (6, 140)
    assert life.ends[:, 59].all()  # the experience ends
    assert life.ends[:, :59].any(1).all()  # poles fell before, and stood up again
    assert (life.rewards[:, :60] > 0).float().mean() > 0.9
    start = made.model.inputs(states, life.actions[:, 59].clamp(-1, 1))
    torch.testing.assert_close(life.inputs[:, 60, :-1], start)
    episode, ends = life.rewards[:, 60:], life.ends[:, 60:]
    over = ends.int().cumsum(1) - ends.int()
    assert ends.sum(1).max() == 1
    assert (episode[over > 0] == 0).all()
    assert (over > 0).any()
    found, _, _ = made(life.inputs)
    torch.testing.assert_close(
        found.log_prob(life.actions).sum(-1), life.log_probs, atol=1e-4, rtol=1e-4
    )
    calm = lives(explore=False)
    assert torch.equal(calm.actions, lives(explore=False).actions)


def test_the_policy_learns_to_balance():
    """A few updates of a policy for carts whose motors all push the same way."""
    column = Experience("cart-pole")
    spec = dataclasses.replace(
        SPECS["control"], train_bodies=60, columns=(column,), seconds=0.2, reversed_motors=0.0
    )
    problem = BodyProblem(spec, seed=3, device=CPU, test_tasks=12)
    measure = planning.Measure(steps=60)
    training = dataclasses.replace(
        TRAINING, steps=80, tasks=24, lr=1e-2, clip=1.0, validate_every=80
    )
    made = policy.PolicyMethod(problem, "policy", measure=measure, training=training, hidden_size=8)
    history = made.train()
    before, after = (point["validation"] for point in history.points)
    assert after > 1.3 * before
    returns = made.episode_returns(column)
    assert returns.shape == (12,)
    assert returns.mean() > 1.3 * before
