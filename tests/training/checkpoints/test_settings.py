"""Settings in checkpoints."""

import math

import pytest

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.training.checkpoints import add_settings, check_settings, saved_settings


def test_settings_are_kept_as_json_represents_them():
    checkpoint = {}
    given = {"learner": {"lr": 0.5, "sizes": (1, 2)}}
    add_settings(checkpoint, given)
    given["learner"]["lr"] = 1.0
    assert saved_settings(checkpoint) == {"learner": {"lr": 0.5, "sizes": [1, 2]}}
    check_settings(saved_settings(checkpoint), {"learner": {"lr": 0.5, "sizes": (1, 2)}})


@pytest.mark.parametrize(
    "checkpoint", [{}, {"l2l_rnn": 3}, {"l2l_rnn": {}}, {"l2l_rnn": {"settings": 1}}]
)
def test_a_checkpoint_without_settings_has_none(checkpoint):
    assert saved_settings(checkpoint) is None


def test_all_differences_are_listed_at_once():
    saved = {
        "learner": {"class": "MAML", "lr": 0.5, "gone": None, "same": [1, {"a": 2}]},
        "ways": 5,
        "shuffle": True,
        "limit": math.nan,
        "text": "x" * 200,
    }
    now = {
        "learner": {"class": "MetaSGD", "lr": 0.1, "same": [1, {"a": 2}]},
        "ways": {"train": 5},
        "shuffle": 1,
        "limit": math.nan,
        "text": "y" * 200,
        "new": [1],
    }
    with pytest.raises(ArgumentError) as caught:
        check_settings(saved, now)
    message = str(caught.value)
    for part in (
        "learner.class='MetaSGD' instead of 'MAML'",
        "learner.lr=0.1 instead of 0.5",
        "learner.gone=nothing instead of None",
        "ways={'train': 5} instead of 5",
        "shuffle=1 instead of True",
        "new=[1] instead of nothing",
    ):
        assert part in message
    assert "same" not in message
    assert "limit" not in message
    assert len(message) < 700


def test_numbers_that_are_equal_do_not_differ():
    check_settings({"lr": 1, "steps": 2.0}, {"lr": 1.0, "steps": 2})


@pytest.mark.parametrize("settings", [{"a": object()}, {(1, 2): 3}])
def test_settings_that_json_does_not_represent_are_refused(settings):
    with pytest.raises(ArgumentTypeError, match="add_settings: settings must be values that JSON"):
        add_settings({}, settings)
    with pytest.raises(ArgumentTypeError, match="check_settings: settings must be values"):
        check_settings({}, settings)
