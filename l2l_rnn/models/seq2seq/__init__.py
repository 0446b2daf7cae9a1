"""Sequence to sequence: recurrent encoders and decoders with attention, and with a memory."""

from l2l_rnn.models.seq2seq.attention import SourceAttention
from l2l_rnn.models.seq2seq.decoding import Beams
from l2l_rnn.models.seq2seq.memory_seq2seq import MemorySeq2Seq
from l2l_rnn.models.seq2seq.relational_attention import RelationalAttention
from l2l_rnn.models.seq2seq.seq2seq import Seq2Seq
from l2l_rnn.models.seq2seq.support_encoder import PairMemory

__all__ = [
    "Beams",
    "MemorySeq2Seq",
    "PairMemory",
    "RelationalAttention",
    "Seq2Seq",
    "SourceAttention",
]
