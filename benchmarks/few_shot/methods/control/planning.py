"""Measures of a model of bodies: the return of planning with it, and its prediction error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Experience
from benchmarks.few_shot.problems.body_problem import BodyProblem, BodyTasks
from l2l_rnn.control import Body, CrossEntropyPlanner, RandomActions, Transitions, run_episode

PLANNERS: dict[str, dict[str, Any]] = {  # tuned with the physics of other drawn bodies
    "pendulum": {"horizon": 20, "correlation": 0.9, "std": 0.6, "iterations": 2},
    "cart-pole": {"horizon": 12, "correlation": 0.8, "std": 0.6, "iterations": 2},
    "arm": {"horizon": 10, "correlation": 0.8, "std": 0.4, "iterations": 3},
}
WORST = 10.0  # errors of a prediction are at most this, so that no body dominates the mean


@dataclass(frozen=True)
class Measure:
    """How adapted models are measured.

    Attributes:
        horizon: steps of predicted rollouts.
        rollouts: number of predicted rollouts per body.
        candidates: candidate plans; the planner's other options are in `PLANNERS`.
        iterations, most_horizon: most iterations and longest horizon of the planner.
        steps: steps of an episode; None is the body's number.
    """

    horizon: int = 10
    rollouts: int = 50
    candidates: int = 40
    iterations: int = 3
    steps: int | None = None
    most_horizon: int = 100


class Adapted(Protocol):
    """A model that is adapted to the bodies of N tasks."""

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        """Predict next states from states `(N, B, D)` and actions `(N, B, A)`."""

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        """Take notice of a transition of each body, `(N, D)` and `(N, A)`, in an episode."""


def returns(
    problem: BodyProblem, column: Experience, measure: Measure, model: Adapted | None
) -> Tensor:
    """Compute the return of an episode of each test body, `(N,)`.

    Args:
        problem: the problem.
        column: the kind of bodies.
        measure: options of the planner.
        model: the model to plan with; None for random actions.
    """
    bodies = problem.tasks(column.body, "test", problem.test_tasks).bodies
    generator = problem.generator("episode", column.body)
    states = bodies.start(generator)
    if model is None:
        policy = RandomActions(bodies.action_size, hold=problem.spec.hold, generator=generator)
        return run_episode(bodies, policy, states=states, steps=measure.steps).rewards.sum(-1)
    options = dict(PLANNERS[column.body])
    for name, most in {"horizon": measure.most_horizon, "iterations": measure.iterations}.items():
        options[name] = min(options[name], most)
    planner = CrossEntropyPlanner(
        bodies.reward,
        bodies.action_size,
        alive=bodies.alive,
        candidates=measure.candidates,
        elites=min(5, measure.candidates - 1),
        generator=generator,
        **options,
    )
    found = run_episode(
        bodies,
        lambda now: planner.plan(now, model.step),
        observe=model.observe,
        states=states,
        steps=measure.steps,
    )
    return found.rewards.sum(-1)


def limits(problem: BodyProblem, column: Experience, measure: Measure) -> tuple[float, float]:
    """Return the mean return of random actions, and that of planning with the true model."""
    key = ("limits", column.name, measure)
    if key not in problem.memo:
        bodies = problem.tasks(column.body, "test", problem.test_tasks).bodies
        problem.memo[key] = (
            returns(problem, column, measure, None),
            returns(problem, column, measure, TrueModel(bodies)),
        )
    random, true = problem.memo[key]
    return random.mean().item(), true.mean().item()


def share(values: Tensor, least: float, most: float) -> Tensor:
    """Return returns as shares of the true model's, where random actions have 0."""
    return (values - least) / (most - least) if most > least else torch.zeros_like(values)


class TrueModel:
    """The physics of the bodies themselves."""

    def __init__(self, bodies: Body) -> None:
        self.bodies = bodies

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        return self.bodies.step(states, actions)

    def observe(self, states: Tensor, actions: Tensor, following: Tensor) -> None:
        pass


@torch.no_grad()
def rollout_errors(
    problem: BodyProblem, tasks: BodyTasks, measure: Measure, model: Callable[..., Tensor]
) -> Tensor:
    """Compute the error of predicted rollouts of each body, `(N,)`.

    Rollouts begin anywhere and have random actions. The error of a state is the squared error of
    its variables, each divided by the variance of its change since the start over all bodies and
    rollouts: predicting no change has an error of about 1. It is averaged over the steps.

    Args:
        problem: the problem.
        tasks: the bodies.
        measure: length and number of rollouts.
        model: predicts next states.
    """
    generator = problem.generator("rollouts", type(tasks.bodies).__name__)
    bodies = tasks.bodies
    start = bodies.anywhere(measure.rollouts, generator)
    policy = RandomActions(bodies.action_size, hold=problem.spec.hold, generator=generator)
    true, predicted = start, start
    total: Tensor | float = 0.0
    for _ in range(measure.horizon):
        actions = policy(start)
        true, predicted = bodies.step(true, actions), model(predicted, actions)
        scale = (true - start).flatten(0, -2).var(0)
        errors = ((predicted - true).square() / scale).mean(-1)
        total = total + errors.nan_to_num(WORST, posinf=WORST).clamp_max(WORST)
    return torch.as_tensor(total).mean(-1) / measure.horizon


def one_step_error(model: Callable[..., Tensor], wide: Transitions, scale: Tensor) -> Tensor:
    """Compute the squared error of predicted changes in units of their scale, `(N,)`."""
    errors = (model(wide.states, wide.actions) - wide.following) / scale
    return errors.square().mean((-1, -2))
