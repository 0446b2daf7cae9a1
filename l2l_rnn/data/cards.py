"""What is worth knowing of a task set before one uses it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskCard:
    """Describes a task set, at its default options.

    Attributes:
        task: what a task asks, in one sentence.
        source: where the data is from: authors, year and title, or the package it ships in.
        license: the data's; of drawn tasks "none needed".
        classes: classes of the train, validation and test split, or what `counted` names; None
            where tasks are drawn without end.
        items: items of the three splits; None where they are drawn without end.
        lengths: steps of the shortest and the longest item.
        splits: what no two splits share.
        measure: what chance and baseline are: "accuracy", "mean squared error", …
        chance: what a guess gets, of 5 ways where a task has ways.
        baseline: a simple method that learns nothing before it sees the task, and what it gets on
            meta-test tasks of 5 ways and 5 shots, where a task has those.
        counted: what `classes` counts: "classes", or "persons", "bodies", … where each is a task.
        extra: the extra of this package that installs what the task set needs; None needs none.
    """

    task: str
    source: str
    license: str
    classes: tuple[int, int, int] | None
    items: tuple[int, int, int] | None
    lengths: tuple[int, int]
    splits: str
    measure: str
    chance: float
    baseline: tuple[str, float]
    counted: str = "classes"
    extra: str | None = None

    def __str__(self) -> str:
        """Return the card as lines of text."""
        method, score = self.baseline
        lines = {
            "task": self.task,
            "source": f"{self.source}; license: {self.license}",
            "size": self._size(),
            "splits": f"no two share {self.splits}",
            "scores": f"{self.measure}: chance {self.chance:g}, {method} {score:g}",
            "needs": f"pip install 'l2l_rnn[{self.extra}]'" if self.extra else "nothing more",
        }
        return "\n".join(f"{name}: {line}" for name, line in lines.items())

    def _size(self) -> str:
        shortest, longest = self.lengths
        steps = f"{shortest}-{longest} steps" if shortest < longest else f"{longest} steps"
        if longest == 1:
            steps = "1 step"
        if self.classes is None or self.items is None:
            return f"drawn without end, {steps}"
        counted = ", ".join(
            f"{split} {classes:,} {self.counted} with {items:,} items"
            for split, classes, items in zip(
                ("train", "validation", "test"), self.classes, self.items, strict=True
            )
        )
        return f"{counted}; {steps}"
