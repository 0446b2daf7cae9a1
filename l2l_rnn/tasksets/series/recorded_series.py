"""Recorded series that ship with statsmodels, sktime and bokeh-sampledata, by source."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.optional import require

PIECE = 144  # steps of a piece of a long recording
Values = NDArray[np.float64]


class Recorded(NamedTuple):
    """A recorded series.

    Attributes:
        name: its source, and its column or piece.
        values: the values, in the order of time.
        period: steps in a season; 1 if there is none.
    """

    name: str
    values: Values
    period: int


@functools.cache
def recorded_series(source: str) -> tuple[Recorded, ...]:
    """Return the series of a source, one of `SOURCES`.

    Long recordings are cut into pieces. Short gaps are interpolated.

    Raises:
        MissingExtraError: a package is not installed.
    """
    purpose = f"the recorded series {source!r}"
    require("statsmodels.datasets", extra="forecasting", purpose=purpose)
    require("sktime.datasets", extra="forecasting", purpose=purpose)
    require("bokeh_sampledata", extra="forecasting", purpose=purpose)
    require("pandas", extra="forecasting", purpose=purpose)
    return tuple(
        Recorded(name, np.ascontiguousarray(values, dtype=np.float64), period)
        for name, values, period in _READERS[source]()
    )


Found = Iterator[tuple[str, Any, int]]


def _statsmodels(name: str) -> Any:
    return import_module("statsmodels.datasets").__dict__[name].load_pandas().data


def _sktime(loader: str) -> Any:
    return getattr(import_module("sktime.datasets"), f"load_{loader}")()


def _bokeh(name: str) -> Any:
    return import_module(f"bokeh_sampledata.{name}").data


def _pieces(name: str, values: Any, period: int) -> Found:
    """Yield the pieces of a long recording; the first steps that fill no piece are left out."""
    values = np.asarray(values, dtype=np.float64)
    count = max(1, len(values) // PIECE)
    for i, piece in enumerate(np.split(values[-count * PIECE :], count)):
        yield f"{name} {i + 1}", piece, period


def _columns(frame: Any, names: tuple[str, ...], prefix: str, period: int) -> Found:
    for name in names:
        yield f"{prefix} {name}", frame[name].to_numpy(), period


def _stocks() -> Found:
    """Yield weekly prices: those of every fifth trading day."""
    stocks = import_module("bokeh_sampledata.stocks")
    for name in ("AAPL", "GOOG", "IBM", "MSFT"):
        yield from _pieces(f"stocks {name}", getattr(stocks, name)["adj_close"][::5], 1)


def _macroeconomy() -> Found:
    names = "realgdp realcons realinv realgovt realdpi cpi m1 tbilrate unemp infl"
    yield from _columns(_statsmodels("macrodata"), tuple(names.split()), "macroeconomy", 4)


def _rates() -> Found:
    yield from _columns(_statsmodels("interest_inflation"), ("Dp", "R"), "rates", 4)


def _unemployment() -> Found:
    months = _bokeh("unemployment1948").drop(columns=["Annual"], errors="ignore")
    months = months[[name for name in months if len(str(name)) == 3]]  # the names of months
    yield from _pieces("unemployment", months.to_numpy(dtype=float).ravel()[:816], 12)


def _sea() -> Found:
    module = import_module("bokeh_sampledata.sea_surface_temperature")
    hourly = module.sea_surface_temperature.iloc[:, 0].resample("h").mean().interpolate()
    yield from _pieces("sea temperature", hourly.to_numpy()[::4], 6)


def _weather() -> Found:
    names = ["TMAX", "TMIN"]
    frame = _bokeh("lincoln")[names].interpolate()
    for name in names:
        yield from _pieces(f"weather {name}", frame[name], 1)


def _sunspots() -> Found:
    yield "sunspots", _statsmodels("sunspots")["SUNACTIVITY"].to_numpy(), 11


def _seatbelts() -> Found:
    # sktime has the file, and no public loader for it.
    folder = files("sktime.datasets") / "data" / "seatbelts"
    text = (folder / "seatbelts.csv").read_text("utf-8")
    rows = [line.split(",") for line in text.splitlines()[1:]]
    yield "seatbelts", [float(row[1]) for row in rows], 12


def _changes() -> Found:
    y, x = _sktime("uschange")
    yield "changes Consumption", y.to_numpy().ravel(), 4
    yield from _columns(x, tuple(name for name in x if name != "Quarter"), "changes", 4)


def _airline() -> Found:
    yield "airline", _sktime("airline").to_numpy(), 12


def _lynx() -> Found:
    yield "lynx", _sktime("lynx").to_numpy(), 10


def _prescriptions() -> Found:
    yield "prescriptions", _sktime("PBS_dataset").to_numpy(), 12


def _solar() -> Found:
    """Yield hourly means of half-hourly solar power."""
    values = import_module("sktime.datasets").load_solar(api_version=None).to_numpy().ravel()
    yield "solar", values[: len(values) // 2 * 2].reshape(-1, 2).mean(1), 24


def _co2() -> Found:
    monthly = _statsmodels("co2")["co2"].resample("ME").mean().interpolate()
    yield from _pieces("co2", monthly.to_numpy(), 12)


def _elnino() -> Found:
    months = _statsmodels("elnino").drop(columns=["YEAR"])
    yield from _pieces("elnino", months.to_numpy(dtype=float).ravel(), 12)


def _nile() -> Found:
    yield "nile", _statsmodels("nile")["volume"].to_numpy(), 1


def _equipment() -> Found:
    data = import_module("statsmodels.datasets.elec_equip").load_pandas().data
    yield "equipment", data.iloc[:, -1].to_numpy(dtype=float), 12


def _glucose() -> Found:
    """Yield hourly means of a person's glucose monitor, in pieces without a gap of 3 hours."""
    hourly = _bokeh("glucose")["glucose"].resample("h").mean().interpolate(limit=3)
    runs = hourly.isna().cumsum()[hourly.notna()]
    for number, run in enumerate(hourly.dropna().groupby(runs)):
        if len(run[1]) >= 3 * PIECE // 4:
            yield from _pieces(f"glucose {number + 1}:", run[1].to_numpy(), 24)


_READERS: dict[str, Callable[[], Found]] = {
    "stocks": _stocks,
    "macroeconomy": _macroeconomy,
    "rates": _rates,
    "unemployment": _unemployment,
    "sea temperature": _sea,
    "weather": _weather,
    "sunspots": _sunspots,
    "seatbelts": _seatbelts,
    "changes": _changes,
    "airline": _airline,
    "lynx": _lynx,
    "prescriptions": _prescriptions,
    "solar": _solar,
    "co2": _co2,
    "elnino": _elnino,
    "nile": _nile,
    "equipment": _equipment,
    "glucose": _glucose,
}

# Sources of each split; the pieces and columns of a source stay together.
SOURCES = {
    "train": ("stocks", "macroeconomy", "unemployment", "sea temperature", "weather"),
    "validation": ("rates", "sunspots", "seatbelts", "changes"),
    "test": (
        "airline",
        "lynx",
        "prescriptions",
        "solar",
        "co2",
        "elnino",
        "nile",
        "equipment",
        "glucose",
    ),
}
