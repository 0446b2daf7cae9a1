"""The tasks of an experiment: endless ones to train on, fixed ones to be judged on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from learn2learn.data import Taskset
from learn2learn.data.transforms import FusedNWaysKShots, LoadData, RemapLabels
from torch import Tensor, nn

from benchmarks.few_shot.spec import ClassificationSpec, Training
from l2l_rnn.data import SequenceDataset, TaskBatch, draw_tasks
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.tasksets import get_tasksets


def seed_everything(seed: int) -> None:
    """Seed every generator that a draw or a training step uses."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@dataclass(frozen=True)
class Episodes:
    """Tasks drawn once, the same for every method: the items of each, by index.

    Attributes:
        dataset: what the indices point into.
        index: support and query items, `support_x` `(N, B, 1)` and so on.
    """

    dataset: SequenceDataset
    index: TaskBatch

    def __len__(self) -> int:
        return len(self.index)

    def batches(self, tasks: int, device: torch.device) -> list[TaskBatch]:
        """The tasks as sequences and labels, `tasks` at a time."""
        sequences = self.dataset.sequences
        index = self.index
        return [
            TaskBatch(
                sequences[index.support_x[start : start + tasks, :, 0]].to(device),
                index.support_y[start : start + tasks].to(device),
                sequences[index.query_x[start : start + tasks, :, 0]].to(device),
                index.query_y[start : start + tasks].to(device),
            )
            for start in range(0, len(index), tasks)
        ]

    def texts(self, items: Tensor) -> list[str]:
        """The raw strings of one task's items, `(B, 1)`."""
        return [self.dataset.names[i] for i in items.flatten().tolist()]


class Problem:
    """A spec's task set, opened.

    Args:
        spec: the experiment.
        seed: fixes the test tasks and, with `seed_everything`, all else.
        device: where tensors go.
        test_tasks: how many meta-test tasks.
    """

    def __init__(
        self, spec: ClassificationSpec, seed: int, device: torch.device, test_tasks: int
    ) -> None:
        self.spec, self.seed, self.device, self.test_tasks = spec, seed, device, test_tasks
        tasksets = get_tasksets(spec.taskset, **spec.taskset_options)
        self.train, self.validation, self.test = (t.dataset.dataset for t in tasksets)
        self.memo: dict[Any, Any] = {}  # what several methods share, such as a pre-trained encoder
        self._tasksets: dict[tuple[int, int], Taskset] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of the table are called."""
        return tuple(f"{k} shot{'s' * (k != 1)}" for k in self.spec.shots)

    @property
    def chance(self) -> float:
        """The score of a guess."""
        return 1 / self.spec.ways

    def data(self) -> dict[str, Any]:
        """What a result says of the data."""
        return {
            split: {"classes": len(dataset.classes), "items": len(dataset)}
            for split, dataset in (
                ("train", self.train),
                ("validation", self.validation),
                ("test", self.test),
            )
        }

    def encoder(self, **options: Any) -> nn.Module:
        """Make an encoder of the items, with an `output_size`."""
        return SequenceEncoder(vocab_size=self.vocab_size, **options)

    @cached_property
    def vocab_size(self) -> int:
        """`V`, the token ids there are."""
        return len(self.train.vocabulary)

    def training_batch(self, training: Training, step: int) -> tuple[TaskBatch, TaskBatch]:
        """Draw the meta-batch of a training step.

        Returns:
            The tasks, and the same with each sequence's class among all meta-train classes in the
            place of its class in the task.
        """
        shots = training.shots[step % len(training.shots)]
        drawn = draw_tasks(
            self._training_items(training.ways, shots + training.queries), training.tasks, shots
        )
        support, query = drawn.support_x[..., 0], drawn.query_x[..., 0]
        xs, xq = (self.train.sequences[items].to(self.device) for items in (support, query))
        own = TaskBatch(xs, drawn.support_y.to(self.device), xq, drawn.query_y.to(self.device))
        ys, yq = (self.train.labels[items].to(self.device) for items in (support, query))
        return own, TaskBatch(xs, ys, xq, yq)

    def training_sample(self, each: int) -> Tensor:
        """Draw at most `each` items of every meta-train class: their indices, `(B,)`."""
        labels = self.train.labels
        shuffled = torch.randperm(len(labels))
        order = shuffled[labels[shuffled].argsort(stable=True)]  # by class, shuffled within
        counts = torch.bincount(labels)
        starts = counts.cumsum(0) - counts
        rank = torch.arange(len(labels)) - starts[labels[order]]
        return order[rank < each]

    def _training_items(self, ways: int, samples: int) -> Taskset:
        key = (ways, samples)
        if key not in self._tasksets:
            self._tasksets[key] = tasks_of_items(self.train, ways, samples)
        return self._tasksets[key]

    def episodes(self, split: str, shots: int, tasks: int) -> Episodes:
        """Draw tasks of a split, always the same ones for the same arguments and seed."""
        dataset: SequenceDataset = getattr(self, split)
        taskset = tasks_of_items(dataset, self.spec.ways, shots + self.spec.queries)
        state = random.getstate()
        random.seed(f"{self.seed} {split} {shots}")
        try:
            return Episodes(dataset, draw_tasks(taskset, tasks, shots))
        finally:
            random.setstate(state)


def tasks_of_items(dataset: SequenceDataset, ways: int, samples: int) -> Taskset:
    """A learn2learn Taskset whose sequences hold one step each: the item's index."""
    items = SequenceDataset(
        torch.arange(len(dataset)).unsqueeze(-1), dataset.labels, dataset.classes
    ).meta()
    return Taskset(
        items, [FusedNWaysKShots(items, n=ways, k=samples), LoadData(items), RemapLabels(items)]
    )
