"""Figure of an experiment: a bar for each score, and validation scores during training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from benchmarks.report.scores import cut_short, leaders, measure_text
from benchmarks.report.style import BEST, label_text, palette, plt, save

GROUPS = ("baseline", "transfer", "meta-learned")


def bars_and_training(result: dict[str, Any], path: Path) -> None:
    """Plot the scores of each method, and the validation scores during training.

    A method has the same color in both panels. Methods that share a training have the same color.
    """
    methods, columns = result["methods"], result["columns"]
    present = {method["group"] for method in methods}
    groups = [group for group in GROUPS if group in present]
    colors = colors_of(methods)
    bars_height = 0.16 * (len(methods) * (len(columns) + 0.6) + 2 * len(groups))
    legend_height = 0.4 + 0.2 * (len(methods) + 2)
    height = max(1 + bars_height, legend_height + 2.8)
    figure, axes = plt.subplot_mosaic(
        [["bars", "curves"], ["bars", "legend"]],
        figsize=(11.5, height),
        height_ratios=(height - legend_height, legend_height),
        width_ratios=(3, 2),
        layout="constrained",
    )
    bars, curves, legend = axes["bars"], axes["curves"], axes["legend"]
    _draw_bars(bars, result, groups, colors)
    _draw_curves(curves, result, colors)
    handles = [
        *curves.get_lines(),
        Patch(facecolor="none", label="best or tied", **BEST),
    ]
    if result["chance"] is not None:
        handles.append(bars.lines[0])
    legend.legend(handles=handles, loc="upper center", fontsize=8, frameon=False)
    legend.set_axis_off()
    save(figure, result, path)


def colors_of(methods: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a color for each label; methods that share a training have the same color."""
    trainings = {method["label"]: _training(method) for method in methods}
    distinct = list(dict.fromkeys(trainings.values()))
    colors = dict(zip(distinct, palette(len(distinct)), strict=True))
    return {label: colors[training] for label, training in trainings.items()}


def _training(method: dict[str, Any]) -> str:
    """Return a key for the training of a method: its points, or its label if it has none."""
    points = _points(method)
    return str(points) if points else str(method["label"])


def _points(method: dict[str, Any]) -> list[dict[str, Any]]:
    return method["training"]["points"] if method["training"] else []


def _draw_bars(axes: Axes, result: dict[str, Any], groups: list[str], colors: Any) -> None:
    columns = [column["name"] for column in result["columns"]]
    leading = {column: leaders(result, column) for column in columns}
    factor = 100 if result["spec"]["percent"] else 1
    if result["chance"] is not None:
        chance = factor * result["chance"]
        axes.axvline(chance, color="black", lw=0.9, ls=":", label="chance level", zorder=3)
    height, row = 0.82 / len(columns), 0.0
    ticks: list[tuple[float, str, bool]] = []
    for group in groups:
        ticks.append((row, group, True))
        row += 0.65
        for method in (m for m in result["methods"] if m["group"] == group):
            ticks.append((row, label_text(method), False))
            for number, column in enumerate(columns):
                score = method["scores"][column]
                at = row + (number - (len(columns) - 1) / 2) * height
                end = factor * (score["mean"] + score["ci95"])
                axes.barh(
                    at,
                    factor * score["mean"],
                    0.88 * height,
                    xerr=factor * score["ci95"],
                    color=(*colors[method["label"]], 0.4 + 0.6 * (number + 1) / len(columns)),
                    error_kw={"lw": 1},
                    **(BEST if method["label"] in leading[column] else {}),
                )
                axes.annotate(
                    column, (end, at), (3, 0), textcoords="offset points", va="center", size=7
                )
            row += 1
        row -= 0.2
    axes.set_yticks([at for at, _, _ in ticks], [text for _, text, _ in ticks])
    for tick, (_, _, heading) in zip(axes.yaxis.get_major_ticks(), ticks, strict=True):
        if heading:
            tick.tick1line.set_visible(False)
            tick.label1.set(fontweight="bold")
    axes.set_ylim(row - 0.3, -0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(f"test {measure_text(result['spec'])}")
    axes.set_xlim(0, 1.08 * axes.get_xlim()[1])


def _draw_curves(axes: Axes, result: dict[str, Any], colors: dict[str, Any]) -> None:
    factor = 100 if result["spec"]["percent"] else 1
    for method in result["methods"]:  # curves of a shared training coincide
        points = _points(method)
        if not points:
            continue
        minutes = [point["seconds"] / 60 for point in points]
        scores = [math.nan if p["validation"] is None else p["validation"] for p in points]
        (line,) = axes.plot(
            minutes,
            [factor * score for score in scores],
            color=colors[method["label"]],
            label=label_text(method),
            marker=".",
        )
        if cut_short(method):
            line.set(marker="x", markevery=[len(points) - 1], markersize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.set_xlabel("training time, minutes")
    axes.set_ylabel(f"validation {result['spec']['score']}" + " in %" * result["spec"]["percent"])
