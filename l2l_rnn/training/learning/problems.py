"""Several invalid settings in one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from l2l_rnn.errors import ArgumentError, L2LRNNError


class Problems:
    """Collects invalid settings, to name all of them in one error.

    Args:
        who: begins the error message, such as `"TaskData"`.

    Example:
        >>> from l2l_rnn.checks import check_int
        >>> problems = Problems("TaskData")
        >>> with problems.collected():
        ...     check_int("TaskData", "tasks", 0)
        >>> with problems.collected():
        ...     check_int("TaskData", "shots", -1)
        >>> problems.report()
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: TaskData: 2 settings are invalid: (1) tasks must be a \
positive integer, got 0; (2) shots must be a positive integer, got -1
    """

    def __init__(self, who: str) -> None:
        self.who = who
        self.found: list[L2LRNNError] = []

    def add(self, text: str) -> None:
        """Add a problem; the text names the setting, what was expected and the fix."""
        self.found.append(ArgumentError(f"{self.who}: {text}"))

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect an error of this package that the block raises."""
        try:
            yield
        except L2LRNNError as error:
            self.found.append(error)

    def report(self) -> None:
        """Raise one error that names all problems, if there are any.

        Raises:
            ArgumentError: there are problems; a single one is raised as it is.
        """
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            texts = [str(error).removeprefix(f"{self.who}: ") for error in self.found]
            listed = "; ".join(f"({n}) {text}" for n, text in enumerate(texts, 1))
            raise ArgumentError(f"{self.who}: {len(texts)} settings are invalid: {listed}")
