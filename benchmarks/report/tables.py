"""Markdown tables of results, and the notes below them."""

from __future__ import annotations

from typing import Any

from benchmarks.report.scores import (
    best_of,
    compared,
    cut_short,
    has_aim,
    leaders,
    measure_text,
    overlap,
    score_text,
    variants,
)
from l2l_rnn.data import TaskCard


def table(result: dict[str, Any]) -> str:
    """Format a result as a Markdown table with a row for each method.

    The best score of each column is bold, and so are all scores tied with it.
    """
    names = [column["name"] for column in result["columns"]]
    leading = {name: leaders(result, name) for name in names}
    first = f"method ({measure_text(result['spec'])})"
    rows = [[first, "kind", *names, "training", "time per task"]]
    for method in result["methods"]:
        cells = [method["label"], method["group"]]
        for name in names:
            cells.append(_cell(result, method, name, method["label"] in leading[name]))
        if method["group"] == "published":
            cells += ["-", "-"]
        else:
            cells.append(_duration(method["training_seconds"]) + _limit(method))
            cells.append(_short_duration(method["seconds_per_task"]))
        rows.append(cells)
    return _aligned(rows)


def curve_table(result: dict[str, Any]) -> str:
    """Format the curve of the score against shots, with a row for each method that has one."""
    names = [point["name"] for point in result["curve"]]
    leading = {name: leaders(result, name) for name in names}
    shots = [f"{point['shots']} shot{'s' * (point['shots'] != 1)}" for point in result["curve"]]
    rows = [[f"method ({measure_text(result['spec'])})", *shots]]
    for method in result["methods"]:
        if any(name in method["scores"] for name in names):
            cells = [_cell(result, method, n, method["label"] in leading[n]) for n in names]
            rows.append([method["label"], *cells])
    return _aligned(rows)


