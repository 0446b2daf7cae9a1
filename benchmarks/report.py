"""What a run leaves behind: a table, one JSON file and one picture."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from torch import Tensor

from l2l_rnn.data import TaskCard

COLOURS = {"meta-learned": "#1f6f8b", "transfer": "#e09f3e", "baseline": "#9aa0a6"}


def interval(scores: Tensor) -> dict[str, float]:
    """Mean over tasks and the half width of its 95% confidence interval.

    Args:
        scores: one for each task, `(N,)`.
    """
    count = len(scores)
    spread = scores.double().std().item() if count > 1 else 0.0
    return {
        "mean": scores.double().mean().item(),
        "ci95": 1.96 * spread / math.sqrt(count),
        "tasks": count,
    }


def score_text(percent: bool, interval: dict[str, float]) -> str:
    """Format a mean and its interval, a share as a percentage."""
    factor, digits = (100, 1) if percent else (1, 3)
    return f"{factor * interval['mean']:.{digits}f} ± {factor * interval['ci95']:.{digits}f}"


def table(result: dict[str, Any]) -> str:
    """Format a result as a Markdown table, a line for each method."""
    columns = result["columns"]
    rows = [["method", "kind", *columns, "training", "a task"]]
    rows.append(["---"] * len(rows[0]))
    for entry in result["methods"]:
        cells = [entry["label"], entry["group"]]
        for column in columns:
            score = entry["scores"].get(column)
            cells.append(score_text(result["spec"]["percent"], score) if score else "-")
        cells.append(_duration(entry["training_seconds"]))
        cells.append(_short_duration(entry["seconds_per_task"]))
        rows.append(cells)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows[1] = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def tasksets_table(cards: dict[str, TaskCard]) -> str:
    """The task sets as Markdown: what a task is, how many classes there are, how hard it is."""
    lines = [
        "| name | a task | train, validation, test | a guess, a simple baseline |",
        "| --- | --- | --- | --- |",
    ]
    for name, card in sorted(cards.items()):
        size = "drawn without end"
        if card.classes is not None:
            size = f"{', '.join(map(str, card.classes))} {card.counted}"
        scores = f"{card.measure}: {card.chance:g}, {card.baseline[1]:g}"
        lines.append(f"| `{name}` | {card.task} | {size} | {scores} |")
    return "\n".join(lines)


def column_table(result: dict[str, Any], column: str) -> str:
    """Format one column of a result whose labels are `PREFIX: METHOD`, a line for each prefix."""
    parts = [entry["label"].partition(": ")[::2] for entry in result["methods"]]
    methods = list(dict.fromkeys(method for _, method in parts))
    found = {
        part: score_text(result["spec"]["percent"], entry["scores"][column])
        for part, entry in zip(parts, result["methods"], strict=True)
    }
    lines = [["tasks, cell", *methods], ["---", *["---:"] * len(methods)]]
    for prefix in dict.fromkeys(prefix for prefix, _ in parts):
        lines.append([prefix, *(found.get((prefix, method), "-") for method in methods)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(
    result: dict[str, Any], directory: Path, picture: Callable[[dict[str, Any], Path], None]
) -> tuple[Path, Path]:
    """Write `NAME-FORM.json` and `.png` into a directory, each whole or not at all.

    `picture` draws the result into a file. The names of an interrupted run end in `-partial`, and
    replace no whole one.
    """
    stem = f"{result['spec']['name']}-{result['form']}" + "-partial" * result["interrupted"]
    text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    data = replace(directory / f"{stem}.json", lambda path: path.write_text(text, "utf-8"))
    return data, replace(directory / f"{stem}.png", lambda path: picture(result, path))


def bars_and_training(result: dict[str, Any], path: Path) -> None:
    """Draw the scores of each method and how the validation score went in training."""
    methods, columns = result["methods"], result["columns"]
    percent = result["spec"]["percent"]
    factor, unit = (100, ", %") if percent else (1, "")
    figure, (bars, curves) = plt.subplots(
        1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=(3, 2)
    )
    height = 0.8 / len(columns)
    for position, entry in enumerate(methods):
        for offset, column in enumerate(columns):
            score = entry["scores"].get(column)
            if score is None:
                continue
            at = position + (offset - (len(columns) - 1) / 2) * height
            bars.barh(
                at,
                factor * score["mean"],
                height * 0.92,
                xerr=factor * score["ci95"],
                color=COLOURS[entry["group"]],
                alpha=0.55 + 0.45 * offset / max(1, len(columns) - 1),
                error_kw={"lw": 1},
            )
            bars.text(0, at, f" {column}", va="center", size=7, color="white")
    bars.set_yticks(range(len(methods)), [entry["label"] for entry in methods])
    bars.invert_yaxis()
    dotted = ""
    if result["chance"] is not None:
        bars.axvline(factor * result["chance"], color="black", lw=0.8, ls=":")
        dotted = " (dotted: chance)"
    bars.set_xlabel(f"{result['spec']['score']} on unseen tasks{unit}{dotted}")
    for group in dict.fromkeys(entry["group"] for entry in methods):
        bars.barh(0, 0, color=COLOURS[group], label=group)
    if percent:
        bars.set_xlim(0, 100)
    bars.legend(loc="upper right", fontsize=8)

    trainings: dict[str, tuple[list[dict[str, float]], list[str]]] = {}
    for entry in methods:  # entries may share a training
        points = (entry["training"] or {}).get("points", [])
        if points:
            trainings.setdefault(str(points), (points, []))[1].append(entry["label"])
    for points, labels in trainings.values():
        curves.plot(
            [p["seconds"] / 60 for p in points],
            [factor * p["validation"] if p["validation"] is not None else math.nan for p in points],
            label="\n".join(labels),
            marker=".",
        )
    curves.set_xlabel("training, minutes")
    curves.set_ylabel(f"validation {result['spec']['score']}{unit}")
    if curves.lines:
        curves.legend(fontsize=8)
    figure.suptitle(f"{result['spec']['name']}: {result['spec']['summary']}", size=11)
    figure.savefig(path, dpi=130, format="png")
    plt.close(figure)


def scores_and_gradient_flow(result: dict[str, Any], path: Path) -> None:
    """Draw, for each prefix of the labels, the score by column and how far back gradients reach.

    A label is `PREFIX: METHOD`; a column's name begins with its number. Dotted lines are gradients
    before meta-training.
    """
    panels: dict[str, list[dict[str, Any]]] = {}
    for entry in result["methods"]:
        panels.setdefault(entry["label"].partition(": ")[0], []).append(entry)
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    figure, grid = plt.subplots(
        2 * down, across, figsize=(3.2 * across, 4.6 * down), layout="constrained", squeeze=False
    )
    lags = [int(column.split()[0]) for column in result["columns"]]
    factor = 100 if result["spec"]["percent"] else 1
    for place, (prefix, entries) in enumerate(panels.items()):
        row, column = divmod(place, across)
        scores, flows = grid[2 * row, column], grid[2 * row + 1, column]
        for number, entry in enumerate(entries):
            colour, label = f"C{number}", entry["label"].partition(": ")[2]
            means = [factor * entry["scores"][c]["mean"] for c in result["columns"]]
            scores.plot(lags, means, color=colour, marker="o", ms=3, label=label)
            for when, style in {"before": ":", "after": "-"}.items():
                norms = entry.get("gradient_flow", {}).get(when, [])
                flows.plot(range(len(norms)), norms, style, color=colour, lw=1)
        scores.set(title=prefix, xscale="log")
        scores.set_ylim(bottom=-3)
        scores.set_xticks(lags, [str(lag) for lag in lags])
        scores.minorticks_off()
        flows.set(yscale="log", xlabel="steps back", ylim=(1e-12, None))
    for row in range(down):
        grid[2 * row, 0].set_ylabel(f"{result['spec']['score']}{', %' if factor == 100 else ''}")
        grid[2 * row + 1, 0].set_ylabel("norm of the gradient")
    for place in range(len(panels), down * across):
        row, column = divmod(place, across)
        grid[2 * row, column].set_visible(False)
        grid[2 * row + 1, column].set_visible(False)
    grid[0, 0].legend(fontsize=7)
    figure.suptitle(f"{result['spec']['name']}: {result['spec']['summary']}", size=11)
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)


def check_writable(directory: Path) -> None:
    """Make the directory and prove that a file can be written there.

    Raises:
        OSError: it cannot.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        pass


def replace(path: Path, write: Callable[[Path], object]) -> Path:
    """Have `write` fill a file beside `path`, then move it into place."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    beside = Path(name)
    try:
        write(beside)
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def _short_duration(seconds: float) -> str:
    """In ms, or in µs where that would be none."""
    return f"{1e3 * seconds:.0f} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.0f} µs"


def _duration(seconds: float) -> str:
    if seconds < 0.5:
        return "none"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
