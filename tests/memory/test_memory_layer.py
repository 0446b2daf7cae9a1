"""A recurrent layer around a store: the order of reads and writes, and invalid arguments."""

import pytest
import torch
from torch import nn

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.memory import DeltaFastWeights, KeyValueMemory, MemoryLayer


def test_a_step_reads_before_it_writes():
    torch.manual_seed(0)
    layer = MemoryLayer(2, KeyValueMemory(2, 2, slots=2)).double()
    x = torch.randn(1, 4, 2).double()
    y, state = layer(x)
    assert not y[0, 0].any()
    values = x @ layer.weight[4:].mT
    torch.testing.assert_close(y[0, 1], values[0, 0])  # the only example so far
    torch.testing.assert_close(state.values[0], values[0, 2:])
    assert state.written.tolist() == [4]
    changed = x.clone()
    changed[0, 0] += 1  # overwritten before the last step reads
    again, _ = layer(changed)
    torch.testing.assert_close(again[0, 3], y[0, 3])
    assert not torch.allclose(again[0, 2], y[0, 2])


def test_a_store_that_writes_first_reads_its_own_write():
    torch.manual_seed(0)
    layer = MemoryLayer(2, DeltaFastWeights(2, 2))
    outputs, _ = layer(torch.randn(1, 1, 2))
    assert outputs.abs().min() > 0
    outputs, _ = MemoryLayer(2, KeyValueMemory(2, 2))(torch.randn(1, 1, 2))
    assert outputs.eq(0).all()


def test_bad_arguments():
    with pytest.raises(
        ArgumentTypeError, match=r"^MemoryLayer: store must be a memory\.Store, got"
    ):
        MemoryLayer(2, nn.Linear(2, 2))
    for bad in (0, -1, 1.5, True, "4", None):
        with pytest.raises(ArgumentError, match=r"^MemoryLayer: input_size must be a positive int"):
            MemoryLayer(bad, KeyValueMemory(2, 2))
