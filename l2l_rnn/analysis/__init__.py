"""Seeing inside of a learner: where its gradients go."""

from l2l_rnn.analysis.gradients import gradient_flow

__all__ = ["gradient_flow"]
