"""Streams of task batches for a Lightning Trainer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.checks import check_int
from l2l_rnn.data import TaskBatch, TaskLoader
from l2l_rnn.errors import DataError
from l2l_rnn.training.distributed import share


class TrainingStream:
    """The stream of training batches; one loop over it is an epoch.

    Args:
        loader: an endless loader.
        batches: batches per loop.
    """

    def __init__(self, loader: TaskLoader, batches: int) -> None:
        self.loader, self.batches = loader, batches
        self.place = loader.rank, loader.world_size
        self.trainer: Any = None
        self.number = 0  # of the batch that is being trained on, or was last
        self._drawn = 0  # batches that were drawn
        self._ahead: deque[tuple[int, dict[str, Any]]] = deque()  # positions before those not begun
        self._begun: tuple[int, dict[str, Any], int] | None = None

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[TaskBatch]:
        if self._ahead:  # drawn by an earlier loop, but never trained on
            self._rewind(*self._ahead[0])
        return self._loop()

    def _loop(self) -> Iterator[TaskBatch]:
        for _ in range(self.batches):
            before = (self._drawn, self.loader.state_dict())
            with outside_inference_mode():
                drawn = next(self.loader)
            self._drawn += 1
            if self._fitting():
                self._ahead.append(before)
            yield _for_trainer(drawn)

    def begin(self) -> None:
        """Note that the next drawn batch is about to be trained on."""
        if self._ahead:
            self._begun = *self._ahead.popleft(), self._trained()
            self.number = self._begun[0]

    def position(self) -> tuple[int, dict[str, Any]]:
        """Return the number of batches that were trained on, and the loader's state after them."""
        if self._begun is not None and self._trained() == self._begun[2]:
            return self._begun[0], self._begun[1]  # not finished
        return self._ahead[0] if self._ahead else (self._drawn, self.loader.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return the position after the last batch that was trained on."""
        position, loader = self.position()
        return {"position": position, "loader": loader}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called.

        Raises:
            ArgumentTypeError, ArgumentError: as `TaskLoader.load_state_dict`.
        """
        self._rewind(check_int("TaskData", "position", state["position"], least=0), state["loader"])

    def _rewind(self, position: int, state: dict[str, Any]) -> None:
        self.loader.load_state_dict(state)
        self._ahead.clear()
        self._begun, self._drawn, self.number = None, position, position

    def _fitting(self) -> bool:
        return self.trainer is not None and self.trainer.state.fn == "fit"

    def _trained(self) -> int:
        """Return the number of batches that Lightning has trained on."""
        if self.trainer is None:
            return -1
        return int(self.trainer.fit_loop.epoch_loop.batch_progress.total.processed)


class EvaluationBatches:
    """The same tasks in every loop.

    Args:
        loader: returns a new loader of batches of a given number of tasks.
        split: `"validation"` or `"test"`, for messages.
        tasks: tasks in all batches together.
        most: largest number of tasks in a batch.
        place: rank of this process and number of processes; each takes its share of every batch.

    Raises:
        DataError: there are fewer tasks in a batch than processes.
    """

    def __init__(
        self,
        loader: Callable[[int], TaskLoader],
        split: str,
        tasks: int,
        most: int,
        place: tuple[int, int],
    ) -> None:
        self.loader, self.place = loader, place
        count, world_size = -(-tasks // most), place[1]
        self.sizes = [
            stop - start for start, stop in (share(tasks, n, count) for n in range(count))
        ]
        if min(self.sizes) < world_size:
            raise DataError(
                f"TaskData: {split}_tasks={tasks} must give each of {world_size} processes a task "
                f"of every batch, got batches of {min(self.sizes)}; raise tasks or {split}_tasks"
            )

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[TaskBatch]:
        loader = self.loader(max(self.sizes))
        for size in self.sizes:
            with outside_inference_mode():
                part = next(loader).slice(*share(size, *self.place))
            yield _for_trainer(part)


class _TrainerBatch(TaskBatch):
    """A batch that Lightning can convert to another precision, by assigning to its fields."""

    __setattr__ = object.__setattr__


def _for_trainer(batch: TaskBatch) -> TaskBatch:
    made = object.__new__(_TrainerBatch)
    vars(made).update(vars(batch))
    return made
