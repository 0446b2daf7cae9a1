"""The algorithmic tasks: training sequences, evaluation lengths and measures."""

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

_EVALUATION_BATCH = 20  # sequences per batch; long sequences take much memory


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Sequences of one length on which networks are evaluated.

    Attributes:
        family: family of the sequences.
        trained: whether training includes this length; otherwise, the sequences are longer.
        goal: maximum number of wrong bits per sequence, or None.
    """

    family: BitSequences
    trained: bool
    goal: float | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """A family of sequences, and how a network trained on it is evaluated.

    Attributes:
        family: the training sequences.
        evaluations: evaluations by name; the name gives the length.
        converged_below: a network has converged when its smoothed loss, in nats per bit, is below
            this value.
        training: settings that differ from the defaults of `Settings`.
        at: returns the family at a level of the curriculum; None if there is no curriculum.
        first_level, last_level: levels of the curriculum.
    """

    family: BitSequences
    evaluations: dict[str, Evaluation]
    converged_below: float
    training: dict[str, Any]
    at: Callable[[int], BitSequences] | None = None
    first_level: int = 1
    last_level: int = 1

    @property
    def counts_wrong_bits(self) -> bool:
        """Whether every bit is predictable; otherwise only the cost is measured."""
        return self.family.optimum is not None

    @property
    def longest_trained(self) -> BitSequences:
        """The family of the longest training sequences."""
        return [one.family for one in self.evaluations.values() if one.trained][-1]

    def at_level(self, level: int) -> BitSequences:
        """Return the family of training sequences at a level of the curriculum."""
        return self.family if self.at is None or level == self.last_level else self.at(level)


def _sort(vectors: int) -> PrioritySort:
    return PrioritySort(vectors=vectors, highest=-(-4 * vectors // 5))


TASKS = {
    "copy": Task(
        Copy(),
        {
            "10": Evaluation(Copy().at(10), True, 0.1),
            "20": Evaluation(Copy().at(20), True, 0.1),
            "50": Evaluation(Copy().at(50), False, 2),
            "120": Evaluation(Copy().at(120), False, 20),
        },
        converged_below=0.01,
        # With 256 slots, half of them stay free at 120 vectors, so idle heads do not overwrite
        # slots that are still needed.
        training={"sequences": 40_000, "slots": 256, "forget_bias": -1.0},
        at=lambda level: Copy(lengths=(1, level)),
        last_level=20,
    ),
    "repeat_copy": Task(
        RepeatCopy(),
        {
            "5 x 5": Evaluation(RepeatCopy().at(5, 5), True),
            "10 x 10": Evaluation(RepeatCopy().at(10, 10), True),
            "20 x 10": Evaluation(RepeatCopy().at(20, 10), False),
            "10 x 20": Evaluation(RepeatCopy().at(10, 20), False),
        },
        converged_below=0.01,
        training={"sequences": 80_000, "forget_bias": -1.0, "curriculum": True},
        at=lambda level: RepeatCopy().at((1, 10), (1, level)),
        last_level=10,
    ),
    "associative_recall": Task(
        AssociativeRecall(),
        {
            "2": Evaluation(AssociativeRecall().at(2), True, 1),
            "6": Evaluation(AssociativeRecall().at(6), True, 1),
            "12": Evaluation(AssociativeRecall().at(12), False, 3),
            "20": Evaluation(AssociativeRecall().at(20), False),
        },
        converged_below=0.01,
        training={"sequences": 60_000, "controller": "feedforward", "hidden_size": 200},
        at=lambda level: AssociativeRecall(items=(2, level)),
        first_level=2,
        last_level=6,
    ),
    "dynamic_ngrams": Task(
        DynamicNGrams(),
        {
            "200": Evaluation(DynamicNGrams(), True),
            "400": Evaluation(DynamicNGrams().at(400), False),
        },
        # 135 bits per sequence; the best predictor needs 128, or 0.455 nats per bit.
        converged_below=0.48,
        training={"sequences": 40_000, "lr": 3e-3, "beta2": 0.999},
    ),
    "priority_sort": Task(
        PrioritySort(),
        {
            "16 of 20": Evaluation(PrioritySort(), True),
            "24 of 30": Evaluation(PrioritySort().at(30, 24), False),
        },
        converged_below=0.05,  # 9 bits per sequence
        training={"sequences": 120_000, "read_heads": 5, "write_heads": 5},
        at=_sort,
        first_level=2,
        last_level=20,
    ),
}
ALIASES = {"recall": "associative_recall"}


def cost_bits(outputs: Tensor, batch: BitBatch) -> float:
    """Return the mean cost per sequence in bits, the cross-entropy of its target bits in base 2.

    Shapes:
        outputs `(B, S, output_size)`, logits.
    """
    logits, targets = outputs[batch.mask].double(), batch.targets[batch.mask].double()
    nats = binary_cross_entropy_with_logits(logits, targets, reduction="sum").item()
    return nats / math.log(2) / len(outputs)


def wrong_bits(outputs: Tensor, batch: BitBatch) -> float:
    """Return the mean number of wrong bits per sequence. A positive logit predicts 1; NaN is wrong.

    Shapes:
        outputs `(B, S, output_size)`, logits.
    """
    logits, targets = outputs[batch.mask], batch.targets[batch.mask]
    wrong = ((logits > 0) != (targets > 0.5)) | logits.isnan()
    return wrong.sum().item() / len(outputs)


def evaluate(model: nn.Module, task: Task, count: int, seed: int) -> dict[str, dict[str, float]]:
    """Evaluate a network on `count` sequences of each length, drawn with a seed.

    Returns:
        `"cost"` and, if every bit is predictable, `"wrong_bits"`, by evaluation name.
    """
    measures: dict[str, dict[str, float]] = {"cost": {}}
    if task.counts_wrong_bits:
        measures["wrong_bits"] = {}
    for name, batch in _sequences(task, count, seed).items():
        with torch.no_grad():
            outputs = torch.cat([model(x)[0] for x in batch.inputs.split(_EVALUATION_BATCH)])
        measures["cost"][name] = cost_bits(outputs, batch)
        if task.counts_wrong_bits:
            measures["wrong_bits"][name] = wrong_bits(outputs, batch)
    return measures


def optimum(task: Task, count: int, seed: int) -> dict[str, float]:
    """Return the cost of the optimal predictor, in bits, on the sequences drawn by `evaluate`."""
    if not isinstance(task.family, DynamicNGrams):
        return dict.fromkeys(task.evaluations, 0.0)
    return {
        name: task.family.bayes_bits(batch.inputs, batch.targets).mean().item()
        for name, batch in _sequences(task, count, seed).items()
    }


def _sequences(task: Task, count: int, seed: int) -> dict[str, BitBatch]:
    return {
        name: one.family.sequences(count, Generator().manual_seed(seed))
        for name, one in task.evaluations.items()
    }
