"""Argument checks that every layer, learner and task set shares."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from numbers import Real

from l2l_rnn.errors import ArgumentError, UnknownNameError
from l2l_rnn.registry import hint


def check_int(
    who: str,
    name: str,
    value: object,
    *,
    least: int = 1,
    most: int | None = None,
    fix: str | None = None,
) -> int:
    """Return `value` as an int.

    Any type that Python takes as an index is accepted, `numpy` integers included. A bool is not.

    Args:
        who: begins the error message, such as `"LSTM"`.
        name: of the argument.
        value: what the caller passed.
        least, most: the smallest and the largest value allowed; None is no limit.
        fix: ends the message, after a semicolon.

    Raises:
        ArgumentError: `value` is no integer, or is out of range.

    Example:
        >>> import numpy as np
        >>> check_int("LSTM", "hidden_size", np.int64(8))
        8
        >>> check_int("LSTM", "hidden_size", 0)
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: LSTM: hidden_size must be a positive integer, got 0
    """
    try:
        count = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = None
    if count is None or count < least or (most is not None and count > most):
        if most is not None:
            wanted = f"an integer from {least} to {most}"
        else:
            named = {0: "a non-negative integer", 1: "a positive integer"}
            wanted = named.get(least, f"an integer of at least {least}")
        end = "" if fix is None else f"; {fix}"
        raise ArgumentError(f"{who}: {name} must be {wanted}, got {value!r}{end}")
    return count


def check_number(
    who: str,
    name: str,
    value: object,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
    fix: str | None = None,
) -> float:
    """Return `value` as a float.

    Args:
        who: prefix of the error message.
        name: of the argument.
        value: what the caller passed.
        least, most: limits that are allowed themselves; None is no limit.
        above, below: limits that are not allowed themselves; None is no limit.
        fix: ends the message, after a semicolon.

    Raises:
        ArgumentError: `value` is no finite real number, or is out of range.

    Example:
        >>> check_number("MANN", "decay", 0.95, least=0, below=1)
        0.95
        >>> check_number("MAML", "lr", float("nan"), above=0)
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: MAML: lr must be a number above 0, got nan
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]
    limits = [
        (least, "of at least", operator.ge),
        (above, "above", operator.gt),
        (most, "of at most", operator.le),
        (below, "below", operator.lt),
    ]
    if not is_number or not all(holds(number, at) for at, _, holds in limits if at is not None):
        named = " and ".join(f"{word} {at}" for at, word, _ in limits if at is not None)
        end = "" if fix is None else f"; {fix}"
        wanted = f"a number {named}" if named else "a finite number"
        raise ArgumentError(f"{who}: {name} must be {wanted}, got {value!r}{end}")
    return number


def check_choice(who: str, name: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` if it is one of the choices.

    Args:
        who: prefix of the error message.
        name: of the argument.
        value: what the caller passed.
        choices: the values allowed.

    Raises:
        UnknownNameError: it is none of them; the message names the near misses.

    Example:
        >>> check_choice("NTM", "controller", "lstm", ("lstm", "feedforward"))
        'lstm'
        >>> check_choice("NTM", "controller", "lstn", ("lstm", "feedforward"))
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.UnknownNameError: NTM: unknown controller 'lstn'; did you mean 'lstm'? \
Known: lstm, feedforward
    """
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise UnknownNameError(
            f"{who}: unknown {name} {value!r}{hint(str(value), choices)} "
            f"Known: {', '.join(choices)}"
        )
    return value
