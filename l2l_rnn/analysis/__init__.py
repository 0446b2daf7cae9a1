"""Inspection of learners: gradient flow, memory traces, examples behind predictions, curves."""

from l2l_rnn.analysis.curves import draw_curves
from l2l_rnn.analysis.examples import ReadExample, ranked_examples, ranked_support
from l2l_rnn.analysis.gradients import gradient_flow
from l2l_rnn.analysis.memories import MemoryTrace, trace_memory

__all__ = [
    "MemoryTrace",
    "ReadExample",
    "draw_curves",
    "gradient_flow",
    "ranked_examples",
    "ranked_support",
    "trace_memory",
]
