"""Error messages of the tasks on bit vectors."""

import itertools

import numpy as np
import pytest
import torch

from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.tasksets import AssociativeRecall, Copy, DynamicNGrams, PrioritySort, RepeatCopy

FAMILIES = (
    Copy(bits=3, lengths=(1, 4)),
    RepeatCopy(bits=2, lengths=(1, 3), repeats=(1, 3)),
    AssociativeRecall(bits=2, vectors=2, items=(2, 5)),
    DynamicNGrams(order=3, length=12),
    PrioritySort(bits=3, vectors=5, highest=3),
)


@pytest.fixture(params=FAMILIES, ids=repr)
def family(request):
    return request.param


@pytest.mark.parametrize(
    ("give", "name"), [(lambda v: (v, 2), "length"), (lambda v: (2, v), "repeats")]
)
@pytest.mark.parametrize("bounds", [(), (3,), (2, 1), (0, 2), (1, 2.0)])
def test_repeated_copying_rejects_invalid_ranges(give, name, bounds):
    message = f"^RepeatCopy.at: {name} must be two positive integers"
    with pytest.raises(ArgumentError, match=message):
        RepeatCopy().at(*give(bounds))


@pytest.mark.parametrize("batch", [0, -1, True, 2.0])
def test_an_invalid_batch_size_is_rejected(family, batch):
    who = type(family).__name__
    with pytest.raises(
        ArgumentError, match=f"^{who}.sequences: batch must be a positive integer, got {batch}"
    ):
        family.sequences(batch)


def test_outputs_of_another_shape_are_rejected(family):
    _, y = family.examples(family.parameters(2), 2)
    with pytest.raises(ShapeError, match=r"one shape, \(…, B, S, bits\), got \(2, 2, 1\)"):
        family.loss(torch.zeros(2, 2, 1), y)
    if family.optimum is not None:
        with pytest.raises(
            ShapeError,
            match=r"outputs must have the shape of the targets, .*; pass one output per step",
        ):
            family.error(torch.zeros(2, 2, 1), y)


COUNTS = [0, -1, 1.5, True, "3", None]
RANGES = [(0, 3), (3, 2), (1,), (1, 2, 3), 5, None, (1.0, 2.0), (True, 2), "12"]


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        *((lambda v, f=f: f(bits=v), "bits", v) for v in COUNTS for f in (Copy, RepeatCopy)),
        *((lambda v: AssociativeRecall(bits=v), "bits", v) for v in COUNTS),
        *((lambda v: AssociativeRecall(vectors=v), "vectors", v) for v in COUNTS),
        *(
            (lambda v, n=n: PrioritySort(**{n: v}), n, v)
            for v, n in itertools.product(COUNTS, ("bits", "vectors", "highest"))
        ),
        *((lambda v: DynamicNGrams(length=v), "length", v) for v in COUNTS),
        *((lambda v: Copy().at(v), "length", v) for v in COUNTS),
        *((lambda v: RepeatCopy().at(v, 2), "length", v) for v in COUNTS),
        *((lambda v: RepeatCopy().at(2, v), "repeats", v) for v in COUNTS),
        *((lambda v: AssociativeRecall().at(v), "items", v) for v in COUNTS),
        *((lambda v: PrioritySort().at(v, 1), "vectors", v) for v in COUNTS),
        *((lambda v: DynamicNGrams().at(v), "length", v) for v in COUNTS),
    ],
)
def test_invalid_counts_are_rejected(make, name, value):
    with pytest.raises(ArgumentError, match=f": {name} must be a positive integer, got {value!r}"):
        make(value)


@pytest.mark.parametrize("bounds", RANGES)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda v: Copy(lengths=v), "lengths"),
        (lambda v: RepeatCopy(lengths=v), "lengths"),
        (lambda v: RepeatCopy(repeats=v), "repeats"),
        (lambda v: AssociativeRecall(items=v), "items"),
    ],
)
def test_invalid_ranges_are_rejected(make, name, bounds):
    with pytest.raises(ArgumentError, match=f": {name} must be two positive integers") as caught:
        make(bounds)
    assert repr(bounds) in str(caught.value)


def test_numpy_integers_are_accepted():
    three = np.int64(3)
    assert repr(Copy(bits=three).at(three)) == "Copy(bits=3, lengths=(3, 3))"
    assert RepeatCopy(lengths=np.array([1, 3])).lengths == (1, 3)
    assert AssociativeRecall(vectors=three, items=(three, 4)).items == (3, 4)
    assert DynamicNGrams(order=three, length=np.int32(9)).steps == 8
    assert PrioritySort(highest=three).sequences(three).inputs.shape == (3, 24, 10)
