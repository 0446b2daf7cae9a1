"""Losses and gradients that are not finite: which tasks they come from, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ArgumentError
from l2l_rnn.training.learning.gradients import BatchLoss, Slices

# In messages of the learners about the values of losses, gradients and memories.
_NOT_FINITE = re.compile(r"\b(nan|inf|infinite|finite)\b", re.IGNORECASE)


def blamed_tasks(
    batch: TaskBatch,
    batch_loss: BatchLoss,
    parameters: Sequence[Tensor],
    name: Callable[[int], str],
) -> tuple[str, list[int]]:
    """Name the tasks that are not finite, each with a reason, and list those of this process.

    All processes must call it; the names are those of all.

    Args:
        batch: the tasks.
        batch_loss: returns losses and scores of tasks.
        parameters: parameters whose gradients are checked too; none checks the losses alone.
        name: names a task of the batch by its index.
    """
    reasons = reasons_of(batch, batch_loss, parameters)
    found = [f"{name(n)}: {why}" for n, why in reasons.items()]
    if distributed.is_available() and distributed.is_initialized():
        every: list[list[str]] = [[] for _ in range(distributed.get_world_size())]
        distributed.all_gather_object(every, found)
        found = [text for part in every for text in part]
    return listed_reasons(found), list(reasons)


def listed_reasons(found: list[str]) -> str:
    """Join the reasons of the first tasks for a message."""
    shown = [*found[:3], f"{len(found) - 3} more"] if len(found) > 3 else found
    return "; ".join(shown) or "tasks that are when they are computed one at a time"


@contextmanager
def non_finite_suppressed() -> Iterator[None]:
    """Suppress errors of learners and models about values that are not finite, but no others."""
    try:
        yield
    except ArgumentError as error:
        if not is_non_finite(error):
            raise


def is_non_finite(error: ArgumentError) -> bool:
    """Return whether an error of a learner or model is about values that are not finite."""
    return _NOT_FINITE.search(str(error)) is not None


def reasons_of(
    batch: TaskBatch, batch_loss: BatchLoss, parameters: Sequence[Tensor] = ()
) -> dict[int, str]:
    """Compute one task at a time, with the same random numbers, and say what is not finite."""
    alone = Slices(None)
    found: dict[int, str] = {}
    devices = [batch.query_x.device] if batch.query_x.is_cuda else []
    for n in range(len(batch)):
        task = batch.slice(n, n + 1)
        with torch.random.fork_rng(devices):
            try:
                result = alone.run(task, batch_loss, parameters)
            except ArgumentError as error:
                if not is_non_finite(error):
                    raise
                found[n] = str(error).partition("; the learner is unchanged")[0]
            else:
                if not result.losses.isfinite().all():
                    found[n] = f"loss {result.losses.item()}"
                elif not result.sums()[2]:
                    found[n] = "a gradient with NaN or infinity"
        if n in found:
            found[n] = ", ".join([*invalid_data(task), found[n]])
    return found


def invalid_data(task: TaskBatch) -> Iterator[str]:
    """Describe NaN and infinity in a task, except steps of padding, which are NaN in each value."""
    names = ("support_x", "support_y", "query_x", "query_y")
    for name, part in zip(names, task, strict=True):
        if part.is_floating_point():
            values = part.unsqueeze(-1) if part.dim() < 3 else part
            padding = values.isnan().all(-1, keepdim=True) & ("_x" in name and part.dim() > 3)
            bad = ~(values.isfinite() | padding)
            if bad.any():
                first = [int(i) for i in bad.nonzero()[0][1 : part.dim()]]
                yield f"{name}{first} is {part[0][tuple(first)].item()}"


def copied_buffers(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return buffers, such as running statistics, and copies of them."""
    return [(buffer, buffer.detach().clone()) for buffer in module.buffers()]


def restore_buffers(copies: list[tuple[Tensor, Tensor]]) -> None:
    """Restore the buffers from their copies."""
    with torch.no_grad():
        for buffer, copy in copies:
            buffer.copy_(copy)
