"""Forecasting of recorded series: months, quarters, years, hours and weeks of many sources."""

from __future__ import annotations

import os

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.series.forecasting import ForecastingDataset
from l2l_rnn.data.splits import check_split
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.series.recorded_series import SOURCES, recorded_series


@register_dataset(
    "forecasting",
    TaskCard(
        task="Forecast the last 12 steps of a recorded series from windows of its history.",
        source="data sets that ship in the packages statsmodels, sktime and bokeh-sampledata",
        license="public domain, BSD-3-Clause; see the packages",
        classes=(49, 9, 41),
        items=(4755, 1119, 3430),
        lengths=(48, 48),
        splits="disjoint by source",
        measure="mean squared error",
        chance=2.35,
        baseline=("the value one season before", 2.7),
        counted="series",
        extra="forecasting",
    ),
)
class RecordedSeries(ForecastingDataset):
    """Windows of recorded series; a task is a series, and its queries are its last steps.

    Train: stocks, the macroeconomy and unemployment of the USA, sea temperature, weather.
    Validation: interest rates, sunspots, road casualties, quarterly changes of the economy. Test:
    airline passengers, lynx, prescriptions, solar power, carbon dioxide, El Nino, the Nile,
    electrical equipment, and a person's blood glucose. Long recordings are cut into
    pieces of 144 steps. Each value of an input is normalized by its context, and the last channel
    is the number of steps in a season. The data ship in packages: nothing is downloaded, and
    `root` is neither read nor written.

    Args:
        root: ignored; accepted for compatibility with learn2learn's datasets.
        split: `"train"`, `"validation"` or `"test"`.
        context: number of input steps.
        horizon: number of steps to forecast.
        stride: steps between the starts of neighboring windows; must divide `horizon`.

    Attributes:
        series: the recorded series, with their names, values and periods.
        group_names: the names of the series.

    Shapes:
        inputs (items, context, 2) float32; targets (items, horizon).

    Raises:
        UnknownNameError: `split` is unknown.
        ArgumentError: a size is not a positive integer, or `stride` does not divide `horizon`.
        DataError: a series is shorter than `context + horizon`.
        MissingExtraError: a package is not installed.

    Example:
        >>> dataset = RecordedSeries(split="test")
        >>> dataset.group_names[0], dataset.draw(tasks=4, shots=20, queries=1).query_y.shape
        ('airline', torch.Size([4, 1, 12]))
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
        *,
        context: int = 48,
        horizon: int = 12,
        stride: int = 1,
    ) -> None:
        check_split("RecordedSeries", split)
        self.split = split
        self.series = tuple(s for source in SOURCES[split] for s in recorded_series(source))
        super().__init__(
            [series.values for series in self.series],
            context,
            horizon,
            stride=stride,
            last_steps=True,
            periods=[series.period for series in self.series],
            names=[series.name for series in self.series],
        )
