"""Parts and methods of a model, as a learner for many tasks hands them out."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from l2l_rnn.axes import knows_tasks

_FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    functools.partial,
)

Call = Callable[..., Any]  # called with a function, its module and the other arguments


def view_for_tasks(call: Call, module: nn.Module, name: str) -> Any:
    """Return an attribute of a module with parameters `(N, …)`, as one task would see it.

    A method or function becomes one that runs for each task, unless it is torch's own. A
    property is computed for each task. A submodule becomes a `TaskView` if it does not know the
    task axis. Everything else is returned unchanged.

    Args:
        call: runs a function for each task: `call(function, module, *args, **kwargs)`.
        module: the module.
        name: the name of the attribute.
    """
    if not knows_tasks(module) and isinstance(getattr(type(module), name, None), property):
        return call(lambda one: getattr(one, name), module)
    return _view(call, getattr(module, name), module)


def _view(call: Call, value: Any, module: nn.Module) -> Any:
    owner = getattr(value, "__self__", None)
    if isinstance(owner, nn.Module) and hasattr(value, "__func__") and not knows_tasks(owner):
        if (value.__func__.__module__ or "").startswith("torch.") and value.__name__ != "forward":
            return value
        return functools.wraps(value)(functools.partial(call, value.__func__, owner))
    if isinstance(value, nn.Module) and not knows_tasks(value):
        return TaskView(call, value)
    if isinstance(value, _FUNCTIONS):  # a static or class method, or a function that was assigned

        def run(_: nn.Module, *args: Any, **kwargs: Any) -> Any:
            return value(*args, **kwargs)

        return functools.partial(call, functools.update_wrapper(run, value), module)
    return value


class TaskView:
    """A part of a model whose calls run for each task of a learner separately.

    Args:
        call: runs a function for each task.
        module: the part, with parameters `(N, …)`.

    Attributes:
        module: the part itself.
    """

    def __init__(self, call: Call, module: nn.Module) -> None:
        self._call, self.module = call, module

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(type(self.module).__call__, self.module, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_call", "module"):  # while it is copied or unpickled
            raise AttributeError(name)
        return view_for_tasks(self._call, self.module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("_call", "module"):
            super().__setattr__(name, value)
        else:
            setattr(self.module, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.module, name)

    def values(self) -> list[Any]:
        """Return the parts of a `torch.nn.ModuleDict`."""
        return [part for _, part in self.items()]

    def items(self) -> list[tuple[str, Any]]:
        """Return the names and parts of a `torch.nn.ModuleDict`."""
        parts: Any = self.module
        return [(name, _view(self._call, part, self.module)) for name, part in parts.items()]

    def __getitem__(self, key: Any) -> Any:
        parts: Any = self.module
        return _view(self._call, parts[key], self.module)

    def __iter__(self) -> Iterator[Any]:
        parts: Any = self.module
        return (_view(self._call, part, self.module) for part in parts)

    def __len__(self) -> int:
        parts: Any = self.module
        return len(parts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.module!r})"
