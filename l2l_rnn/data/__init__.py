"""Data on its way to a learner: vocabularies, datasets, and batches of tasks."""

from l2l_rnn.data.arrays import channel_moments, from_arrays
from l2l_rnn.data.augmentation import augment_support, jitter, scale, time_warp, window_slice
from l2l_rnn.data.batches import TaskBatch, draw_tasks
from l2l_rnn.data.cache import cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.datasets import SequenceDataset
from l2l_rnn.data.episodes import Episodes, santoro_episodes
from l2l_rnn.data.forecasting import ForecastingDataset, split_series
from l2l_rnn.data.groups import GroupedDataset
from l2l_rnn.data.loader import TaskLoader
from l2l_rnn.data.pipelines import as_pipeline, load_pipeline
from l2l_rnn.data.sources import SourceTaskset, TaskSource
from l2l_rnn.data.text import ByteVocabulary, CharacterVocabulary
from l2l_rnn.data.tokenizer_adapters import TokenizerPipeline
from l2l_rnn.data.torchtext_adapters import TransformPipeline, words_of
from l2l_rnn.data.ts_files import TsFile, read_ts
from l2l_rnn.data.vectors import read_vectors
from l2l_rnn.data.words import WordVocabulary

__all__ = [
    "ByteVocabulary",
    "CharacterVocabulary",
    "Episodes",
    "ForecastingDataset",
    "GroupedDataset",
    "SequenceDataset",
    "SourceTaskset",
    "TaskBatch",
    "TaskCard",
    "TaskLoader",
    "TaskSource",
    "TokenizerPipeline",
    "TransformPipeline",
    "TsFile",
    "WordVocabulary",
    "as_pipeline",
    "augment_support",
    "cached_arrays",
    "channel_moments",
    "draw_tasks",
    "from_arrays",
    "jitter",
    "load_pipeline",
    "read_ts",
    "read_vectors",
    "santoro_episodes",
    "scale",
    "split_series",
    "time_warp",
    "window_slice",
    "words_of",
]
