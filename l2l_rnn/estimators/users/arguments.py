"""Checks of the arguments of a store of users: their names, and what is passed for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, L2LRNNError


def checked_name(who: str, user: object) -> str:
    """Return the name of a user.

    Raises:
        ArgumentTypeError: it is not a str.
        ArgumentError: it is empty, or has characters that cannot be stored.
    """
    if not isinstance(user, str):
        raise ArgumentTypeError(
            f"{who}: the name of a user must be a str, got {type(user).__name__}; convert it"
        )
    if not user or "\0" in user or any("\ud800" <= character <= "\udfff" for character in user):
        raise ArgumentError(
            f"{who}: the name of a user must be a text that is not empty, got {user!r:.60}; choose "
            "another one"
        )
    return user


def check_mapping(who: str, name: str, given: object, shown: str) -> None:
    """Check that an argument is a mapping; `shown` is an example in the message.

    Raises:
        ArgumentTypeError: it is not.
    """
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(
            f"{who}: {name} must be a dict by user, got {type(given).__name__}; pass {shown}"
        )


def check_pairs(who: str, name: str, given: object) -> None:
    """Check that an argument maps users to pairs of inputs and classes.

    Raises:
        ArgumentTypeError: it does not.
    """
    check_mapping(who, name, given, "{user: (X, y)}")
    for user, pair in given.items():  # type: ignore[attr-defined]
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ArgumentTypeError(
                f"{who}: {name} of user {user!r:.60} must be a pair (X, y), got "
                f"{type(pair).__name__}; pass the inputs and their classes"
            )


def named(who: str, user: str) -> str:
    """Return the beginning of a message about a user.

    Example:
        >>> named("UserStore.predict_many", "ann")
        "UserStore.predict_many: user 'ann'"
    """
    return f"{who}: user {user!r:.60}"


@contextmanager
def naming(who: str, user: str) -> Iterator[None]:
    """Raise errors of the block with messages that name the user.

    Example:
        >>> with naming("UserStore.predict_many", "ann"):
        ...     raise ArgumentError("UserStore.predict_many: X must be a list, got int; pass [X]")
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: UserStore.predict_many: user 'ann': X must be a list, \
got int; pass [X]
    """
    try:
        yield
    except Exception as error:
        # Others may need more than a message, or are no fault of what was passed.
        if not isinstance(error, L2LRNNError) and type(error) not in (ValueError, TypeError):
            raise
        message = str(error).removeprefix(f"{who}: ")
        raise type(error)(f"{named(who, user)}: {message}") from error
