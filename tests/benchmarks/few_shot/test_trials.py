"""The experiments `bandits` and `grid`: their scores, and a policy that learns to explore."""

import dataclasses

import pytest
import torch

from benchmarks.few_shot.columns import Episode, Pulls
from benchmarks.few_shot.methods.control import trials
from benchmarks.few_shot.problems.trial_problem import BanditProblem, GridProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.control import run_trial
from l2l_rnn.models import RecurrentPolicy

CPU = torch.device("cpu")
COLUMN = Pulls(2, 6)


@pytest.fixture
def problem():
    spec = dataclasses.replace(SPECS["bandits"], columns=(COLUMN,))
    return BanditProblem(spec, seed=0, device=CPU, test_tasks=600)


def test_the_policy_learns_to_explore(problem):
    """After 160 updates, it is above random pulls by most of what Gittins is."""
    torch.manual_seed(0)
    training = Training(
        steps=160, minutes=2, tasks=200, lr=1e-2, validate_every=40, validation_tasks=300
    )
    made = trials.TrialPolicy(
        problem,
        "policy",
        trainings={COLUMN.name: training},
        hidden_size=16,
        discount=0.97,
        trace=0.8,
    )
    history = made.train()
    assert history.best > history.points[0]["validation"]
    random, gittins = (
        trials.BanditMethod(problem, name, policy=name).evaluate(COLUMN).mean().item()
        for name in ("random", "gittins")
    )
    assert made.evaluate(COLUMN).mean().item() > random + 0.5 * (gittins - random)
    assert torch.equal(made.evaluate(COLUMN), made.evaluate(COLUMN))


def test_drawn_actions_have_the_probabilities_of_the_policy(problem):
    torch.manual_seed(0)
    policy = RecurrentPolicy(5, 2, hidden_size=8)
    generator = torch.Generator().manual_seed(1)
    tasks = problem.draw(COLUMN.name, 4000, generator)
    with torch.no_grad():
        acting = trials.Remembering(policy, generator)
        trial = run_trial(tasks, acting, generator=generator)
        found, _, _ = policy(trial.observations)
    torch.testing.assert_close(
        torch.stack(acting.log_probs, 1), found.log_prob(trial.actions), atol=1e-5, rtol=1e-4
    )
    share, chance = (trial.actions[:, 0] == 1).float().mean(), found.probs[0, 0, 1]
    assert share.item() == pytest.approx(chance.item(), abs=0.03)


def test_the_bonus_of_ucb1_is_tuned_on_validation_tasks(problem):
    made = trials.TunedUCB(problem, "tuned")
    tuned = made.evaluate(COLUMN).mean()
    assert made.details()["scales"][COLUMN.name] < 1
    assert tuned > trials.BanditMethod(problem, "UCB1", policy="ucb1").evaluate(COLUMN).mean()


def test_grids_are_scored_by_the_steps_of_each_episode():
    spec = dataclasses.replace(SPECS["grid"], size=4, columns=(Episode(1), Episode(2)))
    problem = GridProblem(spec, seed=0, device=CPU, test_tasks=300)
    goals = problem.tasks("grid", "test", 300).goals
    sweep = trials.Sweep(problem, "sweep")
    first, second = (sweep.evaluate(column) for column in spec.columns)
    assert first.mean().item() == pytest.approx(8, abs=0.6)  # the mean of 1 to 15
    assert torch.equal(second, (goals // 4 + goals % 4).float())
    walk = trials.RandomWalk(problem, "walk").evaluate(Episode(2))
    assert walk.max() == 15
    assert walk.mean() > first.mean() > second.mean()
