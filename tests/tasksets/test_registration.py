"""Families registered as task sets: their options, and one family for each split."""

import pytest

from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, UnknownNameError
from l2l_rnn.tasksets import DelayedRecall, Harmonics, get_tasksets, list_tasksets
from l2l_rnn.tasksets.catalog import _TASKSETS
from l2l_rnn.tasksets.registration import register_family


@pytest.fixture
def register():
    """Register a family as the task set "ours" until the test ends."""
    yield register_family("ours", list_tasksets()["harmonics"])
    _TASKSETS._members.pop("ours", None)


def test_the_class_is_returned_and_its_card_is_listed(register):
    assert register(Harmonics) is Harmonics
    assert list_tasksets()["ours"] is list_tasksets()["harmonics"]


def test_constructor_arguments_are_the_options(register):
    register(Harmonics)
    tasksets = get_tasksets("ours", noise=0.3)
    assert [taskset.source.noise for taskset in tasksets] == [0.3] * 3
    assert get_tasksets("ours").train.source.noise == 0.1
    with pytest.raises(UnknownNameError, match=r"option 'nose' .*; did you mean 'noise'"):
        get_tasksets("ours", nose=0.3)


def test_a_family_with_a_split_is_built_for_each_split(register):
    register(DelayedRecall)
    tasksets = get_tasksets("ours", lag=4)
    assert tuple(taskset.source.split for taskset in tasksets) == SPLITS
    assert tuple(taskset.source.seed_split for taskset in tasksets) == SPLITS
    with pytest.raises(UnknownNameError, match=r"unknown option 'split' .*Known: lag, symbols"):
        get_tasksets("ours", split="test")


def test_a_name_cannot_be_registered_twice(register):
    register(Harmonics)
    with pytest.raises(ArgumentError, match="task set 'ours' is already registered"):
        register(DelayedRecall)
