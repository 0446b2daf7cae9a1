"""Argument checks that all layers, learners and task sets share."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from numbers import Real

import numpy as np
from torch import Tensor

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from l2l_rnn.registry import hint


def shown(value: object) -> str:
    """Return the repr of a value for a message, where a scalar of numpy looks like Python's.

    Since numpy 2, its own repr is that of code, such as `np.str_('cat')`.

    Example:
        >>> import numpy as np
        >>> shown(np.array(["cat"])[0]), shown(np.float32(0.1)), shown([1])
        ("'cat'", '0.1', '[1]')
    """
    if isinstance(value, np.str_):
        return repr(str(value))
    return str(value) if isinstance(value, np.number | np.bool_) else repr(value)


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

    Any type that Python accepts as an index is allowed, including numpy integers, but not bool.

    Args:
        who: begins the error message, such as `"LSTM"`.
        name: the name of the argument.
        value: the value that the caller passed.
        least, most: the smallest and the largest allowed value; None for no upper limit.
        fix: ends the error message, after a semicolon.

    Raises:
        ArgumentError: `value` is not an integer, or is out of range.

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
        raise ArgumentError(f"{who}: {name} must be {wanted}, got {shown(value)}{end}")
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
        who: begins the error message.
        name: the name of the argument.
        value: the value that the caller passed.
        least, most: inclusive limits; None for no limit.
        above, below: exclusive limits; None for no limit.
        fix: ends the error message, after a semicolon.

    Raises:
        ArgumentError: `value` is not a finite real number, or is out of range.

    Example:
        >>> check_number("MANN", "decay", 0.95, least=0, below=1)
        0.95
        >>> check_number("MAML", "lr", float("nan"), above=0)
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: MAML: lr must be a number above 0, got nan
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer or a fraction beyond the range of floats
            number = math.inf
    limits = [
        (least, "of at least", operator.ge),
        (above, "above", operator.gt),
        (most, "of at most", operator.le),
        (below, "below", operator.lt),
    ]
    if not math.isfinite(number) or not all(
        holds(number, at) for at, _, holds in limits if at is not None
    ):
        named = " and ".join(f"{word} {at}" for at, word, _ in limits if at is not None)
        end = "" if fix is None else f"; {fix}"
        wanted = f"a number {named}" if named else "a finite number"
        raise ArgumentError(f"{who}: {name} must be {wanted}, got {shown(value)}{end}")
    return number


def check_tensor(
    who: str, name: str, value: object, fix: str = "convert it with torch.as_tensor"
) -> None:
    """Check that `value` is a tensor.

    Args:
        who: begins the error message.
        name: the name of the argument.
        value: the value that the caller passed.
        fix: ends the error message, after a semicolon.

    Raises:
        ArgumentTypeError: `value` is not a tensor.

    Example:
        >>> check_tensor("MAML.adapt", "loss", 0.5, fix="pass the loss, not loss.item()")
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentTypeError: MAML.adapt: loss must be a tensor, got float; \
pass the loss, not loss.item()
    """
    if not isinstance(value, Tensor):
        raise ArgumentTypeError(
            f"{who}: {name} must be a tensor, got {type(value).__name__}; {fix}"
        )


def check_choice(who: str, name: str, value: object, choices: Iterable[str]) -> str:
    """Return `value` if it is one of the choices.

    Args:
        who: begins the error message.
        name: the name of the argument.
        value: the value that the caller passed.
        choices: the allowed values.

    Raises:
        UnknownNameError: `value` is not one of the choices; the message suggests similar ones.

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
            f"{who}: unknown {name} {shown(value)}{hint(str(value), choices)} "
            f"Known: {', '.join(choices)}"
        )
    return value
