"""Invalid input of recurrent memories, for every registered layer and a layer of every store."""

import inspect

import numpy as np
import pytest
import torch

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import LAYERS
from tests.memory.cases import (
    BATCH,
    FEATURES,
    LAYER_CASES,
    STEPS,
    TASKS,
    make,
    random,
    sequences,
    with_tasks,
)


@pytest.fixture(params=LAYER_CASES)
def name(request):
    return request.param


@pytest.fixture
def memory(name):
    return make(LAYER_CASES, name)


def sizes_of(kind):
    names = inspect.signature(kind).parameters
    return [n for n in names if n.endswith("_size") or n in ("slots", "read_heads", "write_heads")]


@pytest.mark.parametrize(
    "shape", [(BATCH, STEPS, FEATURES + 1), (BATCH, 0, FEATURES), (STEPS, FEATURES), (FEATURES,)]
)
def test_input_of_a_wrong_shape(memory, shape):
    with pytest.raises(ShapeError, match=rf"^{type(memory).__name__}: x must be .*F={FEATURES}"):
        memory(random(*shape))


def test_a_step_of_a_wrong_shape(memory):
    with pytest.raises(ShapeError, match=rf"^{type(memory).__name__}: x must end in F={FEATURES}"):
        memory.step(random(BATCH, FEATURES + 1), memory.blank(BATCH))


@pytest.mark.parametrize("lengths", [[1], [1, 2, 3, 4]], ids=str)
def test_lengths_of_a_wrong_shape(memory, lengths):
    with pytest.raises(ShapeError, match=r"lengths must have shape \(3,\)"):
        memory(sequences(), lengths=torch.tensor(lengths))


@pytest.mark.parametrize("lengths", [[1, 2, 6], [1, -1, 2]], ids=str)
def test_lengths_out_of_range(memory, lengths):
    with pytest.raises(ArgumentError, match=r"lengths must be from 0 to S=5"):
        memory(sequences(), lengths=torch.tensor(lengths))


@pytest.mark.parametrize("batch", [(BATCH + 1,), (), (TASKS, BATCH)], ids=str)
def test_a_state_of_another_batch(memory, batch):
    state = memory.blank(*batch)
    message = rf"^{type(memory).__name__}: the state's .* must have shape"
    with pytest.raises(ShapeError, match=message):
        memory(sequences(), state)
    with pytest.raises(ShapeError, match=message):
        memory.step(random(BATCH, FEATURES), state)


def test_a_state_of_another_type(memory):
    with pytest.raises(ArgumentTypeError, match=r"state must be of type .*State, got tuple"):
        memory(sequences(), tuple(memory.blank(BATCH)))
    with pytest.raises(ArgumentTypeError, match=r"state must be of type .*State, got tuple"):
        memory.step(random(BATCH, FEATURES), (torch.zeros(1),))


def test_a_wrong_task_axis(memory):
    together, _ = with_tasks(memory)
    with pytest.raises(ShapeError):
        together.blank(TASKS + 1, BATCH)
    state = together.blank(TASKS)
    for call in (
        lambda: together(sequences()),
        # As many sequences as tasks, but without a task axis.
        lambda: together(random(TASKS, STEPS, FEATURES)),
        lambda: together.step(random(TASKS, FEATURES), state),
    ):
        message = rf"^{type(memory).__name__}: x must be \(N, …\) with N=2"
        with pytest.raises(ShapeError, match=message):
            call()


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "4"])
@pytest.mark.parametrize(("kind", "size"), [(k, s) for k in LAYERS.values() for s in sizes_of(k)])
def test_bad_sizes(kind, size, bad):
    message = f"^{kind.__name__}: {size} must be (a positive integer|an integer of at least 2), got"
    with pytest.raises(ArgumentError, match=message):
        kind(**{"input_size": FEATURES, size: bad})


@pytest.mark.parametrize("kind", LAYERS.values())
def test_numpy_sizes(kind):
    layer = kind(**{size: np.int64(4) for size in sizes_of(kind) if size != "key_size"})
    assert all(type(getattr(layer, size)) is int for size in sizes_of(kind))
    assert layer(torch.zeros(2, 3, 4))[0].shape == (2, 3, 4)
