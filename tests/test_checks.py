"""Argument checks: accepted values and error messages."""

import numpy as np
import pytest
import torch

from l2l_rnn.checks import check_choice, check_int, check_number
from l2l_rnn.errors import ArgumentError, UnknownNameError


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_an_integer_of_any_type_becomes_an_int(value):
    count = check_int("LSTM", "hidden_size", value)
    assert type(count) is int
    assert count == 3


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (0, {}, "LSTM: n must be a positive integer, got 0"),
        (True, {}, "LSTM: n must be a positive integer, got True"),
        (2.0, {}, "LSTM: n must be a positive integer, got 2.0"),
        ("2", {}, "LSTM: n must be a positive integer, got '2'"),
        (None, {}, "LSTM: n must be a positive integer, got None"),
        (-1, {"least": 0}, "LSTM: n must be a non-negative integer, got -1"),
        (1, {"least": 2}, "LSTM: n must be an integer of at least 2, got 1"),
        (9, {"least": 3, "most": 8}, "LSTM: n must be an integer from 3 to 8, got 9"),
        (0, {"fix": "pass 1"}, "LSTM: n must be a positive integer, got 0; pass 1"),
    ],
)
def test_values_other_than_integers_in_range_are_rejected(value, limits, message):
    with pytest.raises(ArgumentError) as caught:
        check_int("LSTM", "n", value, **limits)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [0.5, 1, np.float32(0.5), np.int64(1)])
def test_a_number_of_any_type_becomes_a_float(value):
    number = check_number("MAML", "lr", value, above=0)
    assert type(number) is float
    assert number == value


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (float("nan"), {}, "MAML: lr must be a finite number, got nan"),
        (float("inf"), {"above": 0}, "MAML: lr must be a number above 0, got inf"),
        (True, {}, "MAML: lr must be a finite number, got True"),
        ("1", {}, "MAML: lr must be a finite number, got '1'"),
        (0, {"above": 0}, "MAML: lr must be a number above 0, got 0"),
        (1, {"least": 0, "below": 1}, "MAML: lr must be a number of at least 0 and below 1, got 1"),
        (2, {"most": 1, "fix": "pass 1"}, "MAML: lr must be a number of at most 1, got 2; pass 1"),
    ],
)
def test_values_other_than_numbers_in_range_are_rejected(value, limits, message):
    with pytest.raises(ArgumentError) as caught:
        check_number("MAML", "lr", value, **limits)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", ["lstn", None, ["lstm"], 3])
def test_unknown_choices_are_rejected(value):
    with pytest.raises(UnknownNameError, match=r"NTM: unknown controller .* Known: lstm, other"):
        check_choice("NTM", "controller", value, ["lstm", "other"])
