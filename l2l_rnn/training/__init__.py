"""Training, evaluation and saving of learners."""

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

__all__ = [
    "Comparison",
    "Curve",
    "Evaluation",
    "adaptation_curve",
    "adapted",
    "compare",
    "confidence_interval",
    "evaluate",
    "shots_curve",
]
