"""The contract of stores, for every registered store and the slots of NTM, DNC and MANN."""

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import l2l_rnn.memory
from l2l_rnn.axes import knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import (
    STORES,
    DeltaFastWeights,
    FastWeights,
    MemoryNetwork,
    RecurrentMemory,
    SlotStore,
    Store,
)
from tests.memory.cases import (
    BATCH,
    DOUBLE,
    KEY,
    PURE_STORES,
    SLOTS,
    STEPS,
    STORE_CASES,
    TASKS,
    VALUE,
    close,
    examples,
    make,
    random,
    snapshot,
    task_of,
    with_tasks,
)

WITH_SLOTS = [n for n in STORE_CASES if isinstance(make(STORE_CASES, n), SlotStore)]


@pytest.fixture(params=STORE_CASES)
def name(request):
    return request.param


@pytest.fixture
def store(name):
    return make(STORE_CASES, name)


@pytest.fixture
def perturbed(name):
    return make(STORE_CASES, name, noise=0.3)


def test_every_public_store_is_registered():
    named = [getattr(l2l_rnn.memory, name) for name in l2l_rnn.memory.__all__]
    kinds = {k for k in named if isinstance(k, type) and issubclass(k, Store)}
    layers = {k for k in kinds if issubclass(k, RecurrentMemory)}
    assert set(STORES.values()) == kinds - layers - {Store, SlotStore, FastWeights}


# ---------------------------------------------------------------- writes and reads


def separate(network):
    """Give a memory network embeddings that find an example by its key and return its value."""
    keys, values = torch.eye(KEY + VALUE, dtype=DOUBLE).split([KEY, VALUE])
    for name, wanted in {
        "query_embedding": 40 * keys.mT,
        "input_embedding": keys.mT @ keys,
        "output_embedding": values.mT @ values,
        "hop_matrix": keys.mT @ keys,  # forgets the result of the first hop
        "answer": values,
        "input_ages": 0,
        "output_ages": 0,
    }.items():
        network.get_parameter(name).data[:] = wanted


# With hops, the query of the last lookup depends on parameters that must be learned.
@pytest.mark.parametrize("name", [n for n in STORE_CASES if n != "key-value, hops, cosine"])
def test_a_key_reads_its_value(store):
    angles = torch.arange(KEY, dtype=DOUBLE) * (2 * torch.pi / KEY)
    keys, values = torch.eye(KEY, dtype=DOUBLE), torch.stack([angles.cos(), angles.sin()], -1)
    times = 1
    if isinstance(store, MemoryNetwork):  # must learn its embeddings
        store = MemoryNetwork(KEY, VALUE, embedding_size=KEY + VALUE, hops=2, dtype=DOUBLE)
        separate(store)
    if isinstance(store, DeltaFastWeights):  # a write corrects half of the error
        times = 1000
    state = store.write(store.blank(), keys.repeat(times, 1), values.repeat(times, 1))
    read = store.read(state, keys)
    assert read.shape == values.shape
    similar = torch.nn.functional.normalize(read) @ values.mT
    assert similar.argmax(-1).tolist() == list(range(KEY))
    if isinstance(store, MemoryNetwork | DeltaFastWeights):
        torch.testing.assert_close(read, values, rtol=0, atol=1e-5)


def test_separate_writes_equal_one_write(perturbed):
    keys, values = examples(count=10)  # more than there are slots
    at_once = perturbed.write(perturbed.blank(), keys, values)
    for counts in ([1] * 10, [1, 0, 2, 4, 3]):
        state = perturbed.blank()
        for k, v in zip(keys.split(counts), values.split(counts), strict=True):
            state = perturbed.write(state, k, v)
        close(state, at_once)


def test_writing_nothing_changes_nothing(store):
    state = store.write(store.blank(), *examples(count=0))
    close(state, store.blank())
    assert store.read(state, random(2, KEY)).isfinite().all()


@pytest.mark.parametrize("name", [n for n in STORE_CASES if not n.startswith("memory-network")])
def test_a_blank_store_reads_zeros(perturbed):
    assert perturbed.read(perturbed.blank(), random(3, KEY)).eq(0).all()
    empty = perturbed.write(perturbed.blank(), *examples(count=0))
    assert perturbed.read(empty, random(3, KEY)).eq(0).all()


