"""Datasets, sources and batches of tasks, and text pipelines."""

from l2l_rnn.data.cache import cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.episodes import Episodes, santoro_episodes
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.loading.loader import TaskLoader
from l2l_rnn.data.recommendation.catalogue import Catalogue
from l2l_rnn.data.recommendation.interactions import Interactions
from l2l_rnn.data.recommendation.rating_files import read_ratings, write_ratings
from l2l_rnn.data.recommendation.user_ratings import UserRatings
from l2l_rnn.data.recommendation.user_splits import from_ratings
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.series.arrays import SeriesSources, from_arrays
from l2l_rnn.data.series.augmentation import augment_support, jitter, scale, time_warp, window_slice
from l2l_rnn.data.series.forecasting import ForecastingDataset
from l2l_rnn.data.series.moments import channel_moments
from l2l_rnn.data.series.series_splits import split_series
from l2l_rnn.data.series.ts_files import TsFile, read_ts
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import SourceTaskset, TaskSource, draw_tasks
from l2l_rnn.data.text.augmentation import letter_ids, permute_tokens
from l2l_rnn.data.text.byte_vocabulary import ByteVocabulary
from l2l_rnn.data.text.hf_tokenizers import TokenizerPipeline, encoder_pipeline
from l2l_rnn.data.text.pipelines import as_pipeline, load_pipeline
from l2l_rnn.data.text.torchtext import TransformPipeline, from_torchtext
from l2l_rnn.data.text.vocabulary import CharacterVocabulary, Vocabulary
from l2l_rnn.data.text.word_vectors import read_vectors
from l2l_rnn.data.text.word_vocabulary import WordVocabulary

__all__ = [
    "SPLITS",
    "ByteVocabulary",
    "Catalogue",
    "CharacterVocabulary",
    "Episodes",
    "ForecastingDataset",
    "GroupedDataset",
    "Interactions",
    "SequenceDataset",
    "SeriesSources",
    "SourceTaskset",
    "TaskBatch",
    "TaskCard",
    "TaskLoader",
    "TaskSource",
    "TokenizerPipeline",
    "TransformPipeline",
    "TsFile",
    "UserRatings",
    "Vocabulary",
    "WordVocabulary",
    "as_pipeline",
    "augment_support",
    "cached_arrays",
    "channel_moments",
    "draw_tasks",
    "encoder_pipeline",
    "from_arrays",
    "from_ratings",
    "from_torchtext",
    "jitter",
    "letter_ids",
    "load_pipeline",
    "permute_tokens",
    "read_ratings",
    "read_ts",
    "read_vectors",
    "santoro_episodes",
    "scale",
    "split_series",
    "time_warp",
    "window_slice",
    "write_ratings",
]
