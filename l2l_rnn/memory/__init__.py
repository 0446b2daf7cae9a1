"""Memories: recurrent layers that write to an external memory and read it, and stores."""

from l2l_rnn.memory.memory import Memory

__all__ = ["Memory"]
