"""Data on its way to a learner: vocabularies, datasets, and batches of tasks."""

from l2l_rnn.data.batches import TaskBatch, draw_tasks
from l2l_rnn.data.cache import cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.datasets import SequenceDataset
from l2l_rnn.data.episodes import Episodes, santoro_episodes
from l2l_rnn.data.groups import GroupedDataset
from l2l_rnn.data.sources import SourceTaskset, TaskSource
from l2l_rnn.data.text import CharacterVocabulary

__all__ = [
    "CharacterVocabulary",
    "Episodes",
    "GroupedDataset",
    "SequenceDataset",
    "SourceTaskset",
    "TaskBatch",
    "TaskCard",
    "TaskSource",
    "cached_arrays",
    "draw_tasks",
    "santoro_episodes",
]
