"""Batches of tasks without end: seeded, resumable, ahead of time, and shared among processes."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
from learn2learn.data import Taskset
from torch import Generator

from l2l_rnn.data.loading.prefetch import Prefetcher
from l2l_rnn.data.loading.streams import AtOnce, Drawn, OneByOne, stream
from l2l_rnn.data.task_batch import TaskBatch, check_halves
from l2l_rnn.data.task_source import SourceTaskset
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError


class TaskLoader(Iterator[TaskBatch]):
    """Yields batches of N tasks each, for a learner made by `clone(tasks=N)`.

    A task set of this package that draws new tasks for ever is drawn N tasks at once. Any other
    learn2learn `Taskset`, and one of this package with a fixed number of tasks, with transforms
    that were changed, or over a dataset with a `transform` (which may draw noise), is drawn task by
    task, as `Taskset.sample` does: the distribution is the same, the time is not. `seed` fixes the
    tasks either way, and Python's, numpy's and torch's own generators stay as they were.

    The loader is its own iterator: `next(loader)` gives the next batch, and a loop that was left
    early goes on where it was left. With `batches` given a loop ends after so many, and the next
    loop goes on to new tasks.

    Args:
        taskset: what tasks are drawn from.
        tasks: `N`, of all processes together.
        shots: support examples of each class, or of a task without classes.
        queries: query examples, counted likewise; None takes all that the task set's samples leave.
        batches: how many batches a loop yields; None never ends.
        seed: fixes the tasks; None draws a seed from torch's generator, which `torch.manual_seed`
            fixes.
        device: where the batches go; None leaves them where the task set has them.
        pin_memory: whether batches pass through page-locked memory, so that the copy to CUDA waits
            for nothing; None does so where `device` is a CUDA device.
        prefetch: how many batches a thread draws ahead; 0 draws when asked. Drawing task by task
            uses Python's own generator, which the caller's thread uses too: such batches are drawn
            when asked, whatever is given here.
        rank: which of the processes this is.
        world_size: how many processes share the tasks. All draw one common stream and each takes
            its own part of every batch, tasks `rank * N // world_size` up to
            `(rank + 1) * N // world_size`: put together in order of rank they are the batch of one
            process. Where `world_size` does not divide N the parts differ by one task; then add
            up sums over tasks, not means.

    Attributes:
        taskset, tasks, shots, queries, batches, seed, device, rank, world_size: as given; `seed`
            as drawn where it was None.
        at_once: whether N tasks are drawn at once.

    Shapes:
        as `TaskBatch`, N the tasks of this process.

    Raises:
        ArgumentTypeError: `taskset` is not a learn2learn Taskset.
        ArgumentError: a count, `seed`, `rank` or `device` cannot be used, `world_size` exceeds
            `tasks` or comes without a seed, or `pin_memory` is asked for without CUDA.
        DataError: the task set has too few samples for shots and queries; or its tasks, drawn one
            by one, keep their halves apart, and `shots` is not half of the samples.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> train = get_tasksets("languages", train_ways=5, train_samples=15).train
        >>> loader = TaskLoader(train, tasks=16, shots=5, seed=0)
        >>> batch = next(loader)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([16, 25, 32]), torch.Size([16, 50]))
        >>> here = loader.state_dict()
        >>> batch = next(loader)
        >>> loader.load_state_dict(here)
        >>> torch.equal(next(loader).support_x, batch.support_x)
        True
    """

    def __init__(
        self,
        taskset: Taskset,
        tasks: int,
        shots: int,
        queries: int | None = None,
        *,
        batches: int | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        pin_memory: bool | None = None,
        prefetch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if not isinstance(taskset, Taskset):
            raise ArgumentTypeError(
                f"TaskLoader: taskset must be a learn2learn Taskset, got "
                f"{type(taskset).__name__}; pass one of get_tasksets(...), such as .train"
            )
        self.taskset = taskset
        self.tasks, self.shots = _count("tasks", tasks), _count("shots", shots)
        self.queries = _queries(taskset, self.shots, queries)
        self.batches = None if batches is None else _count("batches", batches)
        self.world_size = _count("world_size", world_size)
        self.rank = _rank(rank, self.world_size, self.tasks)
        self.seed = _seed(seed, self.world_size)
        self.device = None if device is None else _device(device)
        self.at_once = _at_once(taskset)
        if not self.at_once:
            check_halves("TaskLoader", taskset, self.shots)
        start, stop = (r * self.tasks // self.world_size for r in (self.rank, self.rank + 1))
        kind = AtOnce if self.at_once else OneByOne
        self._draw = kind(taskset, self.tasks, self.shots, self.queries, (start, stop), self.seed)
        self._pin = _pin(pin_memory, self.device)
        self._ahead = _count("prefetch", prefetch, least=0)
        self._state = Generator().manual_seed(self.seed).get_state()
        self._given = 0  # batches of the present loop
        self._stream: Iterator[Drawn] | None = None

    def __iter__(self) -> TaskLoader:
        if self._given == self.batches:
            self._given = 0
        return self

    def __next__(self) -> TaskBatch:
        if self._given == self.batches:
            raise StopIteration
        if self._stream is None:
            self._stream = stream(self._draw, self._state, self._pin)
            if self._ahead and self.at_once:
                self._stream = Prefetcher(self._stream, self._ahead)
        try:
            batch, state = next(self._stream)
            if self.device is not None:
                batch = batch.to(self.device, non_blocking=True)
        except BaseException:
            self._close()  # the next call draws this batch again
            raise
        self._state = state
        self._given += 1
        return batch

    def __len__(self) -> int:
        """Return how many batches a loop yields.

        Raises:
            ArgumentTypeError: it has no end.
        """
        if self.batches is None:
            raise ArgumentTypeError(
                "TaskLoader: a loader without end has no len(); set batches=, such as batches=100"
            )
        return self.batches

    def __repr__(self) -> str:
        names = ("tasks", "shots", "queries", "batches", "seed", "rank", "world_size")
        return f"TaskLoader({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: a thread is not copied, and is not needed."""
        return {**vars(self), "_stream": None}

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the stream: that of the batches handed out, not of those ahead.

        Ranks share one stream, so that any rank's state serves all, and as many ranks as there may
        be next time.

        Returns:
            `generator`, a tensor of bytes, and integers or None.
        """
        return {"generator": self._state.clone(), "given": self._given, **self._counts()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Args:
            state: of a loader with the same tasks, shots and queries, over the same task set.

        Raises:
            ArgumentTypeError: `state` is not what `state_dict` returned.
            ArgumentError: it is of a loader with other tasks, shots or queries.
        """
        expected = {"generator", "given", "seed", *self._counts()}
        if not isinstance(state, dict) or set(state) != expected:
            came = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ArgumentTypeError(
                f"TaskLoader: state must be a dict of {sorted(expected)}, got {came}; "
                "pass what state_dict() returned"
            )
        for name, own in self._counts().items():
            if name != "seed" and state[name] != own:
                raise ArgumentError(
                    f"TaskLoader: the state is of a loader with {name}={state[name]!r}, got "
                    f"{name}={own!r}; load it into a loader of the same task set and counts"
                )
        generator = state["generator"]
        given, seed = (_count(name, state[name], least=0) for name in ("given", "seed"))
        try:
            Generator().set_state(generator)
        except (RuntimeError, TypeError) as error:
            raise ArgumentTypeError(
                "TaskLoader: generator must be the bytes of a torch Generator's state, got "
                "something else; pass what state_dict() returned"
            ) from error
        self._close()
        self._state, self.seed = generator.clone(), seed
        self._draw.seed = seed
        self._given = given if self.batches is None or given <= self.batches else 0

    def _counts(self) -> dict[str, Any]:
        own = {
            name: getattr(self, name) for name in ("tasks", "shots", "queries", "seed", "at_once")
        }
        own |= {name: getattr(self.taskset, name, None) for name in ("ways", "samples")}
        return own | {"items": len(self.taskset.dataset)}

    def _close(self) -> None:
        if isinstance(self._stream, Prefetcher):
            self._stream.close()
        self._stream = None


