"""The arguments of a command line, rewritten so that jsonargparse reads what people type."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from l2l_rnn.cli.usage import refuse
from l2l_rnn.registry import hint

_BUILT_IN = ("help", "config", "print_config")
_TRUTHS = ("true", "false", "yes", "no")


def rewritten(arguments: Sequence[str], kinds: Mapping[str, Any]) -> list[str]:
    """Return arguments in the form that jsonargparse reads.

    A flag may have hyphens or underscores. A flag of a truth value needs no value, and a flag of a
    list takes several values, or numbers separated by commas.

    Args:
        arguments: what the user typed.
        kinds: the type of each flag, by its name with underscores.

    Raises:
        UsageError: flags are unknown, or a flag lacks its value; all are named.

    Example:
        >>> kinds = {"fast": bool, "shots": list[int] | int, "data": list[str] | str}
        >>> rewritten(["--fast", "--shots", "1,5", "--data", "a", "b"], kinds)
        ['--fast=true', '--shots=[1, 5]', '--data=["a", "b"]']
    """
    found: list[str] = []
    problems: list[str] = []
    todo = list(arguments)
    while todo:
        token = todo.pop(0)
        if not token.startswith("--") or token == "--":
            found.append(token)
            continue
        flag, equals, value = token.removeprefix("--").partition("=")
        flag, dot, key = flag.partition(".")
        flag = flag.replace("-", "_")
        if flag in _BUILT_IN:
            found.append(f"--{flag}{equals}{value}")
            continue
        if flag not in kinds:
            near = hint(flag, [*kinds, *_BUILT_IN]).rstrip(".")
            problems.append(f"unknown flag --{flag}{near}")
            while not equals and todo and not todo[0].startswith("-"):
                todo.pop(0)
            continue
        values = [value] if equals else []
        if not equals:
            limit = _values(kinds[flag])
            while todo and len(values) < limit and not _is_flag(todo[0]):
                if kinds[flag] is bool and todo[0].lower() not in _TRUTHS:
                    break
                values.append(todo.pop(0))
        if kinds[flag] is bool and not values:
            values = ["true"]
        if not values:
            problems.append(f"--{flag} needs a value")
            continue
        found.append(f"--{flag}{dot}{key}={_text(values, kinds[flag])}")
    refuse(problems)
    return found


def members(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def _values(kind: Any) -> int:
    """Return how many values a flag takes at most."""
    return 2**31 if any(typing.get_origin(member) is list for member in members(kind)) else 1


def _is_flag(token: str) -> bool:
    """Return whether a token is a flag, and not a negative number or a dash for stdin."""
    if not token.startswith("-") or token == "-":
        return False
    try:
        float(token.split(",")[0])
    except ValueError:
        return True
    return False


def _text(values: list[str], kind: Any) -> str:
    (item,) = [typing.get_args(m)[0] for m in members(kind) if typing.get_origin(m) is list] or [
        None
    ]
    if item in (int, float):
        values = [part for value in values for part in value.strip("[]").split(",") if part.strip()]
        if len(values) > 1:
            return f"[{', '.join(part.strip() for part in values)}]"
    return json.dumps(values) if len(values) > 1 else values[0] if values else ""
