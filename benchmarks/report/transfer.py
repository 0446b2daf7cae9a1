"""The best meta-learners of several results, beside transfer learning and baselines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from benchmarks.report.scores import best_of, score_text

HEAD = (
    "tasks",
    "best meta-learner",
    "closest transfer method",
    "gain",
    "closest baseline",
    "gain",
)


def transfer_table(
    results: Sequence[tuple[str, dict[str, Any], Sequence[str]]], without: Collection[str] = ()
) -> str:
    """Format the best meta-learner of some columns, and what it gains over other methods.

    The closest method is the one over which the paired gain is smallest. A gain is positive if the
    meta-learner is better, also where scores are errors.

    Args:
        results: for each group of rows, its title, a result, and the columns to show.
        without: labels of methods that are no competitors, such as an optimum.

    Returns:
        A Markdown table.
    """
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    for title, result, columns in results:
        for column in columns:
            lines.append(f"| {title}, {column} | {' | '.join(_cells(result, column, without))} |")
    return "\n".join(lines)


def _cells(result: dict[str, Any], column: str, without: Collection[str]) -> list[str]:
    percent, lower = result["spec"]["percent"], result["spec"]["lower_is_better"]
    methods = {m["label"]: m for m in result["methods"] if column in m["scores"]}
    learners = [m for m in methods.values() if m["group"] == "meta-learned"]
    best = best_of(learners, column, lower)
    found = best["scores"][column].get("differences", {})
    gains = {
        label: {**score, "mean": -score["mean"] if lower else score["mean"]}
        for label, score in found.items()
        if label not in without
    }

    def described(method: dict[str, Any]) -> str:
        return f"{method['label']}: {score_text(percent, method['scores'][column])}"

    cells = [described(best)]
    for group in ("transfer", "baseline"):
        others = {label: g for label, g in gains.items() if methods[label]["group"] == group}
        if others:
            closest = min(others, key=lambda label: others[label]["mean"])
            cells += [described(methods[closest]), score_text(percent, others[closest], "+")]
        else:
            cells += ["-", "-"]
    return cells
