"""Configurations: how objects were constructed, as JSON, and how to construct them again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.registry import Registry

Class = TypeVar("Class", bound=type)

CONFIGURABLE: Registry[type] = Registry("configurable class")
CONFIGURABLE.register("Identity")(nn.Identity)  # the encoder of learners that get vectors
MISSING: Any = object()  # stands for an entry that one of two compared values lacks


def configurable(cls: Class) -> Class:
    """Let `configuration_of` describe the instances of a class, and `build` construct them.

    Decorate the classes of your own models to save them with their architecture. The decorator
    registers the class by its name, and each instance remembers the arguments of its constructor.
    An instance of a subclass that is not decorated has no configuration. Tuples are remembered as
    lists, and sets as sorted lists of str.

    Raises:
        ArgumentError: another class with this name is registered, or the constructor takes `*args`.

    Example:
        >>> @configurable
        ... class Head(nn.Module):
        ...     def __init__(self, size, *, bias=True):
        ...         super().__init__()
        >>> configuration_of(Head(3))
        {'class': 'Head', 'arguments': {'size': 3}}
    """
    constructor: Callable[..., None] = vars(cls).get("__init__", cls.__init__)  # type: ignore[misc]
    signature = inspect.signature(constructor)
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL and "__init__" in vars(cls):
            raise ArgumentError(
                f"configurable: the arguments of {cls.__name__} must have names, got "
                f"*{parameter.name}; take a list instead"
            )
    CONFIGURABLE.register(cls.__name__)(cls)

    @functools.wraps(constructor)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        constructor(self, *args, **kwargs)
        if type(self) is cls:
            given = dict(signature.bind(self, *args, **kwargs).arguments)
            given.pop(next(iter(signature.parameters)))
            for parameter in signature.parameters.values():
                if parameter.kind is parameter.VAR_KEYWORD:
                    given |= given.pop(parameter.name, {})
            object.__setattr__(self, "_arguments", {n: _recorded(v) for n, v in given.items()})
            object.__setattr__(self, "_values", _current_values(self))

    cls.__init__ = init  # type: ignore[misc]
    return cls


def configuration_of(instance: object) -> dict[str, Any]:
    """Return the class and the constructor's arguments of an object, as JSON.

    An argument whose attribute of the same name was changed later has its new value, and a part
    that the object still holds, such as an encoder, is described as it is now.

    Returns:
        `{"class": name, "arguments": {...}}`, or `{"unknown": name}` if the class is not
        `configurable`; parts of it are described likewise.

    Example:
        >>> configuration_of(nn.Linear(2, 3))
        {'unknown': 'torch.nn.modules.linear.Linear'}
    """
    cls = type(instance)
    if cls is nn.Identity:
        return {"class": "Identity", "arguments": {}}
    arguments = vars(instance).get("_arguments") if hasattr(instance, "__dict__") else None
    if arguments is None or CONFIGURABLE.get(cls.__name__) is not cls:
        return {"unknown": f"{cls.__module__}.{cls.__qualname__}"}
    before = vars(instance)["_values"]
    changed = {n: v for n, v in _current_values(instance).items() if before.get(n, v) != v}
    found = {**arguments, **changed}
    parts: dict[str, Any] = vars(instance).get("_modules", {})
    for name, parameter in inspect.signature(cls).parameters.items():
        held = parts.get(name)
        if held is None and name == "model":  # learn2learn's learners hold it as `module`
            held = parts.get("module")
        if held is not None and _is_part(found.get(name, parameter.default)):
            found[name] = configuration_of(held)
    return {"class": cls.__name__, "arguments": found}


def build(configuration: dict[str, Any], model: nn.Module | None = None) -> Any:
    """Construct the object that a configuration describes.

    Only classes that are registered by `configurable` are constructed.

    Args:
        configuration: the return value of `configuration_of`.
        model: stands for a part whose class is not configurable, such as a user's own model.

    Raises:
        UnknownNameError: a class is not registered.
        ArgumentError: a part is not configurable and `model` is None, or an argument is invalid.

    Example:
        >>> build(configuration_of(nn.Linear(2, 3)), model=nn.Linear(2, 3))
        Linear(in_features=2, out_features=3, bias=True)
    """
    return _built(configuration, model)


def unknown_parts(configuration: Any) -> Iterator[str]:
    """Yield the names of the classes in a configuration that `build` cannot construct."""
    if isinstance(configuration, dict):
        if set(configuration) == {"unknown"}:
            yield str(configuration["unknown"])
        else:
            for value in configuration.values():
                yield from unknown_parts(value)
    elif isinstance(configuration, list):
        for value in configuration:
            yield from unknown_parts(value)


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """List where two JSON values differ, as `path: one value, other value`.

    Example:
        >>> differences({"lr": 0.1, "steps": 5}, {"lr": 0.2, "steps": 5})
        ['lr: 0.1, 0.2']
    """
    found = differing_values(one, other, path)
    return [f"{where or 'value'}: {shown_value(a)}, {shown_value(b)}" for where, a, b in found]


def differing_values(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the path and both values of each difference of two JSON values.

    The value of an entry that one side lacks is `MISSING`. True differs from 1, and NaN equals NaN.

    Example:
        >>> list(differing_values({"steps": [1, 2]}, {"steps": [1, 3]}))
        [('steps[1]', 2, 3)]
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in [*one, *(name for name in other if name not in one)]:
            inner = f"{path}.{name}" if path else str(name)
            yield from differing_values(one.get(name, MISSING), other.get(name, MISSING), inner)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differing_values(a, b, f"{path}[{number}]")
    elif one != one and other != other:
        return  # both are NaN
    elif isinstance(one, bool) != isinstance(other, bool) or one != other:
        yield path, one, other


def shown_value(value: Any) -> str:
    """Return a value for a message about differences, shortened to one line."""
    if value is MISSING:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _current_values(instance: Any) -> dict[str, Any]:
    """Return the attributes that have the name of an argument and a plain value."""
    held = vars(instance)
    cls: Any = type(instance)
    names = _accepted(cls)
    return {name: held[name] for name in names if name in held and _is_plain(held[name])}


@functools.cache
def _accepted(cls: Any) -> tuple[str, ...]:
    """Return the arguments of a constructor, with those that it passes on to its base class."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(base.__init__).parameters.values()
            names |= dict.fromkeys(p.name for p in parameters)
            if all(p.kind is not p.VAR_KEYWORD for p in parameters):
                break
    return tuple(names)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))


