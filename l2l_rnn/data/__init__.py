"""Data on its way to a learner: vocabularies, datasets and batches of tasks."""

from l2l_rnn.data.batches import TaskBatch, draw_tasks
from l2l_rnn.data.datasets import SequenceDataset
from l2l_rnn.data.text import CharacterVocabulary

__all__ = ["CharacterVocabulary", "SequenceDataset", "TaskBatch", "draw_tasks"]
