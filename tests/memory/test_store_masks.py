"""Writes with padding equal writes of the examples alone, in values and gradients."""

from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import DeltaFastWeights, SlotStore, Store
from tests.memory.cases import (
    KEY,
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

ROWS = 5
MASK = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 1, 0]]).bool()
WITH_SLOTS = [n for n in STORE_CASES if isinstance(make(STORE_CASES, n), SlotStore)]


@pytest.fixture(params=STORE_CASES)
def store(request):
    return make(STORE_CASES, request.param, noise=0.3)


def polluted(rows, mask):
    return rows.masked_fill(~mask.unsqueeze(-1), torch.nan)


@pytest.mark.parametrize("method", ["write", "write_set"])
@pytest.mark.parametrize("before", [0, 3])
def test_padding_is_not_written(store, method, before):
    start = store.write_set(store.blank(TASKS), *examples(TASKS, count=before))
    keys, values = examples(TASKS, count=ROWS)
    queries = random(TASKS, 3, KEY)
    state = getattr(store, method)(start, polluted(keys, MASK), polluted(values, MASK), MASK)
    reads = store.read(state, queries)
    for n in range(TASKS):
        rows = MASK[n]
        alone = getattr(store, method)(task_of(start, n), keys[n][rows], values[n][rows])
        close(task_of(state, n), alone)
        close([reads[n]], [store.read(alone, queries[n])])


@pytest.mark.parametrize("method", ["write", "write_set"])
def test_gradients_do_not_depend_on_padding(store, method):
    start = store.write_set(store.blank(TASKS), *examples(TASKS, count=2))
    keys, values = examples(TASKS, count=ROWS)
    keys, values = polluted(keys, MASK), polluted(values, MASK)
    leaves = [keys.requires_grad_(), values.requires_grad_()]
    weights = [p for p in store.parameters() if p.requires_grad]
    queries, factor = random(TASKS, 3, KEY), random(TASKS, 3, VALUE)
    reads = store.read(getattr(store, method)(start, keys, values, MASK), queries)
    total = (reads * factor).sum()
    options = {"allow_unused": True, "retain_graph": True}
    together = torch.autograd.grad(total, [*leaves, *weights], **options)
    alone = []
    total = 0.0
    for n in range(TASKS):
        own = [leaf.detach()[n][MASK[n]].requires_grad_() for leaf in leaves]
        state = getattr(store, method)(task_of(start, n), *own)
        total = total + (store.read(state, queries[n]) * factor[n]).sum()
        alone.append(own)
    every = [part for own in alone for part in own]
    wanted = torch.autograd.grad(total, [*every, *weights], allow_unused=True)
    for n in range(TASKS):
        for found, gradient in zip(together[:2], wanted[2 * n : 2 * n + 2], strict=True):
            close([found[n][MASK[n]]], [gradient])
            assert not found[n][~MASK[n]].any()
    for found, gradient in zip(together[2:], wanted[2 * TASKS :], strict=True):
        assert (found is None) == (gradient is None)
        if found is not None:
            close([found], [gradient])


def test_parameters_of_several_tasks(store):
    together, singles = with_tasks(store)
    keys, values = examples(TASKS, count=ROWS)
    start = together.write_set(together.blank(TASKS), *examples(TASKS, count=2))
    state = together.write_set(start, polluted(keys, MASK), polluted(values, MASK), MASK)
    for n, single in enumerate(singles):
        rows = MASK[n]
        alone = single.write_set(task_of(start, n), keys[n][rows], values[n][rows])
        close(task_of(state, n), alone)


def test_empty_sets_change_nothing(store):
    start = store.write_set(store.blank(TASKS), *examples(TASKS, count=2))
    keys, values = examples(TASKS, count=ROWS)
    mask = torch.stack([torch.zeros(ROWS).bool(), torch.ones(ROWS).bool()])
    for method in (store.write, store.write_set):
        close(task_of(method(start, keys, values, mask), 0), task_of(start, 0))
        close(method(start, keys, values, mask & False), start)
        close(method(start, keys[:, :0], values[:, :0], mask[:, :0]), start)


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    masks=st.lists(st.lists(st.booleans(), min_size=8, max_size=8), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_any_masks_of_several_sets(masks, seed):
    """More rows than slots fit, as long as the examples do; older sets are lost whole."""
    for name in ("slot-memory", "least-used", "key-value", "memory-network", "hebbian", "delta"):
        store = make(STORE_CASES, name, seed)
        together, alone = store.blank(1), store.blank()
        for mask in torch.tensor(masks).unsqueeze(1):
            mask = mask & (mask.cumsum(-1) <= SLOTS)
            keys, values = examples(1, count=8)
            together = store.write_set(together, keys, values, mask)
            alone = store.write_set(alone, keys[mask], values[mask])
        close(task_of(together, 0), alone)


@pytest.mark.parametrize("name", WITH_SLOTS)
def test_only_examples_need_slots(name):
    store = make(STORE_CASES, name)
    keys, values = examples(2, count=SLOTS + 3)
    mask = torch.arange(SLOTS + 3).expand(2, -1) < SLOTS
    assert store.write_set(store.blank(2), keys, values, mask) is not None
    mask = torch.arange(SLOTS + 3) < torch.tensor([[2], [SLOTS + 1]])
    with pytest.raises(ArgumentError, match=f"a set of {SLOTS + 1} examples does not fit"):
        store.write_set(store.blank(2), keys, values, mask)


def test_a_store_of_ones_own_takes_masks():
    class Twice(DeltaFastWeights):
        """Has its own writes of a set, and none with masks."""

        sizes: ClassVar[list] = []

        def _write_set(self, state, keys, values):
            self.sizes.append(keys.shape[-2])
            return super()._write_set(super()._write_set(state, keys, values), keys, values)

        _write_set_masked = Store._write_set_masked

    store = Twice(KEY, VALUE, dtype=torch.float64)
    keys, values = examples(TASKS, count=ROWS)
    state = store.write_set(store.blank(TASKS), keys, values, MASK)
    assert store.sizes == [1, 3]
    for n in range(TASKS):
        alone = store.write_set(store.blank(), keys[n][MASK[n]], values[n][MASK[n]])
        close(task_of(state, n), alone)
    together, _ = with_tasks(store)
    with pytest.raises(ArgumentTypeError, match="implement it"):
        together.write_set(together.blank(TASKS), keys, values, MASK)


def test_bad_masks(store):
    keys, values = examples(TASKS, count=ROWS)
    with pytest.raises(ShapeError, match="mask must have shape"):
        store.write(store.blank(TASKS), keys, values, MASK[0])
    with pytest.raises(ArgumentTypeError, match="mask must be a bool tensor"):
        store.write_set(store.blank(TASKS), keys, values, MASK.float())


def test_under_vmap():
    for name in ("slot-memory", "delta", "key-value"):
        store = make(STORE_CASES, name)
        keys, values = examples(TASKS, count=ROWS)

        def read(keys, values, mask, store=store):
            return store.read(store.write_set(store.blank(), keys, values, mask), keys)

        found = torch.func.vmap(read)(keys, values, MASK)
        wanted = store.read(store.write_set(store.blank(TASKS), keys, values, MASK), keys)
        close([found], [wanted])
