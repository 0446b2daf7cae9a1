"""Figure of an experiment: a bar for each score, and curves over training time and shots."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from benchmarks.report.scores import cut_short, leaders, measure_text
from benchmarks.report.style import BEST, label_text, palette, plt, save

GROUPS = ("published", "optimum", "baseline", "transfer", "meta-learned")
DASHES = ("-", "--", ":", "-.")  # of methods with the same color
MARKERS = {"baseline": "s", "transfer": "^", "meta-learned": "o"}


def bars_and_training(result: dict[str, Any], path: Path) -> None:
    """Plot the scores of each method, the validation scores during training, and scores over shots.

    A method has the same color in all panels. Methods that share a training have the same color. A
    result without a curve over shots has two panels.
    """
    methods, columns = result["methods"], result["columns"]
    present = {method["group"] for method in methods}
    groups = [group for group in GROUPS if group in present]
    colors = colors_of(methods)
    bars_height = 0.16 * (len(methods) * (len(columns) + 0.6) + 2 * len(groups))
    legend_height = 0.4 + 0.2 * (len(methods) + 2)
    panels = ["curves", "shots"] if result.get("curve") else ["curves"]
    height = max(1 + bars_height, legend_height + 2.8 * len(panels))
    rest = (height - legend_height) / len(panels)
    figure, axes = plt.subplot_mosaic(
        [["bars", panel] for panel in [*panels, "legend"]],
        figsize=(11.5, height),
        height_ratios=(*[rest] * len(panels), legend_height),
        width_ratios=(3, 2),
        layout="constrained",
    )
    bars, curves, legend = axes["bars"], axes["curves"], axes["legend"]
    _draw_bars(bars, result, groups, colors)
    _draw_curves(curves, result, colors)
    handles = curves.get_lines()
    if "shots" in axes:
        _draw_shots(axes["shots"], result, colors)
        handles = axes["shots"].get_lines()
    handles = [*handles, Patch(facecolor="none", label="best or tied", **BEST)]
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
        ways = {1 / column["ways"] for column in result["columns"] if "ways" in column}
        for chance in sorted(ways or {result["chance"]}, reverse=True):
            line = {"color": "black", "lw": 0.9, "ls": ":", "label": "chance level"}
            axes.axvline(factor * chance, zorder=3, **line)
    height, row = 0.82 / len(columns), 0.0
    ticks: list[tuple[float, str, bool]] = []
    for group in groups:
        ticks.append((row, group, True))
        row += 0.65
        for method in (m for m in result["methods"] if m["group"] == group):
            ticks.append((row, label_text(method), False))
            for number, column in enumerate(columns):
                if column not in method["scores"]:
                    continue
                score = method["scores"][column]
                error = factor * score.get("ci95", 0.0)
                at = row + (number - (len(columns) - 1) / 2) * height
                end = factor * score["mean"] + error
                axes.barh(
                    at,
                    factor * score["mean"],
                    0.88 * height,
                    xerr=error or None,
                    hatch="//" if group in ("published", "optimum") else None,
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


def _draw_shots(axes: Axes, result: dict[str, Any], colors: dict[str, Any]) -> None:
    """Plot the score of each method against the number of shots."""
    factor = 100 if result["spec"]["percent"] else 1
    dashes: dict[Any, Any] = {}
    for method in result["methods"]:
        points = [p for p in result["curve"] if p["name"] in method["scores"]]
        if not points:
            continue
        scores = [method["scores"][point["name"]] for point in points]
        color = colors[method["label"]]
        axes.errorbar(
            [point["shots"] for point in points],
            [factor * score["mean"] for score in scores],
            [factor * score.get("ci95", 0.0) for score in scores],
            color=color,
            ls=next(dashes.setdefault(color, itertools.cycle(DASHES))),
            marker=MARKERS.get(method["group"], "."),
            ms=4,
            elinewidth=0.6,
            lw=1.2,
        ).lines[0].set_label(label_text(method))
    shots = [point["shots"] for point in result["curve"]]
    axes.set_xscale("log")
    axes.set_xticks(shots, list(map(str, shots)))
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    axes.set_xlabel("support examples per class")
    axes.set_ylabel(f"test {measure_text(result['spec'])}")


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
