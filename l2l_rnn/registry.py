"""Registries: members by name, with suggestions for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import TypeVar

from l2l_rnn.errors import ArgumentError, UnknownNameError

Member = TypeVar("Member")


class Registry(Mapping[str, Member]):
    """An ordered mapping from names to members of one kind.

    Args:
        kind: the kind of a member, for error messages, such as `"task set"`.
        entry_point_group: the group of entry points through which other packages add members,
            loaded at the first lookup; None for no entry points.

    Raises:
        UnknownNameError: an unknown name is looked up.

    Example:
        >>> shapes = Registry("shape")
        >>> @shapes.register("square")
        ... def area(side):
        ...     return side * side
        >>> shapes["square"](3)
        9
        >>> shapes["sqare"]
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.UnknownNameError: unknown shape 'sqare'; did you mean 'square'? Known: square
    """

    def __init__(self, kind: str, entry_point_group: str | None = None) -> None:
        self.kind = kind
        self._members: dict[str, Member] = {}
        self._pending_group = entry_point_group

    def register(self, name: str) -> Callable[[Member], Member]:
        """Return a decorator that adds its argument under `name` and returns it.

        A class or function with the same module and name as the member replaces it, so that a
        module may be loaded again and a notebook cell run again.

        Raises:
            ArgumentError: the name is taken.
        """

        def add(member: Member) -> Member:
            if name in self._members and not _have_one_origin(self._members[name], member):
                raise ArgumentError(
                    f"{self.kind} {name!r} is already registered; choose another name"
                )
            self._members[name] = member
            return member

        return add

    def __getitem__(self, name: str) -> Member:
        if not isinstance(name, str) or name not in self._members:
            self._load_entry_points()
        try:
            return self._members[name]
        except (KeyError, TypeError):
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}{hint(str(name), self._members)} "
                f"Known: {', '.join(self._members)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        self._load_entry_points()
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        self._load_entry_points()
        return iter(self._members)

    def __len__(self) -> int:
        self._load_entry_points()
        return len(self._members)

    def _load_entry_points(self) -> None:
        if self._pending_group is not None:
            for point in entry_points(group=self._pending_group):
                if point.name not in self._members:
                    self._members[point.name] = point.load()
            self._pending_group = None  # only now, so that a failed load is tried again


def _have_one_origin(one: object, other: object) -> bool:
    origins = [
        (getattr(member, "__module__", None), getattr(member, "__qualname__", None))
        for member in (one, other)
    ]
    return origins[0] == origins[1] and None not in origins[0]


def hint(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name, with the most similar known names.

    Example:
        >>> hint("sqare", ["square", "circle"]), hint("cube", ["square"])
        ("; did you mean 'square'?", '.')
    """
    return did_you_mean(difflib.get_close_matches(name, list(known), n=3))


def did_you_mean(near: Iterable[str]) -> str:
    """Return the end of a sentence that suggests names, or a period if there are none.

    Example:
        >>> did_you_mean(["a", "b"])
        "; did you mean 'a' or 'b'?"
    """
    names = " or ".join(map(repr, near))
    return f"; did you mean {names}?" if names else "."
