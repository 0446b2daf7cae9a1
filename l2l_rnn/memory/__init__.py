"""Memories: recurrent layers that write to an external memory and read it, and stores."""

from l2l_rnn.memory.dnc import DNC, DNCState
from l2l_rnn.memory.fast_weights import (
    DeltaFastWeights,
    DeltaState,
    HebbianFastWeights,
    HebbianState,
)
from l2l_rnn.memory.item_memory import ItemState
from l2l_rnn.memory.mann import MANN, MANNState
from l2l_rnn.memory.memory import Memory
from l2l_rnn.memory.memory_network import KeyValueMemory, MemoryNetwork
from l2l_rnn.memory.ntm import NTM, NTMState

__all__ = [
    "DNC",
    "MANN",
    "NTM",
    "DNCState",
    "DeltaFastWeights",
    "DeltaState",
    "HebbianFastWeights",
    "HebbianState",
    "ItemState",
    "KeyValueMemory",
    "MANNState",
    "Memory",
    "MemoryNetwork",
    "NTMState",
]
