"""Classical text features, and learners that are combined by weights learned across tasks."""

from l2l_rnn.algorithms.stacking.prior_coordinates import PriorCoordinates
from l2l_rnn.algorithms.stacking.stacked_learner import StackedLearner
from l2l_rnn.algorithms.stacking.tfidf_learner import TfIdfLearner

__all__ = ["PriorCoordinates", "StackedLearner", "TfIdfLearner"]
