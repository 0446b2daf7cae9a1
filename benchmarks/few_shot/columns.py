"""Columns of a result's table, each with the number that distinguishes it."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


class Column(ABC):
    """Column of a table: evaluation tasks that differ from other columns in one number."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The heading, and the key of the scores in the JSON."""

    def to_json(self) -> dict[str, Any]:
        """Return the name and the fields as plain values."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Shots(Column):
    """Tasks with this many support examples per class, or per task if there are no classes."""

    shots: int
    ways: int | None = None  # classes per task; None is the number of the experiment

    @property
    def name(self) -> str:
        ways = "" if self.ways is None else f"{self.ways} ways, "
        return f"{ways}{self.shots} shot{'s' * (self.shots != 1)}"

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_json().items() if value is not None}

    @property
    def drawn(self) -> int:
        """The number of support examples that are drawn per class; the first `shots` are used."""
        return self.shots


@dataclass(frozen=True)
class CurvePoint(Shots):
    """Point of a curve of the score against shots.

    All points of a curve have the same tasks and queries, with nested support sets, so the curve
    shows nothing but the effect of more examples.
    """

    most: int = 0  # shots of the curve's last point
    tasks: int = 0  # number of test tasks

    @property
    def name(self) -> str:
        return f"curve, {super().name}"

    @property
    def drawn(self) -> int:
        return self.most


@dataclass(frozen=True)
class Instance(Column):
    """Items of an episode that are the n-th instance of their class; 1 is the first."""

    instance: int

    @property
    def name(self) -> str:
        """An ordinal such as 1st, for at most 20 instances."""
        return f"{self.instance}{ ({1: 'st', 2: 'nd', 3: 'rd'}.get(self.instance, 'th')) }"


@dataclass(frozen=True)
class Lag(Column):
    """Tasks whose targets depend on an input this many steps back."""

    lag: int

    @property
    def name(self) -> str:
        return f"{self.lag} back"


@dataclass(frozen=True)
class Experience(Column):
    """Bodies of one kind, after this many transitions of each."""

    body: str
    transitions: int | None = None  # None is the experience of the experiment

    @property
    def name(self) -> str:
        return self.body if self.transitions is None else f"{self.body}, {self.transitions}"


@dataclass(frozen=True)
class Pulls(Column):
    """Bandits with this many arms, and this many pulls in a trial."""

    arms: int
    pulls: int

    @property
    def name(self) -> str:
        return f"{self.arms} arms, {self.pulls} pulls"


@dataclass(frozen=True)
class Episode(Column):
    """One of several episodes of the same task; 1 is the first."""

    episode: int

    @property
    def name(self) -> str:
        return f"episode {self.episode}"


@dataclass(frozen=True)
class Pairs(Column):
    """Translation tasks with this many support pairs."""

    pairs: int

    @property
    def name(self) -> str:
        return f"{self.pairs} pair{'s' * (self.pairs != 1)}"


@dataclass(frozen=True)
class Forecast(Column):
    """One measure of the forecasts of drawn or recorded series.

    A measure with an aim, such as the coverage of an interval, is best near it, so that no method
    is marked as the best.
    """

    measure: str
    series: str
    aim: float | None = None

    @property
    def name(self) -> str:
        return f"{self.measure}, {self.series}"

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in super().to_json().items() if value is not None}


@dataclass(frozen=True)
class Measure(Column):
    """A measure of recommendations to users of whom this many ratings are known."""

    measure: str
    ratings: int

    @property
    def name(self) -> str:
        return f"{self.measure}, {self.ratings} ratings"
