"""Meta-gradients of a batch of tasks, in slices that bound the memory."""

from __future__ import annotations

import gc
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ArgumentError

BatchLoss = Callable[[TaskBatch], tuple[Tensor, Tensor]]
Gradients = list[Tensor | None]
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


@dataclass
class MetaGradients:
    """Losses, scores and summed gradients of N tasks.

    Attributes:
        losses, scores: of each task, `(N,)`, without a graph.
        gradients: of the sum of the losses, one for each parameter; None for an unused one. An
            empty list if they were not asked for.
    """

    losses: Tensor
    scores: Tensor
    gradients: Gradients

    def sums(self) -> tuple[float, float, bool]:
        """Return the sums of losses and scores, and whether losses and gradients are finite."""
        held = [g for g in self.gradients if g is not None]
        values = [g.coalesce().values() if g.is_sparse else g for g in held]
        sums = [self.losses.sum(), self.scores.sum(), *(value.sum() for value in values)]
        kind = self.losses.dtype  # one copy from the device for all
        loss, score, *rest = torch.stack([one.to(kind) for one in sums]).tolist()
        return loss, score, all(math.isfinite(one) for one in (loss, *rest))


class Slices:
    """Computes losses and gradients of a batch, a slice of tasks at a time.

    Args:
        size: tasks per slice; None computes all tasks at once. `"auto"` starts with all tasks, and
            halves the slices after each out-of-memory error.

    Attributes:
        size: the current number of tasks per slice; None for all.
        automatic: whether slices are halved.

    Raises:
        ArgumentError: `size` is neither a positive integer, None nor `"auto"`.
    """

    def __init__(self, size: int | str | None) -> None:
        self.automatic = size == "auto"
        self.size: int | None = None
        if not (self.automatic or size is None):
            fix = "pass None for all tasks at once, or 'auto' to halve slices when memory runs out"
            self.size = check_int("MetaLearning", "tasks_per_slice", size, fix=fix)

    def run(
        self, batch: TaskBatch, batch_loss: BatchLoss, parameters: Sequence[Tensor] = ()
    ) -> MetaGradients:
        """Return the losses of all tasks and the gradients of their sum.

        Args:
            batch: N tasks.
            batch_loss: returns losses and scores of a slice, `(n,)` each.
            parameters: the parameters to differentiate for; none leaves gradients out.
        """
        losses, scores, start = [], [], 0
        gradients: Gradients = [None for _ in parameters]
        while start < len(batch):
            size = self.size or len(batch)
            part = batch if size >= len(batch) else batch.slice(start, start + size)
            try:
                one = _slice(part, batch_loss, parameters)
            except RuntimeError as error:  # torch.cuda.OutOfMemoryError is one
                if not is_out_of_memory(error):
                    raise
                if not self.automatic or len(part) == 1:
                    error.add_note(self._advice(len(part)))
                    raise
                failed = len(part)
            else:
                losses.append(one[0])
                scores.append(one[1])
                gradients = [_sum(a, b) for a, b in zip(gradients, one[2], strict=True)]
                start += len(part)
                continue
            # The frames of the error, which hold tensors, are gone here.
            self._halve(failed)
        return MetaGradients(torch.cat(losses), torch.cat(scores), gradients)

    def _halve(self, failed: int) -> None:
        self.size = failed // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            f"MetaLearning: {failed} tasks did not fit into memory; computing {self.size} at a "
            "time from now on, with the same gradients",
            stacklevel=2,
        )

    def _advice(self, tasks: int) -> str:
        if tasks == 1:
            return (
                "MetaLearning: a single task does not fit into memory; use first_order=True, fewer "
                "steps, fewer examples or a smaller model"
            )
        return (
            f"MetaLearning: {tasks} tasks did not fit into memory; set tasks_per_slice to fewer, "
            "or to 'auto', which halves it when memory runs out; the gradients stay the same"
        )


def _slice(
    part: TaskBatch, batch_loss: BatchLoss, parameters: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Gradients]:
    losses, scores = batch_loss(part)
    for name, values in {"losses": losses, "scores": scores}.items():
        if not isinstance(values, Tensor) or values.shape != (len(part),):
            came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ArgumentError(
                f"MetaLearning: {name} of batch_loss must have shape ({len(part)},), one for each "
                f"task, got {came}; return the values of each task, not their mean"
            )
    gradients: Gradients = []
    if parameters:
        if not losses.requires_grad:
            raise ArgumentError(
                "MetaLearning: losses of batch_loss must depend on the learner's parameters, got "
                "losses without a graph; do not detach them"
            )
        gradients = list(torch.autograd.grad(losses.sum(), parameters, allow_unused=True))
    return losses.detach(), scores.detach(), gradients


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a CPU or an accelerator."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error).lower() for text in _OUT_OF_MEMORY
    )


class _WithGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Gradients, *_: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        (scale,) = outer
        gradients, ctx.gradients = ctx.gradients, []
        return None, None, *(None if g is None else g * scale.to(g.dtype) for g in gradients)


def loss_with_gradients(
    value: Tensor, gradients: Gradients, parameters: Sequence[Tensor]
) -> Tensor:
    """Return a loss whose `backward()` adds gradients that are already computed.

    Everything around `backward()` works as usual: hooks, gradient accumulation, and the reduction
    over processes of `DistributedDataParallel`.

    Args:
        value: the scalar value of the loss.
        gradients: the gradient of each parameter; None for an unused one.
        parameters: the parameters, which require gradients.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> loss = loss_with_gradients(torch.tensor(3.0), [torch.tensor([1.0, 2.0])], [weight])
        >>> (loss / 2).backward()
        >>> loss.item(), weight.grad
        (3.0, tensor([0.5000, 1.0000]))
    """
    loss: Tensor = _WithGradients.apply(value, gradients, *parameters)
    return loss
