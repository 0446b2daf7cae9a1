"""Memories: recurrent layers that write to an external memory and read it, and stores."""

from l2l_rnn.memory.fast_weights import DeltaFastWeights, HebbianFastWeights
from l2l_rnn.memory.mann import MANN
from l2l_rnn.memory.memory import Memory
from l2l_rnn.memory.memory_network import KeyValueMemory, MemoryNetwork

__all__ = [
    "MANN",
    "DeltaFastWeights",
    "HebbianFastWeights",
    "KeyValueMemory",
    "Memory",
    "MemoryNetwork",
]
