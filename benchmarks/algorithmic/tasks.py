"""The tasks of bits: what networks are trained on, where they are judged, and by what measures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from l2l_rnn.tasksets import (
    AssociativeRecall,
    BitBatch,
    BitSequences,
    Copy,
    DynamicNGrams,
    PrioritySort,
    RepeatCopy,
)

_AT_ONCE = 20  # sequences judged at once: long ones take much memory


@dataclasses.dataclass(frozen=True)
class Point:
    """Sequences of one length, at which networks are judged.

    Attributes:
        family: what the sequences are drawn from.
        inside: whether such sequences are in the training; otherwise they reach beyond it.
        aim: how many wrong bits of a sequence are aimed at, or None.
    """

    family: BitSequences
    inside: bool
    aim: float | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """A family of sequences, and where a network trained on it is judged.

    Attributes:
        family: what it is trained on.
        points: where it is judged, by a name that tells the length.
        converged: the smoothed loss, in nats a bit, under which a training counts as converged.
        training: what is not as the `Settings` have it of their own.
        upto: the family up to a length or a number, for a curriculum; None if there is none.
        least, most: the range of that in the training.
    """

    family: BitSequences
    points: dict[str, Point]
    converged: float
    training: dict[str, Any]
    upto: Callable[[int], BitSequences] | None = None
    least: int = 1
    most: int = 1

    @property
    def counts_wrong_bits(self) -> bool:
        """Whether all bits can be right; a cost says more where some are left to chance."""
        return self.family.optimum is not None

    @property
    def shown(self) -> BitSequences:
        """The longest sequences of the training, for a picture."""
        return [point.family for point in self.points.values() if point.inside][-1]

    def lesson(self, most: int) -> BitSequences:
        """The family up to a length; all of it at the greatest."""
        return self.family if self.upto is None or most == self.most else self.upto(most)


def _sort(vectors: int) -> PrioritySort:
    return PrioritySort(vectors=vectors, highest=-(-4 * vectors // 5))


TASKS = {
    "copy": Task(
        Copy(),
        {
            "10": Point(Copy().at(10), True, 0.1),
            "20": Point(Copy().at(20), True, 0.1),
            "50": Point(Copy().at(50), False, 2),
            "120": Point(Copy().at(120), False, 20),
        },
        converged=0.01,
        # Half of the slots stay free at 120: heads that idle must not stand on what is needed yet.
        training={"sequences": 40_000, "slots": 256, "forget_bias": -1.0},
        upto=lambda most: Copy(lengths=(1, most)),
        most=20,
    ),
    "repeat_copy": Task(
        RepeatCopy(),
        {
            "5 x 5": Point(RepeatCopy().at(5, 5), True),
            "10 x 10": Point(RepeatCopy().at(10, 10), True),
            "20 x 10": Point(RepeatCopy().at(20, 10), False),
            "10 x 20": Point(RepeatCopy().at(10, 20), False),
        },
        converged=0.01,
        training={"sequences": 80_000, "forget_bias": -1.0, "curriculum": True},
        upto=lambda most: RepeatCopy().at((1, 10), (1, most)),
        most=10,
    ),
    "associative_recall": Task(
        AssociativeRecall(),
        {
            "2": Point(AssociativeRecall().at(2), True, 1),
            "6": Point(AssociativeRecall().at(6), True, 1),
            "12": Point(AssociativeRecall().at(12), False, 3),
            "20": Point(AssociativeRecall().at(20), False),
        },
        converged=0.01,
        training={"sequences": 60_000, "controller": "feedforward", "hidden": 200},
        upto=lambda most: AssociativeRecall(items=(2, most)),
        least=2,
        most=6,
    ),
    "dynamic_ngrams": Task(
        DynamicNGrams(),
        {
            "200": Point(DynamicNGrams(), True),
            "400": Point(DynamicNGrams().at(400), False),
        },
        converged=0.48,  # 135 bits a sequence; the best predictor pays 128, or 0.455 nats a bit
        training={"sequences": 40_000, "rate": 3e-3, "beta2": 0.999},
    ),
    "priority_sort": Task(
        PrioritySort(),
        {
            "16 of 20": Point(PrioritySort(), True),
            "24 of 30": Point(PrioritySort().at(30, 24), False),
        },
        converged=0.05,  # 9 bits a sequence
        training={"sequences": 120_000, "read_heads": 5, "write_heads": 5},
        upto=_sort,
        least=2,
        most=20,
    ),
}
ALIASES = {"recall": "associative_recall"}


def cost_bits(outputs: Tensor, drawn: BitBatch) -> float:
    """Compute what a sequence costs in bits, on average: the cross-entropy of the bits asked for.

    Shapes:
        outputs `(B, S, output_size)`, logits.
    """
    found, right = outputs[drawn.mask].double(), drawn.targets[drawn.mask].double()
    nats = binary_cross_entropy_with_logits(found, right, reduction="sum").item()
    return nats / math.log(2) / len(outputs)


def wrong_bits(outputs: Tensor, drawn: BitBatch) -> float:
    """Count the wrong bits of a sequence, on average; a logit above 0 says 1, NaN is wrong.

    Shapes:
        outputs `(B, S, output_size)`, logits.
    """
    found, right = outputs[drawn.mask], drawn.targets[drawn.mask]
    wrong = ((found > 0) != (right > 0.5)) | found.isnan()
    return wrong.sum().item() / len(outputs)


def judge(model: nn.Module, task: Task, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Measure a network at each point, on as many sequences, which are the same for a seed.

    Returns:
        `"cost"` and, where bits are not left to chance, `"wrong_bits"` of a sequence, by point.
    """
    found: dict[str, dict[str, float]] = {"cost": {}}
    if task.counts_wrong_bits:
        found["wrong_bits"] = {}
    for name, drawn in _sequences(task, count, seed).items():
        with torch.no_grad():
            outputs = torch.cat([model(part)[0] for part in drawn.inputs.split(_AT_ONCE)])
        found["cost"][name] = cost_bits(outputs, drawn)
        if task.counts_wrong_bits:
            found["wrong_bits"][name] = wrong_bits(outputs, drawn)
    return found


def optimum(task: Task, count: int, seed: int) -> dict[str, float]:
    """Compute what the sequences that `judge` draws cost the best predictor, in bits, by point."""
    if not isinstance(task.family, DynamicNGrams):
        return dict.fromkeys(task.points, 0.0)
    return {
        name: task.family.bayes_bits(drawn.inputs, drawn.targets).mean().item()
        for name, drawn in _sequences(task, count, seed).items()
    }


def _sequences(task: Task, count: int, seed: int) -> dict[str, BitBatch]:
    return {
        name: point.family.sequences(count, Generator().manual_seed(seed))
        for name, point in task.points.items()
    }
