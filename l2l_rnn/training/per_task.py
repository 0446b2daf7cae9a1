"""Losses and scores of each task, from functions with or without a task axis and a mask."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.errors import ShapeError
from l2l_rnn.functional import (
    accuracy,
    binary_cross_entropy,
    cross_entropy,
    mean_squared_error,
)

Loss = Callable[..., Tensor]

_OURS = (accuracy, binary_cross_entropy, cross_entropy, mean_squared_error)


class PerTask:
    """A loss or score that returns one value per task.

    `function` may take the task axis and return `(N,)`, as the losses of `l2l_rnn.functional` do.
    If it returns a scalar for several tasks, as torch's losses do, it is called for each task. It
    may take a mask, as an argument `mask` or as a third one without a default. Otherwise it is
    called without the rows of padding.

    Args:
        function: takes outputs and targets.
        who: begins error messages.
        name: names the argument in error messages.

    Shapes:
        call: outputs and targets `(N, B, …)`, mask `(N, B)` -> `(N,)`.

    Example:
        >>> mean = PerTask(torch.nn.functional.mse_loss, "evaluate", "score")
        >>> mean(torch.tensor([[[1.0]], [[2.0]]]), torch.zeros(2, 1, 1))
        tensor([1., 4.])
    """

    def __init__(self, function: Loss, who: str, name: str) -> None:
        self.function, self.who, self.name = function, who, name
        self._mask, self._needs_mask = _mask_argument(function)
        self._takes_tasks: bool | None = True if function in _OURS else None

    def __call__(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        if self._takes_tasks is None:
            self._takes_tasks = self._probe(outputs, targets, mask)
        if self._takes_tasks and (mask is None or self._mask is not None):
            return self._called(outputs, targets, mask)
        values = []
        for n in range(len(outputs)):
            part = _real(outputs, targets, mask, n)
            if self._takes_tasks:
                value: Any = self._called(*(one.unsqueeze(0) for one in part))
            else:
                value = self._called(*part)
            value = torch.as_tensor(value, device=outputs.device)
            if value.numel() != 1:
                raise self._error(value)
            values.append(value.reshape(()))
        return torch.stack(values)

    def alone(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the value of a single task without a task axis and without padding."""
        return self._called(outputs, targets)

    def _called(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Any:
        if self._mask is None or (mask is None and not self._needs_mask):
            return self.function(outputs, targets)
        return self.function(outputs, targets, **{self._mask: mask})

    def _probe(self, outputs: Tensor, targets: Tensor, mask: Tensor | None) -> bool:
        """Return whether the function returns one value for each of several copies of a task."""
        with torch.no_grad():
            one, target = _real(outputs, targets, mask, 0)
            # No other axis has as many entries, so that the shape of the values is not a chance.
            count = next(n for n in range(2, one.dim() + 3) if n not in one.shape)
            try:
                values = self._called(
                    *(part.unsqueeze(0).repeat_interleave(count, 0) for part in (one, target))
                )
            except (RuntimeError, ValueError, IndexError, TypeError):
                values = None  # it does not know the task axis, such as torch's
            if isinstance(values, Tensor) and values.shape == (count,):
                return True
            value = torch.as_tensor(self._called(one, target))
        if value.numel() != 1:
            raise self._error(value)
        return False

    def _error(self, value: Tensor) -> ShapeError:
        return ShapeError(
            f"{self.who}: {self.name} must return one value per task, got shape "
            f"{tuple(value.shape)} for a single task; average it over the examples"
        )


def per_task(function: Loss, who: str, name: str) -> PerTask:
    """Return a function as a `PerTask`, unless it is one."""
    return function if isinstance(function, PerTask) else PerTask(function, who, name)


def _real(outputs: Tensor, targets: Tensor, mask: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
    """Return the outputs and targets of task `n` without padding."""
    if mask is None:
        return outputs[n], targets[n]
    return outputs[n][mask[n]], targets[n][mask[n]]


def _mask_argument(function: Any) -> tuple[str | None, bool]:
    """Return the name of the argument for a mask, or None, and whether it must be given."""
    try:
        called = function.forward if isinstance(function, nn.Module) else function
        named = list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):  # functions in C may have no signature
        return None, False
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for place, one in enumerate(named):
        needed = one.default is inspect.Parameter.empty
        if one.kind in kinds and (one.name == "mask" or (place == 2 and needed)):
            return one.name, needed
    return None, False
