"""Checks of the numbers that `TaskData` gives to its loaders, each one by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learn2learn.data import Taskset

from l2l_rnn.checks import check_int
from l2l_rnn.data.loading.sizes import check_count
from l2l_rnn.training.learning.problems import Problems

_WHO = "TaskData"
_POSITIVE = ("tasks", "batches_per_epoch", "validation_tasks", "test_tasks")


def check_task_sizes(problems: Problems, given: Mapping[str, Any], tasksets: list[Any]) -> None:
    """Add the numbers that are invalid, so that one error names all of them.

    Args:
        problems: where to add them.
        given: arguments of `TaskData` by name.
        tasksets: the task sets or datasets.
    """
    for name, value in given.items():
        with problems.collected():
            if name in _POSITIVE:
                check_int(_WHO, name, value)
            elif name.endswith(("shots", "queries", "ways")):
                if value is not None or name == "shots":
                    check_count(_WHO, name, value)
            else:
                most = 2**63 - 1 if "seed" in name else None
                check_int(_WHO, name, value, least=0, most=most)
    ways, kinds = given["ways"], [one for one in tasksets if isinstance(one, Taskset)]
    if ways is not None and any(ways != getattr(one, "ways", None) for one in kinds):
        problems.add(
            f"ways must be None for a task set, which has its own, got {ways!r}; make the task "
            "sets with others"
        )
