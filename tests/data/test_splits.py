import pytest

from l2l_rnn.data.splits import SPLITS, check_split
from l2l_rnn.errors import UnknownNameError


@pytest.mark.parametrize("split", SPLITS)
def test_split_names_are_accepted(split):
    assert check_split("Languages", split) == split


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("tset", r"unknown split 'tset'; did you mean 'test'\? Known: train, validation, test"),
        ("valid", "unknown split 'valid'"),
        (None, "unknown split None"),
        (0, "unknown split 0"),
    ],
)
def test_other_names_are_rejected(split, message):
    with pytest.raises(UnknownNameError, match=f"Languages: {message}"):
        check_split("Languages", split)
