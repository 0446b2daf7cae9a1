"""Plots of scores over adaptation steps or shots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.files import replacing
from l2l_rnn.optional import require
from l2l_rnn.training import Curve


def draw_curves(curves: Curve | Mapping[str, Curve], path: str | Path) -> Path:
    """Draw curves as a PNG, each with its 95% confidence interval, and return the path.

    Args:
        curves: what `training.adaptation_curve` or `training.shots_curve` returned, or several of
            them by the name of the learner.
        path: the file to write.

    Raises:
        ArgumentTypeError: `curves` are something else.
        ArgumentError: there are none, or they differ in their axis or score.
        MissingExtraError: matplotlib is not installed.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> from l2l_rnn.tasksets import Sinusoids
        >>> from l2l_rnn.training import adaptation_curve
        >>> from torch import nn
        >>> maml = MAML(nn.Linear(1, 1), lr=0.01)
        >>> curve = adaptation_curve(maml, Sinusoids(), 10, range(4), tasks=20, queries=10)
        >>> draw_curves({"MAML": curve}, "curve.png")  # doctest: +SKIP
    """
    named = {"": curves} if isinstance(curves, Curve) else curves
    if not isinstance(named, Mapping) or not all(isinstance(c, Curve) for c in named.values()):
        raise ArgumentTypeError(
            "draw_curves: curves must be a Curve or a dict of them, got "
            f"{type(curves).__name__}; pass what adaptation_curve or shots_curve returned"
        )
    kinds = {(curve.axis, curve.evaluations[0].score) for curve in named.values()}
    if len(kinds) != 1:
        raise ArgumentError(
            f"draw_curves: all curves must be of one score over steps or over shots, got "
            f"{sorted(kinds)}; draw them one by one"
        )
    figures = require("matplotlib.figure", extra="plots", purpose="draw_curves")
    figure = figures.Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, curve in named.items():
        axes.errorbar(curve.values, curve.means, curve.ci95, label=name, marker="o", capsize=3)
    ((axis, score),) = kinds
    axes.set_xlabel(axis)
    axes.set_ylabel(score)
    axes.grid(alpha=0.3)
    if set(named) != {""}:
        axes.legend()
    with replacing(path, "wb") as file:
        figure.savefig(file, dpi=120, format="png")
    return Path(path)
