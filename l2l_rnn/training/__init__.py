"""Training, evaluation and saving of learners."""

from l2l_rnn.training.adaptation import adapted
from l2l_rnn.training.evaluation import (
    Comparison,
    Evaluation,
    compare,
    confidence_interval,
    evaluate,
)

__all__ = ["Comparison", "Evaluation", "adapted", "compare", "confidence_interval", "evaluate"]
