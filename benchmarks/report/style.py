"""Common style of all figures: colors, labels, watermark, and saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks.report.scores import cut_short
from l2l_rnn.files import replacing

BEST = {"edgecolor": "black", "linewidth": 1.3}  # outline of the best methods of a column


def palette(count: int) -> list[Any]:
    """Return this many distinct colors, up to 20."""
    colors = plt.get_cmap("tab10" if count <= 10 else "tab20").colors
    return [colors[number % len(colors)] for number in range(count)]


def label_text(method: dict[str, Any]) -> str:
    """Return a method's label, with a note if training stopped at its time limit."""
    return method["label"] + " (time limit)" * cut_short(method)


def save(figure: Figure, result: dict[str, Any], path: Path) -> None:
    """Add the title, and a watermark for a quick run; then write the figure."""
    title = f"{result['spec']['name']}: {result['spec']['summary']}"
    if result["form"] == "quick":
        title += "\nquick run: scores are meaningless"
        figure.text(
            0.5,
            0.5,
            "quick run: scores are meaningless",
            size=34,
            color="firebrick",
            alpha=0.22,
            rotation=20,
            ha="center",
            va="center",
        )
    figure.suptitle(title, size=12)
    with replacing(path, "wb") as file:
        figure.savefig(file, dpi=110, format="png")
    plt.close(figure)