def test_a_state_is_never_changed(name, perturbed):
    blank = perturbed.blank()
    first = snapshot(blank)
    state = perturbed.write(blank, *examples(count=2))
    kept = snapshot(state)
    queries = random(3, KEY)
    read = perturbed.read(state, queries)
    perturbed.write(state, *examples(count=4))
    assert torch.equal(perturbed.read(state, queries), read)
    assert all(torch.equal(a, b) for a, b in zip(state, kept, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(blank, first, strict=True))
    if name in PURE_STORES:
        assert all(not part.any() for part in blank)
    with pytest.raises(AttributeError):
        state.weights = None


# ---------------------------------------------------------------- tasks


def test_tasks_at_once_equal_a_loop(store):
    together, singles = with_tasks(store)
    assert knows_tasks(store)
    keys, values = examples(TASKS)
    queries = random(TASKS, 3, KEY)
    state = together.write(together.blank(TASKS), keys, values)
    read = together.read(state, queries)
    for n, single in enumerate(singles):
        alone = single.write(single.blank(), keys[n], values[n])
        close(task_of(state, n), alone)
        close([read[n]], [single.read(alone, queries[n])])


def test_tasks_with_shared_parameters(perturbed):
    tasks = 3
    keys, values = examples(tasks, count=5)
    queries = random(tasks, 2, KEY)
    state = perturbed.write(perturbed.blank(tasks), keys, values)
    read = perturbed.read(state, queries)
    for n in range(tasks):
        one = perturbed.write(perturbed.blank(), keys[n], values[n])
        close(task_of(state, n), one)
        close([read[n]], [perturbed.read(one, queries[n])])
    changed = values.index_fill(0, torch.tensor(1), 9.0)
    again = perturbed.read(perturbed.write(perturbed.blank(tasks), keys, changed), queries)
    assert torch.equal(again[[0, 2]], read[[0, 2]])
    assert not torch.allclose(again[1], read[1])


# ---------------------------------------------------------------- slots


@pytest.mark.parametrize("name", WITH_SLOTS)
def test_the_oldest_examples_are_overwritten_and_counted(perturbed):
    keys, values = examples(count=SLOTS + 2)
    state = perturbed.write(perturbed.blank(), keys[:-3], values[:-3])
    assert (state.written, state.overwritten) == (SLOTS - 1, 0)
    numbers = perturbed.examples(state)
    assert numbers.shape == (SLOTS,)
    assert sorted(numbers.tolist()) == [-1, *range(SLOTS - 1)]
    state = perturbed.write(state, keys[-3:], values[-3:])
    assert (state.written, state.overwritten) == (SLOTS + 2, 2)
    assert sorted(perturbed.examples(state).tolist()) == list(range(2, SLOTS + 2))
    kept = perturbed.write(perturbed.blank(), keys[2:], values[2:])
    close([perturbed.read(state, keys)], [perturbed.read(kept, keys)])


@pytest.mark.parametrize("name", WITH_SLOTS)
def test_read_weights(perturbed):
    """They sum to 1 over the filled slots, and follow an example to the slot that holds it."""
    queries, (keys, values) = random(TASKS, 3, KEY), examples(TASKS, count=SLOTS - 2)
    blank = perturbed.blank(TASKS)
    assert perturbed.read_weights(blank, queries).eq(0).all()
    assert perturbed.examples(blank).eq(-1).all()
    state = perturbed.write(blank, keys, values)
    weights, numbers = perturbed.read_weights(state, queries), perturbed.examples(state)
    assert weights.shape == (TASKS, 3, SLOTS)
    close([weights.sum(-1)], [torch.ones(TASKS, 3, dtype=DOUBLE)])
    assert weights.gt(0).equal((numbers >= 0).unsqueeze(-2).expand_as(weights))
    with pytest.raises(ShapeError, match="queries must be"):
        perturbed.read_weights(state, queries[..., 1:])


# ---------------------------------------------------------------- scans


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("tasks", [False, True])
def test_a_scan_equals_the_loop_that_defines_it(store, tasks, ragged):
    axes = (TASKS, BATCH) if tasks else (BATCH,)
    if tasks:
        store, _ = with_tasks(store)
    given = [random(*axes, STEPS, size) for size in (KEY, KEY, VALUE)]
    inside = torch.arange(STEPS) < torch.tensor([5, 2, 0]).unsqueeze(-1) if ragged else None
    inside = inside if inside is None else inside.expand(*axes, STEPS)
    start = store.write(store.blank(*axes), random(*axes, 2, KEY), random(*axes, 2, VALUE))
    reads, state = store.scan(start, *given, inside)
    wanted, last = Store.scan(store, start, *given, inside)
    close(state, last)
    if ragged:
        reads, wanted = (r.masked_fill(~inside.unsqueeze(-1), 0) for r in (reads, wanted))
    close([reads], [wanted])


# ---------------------------------------------------------------- derivatives and copies


def test_first_and_second_derivatives(perturbed):
    names = list(dict(perturbed.named_parameters()))

    class Use(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.store = perturbed

        def forward(self, keys, values, queries):
            state = self.store.write(self.store.blank(), keys[:1], values[:1])
            state = self.store.write(state, keys[1:], values[1:])
            return self.store.read(state, queries)

    use = Use()

    def run(keys, values, queries, *parameters):
        given = {f"store.{n}": p for n, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(use, given, (keys, values, queries))

    data = [t.requires_grad_() for t in (*examples(count=4), random(2, KEY))]
    given = (*data, *perturbed.parameters())
    assert gradcheck(run, given, fast_mode=True)
    assert gradgradcheck(run, given, fast_mode=True)


def test_derivatives_in_the_data(store):
    given = tuple(t.requires_grad_() for t in (*examples(count=3), random(2, KEY)))

    def look_up(keys, values, queries):
        return store.read(store.write(store.blank(), keys, values), queries)

    assert gradcheck(look_up, given)
    assert gradgradcheck(look_up, given, atol=1e-4)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(name, perturbed, copied):
    other, third = copied(perturbed), make(STORE_CASES, name, seed=5)
    third.load_state_dict(perturbed.state_dict())
    keys, values = examples(count=2)
    wanted = perturbed.write(perturbed.blank(), keys, values)
    for twin in (other, third):
        state = twin.write(twin.blank(), keys, values)
        close(state, wanted)
        close([twin.read(state, keys)], [perturbed.read(wanted, keys)])


def test_a_saved_state(store):
    state = store.write(store.blank(), *examples())
    assert store.take_state(state) is state
    again = store.take_state(state._asdict())
    assert type(again) is type(state)
    assert all(a is b for a, b in zip(again, state, strict=True))
    who = type(store).__name__
    with pytest.raises(ArgumentError, match=rf"^{who}: the state must have .*, got other"):
        store.take_state({"other": torch.zeros(1)})
    with pytest.raises(ArgumentTypeError, match=rf"^{who}: the state's .* must be torch"):
        store.take_state(type(state)(*(part.to(torch.complex64) for part in state)))
    with pytest.raises(ShapeError, match=rf"^{who}: the state's .* must have shape"):
        store.take_state(state, BATCH)