def _count(what: str, value: Any, least: int = 1) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        count = least - 1
    if isinstance(value, bool) or count < least:
        expected = "a positive integer" if least else "an integer of 0 or more"
        raise ArgumentError(
            f"TaskLoader: {what} must be {expected}, got {value!r}; set {what} to such a number"
        )
    return count


def _queries(taskset: Taskset, shots: int, queries: Any) -> int | None:
    """Count the queries: those asked for, or all that the samples leave where those are known."""
    asked = None if queries is None else _count("queries", queries)
    if not isinstance(taskset, SourceTaskset):
        return asked
    left = taskset.samples - shots
    if left < (asked or 1):
        raise DataError(
            f"TaskLoader: shots={shots} must leave {asked or 'some'} of the task set's "
            f"{taskset.samples} samples for queries, left {max(left, 0)}; raise train_samples or "
            "test_samples"
        )
    return asked or left


def _at_once(taskset: Taskset) -> bool:
    """Whether a source's own generator fixes all that is drawn, and nothing else draws."""
    if not isinstance(taskset, SourceTaskset) or not taskset.endless:
        return False
    return getattr(taskset.source, "transform", None) is None


def _rank(value: Any, world_size: int, tasks: int) -> int:
    rank = _count("rank", value, least=0)
    if world_size > tasks:
        raise ArgumentError(
            f"TaskLoader: tasks={tasks} must be at least world_size={world_size}, so that every "
            "rank gets one; raise tasks"
        )
    if rank >= world_size:
        raise ArgumentError(
            f"TaskLoader: rank must be less than world_size={world_size}, got {rank}; "
            "ranks count from 0"
        )
    return rank


def _seed(seed: Any, world_size: int) -> int:
    if seed is None and world_size > 1:
        raise ArgumentError(
            f"TaskLoader: world_size={world_size} needs a seed, the same on every rank, so that "
            "all draw one stream; set seed"
        )
    if seed is None:
        return int(torch.randint(2**63 - 1, ()))
    number = _count("seed", seed, least=0)
    if number >= 2**63:
        raise ArgumentError(f"TaskLoader: seed must be less than 2**63, got {seed}; take another")
    return number


def _device(device: Any) -> torch.device:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"TaskLoader: device must be one that torch knows, got {device!r}; pass 'cuda' or 'cpu'"
        ) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ArgumentError(
            f"TaskLoader: device={device!r} needs CUDA, which torch does not see here; pass 'cpu'"
        )
    return found


def _pin(pin_memory: bool | None, device: torch.device | None) -> bool:
    if pin_memory not in (None, True, False):
        raise ArgumentError(
            f"TaskLoader: pin_memory must be True, False or None, got {pin_memory!r}; "
            "leave it out to pin where device is CUDA"
        )
    if pin_memory and not torch.cuda.is_available():
        raise ArgumentError(
            "TaskLoader: pin_memory=True needs CUDA, which torch does not see here; leave it out"
        )
    return device is not None and device.type == "cuda" if pin_memory is None else pin_memory
