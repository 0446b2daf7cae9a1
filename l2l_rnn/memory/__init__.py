"""Memories: recurrent layers that write to an external memory and read it, and stores."""

from l2l_rnn.memory.dnc import DNC, DNCState
from l2l_rnn.memory.memory import Memory
from l2l_rnn.memory.ntm import NTM, NTMState

__all__ = ["DNC", "NTM", "DNCState", "Memory", "NTMState"]
