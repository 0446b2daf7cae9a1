"""Recommendation for unseen users: the first ratings of a user are the support set."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.columns import Column
from benchmarks.few_shot.problems.problem import Problem, generator_of, seed_of
from benchmarks.few_shot.spec import RecommendationSpec, Training
from l2l_rnn.data import SPLITS, TaskBatch, UserRatings, write_ratings
from l2l_rnn.tasksets import TasteWorld, get_tasksets

FILE_FORMAT = "ml-1m"


@dataclass(frozen=True)
class Windows:
    """Successive ratings of N users.

    Attributes:
        x: ids of the items.
        y: the ratings.
        mask: False at padding, which is at the end and repeats the first item.

    Shapes:
        x `(N, W, 1)` int64, y `(N, W, 1)`, mask `(N, W)` bool.
    """

    x: Tensor
    y: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def tasks(self, shots: int, queries: int) -> TaskBatch:
        """Return tasks with the first `shots` ratings as support, and those after as queries."""
        cut = slice(shots, shots + queries)
        parts = (self.x[:, :shots], self.y[:, :shots], self.x[:, cut], self.y[:, cut])
        return TaskBatch(*parts, query_mask=self.mask[:, cut])


class RecommendationTrainingTasks:
    """Endless batches of successive ratings of training users.

    Half of the windows begin with the user's first rating, and the others anywhere.

    Args:
        problem: the problem.
        users: users per batch, `N`.
        seed: random seed.
    """

    def __init__(self, problem: RecommendationProblem, users: int, seed: int) -> None:
        self.problem, self.users = problem, users
        self.generator = generator_of(seed, "users")

    def batch(self, step: int, progress: float) -> Windows:
        """Draw the batch of a training step."""
        counts = self.problem.train.grouping.counts
        users = torch.randint(len(counts), (self.users,), generator=self.generator)
        where, first = torch.rand(2, self.users, generator=self.generator)
        room = (counts[users] - self.problem.most - self.problem.spec.queries).clamp(min=0)
        starts = (where * (room + 1)).long().where(first < 0.5, 0)
        return self.problem.windows("train", users, starts)


class RecommendationProblem(Problem):
    """The task set `ratings`, with drawn users or from a file.

    Args:
        spec: the experiment.
        seed: random seed of training tasks. The users and their split have the seed of the task
            set.
        device: device of the tensors.
        test_tasks: most test users.
    """

    spec: RecommendationSpec

    def __init__(
        self, spec: RecommendationSpec, seed: int, device: torch.device, test_tasks: int
    ) -> None:
        super().__init__(spec, seed, device, test_tasks)
        if not spec.from_file:
            tasksets = get_tasksets("ratings", **spec.taskset_options)
        elif spec.root is None:
            tasksets = _drawn_file(spec.taskset_options)
        else:
            least = max(column.ratings for column in spec.columns) + 5
            tasksets = get_tasksets("ratings", file=Path(spec.root).absolute(), least=least)
        self.train, self.validation, self.test = (taskset.source for taskset in tasksets)
        for split in SPLITS:
            getattr(self, split).check_order("draw")

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.spec.columns

    @cached_property
    def shots(self) -> tuple[int, ...]:
        """The numbers of ratings in support sets, ascending."""
        return tuple(sorted({column.ratings for column in self.spec.columns}))

    @property
    def most(self) -> int:
        """The most ratings in a support set."""
        return self.shots[-1]

    def description(self) -> dict[str, Any]:
        found = {}
        for split in SPLITS:
            source: UserRatings = getattr(self, split)
            found[split] = {
                "users": len(source.group_names),
                "ratings": len(source),
                "unknown": source.unknown,
            }
        given = self.spec.from_file and self.spec.root is not None
        origin = "the user's file" if given else "drawn users"
        if self.spec.from_file and not given:
            origin += f", written in the format {FILE_FORMAT} and read again"
        return {**found, "items": len(self.train.vocabulary.names), "origin": origin}

    def windows(self, split: str, users: Tensor, starts: Tensor) -> Windows:
        """Return successive ratings of users of a split, from the start of each."""
        source: UserRatings = getattr(self, split)
        steps = torch.arange(self.most + self.spec.queries)
        mask = (starts.unsqueeze(-1) + steps) < source.grouping.counts[users].unsqueeze(-1)
        first = source.grouping.starts[users] + starts
        rows = first.unsqueeze(-1) + steps.where(mask, 0)
        x, y = source.inputs[rows], source.targets[rows]
        return Windows(*(part.to(self.device) for part in (x, y, mask)))

    def training_tasks(self, training: Training, seed: int) -> RecommendationTrainingTasks:
        """Start a stream of training tasks."""
        return RecommendationTrainingTasks(self, training.tasks, seed)

    def evaluation_tasks(self, split: str, users: int) -> Windows:
        """Return the first ratings of users of a split, each once, the same in every call.

        If the split has fewer users, all of them are returned.
        """
        source: UserRatings = getattr(self, split)
        order = torch.randperm(
            len(source.group_names), generator=Generator().manual_seed(seed_of(0, split))
        )
        chosen = order[:users]
        return self.windows(split, chosen, torch.zeros_like(chosen))


def _drawn_file(options: dict[str, Any]) -> Any:
    """Draw users, write their ratings to a compressed file, and read that."""
    drawn = dict(options)
    counts = [drawn.pop(name) for name in ("users", "fewest", "most")]
    split = {name: drawn.pop(name) for name in ("fractions", "least")}
    world = TasteWorld(**drawn)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.dat.gz"
        write_ratings(path, world.draw(*counts, seed=world.seed), format=FILE_FORMAT)
        return get_tasksets("ratings", file=path, **split)
