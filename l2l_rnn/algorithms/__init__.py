"""Learners with learn2learn's `clone()` and `adapt()`."""

from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.algorithms.protonet import ProtoNet

__all__ = ["MAML", "ProtoNet"]
