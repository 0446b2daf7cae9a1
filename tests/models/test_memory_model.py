"""The memory model: its reads, outputs and writes."""

import pytest
import torch
from torch import nn

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.memory import STORES, HebbianFastWeights, KeyValueMemory, SlotMemory
from l2l_rnn.models import MemoryModel

BATCH, SIZE, WAYS = 5, 4, 3


class Vectors(nn.Module):
    """An encoder that returns its input."""

    task_axis = True

    def __init__(self, output_size=SIZE):
        super().__init__()
        self.output_size = output_size

    def forward(self, x):
        return x


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("tasks", [(), (2,)], ids=["one task", "tasks"])
@pytest.mark.parametrize("name", STORES)
def test_shapes(name, tasks):
    model, x = MemoryModel(Vectors(), STORES[name](SIZE, WAYS)), torch.randn(*tasks, BATCH, SIZE)
    state = model.store.blank(*tasks)
    lookup = model.look_up(x, state)
    assert lookup.outputs.shape == (*tasks, BATCH, WAYS)
    assert torch.equal(model(x), lookup.outputs)
    after = model.bind(state, lookup, torch.randn(*tasks, BATCH, WAYS))
    assert model(x, after).shape == (*tasks, BATCH, WAYS)
    assert not torch.equal(model(x, after), lookup.outputs)


def test_outputs_are_scaled_reads_and_a_head_in_regression():
    store = SlotMemory(SIZE, WAYS)
    x = torch.randn(BATCH, SIZE)
    state = store.write(store.blank(), x, torch.randn(BATCH, WAYS))
    torch.testing.assert_close(MemoryModel(Vectors(), store)(x, state), 10 * store.read(state, x))
    model = MemoryModel(Vectors(), store, regression=True)
    wanted = store.read(state, x) + x @ model.head.weight.mT + model.head.bias
    torch.testing.assert_close(model(x, state), wanted)


def test_keys_are_projected_to_the_key_size_and_to_unit_length():
    model = MemoryModel(Vectors(), KeyValueMemory(6, WAYS), unit_keys=True)
    x = torch.randn(BATCH, SIZE)
    keys = nn.functional.normalize(x @ model.key.weight.mT, dim=-1)
    torch.testing.assert_close(model.keys(x), keys)


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("kind", [HebbianFastWeights, SlotMemory])
def test_errors_are_added_to_what_is_read(kind, in_order):
    """The written value is the error, plus the read in a store that replaces values."""
    store = kind(SIZE, WAYS)
    model, x = MemoryModel(Vectors(), store), torch.randn(BATCH, SIZE)
    with torch.no_grad():
        model.log_lr.fill_(-1)
    state = store.write(store.blank(), x, torch.randn(BATCH, WAYS))
    lookup, errors = model.look_up(x, state), torch.randn(BATCH, WAYS)
    written = errors * torch.tensor(-1.0).exp()
    if not store.additive:
        written = lookup.values + written
    wanted_state = (store.write if in_order else store.write_set)(state, x, written)
    for ours, wanted in zip(model.bind(state, lookup, errors, in_order), wanted_state, strict=True):
        torch.testing.assert_close(ours, wanted)


def test_bad_arguments():
    store = SlotMemory(SIZE, WAYS)
    with pytest.raises(ArgumentTypeError, match="encoder must be a module with an output_size"):
        MemoryModel(nn.Linear(2, 2), store)
    with pytest.raises(ArgumentTypeError, match=r"store must be a memory\.Store, got Linear"):
        MemoryModel(Vectors(), nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match="scale must be a number above 0, got 0"):
        MemoryModel(Vectors(), store, scale=0)