def _is_part(recorded: Any) -> bool:
    """Return whether an argument is a part whose description may have changed since."""
    return recorded is None or isinstance(recorded, dict)


def _recorded(value: Any) -> Any:
    """Return an argument as JSON."""
    if _is_plain(value):
        return value
    if isinstance(value, (list, tuple)):
        return [_recorded(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, torch.device):  # a configuration is the same on every device
        return None
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        found = {key: _recorded(one) for key, one in value.items()}
        return {"dict": found} if _is_reserved(found) else found
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy
        return value.item()
    return configuration_of(value)


def _is_reserved(value: dict[str, Any]) -> bool:
    """Return whether a dict has the keys of a description."""
    return set(value) in ({"class", "arguments"}, {"unknown"}, {"dtype"}, {"dict"})


def _built(value: Any, model: nn.Module | None) -> Any:
    if isinstance(value, list):
        return [_built(one, model) for one in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"unknown"}:
        if model is None:
            raise ArgumentError(
                f"build: the class {value['unknown']} must be configurable, got one that is not; "
                "pass an instance as model=, or decorate the class with "
                "l2l_rnn.configuration.configurable"
            )
        return model
    if set(value) == {"dtype"}:
        dtype = getattr(torch, str(value["dtype"]), None)
        if not isinstance(dtype, torch.dtype):
            raise ArgumentError(f"build: dtype must be one of torch's, got {value['dtype']!r}")
        return dtype
    if set(value) == {"dict"} and isinstance(value["dict"], dict):
        return {key: _built(one, model) for key, one in value["dict"].items()}
    if set(value) != {"class", "arguments"}:
        return {key: _built(one, model) for key, one in value.items()}
    cls = CONFIGURABLE[value["class"]]
    if not isinstance(value["arguments"], dict):
        raise ArgumentTypeError(
            f"build: the arguments of {value['class']} must be a dict, got "
            f"{type(value['arguments']).__name__}; save the object again"
        )
    arguments = {name: _built(one, model) for name, one in value["arguments"].items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ArgumentError(
            f"build: the arguments of {value['class']} must be those of its constructor, got "
            f"{', '.join(arguments)} ({error}); install the version of l2l_rnn that saved them"
        ) from error
