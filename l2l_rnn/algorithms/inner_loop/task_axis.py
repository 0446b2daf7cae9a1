"""Calls of a model that has the task axis on its parameters.

There are three routes. A module that knows the task axis runs directly. Any other module runs under
`torch.func.vmap`, where the layers of this package still take all tasks at once (see
`l2l_rnn.mapped_axis`). What vmap cannot run, such as control flow that depends on values, runs task
by task, after a warning.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

import l2l_rnn
from l2l_rnn.algorithms.inner_loop.kept_state import (
    Changes,
    Place,
    Recorder,
    check_task_axis,
    keep,
    places_with_task_axis,
    stack_changes,
    stack_values,
)
from l2l_rnn.algorithms.inner_loop.nested_values import (
    check_inputs,
    check_leaves,
    map_tensors,
    tensors_in,
    with_tensors,
)
from l2l_rnn.algorithms.inner_loop.running_statistics import RunningStatistics
from l2l_rnn.algorithms.inner_loop.snapshots import GeneratorStates, Snapshot
from l2l_rnn.axes import knows_tasks
from l2l_rnn.errors import ArgumentTypeError, L2LRNNError, ShapeError
from l2l_rnn.nn.conversion import is_convertible
from l2l_rnn.nn.torch_layers import is_torch_recurrent

Function = Callable[..., Any]


def check_layers(who: str, module: nn.Module) -> None:
    """Check that a module has no recurrent layer of torch that `nn.convert` would replace.

    Raises:
        ArgumentTypeError: it has one; the message names it.
    """
    for path, layer in module.named_modules():
        if is_torch_recurrent(layer) and is_convertible(layer):
            raise ArgumentTypeError(
                f"{who}: no layer may be a recurrent layer of torch, which cannot run many tasks, "
                f"but {path or 'the model'} is torch's {type(layer).__name__}; convert the model "
                "with l2l_rnn.nn.convert(model)"
            )


def names_to_expand(module: nn.Module, adapted: frozenset[str] | None) -> frozenset[str]:
    """Return the names of the parameters that differ between tasks: adapted and not frozen."""
    every = module.named_parameters(remove_duplicate=False)
    return frozenset(
        name for name, p in every if p.requires_grad and (adapted is None or name in adapted)
    )


class TaskCalls:
    """Calls functions of modules with parameters `(N, …)`. All clones of a learner share it.

    Args:
        who: the learner's name, which begins error messages.
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self._one_by_one: set[tuple[str, str, bool]] = set()  # what vmap could not run
        self._mapped: set[tuple[str, str, bool]] = set()  # what it has run

    def call(
        self,
        function: Function,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tasks: int,
    ) -> Any:
        """Return `function(module, *args, **kwargs)`, computed for each task separately.

        Args:
            function: called with the module of one task, such as `nn.Module.__call__` or a method.
            module: the module, after `axes.expand_parameters`.
            args, kwargs: the other arguments. Tensors, also inside of tuples, lists, dictionaries
                and dataclasses, have the task axis, except tensors without any axis. All tasks
                share other values.
            tasks: `N`.

        Returns:
            The result of the function. Each tensor in it has the task axis.

        Shapes:
            each tensor `(N, …)`, in and out.

        Raises:
            ShapeError: an argument, or a value that the module keeps, lacks the task axis.
            ArgumentTypeError: the result, or a value that the module keeps, is an object that holds
                tensors.
        """
        if knows_tasks(module) and not _has_hooks(module):
            return function(module, *args, **kwargs)
        check_inputs(self.who, (args, kwargs), tasks)
        map_tensors(lambda tensor: self._check(tensor, tasks), (args, kwargs))
        run = _Run(self.who, function, module, (args, kwargs), tasks)
        name = getattr(function, "__qualname__", type(function).__name__)
        key = type(module).__qualname__, name, module.training
        if key in self._one_by_one:
            return run.one_by_one()
        generators = GeneratorStates(run.given)
        before = None if key in self._mapped else Snapshot(module)
        try:
            if any(m._backward_hooks or m._backward_pre_hooks for m in module.modules()):
                raise RuntimeError("backward hooks do not see the tensors of a mapped function")
            result = run.mapped()
            self._mapped.add(key)
            return result
        except RuntimeError as error:
            if isinstance(error, (torch.cuda.OutOfMemoryError, L2LRNNError)):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            reason += _origin(error)
        generators.restore()
        if before is not None:
            before.restore()
        result = run.one_by_one()  # raises the error of one task, if that fails too
        self._one_by_one.add(key)
        warnings.warn(
            f"{self.who}: {type(module).__name__} runs task by task, and not all tasks at once, "
            f"because torch.func.vmap cannot run it: {reason}",
            stacklevel=6,
        )
        return result

    def call_module(self, module: nn.Module, x: Tensor, tasks: int | None) -> Tensor:
        """Return `module(x)`, for each task if there is a number of tasks."""
        if tasks is None:
            return module(x)
        result: Tensor = self.call(type(module).__call__, module, (x,), {}, tasks)
        return result

    def _check(self, tensor: Tensor, tasks: int) -> None:
        if tensor.dim() and len(tensor) != tasks:
            raise ShapeError(
                f"{self.who}: every input must be (N, …) with N={tasks} tasks first, got shape "
                f"{tuple(tensor.shape)}; if all tasks share it, pass x.expand({tasks}, *x.shape)"
            )


