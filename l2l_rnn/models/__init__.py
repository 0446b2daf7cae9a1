"""Sequence models built from the layers in `l2l_rnn.nn`."""

from l2l_rnn.models.classifier import SequenceClassifier
from l2l_rnn.models.encoder import SequenceEncoder
from l2l_rnn.models.ensemble import EncoderEnsemble
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
from l2l_rnn.models.seq2seq import MemorySeq2Seq, Seq2Seq

__all__ = [
    "FROZEN_ENCODERS",
    "EncodedSequence",
    "EncoderBackend",
    "EncoderEnsemble",
    "FrozenEncoder",
    "FrozenSentenceEncoder",
    "ItemEncoder",
    "MemoryModel",
    "MemorySeq2Seq",
    "ModuleEncoder",
    "Recommender",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceEncoder",
    "encoders_folder",
]
