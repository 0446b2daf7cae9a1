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
from torch import Tensor

from benchmarks.spec import Spec, Training
from l2l_rnn.data import SequenceDataset, TaskBatch, draw_tasks
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

    def __init__(self, spec: Spec, seed: int, device: torch.device, test_tasks: int) -> None:
        self.spec, self.seed, self.device, self.test_tasks = spec, seed, device, test_tasks
        tasksets = get_tasksets(spec.taskset, **spec.taskset_options)
        self.train, self.validation, self.test = (t.dataset.dataset for t in tasksets)
        self.memo: dict[Any, Any] = {}  # what several methods share, such as a pre-trained encoder
        self._tasksets: dict[tuple[int, int], Taskset] = {}

    @cached_property
    def vocab_size(self) -> int:
        """`V`, the token ids there are."""
        return len(self.train.vocabulary)

    def training_batch(self, training: Training, step: int) -> TaskBatch:
        """Draw the meta-batch of a training step."""
        shots = training.shots[step % len(training.shots)]
        tasksets = self._training_tasksets(training.ways, shots + training.queries)
        batch = draw_tasks(tasksets, training.tasks, shots)
        return TaskBatch(
            batch.support_x.to(self.device),
            batch.support_y.to(self.device),
            batch.query_x.to(self.device),
            batch.query_y.to(self.device),
        )

    def training_sample(self, each: int) -> Tensor:
        """Draw at most `each` items of every meta-train class: their indices, `(B,)`."""
        labels = self.train.labels
        shuffled = torch.randperm(len(labels))
        order = shuffled[labels[shuffled].argsort(stable=True)]  # by class, shuffled within
        counts = torch.bincount(labels)
        starts = counts.cumsum(0) - counts
        rank = torch.arange(len(labels)) - starts[labels[order]]
        return order[rank < each]

    def _training_tasksets(self, ways: int, samples: int) -> Taskset:
        key = (ways, samples)
        if key not in self._tasksets:
            self._tasksets[key] = get_tasksets(
                self.spec.taskset,
                train_ways=ways,
                train_samples=samples,
                **self.spec.taskset_options,
            ).train
        return self._tasksets[key]

    def episodes(self, split: str, shots: int, tasks: int) -> Episodes:
        """Draw tasks of a split, always the same ones for the same arguments and seed."""
        dataset: SequenceDataset = getattr(self, split)
        # learn2learn draws the items; an item's only step is its own index.
        indices = SequenceDataset(
            torch.arange(len(dataset)).unsqueeze(-1), dataset.labels, dataset.classes
        ).meta()
        state = random.getstate()
        random.seed(f"{self.seed} {split} {shots}")
        try:
            taskset = Taskset(
                indices,
                [
                    FusedNWaysKShots(indices, n=self.spec.ways, k=shots + self.spec.queries),
                    LoadData(indices),
                    RemapLabels(indices),
                ],
            )
            return Episodes(dataset, draw_tasks(taskset, tasks, shots))
        finally:
            random.setstate(state)
