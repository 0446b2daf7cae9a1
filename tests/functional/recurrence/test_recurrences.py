"""Every fast route of a recurrence against its naive reference, with both derivatives."""

import inspect

import pytest
import torch

from l2l_rnn import functional
from l2l_rnn.functional.recurrence import compiled_passes, reference
from tests.functional.recurrence.problems import (
    FUNCTIONS,
    PACKED,
    SCANNED,
    SIZES,
    both_orders,
    close,
    packed_problem,
    scanned_problem,
)

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])


@DTYPES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", PACKED)
def test_packed_recurrences_equal_their_references(name, bias, dtype):
    results = []
    for module in (functional, reference):
        given, options, leaves = packed_problem(name, bias, dtype)
        run = getattr(module, FUNCTIONS.get(name, name))
        results.append(both_orders(run(*given, SIZES, **options), leaves))
    close(*results, dtype)


@pytest.mark.parametrize("name", PACKED)
def test_torch_passes_equal_the_references_in_float32(name, monkeypatch):
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    test_packed_recurrences_equal_their_references(name, True, torch.float32)


@DTYPES
@pytest.mark.parametrize("name", SCANNED)
def test_scanned_recurrences_equal_their_references(name, dtype):
    results = []
    for module in (functional, reference):
        given, leaves = scanned_problem(name, dtype)
        results.append(both_orders(getattr(module, name)(*given), leaves))
    close(*results, dtype)


@pytest.mark.parametrize("name", ["min_gru", "min_lstm"])
def test_scans_equal_the_references_in_float32(name, monkeypatch):
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    test_scanned_recurrences_equal_their_references(name, torch.float32)


def test_every_recurrence_has_a_reference():
    names = {
        name
        for name, function in vars(functional).items()
        if inspect.isfunction(function) and "state" in inspect.signature(function).parameters
    }
    assert names == {FUNCTIONS.get(name, name) for name in [*PACKED, *SCANNED]}
    assert all(inspect.isfunction(getattr(reference, name)) for name in names)
