"""Evaluation of learners on tasks, with confidence intervals."""

from l2l_rnn.training.evaluation.comparison import Comparison, compare
from l2l_rnn.training.evaluation.curves import Curve, adaptation_curve, shots_curve
from l2l_rnn.training.evaluation.evaluation import Evaluation
from l2l_rnn.training.evaluation.intervals import confidence_interval
from l2l_rnn.training.evaluation.metrics import METRICS, Metric
from l2l_rnn.training.evaluation.runs import evaluate

__all__ = [
    "METRICS",
    "Comparison",
    "Curve",
    "Evaluation",
    "Metric",
    "adaptation_curve",
    "compare",
    "confidence_interval",
    "evaluate",
    "shots_curve",
]
