"""Memories: stores that are written and read by key, and recurrent layers with a memory."""

from l2l_rnn.memory.dnc import DNC, DNCState
from l2l_rnn.memory.hebbian_rnn import HebbianRNN, HebbianRNNState
from l2l_rnn.memory.mann import MANN, MANNState
from l2l_rnn.memory.memory_layer import MemoryLayer
from l2l_rnn.memory.ntm import NTM, NTMState
from l2l_rnn.memory.recurrent_memory import LAYERS, RecurrentMemory
from l2l_rnn.memory.store import STORES, FastWeights, SlotStore, Store
from l2l_rnn.memory.stores.delta import DeltaFastWeights, DeltaState
from l2l_rnn.memory.stores.hebbian import HebbianFastWeights, HebbianState
from l2l_rnn.memory.stores.item_store import ItemState
from l2l_rnn.memory.stores.key_value import KeyValueMemory
from l2l_rnn.memory.stores.least_used import LeastUsedMemory, LeastUsedState
from l2l_rnn.memory.stores.memory_network import MemoryNetwork
from l2l_rnn.memory.stores.slot_memory import SlotMemory, SlotState

__all__ = [
    "DNC",
    "LAYERS",
    "MANN",
    "NTM",
    "STORES",
    "DNCState",
    "DeltaFastWeights",
    "DeltaState",
    "FastWeights",
    "HebbianFastWeights",
    "HebbianRNN",
    "HebbianRNNState",
    "HebbianState",
    "ItemState",
    "KeyValueMemory",
    "LeastUsedMemory",
    "LeastUsedState",
    "MANNState",
    "MemoryLayer",
    "MemoryNetwork",
    "NTMState",
    "RecurrentMemory",
    "SlotMemory",
    "SlotState",
    "SlotStore",
    "Store",
]
