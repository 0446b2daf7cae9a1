"""Seeing inside of a learner: where its gradients go, what its memory does."""

from l2l_rnn.analysis.gradients import gradient_flow
from l2l_rnn.analysis.memories import MemoryTrace, ranked_examples, trace_memory

__all__ = ["MemoryTrace", "gradient_flow", "ranked_examples", "trace_memory"]
