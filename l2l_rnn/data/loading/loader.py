"""Loader of task batches, with seeds, checkpoints, prefetching and distributed sharding."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from learn2learn.data import MetaDataset, Taskset
from torch import Generator
from torch.utils.data import Dataset

from l2l_rnn.checks import check_int
from l2l_rnn.data.loading.adapters import as_taskset
from l2l_rnn.data.loading.checks import (
    check_device,
    check_pin_memory,
    check_queries,
    check_rank,
    check_seed,
    check_sizes,
)
from l2l_rnn.data.loading.prefetch import Prefetcher
from l2l_rnn.data.loading.sizes import most
from l2l_rnn.data.loading.streams import Drawn, stream
from l2l_rnn.data.loading.varied import draw_of
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import SourceTaskset, TaskSource, check_shots
from l2l_rnn.errors import ArgumentError, ArgumentTypeError


class TaskLoader(Iterator[TaskBatch]):
    """Iterator over batches of N tasks, for a learner made by `clone(tasks=N)`.

    The loader draws N tasks at once from an endless task set of this package. It draws one task at
    a time, as `Taskset.sample` does, from any other learn2learn `Taskset`. This includes task sets
    of this package with a fixed number of tasks, with modified transforms, or over a dataset with a
    `transform`, which may be random. The distribution of tasks is the same, but drawing at once is
    faster.

    A dataset may take the place of a task set, together with `ways` and `queries`: a
    `SequenceDataset`, `GroupedDataset` or other `TaskSource`; a learn2learn `MetaDataset`; a torch
    `Dataset` of pairs (x, y), which is read once to find the classes; or a list of such pairs,
    where token ids are padded with 0 and steps with NaN.

    In all cases `seed` determines the tasks, and the global generators of Python, numpy and torch
    are left unchanged.

    The loader is its own iterator: `next(loader)` returns the next batch, and a new loop continues
    where the last one stopped. With `batches`, a loop ends after that many batches, and the next
    loop continues with new tasks.

    Tasks of one batch may differ in size. A pair `(least, most)` as `shots`, `queries` or `ways`
    draws a number for each task, all numbers of the range with equal probability. The sets are
    padded to the largest one of the batch, with masks. A class must have enough items for the most
    shots and queries. With `imbalanced`, a class with fewer takes part with fewer of them, in about
    the same proportion, but at least one support and one query example.

    Args:
        taskset: the task set to draw from, or a dataset.
        tasks: `N`, over all processes.
        shots: support examples per class, or per task if there are no classes; a number or a pair.
        queries: query examples per class, or per task if there are no classes; a number or a pair.
            None uses all samples that remain in a task set, and is an error for a dataset.
        ways: classes per task of a dataset, a number or a pair; None uses all of them. A task set
            has its own. A group of a `GroupedDataset` with fewer classes than were drawn, but not
            fewer than the least, takes part with all of them.
        imbalanced: whether classes with too few items take part; only for datasets. Classes of a
            single item do not.
        batches: batches per loop; None loops forever.
        seed: random seed of the tasks; None draws one from torch's global generator.
        device: device of the batches; None leaves them on the task set's device.
        pin_memory: whether to copy through page-locked memory, for asynchronous copies to CUDA;
            None does so if `device` is a CUDA device.
        prefetch: number of batches that a background thread draws in advance; 0 draws on demand.
            It is ignored if tasks are drawn one at a time, which uses Python's global generator;
            the main thread may use that generator at the same time. A forked child continues
            after the last batch that was returned before the fork, with a thread of its own.
        rank: index of this process.
        world_size: number of processes that share the tasks. All processes follow the same stream,
            and each takes its part of every batch, tasks `rank * N // world_size` up to
            `(rank + 1) * N // world_size`. Concatenated in order of rank, the parts are the batch
            of a single process. If `world_size` does not divide N, parts differ by one task; reduce
            sums over tasks in that case, not means.

    Attributes:
        tasks, shots, queries, batches, seed, device, rank, world_size, imbalanced: as given;
            `seed` is the seed drawn if None was given.
        ways: the ways of the tasks, a number or a pair; None for a learn2learn Taskset.
        sizes: the shots, queries and ways together.
        taskset: as given, or the task set made of the dataset.
        at_once: whether N tasks are drawn at once.

    Shapes:
        as `TaskBatch`, where N is the number of tasks of this process.

    Raises:
        ArgumentTypeError: `taskset` is neither a learn2learn Taskset nor a dataset; the message
            names what to pass.
        ArgumentError: a count, `seed`, `rank` or `device` is invalid, `world_size` exceeds `tasks`
            or is used without a seed, or `pin_memory` is True without CUDA.
        DataError: the task set has too few samples for shots and queries; or tasks are drawn one at
            a time from a source with `support_is_half`, and `shots` is not half of the samples.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> train = get_tasksets("languages", train_ways=5, train_samples=15).train
        >>> loader = TaskLoader(train, tasks=16, shots=5, seed=0)
        >>> batch = next(loader)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([16, 25, 32]), torch.Size([16, 50]))
        >>> state = loader.state_dict()
        >>> batch = next(loader)
        >>> loader.load_state_dict(state)
        >>> torch.equal(next(loader).support_x, batch.support_x)
        True
        >>> loader = TaskLoader(train.source, tasks=16, shots=1, queries=5, ways=3)  # a dataset
        >>> support_x, support_y, query_x, query_y = next(loader)
        >>> query_x.shape
        torch.Size([16, 15, 32])
        >>> loader = TaskLoader(train.source, 16, shots=(1, 10), queries=5, ways=(3, 8))
        >>> batch = next(loader)
        >>> batch.support_mask.shape == batch.support_y.shape
        True
    """

    def __init__(
        self,
        taskset: Taskset | TaskSource | MetaDataset | Dataset[Any] | Sequence[tuple[Any, Any]],
        tasks: int,
        shots: int | tuple[int, int],
        queries: int | tuple[int, int] | None = None,
        *,
        ways: int | tuple[int, int] | None = None,
        imbalanced: bool = False,
        batches: int | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        pin_memory: bool | None = None,
        prefetch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.tasks = check_int("TaskLoader", "tasks", tasks)
        sizes = check_sizes(shots, queries, ways, imbalanced)
        taskset = self.taskset = as_taskset(taskset, sizes)
        self.shots, self.imbalanced = sizes.shots, sizes.imbalanced
        self.queries = check_queries(taskset, sizes)
        self.sizes = replace(sizes, queries=self.queries)
        own = taskset.ways if isinstance(taskset, SourceTaskset) else None
        self.ways = own if sizes.ways is None else sizes.ways
        self.batches = None if batches is None else check_int("TaskLoader", "batches", batches)
        self.world_size = check_int("TaskLoader", "world_size", world_size)
        self.rank = check_rank(rank, self.world_size, self.tasks)
        self.seed = check_seed(seed, self.world_size)
        self.device = None if device is None else check_device(device)
        self.at_once = (
            isinstance(taskset, SourceTaskset) and taskset.endless and taskset.source.deterministic
        )
        if not self.at_once:
            check_shots("TaskLoader", taskset, most(self.shots))
        start, stop = (r * self.tasks // self.world_size for r in (self.rank, self.rank + 1))
        self._draw = draw_of(
            self.sizes, taskset, self.tasks, (start, stop), self.seed, at_once=self.at_once
        )
        self._pin_memory = check_pin_memory(pin_memory, self.device)
        self._prefetch = check_int("TaskLoader", "prefetch", prefetch, least=0)
        self._state = Generator().manual_seed(self.seed).get_state()
        self._batch = 0  # batches of the current loop so far
        self._stream: Iterator[Drawn] | None = None

    def __iter__(self) -> TaskLoader:
        if self._batch == self.batches:
            self._batch = 0
        return self

    def __next__(self) -> TaskBatch:
        if self._batch == self.batches:
            raise StopIteration
        if self._stream is None or (isinstance(self._stream, Prefetcher) and self._stream.lost):
            self._stream = stream(self._draw, self._state, self._pin_memory)
            if self._prefetch and self.at_once:
                self._stream = Prefetcher(self._stream, self._prefetch)
        try:
            batch, state = next(self._stream)
            if self.device is not None:
                batch = batch.to(self.device, non_blocking=True)
        except BaseException:
            self._close()  # the next call draws the same batch again
            raise
        self._state = state
        self._batch += 1
        return batch

    def __len__(self) -> int:
        """Return the number of batches in a loop.

        Raises:
            ArgumentTypeError: the loop is endless.
        """
        if self.batches is None:
            raise ArgumentTypeError(
                "TaskLoader: len() requires a number of batches, got batches=None; set it, for "
                "example batches=100"
            )
        return self.batches

    def __repr__(self) -> str:
        return (
            f"TaskLoader(tasks={self.tasks}, shots={self.shots}, queries={self.queries}, "
            f"batches={self.batches}, seed={self.seed}, rank={self.rank}, "
            f"world_size={self.world_size})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copying and pickling, without the background thread."""
        return {**vars(self), "_stream": None}

    def restarted(self) -> TaskLoader:
        """Return an endless loader of the same tasks, at the start of its stream.

        This loader keeps its own position.
        """
        loader = copy.copy(self)
        loader._state = Generator().manual_seed(self.seed).get_state()
        loader.batches, loader._batch = None, 0
        return loader

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the stream after the last returned batch.

        Prefetched batches do not count. The state is the same on all ranks, so one rank can save it
        for all, and it can be loaded with another `world_size`.

        Returns:
            `generator`, a byte tensor, and entries that are integers, bools, None or pairs.
        """
        return {"generator": self._state.clone(), "batch": self._batch, **self._config()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` was called.

        Args:
            state: state of a loader over the same task set, with the same tasks, shots and queries.

        Raises:
            ArgumentTypeError: `state` was not returned by `state_dict`.
            ArgumentError: the loader of `state` had other tasks, shots or queries.
        """
        config = self._config()
        expected = {"generator", "batch", *config}
        if not isinstance(state, dict) or set(state) != expected:
            came = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
            raise ArgumentTypeError(
                f"TaskLoader: state must be a dict of {sorted(expected)}, got {came}; "
                "pass the return value of state_dict()"
            )
        for name, own in config.items():
            if name != "seed" and state[name] != own:
                raise ArgumentError(
                    f"TaskLoader: state must come from a loader with {name}={own!r}, got "
                    f"{name}={state[name]!r}; use the same task set and counts"
                )
        generator = state["generator"]
        batch = check_int("TaskLoader", "batch", state["batch"], least=0)
        seed = check_int("TaskLoader", "seed", state["seed"], least=0)
        try:
            Generator().set_state(generator)
        except (RuntimeError, TypeError) as error:
            raise ArgumentTypeError(
                "TaskLoader: generator must be the state of a torch Generator, got something else; "
                "pass the return value of state_dict()"
            ) from error
        self._close()
        self._state, self.seed = generator.clone(), seed
        self._draw.seed = seed
        self._batch = batch if self.batches is None or batch <= self.batches else 0

    def _config(self) -> dict[str, Any]:
        """Return the settings that must match for a loader to continue another one's stream."""
        sized = isinstance(self.taskset, SourceTaskset)
        counts = {"shots": self.shots, "queries": self.queries, "ways": self.ways}
        listed = {n: list(c) if isinstance(c, tuple) else c for n, c in counts.items()}
        return {
            "tasks": self.tasks,
            **listed,
            "seed": self.seed,
            "at_once": self.at_once,
            "samples": self.taskset.samples if sized else None,
            "items": len(self.taskset.dataset),
            **({"imbalanced": True} if self.imbalanced else {}),
        }

    def _close(self) -> None:
        if isinstance(self._stream, Prefetcher):
            self._stream.close()
        self._stream = None
