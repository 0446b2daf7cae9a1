"""Datasets to draw tasks from, and ready-made task sets over them."""

from l2l_rnn.tasksets.activity import Activity
from l2l_rnn.tasksets.archives import archived_series
from l2l_rnn.tasksets.benchmarks import (
    BenchmarkTasksets,
    get_tasksets,
    list_tasksets,
    register_taskset,
    tasksets_of,
)
from l2l_rnn.tasksets.bit_sequences import BitBatch, BitSequences
from l2l_rnn.tasksets.copying import Copy, RepeatCopy
from l2l_rnn.tasksets.dynamics import Dynamics
from l2l_rnn.tasksets.families import Adding, DelayedRecall, Sinusoids
from l2l_rnn.tasksets.family import TaskFamily
from l2l_rnn.tasksets.harmonics import Harmonics
from l2l_rnn.tasksets.hub import Texts, TextSources, from_hf
from l2l_rnn.tasksets.hub_presets import PRESETS, Preset
from l2l_rnn.tasksets.intent_languages import IntentLanguages
from l2l_rnn.tasksets.intents import Intents
from l2l_rnn.tasksets.languages import Languages
from l2l_rnn.tasksets.ngrams import DynamicNGrams
from l2l_rnn.tasksets.recall import AssociativeRecall
from l2l_rnn.tasksets.series import unseen_classes, unseen_datasets
from l2l_rnn.tasksets.sorting import PrioritySort
from l2l_rnn.tasksets.strokes import Strokes
from l2l_rnn.tasksets.translation import Translation

__all__ = [
    "PRESETS",
    "Activity",
    "Adding",
    "AssociativeRecall",
    "BenchmarkTasksets",
    "BitBatch",
    "BitSequences",
    "Copy",
    "DelayedRecall",
    "DynamicNGrams",
    "Dynamics",
    "Harmonics",
    "IntentLanguages",
    "Intents",
    "Languages",
    "Preset",
    "PrioritySort",
    "RepeatCopy",
    "Sinusoids",
    "Strokes",
    "TaskFamily",
    "TextSources",
    "Texts",
    "Translation",
    "archived_series",
    "from_hf",
    "get_tasksets",
    "list_tasksets",
    "register_taskset",
    "tasksets_of",
    "unseen_classes",
    "unseen_datasets",
]
