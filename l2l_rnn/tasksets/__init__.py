"""Ready-made few-shot task sets, and the datasets and task families behind them."""

from l2l_rnn.tasksets.algorithmic.bit_sequences import BitBatch, BitSequences
from l2l_rnn.tasksets.algorithmic.copying import Copy, RepeatCopy
from l2l_rnn.tasksets.algorithmic.ngrams import DynamicNGrams
from l2l_rnn.tasksets.algorithmic.recall import AssociativeRecall
from l2l_rnn.tasksets.algorithmic.sorting import PrioritySort
from l2l_rnn.tasksets.catalog import (
    BenchmarkTasksets,
    get_tasksets,
    list_tasksets,
    register_taskset,
    tasksets_of,
)
from l2l_rnn.tasksets.hub.presets import PRESETS, Preset
from l2l_rnn.tasksets.hub.texts import Texts, TextSources, from_hf
from l2l_rnn.tasksets.recommendation.drawn_users import TasteWorld
from l2l_rnn.tasksets.recommendation.ratings import ratings
from l2l_rnn.tasksets.registration import register_dataset, register_family
from l2l_rnn.tasksets.series.activity import Activity
from l2l_rnn.tasksets.series.archive_splits import unseen_classes, unseen_datasets
from l2l_rnn.tasksets.series.archives import archived_series
from l2l_rnn.tasksets.series.dynamics import Dynamics
from l2l_rnn.tasksets.series.forecasts import RecordedSeries
from l2l_rnn.tasksets.series.strokes import Strokes
from l2l_rnn.tasksets.synthetic.adding import Adding
from l2l_rnn.tasksets.synthetic.delayed_recall import DelayedRecall
from l2l_rnn.tasksets.synthetic.harmonics import Harmonics
from l2l_rnn.tasksets.synthetic.seasonal import SeasonalSeries
from l2l_rnn.tasksets.synthetic.shapelets import Shapelets
from l2l_rnn.tasksets.synthetic.sinusoids import Sinusoids
from l2l_rnn.tasksets.task_family import TaskFamily
from l2l_rnn.tasksets.text.intent_languages import IntentLanguages
from l2l_rnn.tasksets.text.intents import Intents
from l2l_rnn.tasksets.text.languages import Languages
from l2l_rnn.tasksets.text.newsgroups import Newsgroups
from l2l_rnn.tasksets.text.translation import Translation

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
    "Newsgroups",
    "Preset",
    "PrioritySort",
    "RecordedSeries",
    "RepeatCopy",
    "SeasonalSeries",
    "Shapelets",
    "Sinusoids",
    "Strokes",
    "TaskFamily",
    "TasteWorld",
    "TextSources",
    "Texts",
    "Translation",
    "archived_series",
    "from_hf",
    "get_tasksets",
    "list_tasksets",
    "ratings",
    "register_dataset",
    "register_family",
    "register_taskset",
    "tasksets_of",
    "unseen_classes",
    "unseen_datasets",
]
