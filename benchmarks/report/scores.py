"""Means over tasks, confidence intervals, and the best methods of each column.

A score in a result is a dict with `mean`, `ci95` (half the width of the 95% confidence interval)
and `tasks`. All methods except the best of a column also have `difference`, the paired difference
from the best, with its own `mean` and `ci95`; and `differences`, those from the best transfer
method and from every baseline, by label. Results of older runs lack some of them. A score from a
paper has only a `mean`, and is not compared. Merged runs have `seeds`, the mean of each seed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from l2l_rnn.training import confidence_interval

Score = dict[str, Any]
Method = dict[str, Any]


def interval(scores: Tensor) -> Score:
    """Compute the mean over tasks and half the width of its 95% confidence interval.

    Args:
        scores: the score on each task, `(N,)`.
    """
    mean, ci95 = confidence_interval(scores)
    return {"mean": mean, "ci95": ci95, "tasks": len(scores)}


def score_text(percent: bool, score: Score, sign: str = "") -> str:
    """Format a mean, its interval, and the range over seeds, if it has them.

    Args:
        percent: whether to multiply by 100.
        score: the score.
        sign: `"+"` shows the sign.
    """
    factor, digits = (100, 1) if percent else (1, 3)

    def text(value: float, sign: str = "") -> str:
        return f"{factor * value:{sign}.{digits}f}"

    shown = text(score["mean"], sign)
    if "ci95" in score:
        shown += f" ± {text(score['ci95'])}"
    if len(score.get("seeds", ())) > 1:
        shown += f" ({text(min(score['seeds']))} to {text(max(score['seeds']))})"
    return shown


def compared(methods: list[Method]) -> list[Method]:
    """Return the methods that compete: no scores of papers, none told how tasks are drawn."""
    return [method for method in methods if method["group"] not in ("published", "optimum")]


def variants(methods: list[Method]) -> dict[tuple[str, ...], list[Method]]:
    """Group methods by variant; only methods of the same variant are compared."""
    groups: dict[tuple[str, ...], list[Method]] = {}
    for method in methods:
        groups.setdefault(tuple(method["variant"].values()), []).append(method)
    return groups


def add_differences(methods: list[Method], *, lower_is_better: bool) -> None:
    """Add to each score its paired differences from others of its column and variant.

    `difference` is from the best method, `differences` are from the best transfer method and from
    every baseline. Every method is evaluated on the same tasks, so the interval of a paired
    difference is narrower than the intervals of the two means suggest.

    Args:
        methods: the methods of a result, modified in place; `task_scores` of each has its score on
            each task, by column.
        lower_is_better: whether scores are errors.
    """
    for group in variants(compared(methods)).values():
        for column in dict.fromkeys(column for method in group for column in method["scores"]):
            scored = [method for method in group if column in method["scores"]]
            best = best_of(scored, column, lower_is_better)
            transfer = [method for method in scored if method["group"] == "transfer"]
            references = [method for method in scored if method["group"] == "baseline"]
            if transfer:
                references.append(best_of(transfer, column, lower_is_better))
            for method in scored:
                score = method["scores"][column]
                for name in ("difference", "differences"):  # from those of fewer methods
                    score.pop(name, None)
                if method is not best:
                    score["difference"] = paired_difference(method, best, column)
                found = {
                    other["label"]: paired_difference(method, other, column)
                    for other in references
                    if other is not method
                }
                if found:
                    score["differences"] = found


def paired_difference(method: Method, other: Method, column: str) -> Score:
    """Return the mean difference of two methods on the tasks that both have, and its interval.

    `tasks` is their number, where one method has fewer tasks than the other.
    """
    own, others = (_by_seed(m["task_scores"][column]) for m in (method, other))
    pairs = [(a, b, min(len(a), len(b))) for a, b in zip(own, others, strict=True)]
    found = interval(torch.cat([a[:shared] - b[:shared] for a, b, shared in pairs]))
    if found["tasks"] == sum(map(len, own)) == sum(map(len, others)):
        del found["tasks"]
    return found


def _by_seed(scores: list[Any]) -> list[Tensor]:
    """Return the score on each task, for each seed of merged runs."""
    parts = scores if isinstance(scores[0], list) else [scores]
    return [torch.tensor(part, dtype=torch.float64) for part in parts]


def best_of(methods: list[Method], column: str, lower_is_better: bool) -> Method:
    """Return the method with the best mean in a column, the first one if there are ties."""
    choose = min if lower_is_better else max
    return choose(methods, key=lambda method: method["scores"][column]["mean"])


def overlap(score: Score, best: Score) -> bool:
    """Return whether the intervals of two scores overlap."""
    distance: float = abs(score["mean"] - best["mean"])
    return distance <= score["ci95"] + best["ci95"]


def leaders(result: dict[str, Any], column: str) -> set[str]:
    """Return the labels of the best method of each variant, and of methods tied with it.

    A method is tied with the best if the interval of their paired difference contains 0. If there
    is no paired difference, it is tied if their intervals overlap.
    """
    found: set[str] = set()
    if has_aim(result, column):
        return found
    for group in variants(compared(result["methods"])).values():
        scored = [method for method in group if column in method["scores"]]
        if not scored:
            continue
        best = best_of(scored, column, result["spec"]["lower_is_better"])
        for method in scored:
            score = method["scores"][column]
            if "difference" in score:
                leads = abs(score["difference"]["mean"]) <= score["difference"]["ci95"]
            else:
                leads = overlap(score, best["scores"][column])
            if leads or method is best:
                found.add(method["label"])
    return found


def has_aim(result: dict[str, Any], column: str) -> bool:
    """Return whether the best score of a column is a certain value, such as a coverage of 90%."""
    return any(c["name"] == column and "aim" in c for c in result["columns"])


def cut_short(method: Method) -> bool:
    """Return whether a training of the method stopped at its time limit."""
    training = method["training"]
    if training is None:
        return False
    stopped = training["ended_early"] or training["pretraining_ended_early"]
    return stopped or any(other["ended_early"] for other in training["others"])


def measure_text(spec: dict[str, Any]) -> str:
    """Return a description of the score, such as `error in %, lower is better`."""
    return spec["score"] + " in %" * spec["percent"] + ", lower is better" * spec["lower_is_better"]