class _Run:
    """One call of a function for N tasks."""

    def __init__(
        self, who: str, function: Function, module: nn.Module, arguments: Any, tasks: int
    ) -> None:
        self.who, self.function, self.module, self.tasks = who, function, module, tasks
        self.arguments = arguments
        self.given = tensors_in(arguments)
        self.places = places_with_task_axis(module)
        check_task_axis(who, self.places, tasks)
        self.values = [own[name] for _, own, name in self.places]

    def mapped(self) -> Any:
        """Run all tasks at once under `torch.func.vmap`."""
        statistics = RunningStatistics(self.module, self.tasks)
        places, values = self.places + statistics.places, self.values + statistics.copies
        own = tensors_in(values)
        result: Any = None
        changes: Changes = []

        def one_task(own: list[Tensor], given: list[Tensor]) -> tuple[Tensor, ...]:
            nonlocal result, changes
            result, changes = self._one_task(places, with_tensors(values, own), given)
            return tuple(tensors_in((result, [value for _, value in changes])))

        axes = [0] * len(own), [0 if tensor.dim() else None for tensor in self.given]
        if not own and all(axis is None for axis in axes[1]):
            tensors: list[Tensor] = [
                tensor.expand(self.tasks, *tensor.shape) for tensor in one_task(own, self.given)
            ]
        else:
            with statistics, _without_vmap_warnings(), _without_fast_attention():
                tensors = list(vmap(one_task, axes, randomness="different")(own, self.given))
        statistics.combine()
        result = with_tensors(result, tensors)
        keep(changes, tensors)
        return result

    def one_by_one(self) -> Any:
        """Run one task after the other."""
        columns = [tensor.unbind() for tensor in tensors_in(self.values)]
        given = [t.unbind() if t.dim() else (t,) * self.tasks for t in self.given]
        results, changes = [], []
        for n in range(self.tasks):
            values = with_tensors(self.values, [column[n] for column in columns])
            result, changed = self._one_task(self.places, values, [column[n] for column in given])
            results.append(result)
            changes.append(changed)
        stacked = stack_values(self.who, results)
        keep(*stack_changes(self.who, changes))
        return stacked

    def _one_task(
        self, places: list[Place], values: list[Any], given: list[Tensor]
    ) -> tuple[Any, Changes]:
        """Run one task; return its result and what it changes, which is undone."""
        args, kwargs = with_tensors(self.arguments, given)
        with _replaced(places, values):
            recorder = Recorder(self.module)
            try:
                result = self.function(self.module, *args, **kwargs)
                changes = recorder.changes()
                check_leaves(self.who, (result, [value for _, value in changes]))
                return result, changes
            finally:
                recorder.undo()


@contextmanager
def _replaced(places: list[Place], values: list[Any]) -> Iterator[None]:
    """Put other values into the places, for the duration of a context."""
    before = [own[name] for _, own, name in places]
    shared: dict[int, Any] = {}  # modules may share a list or a dictionary
    try:
        for (_, own, name), old, value in zip(places, before, values, strict=True):
            contained = isinstance(old, (list, dict))
            own[name] = shared.setdefault(id(old), value) if contained else value
        yield
    finally:
        for (_, own, name), value in zip(places, before, strict=True):
            own[name] = value


@contextmanager
def _without_vmap_warnings() -> Iterator[None]:
    """Hide that vmap loops over an operation, which is as fast as a loop over the tasks."""
    functorch: Any = torch._C._functorch
    functorch._set_vmap_fallback_warning_enabled(False)
    try:
        yield
    finally:
        functorch._set_vmap_fallback_warning_enabled(True)


@contextmanager
def _without_fast_attention() -> Iterator[None]:
    """Turn off the kernels of torch's attention in evaluation mode, which have no derivatives.

    torch turns them off by itself for tensors that require gradients, but vmap hides this.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(before and not torch.is_grad_enabled())
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _origin(error: BaseException) -> str:
    """Return the last line of the user's code in a traceback, as `" (file:line)"`."""
    packages = [Path(module.__file__ or "").parent for module in (torch, l2l_rnn)]
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(Path(f.filename).is_relative_to(p) for p in packages)]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def _has_hooks(module: nn.Module) -> bool:
    """Return whether a module has hooks of the user's, which are written for one task."""
    return any(
        not (getattr(hook, "__module__", None) or "").startswith("l2l_rnn.")
        for child in module.modules()
        for hook in (*child._forward_hooks.values(), *child._forward_pre_hooks.values())
    )
