"""Columns of a result's table: what varies from one to the next, as a field."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any


class Column(ABC):
    """One column of a table: evaluation tasks that differ from the other columns' in one number."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The heading; scores in the JSON go by it."""

    def to_json(self) -> dict[str, Any]:
        """The name and the fields, as plain values."""
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Shots(Column):
    """Tasks with this many support examples, of each class where there are classes."""

    shots: int

    @property
    def name(self) -> str:
        return f"{self.shots} shot{'s' * (self.shots != 1)}"


@dataclass(frozen=True)
class Instance(Column):
    """Items of an episode at the n-th presentation of their class; 1 is the first."""

    instance: int

    @property
    def name(self) -> str:
        """An ordinal such as 1st; the presentations of an episode number at most 20."""
        return f"{self.instance}{ ({1: 'st', 2: 'nd', 3: 'rd'}.get(self.instance, 'th')) }"


@dataclass(frozen=True)
class Lag(Column):
    """Tasks whose targets depend on an input this many steps back."""

    lag: int

    @property
    def name(self) -> str:
        return f"{self.lag} back"
