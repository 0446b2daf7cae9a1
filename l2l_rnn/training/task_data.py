"""Task batches for a Lightning Trainer, with a position that checkpoints hold."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from learn2learn.data import Taskset
from torch.utils.data import Dataset

from l2l_rnn.checks import check_int
from l2l_rnn.data import TaskBatch, TaskLoader
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.optional import require
from l2l_rnn.training.checkpoints.settings import check_settings
from l2l_rnn.training.distributed import share
from l2l_rnn.training.learning.problems import Problems
from l2l_rnn.training.learning.streams import EvaluationBatches, TrainingStream
from l2l_rnn.training.learning.task_sizes import check_task_sizes

_SPLITS = ("train", "validation", "test")

lightning: Any = require("pytorch_lightning", extra="training", purpose="l2l_rnn.training.TaskData")


class TaskData(lightning.LightningDataModule):
    """Task batches for a Lightning Trainer.

    Training tasks are one endless stream, which `seed` determines. A checkpoint holds the position
    after the last batch that was trained on, and a resumed training continues there: in the middle
    of an epoch, with batches drawn in advance, and with another number of processes. Validation and
    test tasks are the same every time.

    Under several processes, all follow one stream, and each takes its share of every batch.

    Args:
        tasksets: the task sets, or datasets as `TaskLoader` takes them, for training, validation
            and test: what `get_tasksets` returns, a sequence of up to three, or a single one for
            training. None stands for a missing one.
        tasks: `N`, tasks per batch, over all processes.
        shots: support examples per class, or per task if there are no classes.
        queries: query examples per class, or per task if there are no classes; None uses all
            samples that remain in a task set, and is an error for a dataset.
        ways: classes per task of a dataset; None uses all of them. A task set has its own.
        test_shots, test_queries: the same for validation and test tasks; None uses those of
            training.
        batches_per_epoch: batches after which Lightning counts an epoch. Validation runs after each
            epoch, if the Trainer's options do not say otherwise.
        validation_tasks: number of validation tasks.
        test_tasks: number of test tasks.
        seed: random seed of the training tasks.
        evaluation_seed: random seed of the validation and test tasks. It is separate from `seed`,
            so that trainings with different seeds are compared on the same tasks.
        prefetch: batches that a background thread draws in advance, as in `TaskLoader`.

    Raises:
        ArgumentTypeError: `tasksets` are not what `TaskLoader` takes.
        ArgumentError: settings are invalid; the message names all of them.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> data = TaskData(get_tasksets("languages", train_samples=10), tasks=4, shots=5)
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch.support_x.shape, batch.query_x.shape
        (torch.Size([4, 25, 32]), torch.Size([4, 25, 32]))
        >>> sum(len(batch) for batch in data.val_dataloader())
        100
    """

    def __init__(
        self,
        tasksets: Any,
        tasks: int = 16,
        shots: int = 5,
        queries: int | None = None,
        *,
        ways: int | None = None,
        test_shots: int | None = None,
        test_queries: int | None = None,
        batches_per_epoch: int = 100,
        validation_tasks: int = 100,
        test_tasks: int = 600,
        seed: int = 0,
        evaluation_seed: int = 0,
        prefetch: int = 2,
    ) -> None:
        super().__init__()
        self.tasksets = _by_split(tasksets)
        self.tasks, self.shots, self.queries, self.ways = tasks, shots, queries, ways
        self.test_shots = shots if test_shots is None else test_shots
        self.test_queries = queries if test_queries is None else test_queries
        self.batches_per_epoch, self.seed, self.prefetch = batches_per_epoch, seed, prefetch
        self.evaluation_tasks = {"validation": validation_tasks, "test": test_tasks}
        self.evaluation_seed = evaluation_seed
        problems = Problems("TaskData")
        given = {
            "tasks": tasks,
            "shots": shots,
            "queries": queries,
            "ways": ways,
            "test_shots": test_shots,
            "test_queries": test_queries,
            "batches_per_epoch": batches_per_epoch,
            "validation_tasks": validation_tasks,
            "test_tasks": test_tasks,
            "seed": seed,
            "evaluation_seed": evaluation_seed,
            "prefetch": prefetch,
        }
        check_task_sizes(problems, given, list(self.tasksets.values()))
        for split in _SPLITS:
            if self.tasksets[split] is not None and not problems.found:
                with problems.collected():
                    self._loader(split, tasks=tasks)
        problems.report()
        self._stream: TrainingStream | None = None
        self._restored: dict[str, Any] | None = None

    def settings(self) -> dict[str, Any]:
        """Return the settings that determine the tasks, as JSON."""
        return {
            "tasks": self.tasks,
            "shots": self.shots,
            "queries": self.queries,
            "ways": self.ways,
            "test_shots": self.test_shots,
            "test_queries": self.test_queries,
            "batches_per_epoch": self.batches_per_epoch,
            "validation_tasks": self.evaluation_tasks["validation"],
            "test_tasks": self.evaluation_tasks["test"],
            "seed": self.seed,
            "evaluation_seed": self.evaluation_seed,
            "tasksets": {split: _described(given) for split, given in self.tasksets.items()},
        }

    @property
    def position(self) -> int:
        """Number of batches that were trained on; those drawn in advance do not count."""
        if self._stream is None:
            return int(self._restored["position"]) if self._restored else 0
        return self._stream.position()[0]

    def batch(self, number: int) -> TaskBatch:
        """Draw training batch `number` again, counted from 0, with the tasks of all processes.

        The error about a task with NaN names the batch.

        Raises:
            ArgumentError: `number` is negative.
        """
        number = check_int("TaskData.batch", "number", number, least=0)
        loader = self._loader("train", tasks=self.tasks)
        for _ in range(number):
            next(loader)
        return next(loader)

    def task_name(self, task: int) -> str:
        """Name a task of the batch that is being trained on, for messages."""
        rank, world_size = self._place()
        start, _ = share(self.tasks, rank, world_size)
        number = self._stream.number if self._stream is not None else 0
        return (
            f"task {task + start} of training batch {number} (seed {self.seed}; "
            f"TaskData.batch({number}) draws it again)"
        )

    def train_dataloader(self) -> TrainingStream:
        """Return the stream of training batches."""
        if self.tasksets["train"] is None:
            raise ArgumentError("TaskData: tasksets must have one for training, got None; pass one")
        rank, world_size = self._place()
        if self._stream is None or self._stream.place != (rank, world_size):
            held = self._restored if self._stream is None else self._stream.state_dict()
            loader = self._loader("train", self.tasks, self.prefetch, rank, world_size)
            self._stream = TrainingStream(loader, self.batches_per_epoch)
        else:
            held = None if self._stream.trainer is self.trainer else self._stream.state_dict()
        if held is not None:
            self._stream.load_state_dict(held)
        self._restored, self._stream.trainer = None, self.trainer
        return self._stream

    def val_dataloader(self) -> Any:
        """Return the validation batches; an empty list if there is no validation task set."""
        return self._evaluation("validation")

    def test_dataloader(self) -> Any:
        """Return the test batches.

        Raises:
            ArgumentError: there is no test task set.
        """
        found = self._evaluation("test")
        if not isinstance(found, EvaluationBatches):
            raise ArgumentError("TaskData: tasksets must have one for test, got none; pass three")
        return found

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move a batch to the device of its process; Lightning calls it."""
        if self._stream is not None and self.trainer is not None and self.trainer.training:
            self._stream.begin()
        if isinstance(batch, TaskBatch):
            return batch.to(device, non_blocking=device.type == "cuda")
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the stream of training tasks; Lightning saves it."""
        if self._stream is None:
            return {"settings": self.settings(), **(self._restored or {})}
        return {"settings": self.settings(), **self._stream.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where `state_dict` was called.

        Raises:
            ArgumentTypeError: the state is not one of a TaskData.
            ArgumentError: settings that determine the tasks differ, and no `MetaLearning` compares
                them.
        """
        if not isinstance(state_dict, dict) or "settings" not in state_dict:
            raise ArgumentTypeError(
                "TaskData: state_dict must be the state of a TaskData, got something else; pass "
                "the return value of state_dict()"
            )
        module = None if self.trainer is None else self.trainer.lightning_module
        if not hasattr(module, "settings"):  # MetaLearning compares these settings with its own
            check_settings(state_dict["settings"], self.settings(), "TaskData")
        state = {name: value for name, value in state_dict.items() if name != "settings"}
        if self._stream is None:
            self._restored = state or None
        elif state:
            self._stream.load_state_dict(state)

    def _evaluation(self, split: str) -> Any:
        if self.tasksets[split] is None:
            return []
        rank, world_size = self._place()
        tasks = self.evaluation_tasks[split]
        return EvaluationBatches(
            functools.partial(self._loader, split), split, tasks, self.tasks, (rank, world_size)
        )

    def _place(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _loader(
        self, split: str, tasks: int, prefetch: int = 0, rank: int = 0, world_size: int = 1
    ) -> TaskLoader:
        training = split == "train"
        device = None if self.trainer is None else self.trainer.strategy.root_device
        return TaskLoader(
            self.tasksets[split],
            tasks,
            self.shots if training else self.test_shots,
            self.queries if training else self.test_queries,
            ways=self.ways,
            seed=self.seed if training else self.evaluation_seed,
            pin_memory=True if device is not None and device.type == "cuda" else None,
            prefetch=prefetch,
            rank=rank,
            world_size=world_size,
        )


def _by_split(tasksets: Any) -> dict[str, Any]:
    """Return the task sets by the names of their splits."""
    named = [getattr(tasksets, split, None) for split in _SPLITS]
    if not isinstance(tasksets, Taskset | Dataset) and any(one is not None for one in named):
        given: Sequence[Any] = named
    elif isinstance(tasksets, tuple | list) and not _are_pairs(tasksets):
        given = tasksets
    else:
        given = [tasksets]
    if not 1 <= len(given) <= len(_SPLITS):
        raise ArgumentTypeError(
            f"TaskData: tasksets must be one to three task sets, got {len(given)}; pass those for "
            "training, validation and test, in this order"
        )
    return dict(zip(_SPLITS, [*given, None, None], strict=False))


def _are_pairs(given: Sequence[Any]) -> bool:
    """Return whether a list holds pairs (x, y), which are one dataset."""
    return bool(given) and all(isinstance(one, tuple | list) and len(one) == 2 for one in given)


def _described(taskset: Any) -> str | None:
    """Describe a task set, to notice another one."""
    if taskset is None:
        return None
    items = len(taskset.dataset) if hasattr(taskset, "dataset") else len(taskset)
    sizes = [
        f"{name}={getattr(taskset, name)}"
        for name in ("ways", "samples", "num_tasks")
        if hasattr(taskset, name)
    ]
    source = getattr(taskset, "source", taskset)
    return f"{type(source).__name__} of {items} items" + "".join(f", {one}" for one in sizes)
