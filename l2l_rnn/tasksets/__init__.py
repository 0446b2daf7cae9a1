"""Datasets to draw tasks from, and ready-made task sets over them."""

from l2l_rnn.tasksets.activity import Activity
from l2l_rnn.tasksets.archives import archived_series
from l2l_rnn.tasksets.benchmarks import (
    BenchmarkTasksets,
    get_tasksets,
    list_tasksets,
    register_taskset,
)
from l2l_rnn.tasksets.families import Adding, DelayedRecall, Sinusoids
from l2l_rnn.tasksets.family import TaskFamily
from l2l_rnn.tasksets.languages import Languages
from l2l_rnn.tasksets.series import unseen_classes, unseen_datasets

__all__ = [
    "Activity",
    "Adding",
    "BenchmarkTasksets",
    "DelayedRecall",
    "Languages",
    "Sinusoids",
    "TaskFamily",
    "archived_series",
    "get_tasksets",
    "list_tasksets",
    "register_taskset",
    "unseen_classes",
    "unseen_datasets",
]
