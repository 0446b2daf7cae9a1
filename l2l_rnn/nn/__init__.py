"""Layers with torch's interface, an optional task axis and exact second derivatives."""

from l2l_rnn.nn.affine import Embedding, LayerNorm, Linear
from l2l_rnn.nn.cells import GRUCell, LSTMCell, RNNCell
from l2l_rnn.nn.conversion import convert, to_torch, unconverted
from l2l_rnn.nn.dropout import LearnedDropout
from l2l_rnn.nn.gru import GRU
from l2l_rnn.nn.lru import LRU
from l2l_rnn.nn.lstm import LSTM
from l2l_rnn.nn.min_rnn import MinGRU, MinLSTM
from l2l_rnn.nn.pooling import AttentionPooling, LastStep, MaxPooling, MeanPooling
from l2l_rnn.nn.recurrent_layer import CELLS, RecurrentLayer
from l2l_rnn.nn.rnn import RNN

__all__ = [
    "CELLS",
    "GRU",
    "LRU",
    "LSTM",
    "RNN",
    "AttentionPooling",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "LastStep",
    "LayerNorm",
    "LearnedDropout",
    "Linear",
    "MaxPooling",
    "MeanPooling",
    "MinGRU",
    "MinLSTM",
    "RNNCell",
    "RecurrentLayer",
    "convert",
    "to_torch",
    "unconverted",
]
