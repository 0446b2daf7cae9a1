"""A bare meta-step, and the same step in a Trainer, in turn."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch

from l2l_rnn.algorithms import MAML, MemoryLearner
from l2l_rnn.data import TaskBatch, TaskLoader
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import MetaLearning, TaskData, adapted, make_trainer

WAYS, SHOTS, QUERIES = 5, 5, 5
WARMUP = 3


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of a meta-step: the learner, `N` tasks, `H` hidden units and inner steps."""

    learner: str
    tasks: int
    hidden: int
    steps: int


def make_tasksets() -> Any:
    """Return the task sets of `languages` for these sizes."""
    samples = SHOTS + QUERIES
    return get_tasksets("languages", train_samples=samples, test_samples=samples)


def make_learner(sizes: Sizes, vocab_size: int) -> torch.nn.Module:
    """Return a learner, always with the same parameters."""
    torch.manual_seed(0)
    if sizes.learner == "maml":
        return MAML(SequenceClassifier(WAYS, vocab_size=vocab_size, hidden_size=sizes.hidden), 0.1)
    encoder = SequenceEncoder(vocab_size=vocab_size, hidden_size=sizes.hidden)
    return MemoryLearner(MemoryModel(encoder, DeltaFastWeights(sizes.hidden, WAYS)))


def make_module(sizes: Sizes, vocab_size: int) -> MetaLearning:
    """Return the training of a learner."""
    return MetaLearning(make_learner(sizes, vocab_size), steps=sizes.steps)


def bare_step(sizes: Sizes, tasksets: Any) -> Callable[[], None]:
    """Return a meta-step written by hand."""
    learner = make_learner(sizes, tasksets.vocab_size)
    optimizer = torch.optim.Adam(learner.parameters(), lr=1e-3)
    loader = TaskLoader(tasksets.train, sizes.tasks, SHOTS, QUERIES, seed=0, prefetch=2)

    def step() -> None:
        batch = next(loader)
        clone = adapted(
            learner, batch.support_x, batch.support_y, tasks=sizes.tasks, steps=sizes.steps
        )
        outputs = clone(batch.query_x)
        loss = cross_entropy(outputs, batch.query_y).mean()
        accuracy(outputs.detach(), batch.query_y).mean().item()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        loss.item()

    return step


class InTurn(TaskData):
    """Task data that takes a bare step before each batch, and times both.

    The time of a step in the Trainer is that between one bare step and the next, so it includes
    everything that Lightning does around a batch.
    """

    def start(self, bare: Callable[[], None]) -> None:
        """Begin with empty lists of times."""
        self.bare = bare
        self.times: dict[str, list[tuple[float, float]]] = {"bare": [], "trainer": []}

    def train_dataloader(self) -> Any:
        return _InTurn(super().train_dataloader(), self)


class _InTurn:
    def __init__(self, stream: Any, data: InTurn) -> None:
        self.stream, self.data = stream, data

    def __len__(self) -> int:
        return len(self.stream)

    def __iter__(self) -> Iterator[TaskBatch]:
        batches = iter(self.stream)
        left = None
        for _ in range(len(self)):
            if left is not None:
                self.data.times["trainer"].append(_since(left))
            start = _now()
            self.data.bare()
            self.data.times["bare"].append(_since(start))
            left = _now()
            yield next(batches)


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.thread_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = _now()
    return wall - start[0], cpu - start[1]


def measure(sizes: Sizes, tasksets: Any, repeats: int) -> dict[str, Any]:
    """Measure the seconds of a bare step and of one in a Trainer, in turn."""
    count = repeats + WARMUP + 1
    data = InTurn(tasksets, sizes.tasks, SHOTS, QUERIES, batches_per_epoch=count)
    data.start(bare_step(sizes, tasksets))
    module = make_module(sizes, tasksets.vocab_size)
    quiet_trainer(max_steps=count, gradient_clip_val=1.0).fit(module, data)
    timed = {name: times[WARMUP : WARMUP + repeats] for name, times in data.times.items()}
    return {
        "work": dataclasses.asdict(sizes),
        "seconds": {name: [wall for wall, _ in times] for name, times in timed.items()},
        "cpu_seconds": {name: [cpu for _, cpu in times] for name, times in timed.items()},
    }


def quiet_trainer(**options: Any) -> pl.Trainer:
    """Return a Trainer without files, bars and validation."""
    return make_trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        **options,
    )
