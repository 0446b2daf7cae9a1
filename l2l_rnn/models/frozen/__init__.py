"""Frozen pretrained encoders, whose states are computed once and cached on disk."""

from l2l_rnn.models.frozen.backend import FROZEN_ENCODERS, EncoderBackend, ModuleEncoder
from l2l_rnn.models.frozen.encoder import FrozenEncoder
from l2l_rnn.models.frozen.locations import encoders_folder
from l2l_rnn.models.frozen.sentences import EncodedSequence, FrozenSentenceEncoder

__all__ = [
    "FROZEN_ENCODERS",
    "EncodedSequence",
    "EncoderBackend",
    "FrozenEncoder",
    "FrozenSentenceEncoder",
    "ModuleEncoder",
    "encoders_folder",
]
