"""Training, evaluation and saving of learners."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from l2l_rnn.training.adaptation import adapted
from l2l_rnn.training.evaluation import (
    Comparison,
    Curve,
    Evaluation,
    adaptation_curve,
    compare,
    confidence_interval,
    evaluate,
    shots_curve,
)

if TYPE_CHECKING:
    from l2l_rnn.training.fitting import fit, make_trainer
    from l2l_rnn.training.meta_learning import MetaLearning
    from l2l_rnn.training.task_data import TaskData

# Loaded at first use, because they import Lightning.
_LAZY = {
    "MetaLearning": "l2l_rnn.training.meta_learning",
    "TaskData": "l2l_rnn.training.task_data",
    "fit": "l2l_rnn.training.fitting",
    "make_trainer": "l2l_rnn.training.fitting",
}

__all__ = [
    "Comparison",
    "Curve",
    "Evaluation",
    "MetaLearning",
    "TaskData",
    "adaptation_curve",
    "adapted",
    "compare",
    "confidence_interval",
    "evaluate",
    "fit",
    "make_trainer",
    "shots_curve",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
