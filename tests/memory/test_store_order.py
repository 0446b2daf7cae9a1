"""Writes of a set: reads do not depend on the order of its examples."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.memory.fast_weights import delta_rule, delta_rule_of_set
from l2l_rnn.memory import SlotStore
from tests.memory.cases import (
    CONTROLLER_MEMORIES,
    DOUBLE,
    KEY,
    PURE_STORES,
    SLOTS,
    STORE_CASES,
    TASKS,
    VALUE,
    close,
    examples,
    make,
    random,
    task_of,
    with_tasks,
)

WITH_SLOTS = [n for n in STORE_CASES if isinstance(make(STORE_CASES, n), SlotStore)]
PURE_WITH_SLOTS = [n for n in WITH_SLOTS if n in PURE_STORES]
# Their slots hold a sequence by nature: a set that replaces a part of an older one keeps the
# examples of the older set that came last.
SEQUENTIAL = list(CONTROLLER_MEMORIES)
ORDERS = {
    "class by class": torch.arange(SLOTS),
    "interleaved": torch.tensor([0, 2, 4, 1, 3, 5]),
    "reversed": torch.arange(SLOTS).flip(0),
    "random": torch.tensor([3, 0, 5, 1, 2, 4]),
}


@pytest.fixture(params=STORE_CASES)
def name(request):
    return request.param


@pytest.fixture
def store(name):
    return make(STORE_CASES, name, noise=0.3)


def written(store, *sets):
    state = store.blank()
    for keys, values in sets:
        state = store.write_set(state, keys, values)
    return state


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_one_set(store, order):
    keys, values = examples(count=SLOTS)
    queries = random(5, KEY)
    one = store.read(written(store, (keys, values)), queries)
    other = store.read(written(store, (keys[order], values[order])), queries)
    torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("sizes", [(2, 3), (4, 3), (3, 3, 2), (6, 6), (6, 1), (2, 2, 2, 6)])
def test_several_sets(name, store, sizes):
    """The order of the sets matters, but not the order within one, also when slots run out."""
    if name in SEQUENTIAL and sum(sizes) > SLOTS and sizes != (6, 6):
        sizes = (2, 3)
    sets = [examples(count=count) for count in sizes]
    orders = [torch.randperm(count) for count in sizes]
    shuffled = [(k[o], v[o]) for (k, v), o in zip(sets, orders, strict=True)]
    queries = random(5, KEY)
    one, other = (store.read(written(store, *each), queries) for each in (sets, shuffled))
    torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-11)


def test_a_set_of_one_is_a_write(store):
    state = other = store.blank()
    for _ in range(SLOTS + 2):
        example = examples(count=1)
        state, other = store.write(state, *example), store.write_set(other, *example)
        close(state, other)


def test_an_empty_set_changes_nothing(store):
    state = written(store, examples(count=2))
    assert store.write_set(state, *examples(count=0)) is state


def test_tasks_at_once_equal_a_loop(store):
    together, singles = with_tasks(store)
    sets = [examples(TASKS, count=count) for count in (3, 2, 4)]
    queries = random(TASKS, 3, KEY)
    state = together.blank(TASKS)
    for keys, values in sets:
        state = together.write_set(state, keys, values)
    read = together.read(state, queries)
    for n, single in enumerate(singles):
        alone = written(single, *((keys[n], values[n]) for keys, values in sets))
        close(task_of(state, n), alone)
        close([read[n]], [single.read(alone, queries[n])])


def test_first_and_second_derivatives(store):
    data = [t.requires_grad_() for t in (*examples(count=4), random(2, KEY))]

    def run(keys, values, queries):
        state = written(store, (keys[:1], values[:1]), (keys[1:], values[1:]))
        return store.read(state, queries)

    assert gradcheck(run, data, fast_mode=True)
    assert gradgradcheck(run, data, fast_mode=True, atol=1e-4)


# ---------------------------------------------------------------- slots


@pytest.mark.parametrize("name", WITH_SLOTS)
def test_a_set_must_fit_into_the_slots(store):
    who = type(store).__name__
    message = rf"^{who}: a set of 7 examples does not fit into 6 slots; .* slots=7"
    with pytest.raises(ArgumentError, match=message):
        written(store, examples(count=SLOTS + 1))


@pytest.mark.parametrize("name", PURE_WITH_SLOTS)
def test_the_oldest_sets_are_overwritten_completely(store):
    """A part of a class would be left of a set that came class by class."""
    first, second, third = (examples(count=count) for count in (2, 3, 4))
    state = written(store, first, second)
    assert (state.written, state.overwritten) == (5, 0)
    assert sorted(store.examples(state).tolist()) == [-1, 0, 1, 2, 3, 4]
    state = store.write_set(state, *third)  # needs 3 of the 5 slots
    assert (state.written, state.overwritten) == (9, 5)
    assert sorted(store.examples(state).tolist()) == [-1, -1, 5, 6, 7, 8]
    queries = random(5, KEY)
    close([store.read(state, queries)], [store.read(written(store, third), queries)])
    state = store.write_set(state, *examples(count=2))
    assert sorted(store.examples(state).tolist()) == [5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("name", PURE_WITH_SLOTS)
def test_examples_of_a_set_keep_their_numbers(store):
    keys, values = examples(count=4)
    state = written(store, (keys[:2], values[:2]), (keys[2:], values[2:]))
    weights, numbers = store.read_weights(state, random(3, KEY)), store.examples(state)
    assert weights.gt(0).equal((numbers >= 0).expand_as(weights))
    if hasattr(state, "memory"):  # the content of a slot is that of its example
        for slot, number in enumerate(numbers.tolist()):
            if number >= 0:
                close([state.memory[slot]], [torch.cat([keys[number], values[number]])])


def test_a_memory_network_gives_the_examples_of_a_set_one_age():
    network = make(PURE_STORES, "memory-network", noise=0.3)
    keys, values = examples(count=3)
    equal = keys[:1].expand(3, KEY), values[:1].expand(3, VALUE)
    weights = network.read_weights(written(network, equal), random(2, KEY))
    close([weights[:, -3:]], [torch.full((2, 3), 1 / 3, dtype=DOUBLE)])
    in_order = network.read_weights(network.write(network.blank(), *equal), random(2, KEY))
    assert in_order[:, -3:].std() > 0.01


def test_a_hebbian_set_is_the_mean_over_all_orders():
    store = make(PURE_STORES, "hebbian")
    keys, values = examples(count=3)
    start = store.write(store.blank(), *examples(count=2))
    orders = [torch.tensor(order) for order in itertools.permutations(range(3))]
    states = [store.write(start, keys[order], values[order]).weights for order in orders]
    close([store.write_set(start, keys, values).weights], [torch.stack(states).mean(0)])
    queries = random(2, KEY)
    reads = store.read(store.write_set(store.blank(), keys, values), queries)
    close([store.kernel(queries, keys, in_order=False) @ values], [reads])


# ---------------------------------------------------------------- the delta rule of a set


def minimum(keys, values, gates, weights):
    """Solve the normal equations of the squared errors and of the change of the weights."""
    factors = gates / (1 - gates * keys.square().sum(-1))
    gram = keys.mT @ (factors.unsqueeze(-1) * keys) + torch.eye(keys.shape[-1], dtype=DOUBLE)
    right = weights + values.mT @ (factors.unsqueeze(-1) * keys)
    return torch.linalg.solve(gram, right, left=False)


@pytest.mark.parametrize("count", [1, 3, 20])
def test_the_set_rule_is_a_least_squares_problem(count):
    keys = torch.nn.functional.normalize(random(2, count, KEY), dim=-1)
    keys[:, ::2] *= 0.7
    values, gates = random(2, count, VALUE), torch.rand(2, count, dtype=DOUBLE)
    weights = random(2, VALUE, KEY)
    ours = delta_rule_of_set(keys, values, gates, weights)
    close([ours], [minimum(keys, values, gates, weights)])
    if count == 1:
        close([ours], [delta_rule(keys, keys, values, gates, weights)[1]])


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("gate", [0.0, 0.5, 1.0])
def test_equal_keys_and_extreme_gates_stay_finite(gate, dtype):
    keys = torch.ones(30, 1, dtype=dtype) * torch.tensor([1.0, 0.0], dtype=dtype)
    values = torch.full((30, 1), 3.0, dtype=dtype).requires_grad_()
    weights = torch.zeros(1, 2, dtype=dtype)
    updated = delta_rule_of_set(keys, values, torch.full((30,), gate, dtype=dtype), weights)
    updated.sum().backward()
    assert values.grad.isfinite().all()
    read = (updated @ keys[0]).item()
    assert read == pytest.approx(0.0 if gate == 0 else 3.0, rel=0.05, abs=1e-6)


def test_repeated_sets_do_not_overshoot():
    """Summed errors of similar keys would diverge: 30 updates of one direction at once."""
    keys = torch.nn.functional.normalize(1 + 0.1 * random(30, KEY), dim=-1)
    values, weights = random(30, VALUE), torch.zeros(VALUE, KEY, dtype=DOUBLE)
    errors = []
    for _ in range(5):
        weights = delta_rule_of_set(keys, values, torch.full((30,), 0.5, dtype=DOUBLE), weights)
        errors.append((values - keys @ weights.mT).square().sum().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < values.square().sum()
