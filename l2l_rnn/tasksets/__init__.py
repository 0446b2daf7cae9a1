"""Datasets to draw tasks from, and ready-made task sets over them."""

from l2l_rnn.tasksets.benchmarks import (
    BenchmarkTasksets,
    get_tasksets,
    list_tasksets,
    register_taskset,
    tasksets_of,
)
from l2l_rnn.tasksets.families import Adding, DelayedRecall, Sinusoids
from l2l_rnn.tasksets.family import TaskFamily
from l2l_rnn.tasksets.hub import Texts, TextSources, from_hf
from l2l_rnn.tasksets.hub_files import PRESETS, Preset
from l2l_rnn.tasksets.languages import Languages

__all__ = [
    "PRESETS",
    "Adding",
    "BenchmarkTasksets",
    "DelayedRecall",
    "Languages",
    "Preset",
    "Sinusoids",
    "TaskFamily",
    "TextSources",
    "Texts",
    "from_hf",
    "get_tasksets",
    "list_tasksets",
    "register_taskset",
    "tasksets_of",
]
