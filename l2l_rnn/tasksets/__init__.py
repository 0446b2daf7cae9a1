"""Datasets to draw tasks from, and ready-made task sets over them."""

from l2l_rnn.tasksets.benchmarks import (
    BenchmarkTasksets,
    get_tasksets,
    list_tasksets,
    register_taskset,
)
from l2l_rnn.tasksets.dynamics import Dynamics
from l2l_rnn.tasksets.families import Adding, DelayedRecall, Sinusoids
from l2l_rnn.tasksets.family import TaskFamily
from l2l_rnn.tasksets.languages import Languages
from l2l_rnn.tasksets.strokes import Strokes

__all__ = [
    "Adding",
    "BenchmarkTasksets",
    "DelayedRecall",
    "Dynamics",
    "Languages",
    "Sinusoids",
    "Strokes",
    "TaskFamily",
    "get_tasksets",
    "list_tasksets",
    "register_taskset",
]
