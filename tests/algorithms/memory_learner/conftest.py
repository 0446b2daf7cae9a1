"""Memory learners with every kind of memory, and their tasks."""

import types

import pytest
import torch

from l2l_rnn import memory
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import MemoryModel, SequenceEncoder

WAYS, TASKS, BATCH, KEY = 3, 4, 9, 4

# Options with which untrained memories learn; all other options are the defaults.
OPTIONS = {
    "key-value": {"similarity": "cosine"},
    "delta": {"features": "unit"},
    "hebbian": {"decay": 1.0, "lr": 0.1},
    "memory-network": {"hops": 2},
}


def make_store(name, values, slots=20):
    """Make a memory of keys of size KEY, with `slots` slots if it has slots."""
    kind = memory.STORES[name]
    options = dict(OPTIONS.get(name, {}))
    if issubclass(kind, memory.SlotStore):
        options["slots"] = slots
    return kind(KEY, values, **options)


def make(store="key-value", *, seed=0, values=WAYS, dropout=0.0, regression=False, **options):
    """Make a learner of sequences with two features."""
    torch.manual_seed(seed)
    encoder = SequenceEncoder(input_size=2, hidden_size=KEY, cell="gru", dropout=dropout)
    model = MemoryModel(encoder, make_store(store, values), regression=regression)
    return MemoryLearner(model.double(), **options)


def data(*lead, seed=1):
    """Draw ragged sequences `(…, B, S, F)` with labels `(…, B)`."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead, BATCH, 4, 2, generator=generator, dtype=torch.float64)
    x[..., 0, 2:, :] = float("nan")
    order = torch.randperm(BATCH, generator=generator)
    y = torch.arange(BATCH).remainder(WAYS)[order].expand(*lead, BATCH)
    return x, y


def same(state, other):
    """Compare two states bit for bit."""
    return type(state) is type(other) and all(map(torch.equal, state, other))


def assert_close(state, other):
    """Compare two states within a tolerance."""
    assert type(state) is type(other)
    for a, b in zip(state, other, strict=True):
        torch.testing.assert_close(a, b)


def assert_unchanged(learner, before):
    """Check that a learner of TASKS tasks kept its state and still adapts."""
    assert learner.state is before
    x, y = data(TASKS, seed=4)
    learner.adapt(cross_entropy(learner(x), y))
    assert not same(learner.state, before)


@pytest.fixture
def helpers():
    """The functions above."""
    return types.SimpleNamespace(
        make_store=make_store,
        make=make,
        data=data,
        same=same,
        assert_close=assert_close,
        assert_unchanged=assert_unchanged,
    )


@pytest.fixture(params=list(memory.STORES))
def store(request):
    """The name of a memory."""
    return request.param


@pytest.fixture(params=[name for name in memory.STORES if name != "memory-network"])
def key_matching_store(request):
    """The name of a memory in which a query is only compared with stored keys."""
    return request.param


@pytest.fixture
def learner():
    """A learner of TASKS tasks that has written their support sets."""
    learner = make().clone(tasks=TASKS)
    learner.write(*data(TASKS))
    return learner
