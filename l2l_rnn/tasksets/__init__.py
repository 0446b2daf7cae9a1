"""Datasets to draw tasks from, and ready-made task sets over them."""

from l2l_rnn.tasksets.benchmarks import (
    BenchmarkTasksets,
    get_tasksets,
    list_tasksets,
    register_taskset,
)
from l2l_rnn.tasksets.families import Adding, DelayedRecall, Sinusoids
from l2l_rnn.tasksets.family import TaskFamily
from l2l_rnn.tasksets.intent_languages import IntentLanguages
from l2l_rnn.tasksets.intents import Intents
from l2l_rnn.tasksets.languages import Languages
from l2l_rnn.tasksets.translation import Translation

__all__ = [
    "Adding",
    "BenchmarkTasksets",
    "DelayedRecall",
    "IntentLanguages",
    "Intents",
    "Languages",
    "Sinusoids",
    "TaskFamily",
    "Translation",
    "get_tasksets",
    "list_tasksets",
    "register_taskset",
]
