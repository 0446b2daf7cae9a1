"""Ranked examples: numbers follow the order of writing, and weights are those of the read."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.analysis import ReadExample, ranked_examples, ranked_support
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import (
    LAYERS,
    MANN,
    STORES,
    FastWeights,
    HebbianFastWeights,
    KeyValueMemory,
    MemoryNetwork,
    SlotState,
    SlotStore,
    Store,
)
from l2l_rnn.models import MemoryModel, SequenceEncoder

KEY, SLOTS = 5, 4

OPTIONS = {"key-value": {"similarity": "cosine"}, "hebbian": {"decay": 0.9}}


def make_store(name, value_size=1):
    kind = STORES[name]
    slots = {"slots": SLOTS} if issubclass(kind, SlotStore) else {}
    return kind(KEY, value_size, **slots, **OPTIONS.get(name, {}))


def make_layer(name, value_size=1):
    return LAYERS[name](3, slots=SLOTS, slot_size=KEY + value_size, key_size=KEY)


def make_hops(value_size=1):
    return KeyValueMemory(KEY, value_size, slots=SLOTS, hops=2)


# Every store in the registries, by the kind of its read.
SUMS = {n: partial(make_store, n) for n, kind in STORES.items() if issubclass(kind, FastWeights)}
SLOTTED = {
    **{n: partial(make_store, n) for n, kind in STORES.items() if issubclass(kind, SlotStore)},
    **{n: partial(make_layer, n) for n, kind in LAYERS.items() if issubclass(kind, SlotStore)},
    "hops": make_hops,
}
AVERAGES = [name for name in SLOTTED if name not in ("memory-network", "hops")]


def written(memory, counts):
    """Write examples with their numbers as values, `counts` at a time."""
    keys = torch.randn(sum(counts), KEY)
    numbers = torch.arange(sum(counts)).float().unsqueeze(-1)
    state = memory.blank()
    for k, v in zip(keys.split(counts), numbers.split(counts), strict=True):
        state = memory.write(state, k, v)
    return keys, numbers, state


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("counts", [[3], [4], [2, 1], [3, 3], [1] * 7, [11], [4, 4, 4], [5, 9, 2]])
@pytest.mark.parametrize("kind", AVERAGES)
def test_a_read_is_the_weighted_sum_of_the_ranked_examples(kind, counts):
    memory = SLOTTED[kind]()
    _, numbers, state = written(memory, counts)
    queries = torch.randn(3, KEY)
    ranked = ranked_examples(memory, state, queries, count=SLOTS)
    last = range(max(0, sum(counts) - SLOTS), sum(counts))
    for row, answer in zip(ranked, memory.read(state, queries), strict=True):
        assert {number for number, _ in row} == set(last)
        assert [weight for _, weight in row] == sorted((w for _, w in row), reverse=True)
        assert sum(w for _, w in row) == pytest.approx(1)
        assert sum(w * numbers[n].item() for n, w in row) == pytest.approx(answer.item(), rel=1e-4)


@pytest.mark.parametrize("kind", SLOTTED)
def test_weights_are_the_read_weights(kind):
    memory = SLOTTED[kind]()
    with torch.no_grad():
        for p in memory.parameters():
            p.mul_(2)
    keys, _, state = written(memory, [3])
    ranked = ranked_examples(memory, state, keys)
    weights = memory.read_weights(state, keys)
    assert [row[0][1] for row in ranked] == pytest.approx(weights.max(-1).values.tolist())
    assert all(len(row) == 3 for row in ranked)
    if kind != "memory-network":  # must learn its embeddings
        assert [row[0][0] for row in ranked] == [0, 1, 2]


def test_the_slots_of_a_memory_network_are_numbered_by_age():
    memory = MemoryNetwork(KEY, 1, slots=SLOTS)
    with torch.no_grad():
        memory.input_ages.zero_()[2] = 1e3 * (memory.query_embedding @ torch.ones(KEY))
    _, _, state = written(memory, [3, 4])
    assert ranked_examples(memory, state, torch.ones(1, KEY))[0][0] == (4, pytest.approx(1))


@pytest.mark.parametrize("counts", [[3], [2, 4]])
def test_hebbian_weights_add_up_to_the_read(counts):
    memory = SUMS["hebbian"]()
    keys, numbers, state = written(memory, counts)
    queries = torch.randn(2, KEY)
    ranked = ranked_examples(memory, state, queries, count=9, keys=keys)
    for row, answer in zip(ranked, memory.read(state, queries), strict=True):
        assert sum(w * numbers[n].item() for n, w in row) == pytest.approx(answer.item(), rel=1e-4)


def test_delta_weights_add_up_to_the_read():
    memory = SUMS["delta"]()
    keys, numbers = torch.randn(3, KEY), torch.tensor([[1.0], [2.0], [4.0]])
    state, wrote = memory.blank(), []
    for k, v in zip(keys.split(1), numbers, strict=True):
        wrote.append(0.5 * (v - memory.read(state, k)).item())  # a new gate is half open
        state = memory.write(state, k, v.unsqueeze(0))
    queries = torch.randn(2, KEY)
    ranked = ranked_examples(memory, state, queries, keys=keys)
    for row, answer in zip(ranked, memory.read(state, queries), strict=True):
        assert sum(w * wrote[n] for n, w in row) == pytest.approx(answer.item(), rel=1e-4)


@pytest.mark.parametrize("kind", SLOTTED)
def test_a_blank_store_has_no_ranked_examples(kind):
    memory = SLOTTED[kind]()
    assert ranked_examples(memory, memory.blank(), torch.eye(KEY)[:2]) == [[], []]


@pytest.mark.parametrize("kind", SLOTTED)
def test_count_limits_the_examples(kind):
    memory = SLOTTED[kind]()
    _, _, state = written(memory, [4])
    (whole,) = ranked_examples(memory, state, torch.ones(1, KEY))
    assert ranked_examples(memory, state, torch.ones(1, KEY), count=2) == [whole[:2]]


class Opaque(Store):
    """A store that does not report what it reads."""

    key_size, value_size = KEY, 1

    def _tasks(self):
        return None

    def _blank(self, *batch):
        return SlotState(torch.zeros(*batch, 1, KEY), torch.zeros(batch), torch.zeros(*batch, 1))

    def _write(self, state, keys, values):
        return state

    def _read(self, state, queries):
        return queries.new_zeros(*queries.shape[:-1], 1)


def test_bad_input():
    memory, queries = SLOTTED["key-value"](), torch.zeros(1, KEY)
    with pytest.raises(ArgumentTypeError, match=r"^ranked_examples: store must be .*got Linear"):
        ranked_examples(nn.Linear(1, 1), None, queries)
    with pytest.raises(ArgumentError, match=r"SlotStore or FastWeights, .*got Opaque; use one"):
        ranked_examples(Opaque(), Opaque().blank(), queries)
    with pytest.raises(
        ShapeError, match=r"queries must be \(Q, K=5\) for one task, got.*\(1, 1, 5"
    ):
        ranked_examples(memory, memory.blank(1), queries.unsqueeze(0))
    with pytest.raises(ShapeError, match=r"queries must be \(Q, K=5\)"):
        ranked_examples(memory, memory.blank(), torch.zeros(1, 2))
    with pytest.raises(ShapeError, match="the state's keys must have shape"):
        ranked_examples(memory, memory.blank(2), queries)
    with pytest.raises(ArgumentError, match="KeyValueMemory stores its keys"):
        ranked_examples(memory, memory.blank(), queries, keys=queries)
    for make in SUMS.values():
        sums = make()
        with pytest.raises(ArgumentError, match=r"FastWeights holds a sum, from which no example"):
            ranked_examples(sums, sums.blank(), queries)
        with pytest.raises(ShapeError, match=r"keys must be \(B, K=5\)"):
            ranked_examples(sums, sums.blank(), queries, keys=torch.zeros(1, 2))
        with pytest.raises(ArgumentTypeError, match="state must be of type"):
            ranked_examples(sums, memory.blank(), queries, keys=queries)


def test_a_mann_after_steps_has_no_examples():
    memory = MANN(3, 2, 5, slots=SLOTS, slot_size=4, read_heads=1)
    blank = memory.blank()
    state = memory.write(blank, torch.randn(3, 2), torch.randn(3, 2))
    assert len(ranked_examples(memory, state, torch.randn(1, 2))[0]) == 3
    _, state = memory.step(torch.randn(3), state)
    with pytest.raises(ArgumentError, match="got one that has taken steps"):
        ranked_examples(memory, state, torch.randn(1, 2))


# ------------------------------------------------------------------ a learner's support set


def learner_of(make, values=3, **options):
    encoder = SequenceEncoder(input_size=2, hidden_size=KEY, cell="gru")
    memory = make(values)
    assert isinstance(memory, Store)
    return MemoryLearner(MemoryModel(encoder, memory, **options))


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", ["delta", "hebbian", *AVERAGES])
def test_an_example_reads_itself_first_with_its_label(kind, times):
    make = (SLOTTED | SUMS)[kind]
    if kind == "hebbian":
        make = lambda v: HebbianFastWeights(KEY, v, decay=1.0)  # noqa: E731
    learner = learner_of(make, unit_keys=True).clone()
    x, y = torch.randn(4 // times, 4, 2), torch.tensor([2, 0, 1, 0])[: 4 // times]
    for _ in range(times):
        learner.adapt(F.cross_entropy(learner(x), y))
    state, last = learner.state, learner._last
    ranked = ranked_support(learner, x, x, y, count=3)
    assert learner.state is state
    assert learner._last is last
    for number, row in enumerate(ranked):
        assert isinstance(row[0], ReadExample)
        assert (row[0].number, row[0].label) == (number, y[number].item())
        assert len(row) == min(3, len(x))
        assert all(example.label == y[example.number] for example in row)
    if kind not in SUMS:
        whole = ranked_support(learner, x[:1], x, y, count=9)[0]
        assert sum(example.weight for example in whole) == pytest.approx(1)


def test_in_regression_a_label_is_the_target():
    learner = learner_of(SLOTTED["key-value"], 1, regression=True).clone()
    x, y = torch.randn(4, 4, 2), torch.randn(4, 1)
    learner.write(x, y)
    ((first, *_),) = ranked_support(learner, x[2:3], x, y)
    assert first.label == pytest.approx(y[2].tolist())


@pytest.mark.parametrize("kind", SLOTTED | SUMS)
def test_without_writes_no_example_is_read(kind):
    learner = learner_of((SLOTTED | SUMS)[kind]).clone()
    x, y = torch.randn(4, 4, 2), torch.tensor([2, 0, 1, 0])
    assert ranked_support(learner, x[:2], x, y) == [[], []]
    assert ranked_support(learner, x[:2], x[:0], y[:0]) == [[], []]
    assert ranked_support(learner, x[:0], x, y) == []


def test_bad_support_sets():
    learner = learner_of(SLOTTED["key-value"]).clone()
    x, y = torch.randn(4, 4, 2), torch.tensor([2, 0, 1, 0])
    learner.write(x, y, times=1)
    with pytest.raises(ArgumentError, match=r"multiple of the 3 in the support set, got 4"):
        ranked_support(learner, x, x[:3], y[:3])
    with pytest.raises(ShapeError, match=r"one label per example, 4 in all, got 3"):
        ranked_support(learner, x, x, y[:3])
    with pytest.raises(ArgumentError, match=r"must hold one task, got N=2 tasks; pass one made by"):
        ranked_support(learner_of(SLOTTED["mann"]).clone(tasks=2), x, x, y)
    with pytest.raises(
        ArgumentTypeError, match=r"must be an algorithms\.MemoryLearner, got Linear"
    ):
        ranked_support(nn.Linear(2, 2), x, x, y)