def _aligned(rows: list[list[str]]) -> str:
    """Format rows as a table with columns of equal width; the first row is the heading."""
    rows.insert(1, [])
    widths = [max(len(row[i]) for row in rows if row) for i in range(len(rows[0]))]
    rows[1] = ["-" * width for width in widths]
    return "\n".join(
        _line(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def column_table(result: dict[str, Any], column: str) -> str:
    """Format one column of a result, with a row for each variant and a column for each method."""
    groups = variants(result["methods"])
    leading = leaders(result, column)
    names = list(dict.fromkeys(method["name"] for method in result["methods"]))
    keys = ", ".join(result["methods"][0]["variant"])
    rows = [[f"{keys} ({measure_text(result['spec'])})", *names], ["---", *["---:"] * len(names)]]
    for variant, methods in groups.items():
        cells = {}
        for method in methods:
            text = _cell(result, method, column, method["label"] in leading)
            cells[method["name"]] = text + _limit(method)
        rows.append([", ".join(variant), *(cells.get(name, "-") for name in names)])
    return "\n".join(map(_line, rows))


def notes(result: dict[str, Any]) -> str:
    """Format the notes below a table: form, time limits, bold type and paired differences."""
    lines = []
    if result["form"] == "quick":
        lines.append("Quick run: scores are meaningless.")
    lines += [
        f"{method['label']}: training stopped at its time limit."
        for method in result["methods"]
        if cut_short(method)
    ]
    for label, reason in result.get("skipped", {}).items():
        lines.append(f"{label}: skipped. {reason}")
    lines += _fewer_tasks(result)
    for method in result["methods"]:
        if method["group"] == "published":
            lines.append(f"{method['label']}: published by {method['source']}; not compared.")
        if method["group"] == "optimum":
            lines.append(f"{method['label']}: knows how the tasks are drawn; not compared.")
    seeds = result.get("seeds", [])
    if len(seeds) > 1:
        text = ", ".join(map(str, seeds))
        lines.append(f"Means over the seeds {text}; in parentheses, the range of their means.")
    lines.append("Bold: the best method, and those tied with it.")
    paired = []
    for column in result["columns"]:
        if not has_aim(result, column["name"]):
            paired += _paired(result, column["name"])
    if paired:
        lines.append("Paired differences from the best, where the intervals overlap (95%):")
        lines += paired
    names = [c["name"] for c in result["columns"] if not has_aim(result, c["name"])]
    learned = [line for name in names for line in _learned(result, name)]
    if learned:
        lines.append(
            "Paired differences of the best meta-learned method from the best transfer method and "
            "the best baseline (95%):"
        )
    return "\n".join(lines + learned)


def tasksets_table(cards: dict[str, TaskCard]) -> str:
    """Format task sets as a Markdown table of tasks, sizes of the splits, and baselines."""
    lines = [
        _line(["name", "a task", "train, validation, test", "chance level, simple baseline"]),
        _line(["---"] * 4),
    ]
    for name, card in sorted(cards.items()):
        size = "unlimited"
        if card.classes is not None:
            size = f"{', '.join(map(str, card.classes))} {card.counted}"
        scores = f"{card.measure}: {card.chance:g}, {card.baseline[1]:g}"
        lines.append(_line([f"`{name}`", card.task, size, scores]))
    return "\n".join(lines)


def _cell(result: dict[str, Any], method: dict[str, Any], column: str, leads: bool) -> str:
    if column not in method["scores"]:
        return "-"
    text = score_text(result["spec"]["percent"], method["scores"][column])
    return f"**{text}**" if leads else text


def _limit(method: dict[str, Any]) -> str:
    return " (time limit)" * cut_short(method)


def _paired(result: dict[str, Any], column: str) -> list[str]:
    """Return a line for each method with an interval that overlaps the best one."""
    lines = []
    for group in variants(compared(result["methods"])).values():
        methods = [method for method in group if column in method["scores"]]
        if not methods:
            continue
        best = best_of(methods, column, result["spec"]["lower_is_better"])
        for method in methods:
            score = method["scores"][column]
            if "difference" in score and overlap(score, best["scores"][column]):
                text = score_text(result["spec"]["percent"], score["difference"], "+")
                lines.append(f"  {column}: {text} for {method['label']} - {best['label']}")
    return lines


def _learned(result: dict[str, Any], column: str) -> list[str]:
    """Return a line for each reference of the best meta-learned method, if it has differences."""
    lines = []
    for group in variants(compared(result["methods"])).values():
        kinds: dict[str, list[dict[str, Any]]] = {}
        for method in group:
            if column in method["scores"]:
                kinds.setdefault(method["group"], []).append(method)
        best = {
            kind: best_of(methods, column, result["spec"]["lower_is_better"])
            for kind, methods in kinds.items()
        }
        learned = best.get("meta-learned", {"scores": {column: {}}})
        differences = learned["scores"][column].get("differences", {})
        for kind in ("transfer", "baseline"):
            label = best[kind]["label"] if kind in best else None
            if label in differences:
                text = score_text(result["spec"]["percent"], differences[label], "+")
                lines.append(f"  {column}: {text} for {learned['label']} - {label}")
    return lines


def _fewer_tasks(result: dict[str, Any]) -> list[str]:
    """Return a line for each method with fewer test tasks than others."""
    lines = []
    names = [column["name"] for column in result["columns"]]
    for method in compared(result["methods"]):
        own = [method["scores"][name]["tasks"] for name in names if name in method["scores"]]
        most = max(
            m["scores"][name]["tasks"]
            for m in compared(result["methods"])
            for name in names
            if name in m["scores"]
        )
        if own and max(own) < most:
            lines.append(f"{method['label']}: the first {max(own)} of {most} test tasks.")
    return lines


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _short_duration(seconds: float) -> str:
    """Format in milliseconds, or in microseconds below one millisecond."""
    return f"{1e3 * seconds:.0f} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.0f} µs"


def _duration(seconds: float) -> str:
    if seconds < 0.5:
        return "none"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
