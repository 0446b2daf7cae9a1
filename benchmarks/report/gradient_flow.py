"""Figure of the lag experiment: scores by lag, and gradient norms by steps back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks.report.scores import cut_short, leaders, measure_text, variants
from benchmarks.report.style import palette, plt, save

MARKERS = "osD^vPX*"
SMALLEST = 1e-12  # lower limit of the plotted gradient norms


def scores_and_gradient_flow(result: dict[str, Any], path: Path) -> None:
    """Plot the score by lag and the gradient norm by steps back for each variant.

    A method has the same color and marker in every panel. Variants with the same tasks share a row
    and its axes. Dotted lines are gradients before meta-training.
    """
    groups = variants(result["methods"])
    tasks = list(dict.fromkeys(variant[0] for variant in groups))
    panels = {task: [v for v in groups if v[0] == task] for task in tasks}
    down, across = len(tasks), max(map(len, panels.values()))
    names = list(dict.fromkeys(method["name"] for method in result["methods"]))
    styles = dict(zip(names, zip(palette(len(names)), MARKERS, strict=False), strict=True))
    figure, grid = plt.subplots(
        2 * down,
        across,
        figsize=(2.4 + 2.9 * across, 0.6 + 4.4 * down),
        layout="constrained",
        squeeze=False,
        sharey="row",
    )
    for row, task in enumerate(tasks):
        for column in range(across):
            scores, flows = grid[2 * row, column], grid[2 * row + 1, column]
            if column >= len(panels[task]):
                scores.set_visible(False)
                flows.set_visible(False)
                continue
            variant = panels[task][column]
            _draw_scores(scores, result, groups[variant], styles)
            _draw_flows(flows, groups[variant], styles)
            scores.set(title=", ".join(variant), xlabel="lag, steps")
        grid[2 * row, 0].set_ylim(bottom=-0.05 * (100 if result["spec"]["percent"] else 1))
        grid[2 * row, 0].set_ylabel(measure_text(result["spec"]).replace(", ", "\n"))
        grid[2 * row + 1, 0].set_ylim(bottom=SMALLEST)
        grid[2 * row + 1, 0].set_ylabel("norm of the gradient")
    figure.legend(handles=_legend(styles, result["methods"]), loc="outside right upper", fontsize=9)
    save(figure, result, path)


def _draw_scores(
    axes: Axes, result: dict[str, Any], methods: list[dict[str, Any]], styles: dict[str, Any]
) -> None:
    lags = [column["lag"] for column in result["columns"]]
    columns = [column["name"] for column in result["columns"]]
    factor = 100 if result["spec"]["percent"] else 1
    for method in methods:
        color, marker = styles[method["name"]]
        means = [factor * method["scores"][column]["mean"] for column in columns]
        axes.plot(lags, means, color=color, marker=marker, ms=4)
        for lag, mean, column in zip(lags, means, columns, strict=True):
            if method["label"] in leaders(result, column):
                axes.plot(lag, mean, marker, ms=6, mfc=color, mec="black", mew=1.2)
        if cut_short(method):
            axes.annotate("time limit", (lags[-1], means[-1]), size=7, color=color, ha="right")
    axes.set_xscale("log")
    axes.set_xticks(lags, [str(lag) for lag in lags])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _draw_flows(axes: Axes, methods: list[dict[str, Any]], styles: dict[str, Any]) -> None:
    for method in methods:
        color, _ = styles[method["name"]]
        for when, style in {"before": ":", "after": "-"}.items():
            norms = method.get("gradient_flow", {}).get(when, [])
            axes.plot(range(len(norms)), norms, style, color=color, lw=1)
    axes.set(yscale="log", xlabel="steps back")
    axes.grid(alpha=0.3)


def _legend(styles: dict[str, Any], methods: list[dict[str, Any]]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=color, marker=marker, label=name)
        for name, (color, marker) in styles.items()
    ]
    best = {"marker": "o", "mfc": "none", "mec": "black", "mew": 1.2, "ls": ""}
    handles.append(Line2D([], [], **best, label="best or tied"))
    for text, style in {"before meta-training": ":", "after meta-training": "-"}.items():
        handles.append(Line2D([], [], color="gray", ls=style, label=f"gradient {text}"))
    return handles
