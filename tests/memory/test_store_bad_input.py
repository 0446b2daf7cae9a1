"""Invalid input of stores, for every registered store and the slots of NTM, DNC and MANN."""

import pytest

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import STORES
from tests.memory.cases import (
    BATCH,
    KEY,
    STORE_CASES,
    TASKS,
    VALUE,
    examples,
    make,
    random,
    with_tasks,
)


@pytest.fixture(params=STORE_CASES)
def name(request):
    return request.param


@pytest.fixture
def store(name):
    return make(STORE_CASES, name)


@pytest.mark.parametrize(
    ("keys", "values", "what"),
    [
        ((2, KEY + 1), (2, VALUE), r"keys must be \(…, B, 4\)"),
        ((2, KEY), (2, VALUE + 1), r"values must be \(…, B, 2\)"),
        ((3, 2, KEY), (3, 2, VALUE), r"the state's .* must have shape \(3, "),
        ((KEY,), (VALUE,), r"keys must be"),
        ((2, KEY), (3, VALUE), r"must agree in number, got \(2,\) keys and \(3,\) values"),
    ],
)
def test_bad_writes(store, keys, values, what):
    state = store.write(store.blank(), *examples(count=2))
    with pytest.raises(ShapeError, match=rf"^{type(store).__name__}: .*{what}"):
        store.write(state, random(*keys), random(*values))


def test_bad_queries(store):
    with pytest.raises(ShapeError, match=rf"^{type(store).__name__}: queries must be"):
        store.read(store.blank(), random(2, KEY + 1))


@pytest.mark.parametrize("batch", [(BATCH + 1,), (), (TASKS, BATCH)], ids=str)
def test_a_state_of_another_batch(store, batch):
    state, (keys, values) = store.blank(*batch), examples(BATCH)
    message = rf"^{type(store).__name__}: the state's .* must have shape"
    with pytest.raises(ShapeError, match=message):
        store.write(state, keys, values)
    with pytest.raises(ShapeError, match=message):
        store.read(state, keys)


def test_a_state_of_another_type(store):
    with pytest.raises(ArgumentTypeError, match=r"state must be of type .*State, got tuple"):
        store.write(tuple(store.blank()), *examples())


@pytest.mark.parametrize("name", [n for n in STORE_CASES if n != "hebbian"])  # has no parameters
def test_a_wrong_task_axis(store):
    together, _ = with_tasks(store)
    with pytest.raises(ShapeError):
        together.blank(TASKS + 1)
    state = together.blank(TASKS)
    for name, call in {
        "keys": lambda: together.write(state, *examples()),
        "queries": lambda: together.read(state, examples()[0]),
    }.items():
        message = rf"^{type(store).__name__}: {name} must be \(N, …\) with N=2"
        with pytest.raises(ShapeError, match=message):
            call()


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "4"])
@pytest.mark.parametrize("size", ["key_size", "value_size"])
@pytest.mark.parametrize("kind", STORES)
def test_bad_sizes(kind, size, bad):
    sizes = {"key_size": KEY, "value_size": VALUE, size: bad}
    who = STORES[kind].__name__
    with pytest.raises(ArgumentError, match=f"^{who}: {size} must be a positive integer"):
        STORES[kind](**sizes)
