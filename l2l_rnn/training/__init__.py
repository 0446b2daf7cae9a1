"""Training, evaluation and saving of learners."""

from l2l_rnn.training.adaptation import adapted

__all__ = ["adapted"]
