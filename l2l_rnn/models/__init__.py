"""Sequence models built from the layers in `l2l_rnn.nn`."""

from l2l_rnn.models.classifier import SequenceClassifier
from l2l_rnn.models.dynamics_model import DynamicsModel, TransitionEncoder
from l2l_rnn.models.encoder import SequenceEncoder
from l2l_rnn.models.ensemble import EncoderEnsemble, VectorPart
from l2l_rnn.models.forecast_encoder import ForecastEncoder, SeriesScale
from l2l_rnn.models.forecaster import Forecaster
from l2l_rnn.models.frozen import (
    FROZEN_ENCODERS,
    EncodedSequence,
    EncoderBackend,
    FrozenEncoder,
    FrozenSentenceEncoder,
    ModuleEncoder,
    encoders_folder,
)
from l2l_rnn.models.memory_model import MemoryModel
from l2l_rnn.models.recommender import ItemEncoder, Recommender
from l2l_rnn.models.recurrent_policy import RecurrentPolicy
from l2l_rnn.models.seq2seq import MemorySeq2Seq, Seq2Seq
from l2l_rnn.models.series import (
    MiniRocket,
    ResampledSeries,
    SeriesClassifier,
    SeriesEncoder,
    StepConvolution,
)

__all__ = [
    "FROZEN_ENCODERS",
    "DynamicsModel",
    "EncodedSequence",
    "EncoderBackend",
    "EncoderEnsemble",
    "ForecastEncoder",
    "Forecaster",
    "FrozenEncoder",
    "FrozenSentenceEncoder",
    "ItemEncoder",
    "MemoryModel",
    "MemorySeq2Seq",
    "MiniRocket",
    "ModuleEncoder",
    "Recommender",
    "RecurrentPolicy",
    "ResampledSeries",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceEncoder",
    "SeriesClassifier",
    "SeriesEncoder",
    "SeriesScale",
    "StepConvolution",
    "TransitionEncoder",
    "VectorPart",
    "encoders_folder",
]
