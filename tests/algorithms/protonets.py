"""Prototypical networks and their support sets, for the tests of ProtoNet."""

import torch

from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.models import SequenceEncoder

WAYS, TASKS, BATCH = 3, 4, 9


def make(seed=0):
    """Make a prototypical network for sequences with two features."""
    torch.manual_seed(seed)
    return ProtoNet(SequenceEncoder(input_size=2, hidden_size=4, cell="gru").double(), WAYS)


def data(*lead, seed=1):
    """Draw sequences `(*lead, B, S, F)` with labels `(*lead, B)` in random order."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead, BATCH, 4, 2, generator=generator, dtype=torch.float64)
    order = torch.randperm(BATCH, generator=generator)
    y = torch.arange(BATCH).remainder(WAYS)[order].expand(*lead, BATCH)
    return x, y
