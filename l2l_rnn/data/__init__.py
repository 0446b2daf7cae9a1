"""Data on its way to a learner: vocabularies, datasets, and batches of tasks."""

from l2l_rnn.data.batches import TaskBatch, draw_tasks
from l2l_rnn.data.cache import cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.datasets import SequenceDataset
from l2l_rnn.data.groups import GroupedDataset
from l2l_rnn.data.pipelines import as_pipeline, load_pipeline
from l2l_rnn.data.sources import SourceTaskset, TaskSource
from l2l_rnn.data.text import ByteVocabulary, CharacterVocabulary
from l2l_rnn.data.tokenizer_adapters import TokenizerPipeline
from l2l_rnn.data.torchtext_adapters import TransformPipeline, words_of
from l2l_rnn.data.vectors import read_vectors
from l2l_rnn.data.words import WordVocabulary

__all__ = [
    "ByteVocabulary",
    "CharacterVocabulary",
    "GroupedDataset",
    "SequenceDataset",
    "SourceTaskset",
    "TaskBatch",
    "TaskCard",
    "TaskSource",
    "TokenizerPipeline",
    "TransformPipeline",
    "WordVocabulary",
    "as_pipeline",
    "cached_arrays",
    "draw_tasks",
    "load_pipeline",
    "read_vectors",
    "words_of",
]
