"""Problems in which a policy explores an unknown task: bandits, and grids with a hidden goal."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.columns import Column, Episode, Pulls
from benchmarks.few_shot.problems.problem import Problem, generator_of
from benchmarks.few_shot.spec import Spec
from l2l_rnn.control import BernoulliBandit, Environment, GridWorld, Trial


@dataclass(frozen=True)
class TrialSpec(Spec):
    """Trials in drawn tasks; a task is drawn for each trial.

    Attributes:
        columns: the columns of the table.
    """

    columns: tuple[Any, ...]


@dataclass(frozen=True)
class GridSpec(TrialSpec):
    """Trials in grids.

    Attributes:
        size: cells per side.
    """

    size: int


class TrialProblem(Problem):
    """The tasks of a spec. Columns with the same kind of tasks have the same policy."""

    spec: TrialSpec

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.spec.columns

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of tasks."""
        return tuple(dict.fromkeys(map(self.kind, self.columns)))

    def generator(self, *parts: object) -> Generator:
        """Return a seeded random number generator."""
        return generator_of(self.seed, *parts)

    def tasks(self, kind: str, split: str, count: int) -> Environment:
        """Return the tasks of a split, the same in every call."""
        return self.draw(kind, count, self.generator(kind, split))

    @abstractmethod
    def kind(self, column: Any) -> str:
        """Return the kind of the tasks of a column."""

    @abstractmethod
    def draw(self, kind: str, count: int, generator: Generator) -> Environment:
        """Draw tasks of a kind."""

    @abstractmethod
    def scores(self, column: Any, environment: Any, trial: Trial) -> Tensor:
        """Compute the score of each trial in a column, `(N,)`."""


class BanditProblem(TrialProblem):
    """Bernoulli bandits whose success probabilities are uniform in [0, 1]."""

    def description(self) -> dict[str, Any]:
        return {"prior of the success probabilities": [1, 1]}

    def kind(self, column: Pulls) -> str:
        return column.name

    def draw(self, kind: str, count: int, generator: Generator) -> BernoulliBandit:
        column = next(column for column in self.columns if column.name == kind)
        bandit = BernoulliBandit.draw(
            count, arms=column.arms, pulls=column.pulls, generator=generator
        )
        return BernoulliBandit(bandit.probabilities.to(self.device), column.pulls)

    def scores(self, column: Pulls, environment: BernoulliBandit, trial: Trial) -> Tensor:
        """Compute the mean success probability of the pulled arms."""
        return environment.expected_rewards(trial.actions).mean(-1)


class GridProblem(TrialProblem):
    """Grids with a goal in an unknown cell, which is the same in all episodes of a trial."""

    spec: GridSpec

    def description(self) -> dict[str, Any]:
        return {"size": self.spec.size, "episodes": self.episodes}

    @property
    def episodes(self) -> int:
        """Episodes of a trial."""
        return max(column.episode for column in self.spec.columns)

    def kind(self, column: Episode) -> str:
        return "grid"

    def draw(self, kind: str, count: int, generator: Generator) -> GridWorld:
        options = {"size": self.spec.size, "episodes": self.episodes}
        grid = GridWorld.draw(count, **options, generator=generator)
        return GridWorld(grid.goals.to(self.device), **options)

    def scores(self, column: Episode, environment: GridWorld, trial: Trial) -> Tensor:
        """Compute the steps of an episode; the most, if the goal was not reached."""
        ended = trial.ends.int().cumsum(-1) - trial.ends.int()
        return (trial.going & (ended == column.episode - 1)).sum(-1).to(torch.float32)
