"""Cards that describe task sets."""

from __future__ import annotations

from dataclasses import dataclass

from l2l_rnn.data.splits import SPLITS


@dataclass(frozen=True)
class TaskCard:
    """Describes a task set with its default options.

    Attributes:
        task: one-sentence description of a task.
        source: origin of the data: authors, year and title, or the package that ships it.
        license: license of the data; "none needed" for generated tasks.
        classes: number of classes, or of the units in `counted`, in the train, validation and test
            split; None if tasks are generated.
        items: number of items in the three splits; None if tasks are generated.
        lengths: number of steps in the shortest and the longest item.
        splits: how the splits are separated, such as "disjoint by person".
        measure: the score, such as "accuracy" or "mean squared error".
        chance: chance level, for 5 ways if tasks have ways.
        baseline: a simple method without meta-training, and its score on meta-test tasks, for 5
            ways and 5 shots if tasks have them.
        counted: unit of `classes`: "classes", or "persons", "environments", … if each is a task.
        extra: extra of this package that installs the requirements; None if there are none.
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
        """Return the card as text, one field per line."""
        method, score = self.baseline
        scores = f"chance level {self.chance:g}, baseline {score:g} ({method})"
        lines = {
            "task": self.task,
            "source": f"{self.source}; license: {self.license}",
            "size": self._size(),
            "splits": self.splits,
            "scores": f"{self.measure}: {scores}",
            "requires": f"pip install 'l2l_rnn[{self.extra}]'" if self.extra else "no extra",
        }
        return "\n".join(f"{name}: {line}" for name, line in lines.items())

    def _size(self) -> str:
        shortest, longest = self.lengths
        steps = f"{shortest}-{longest} steps" if shortest < longest else f"{longest} steps"
        if longest == 1:
            steps = "1 step"
        if self.classes is None or self.items is None:
            return f"generated tasks, {steps}"
        counted = ", ".join(
            f"{split} {classes:,} {self.counted} with {items:,} items"
            for split, classes, items in zip(SPLITS, self.classes, self.items, strict=True)
        )
        return f"{counted}; {steps}"
