import dataclasses

import pytest

from l2l_rnn.data import TaskCard

CARD = TaskCard(
    task="Name the language of a word.",
    source="a package",
    license="MIT",
    classes=(1200, 2, 3),
    items=(50_000, 60, 70),
    lengths=(2, 9),
    splits="disjoint by language family",
    measure="accuracy",
    chance=0.2,
    baseline=("nearest centroid", 0.75),
)


def test_a_card_as_text():
    assert str(CARD).splitlines() == [
        "task: Name the language of a word.",
        "source: a package; license: MIT",
        "size: train 1,200 classes with 50,000 items, validation 2 classes with 60 items, "
        "test 3 classes with 70 items; 2-9 steps",
        "splits: disjoint by language family",
        "scores: accuracy: chance level 0.2, baseline 0.75 (nearest centroid)",
        "requires: no extra",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lengths": (9, 9)}, "3 classes with 70 items; 9 steps"),
        ({"lengths": (1, 1)}, "3 classes with 70 items; 1 step"),
        ({"counted": "persons"}, "train 1,200 persons with 50,000 items"),
        ({"classes": None, "items": None}, "size: generated tasks, 2-9 steps"),
        ({"extra": "hub"}, "requires: pip install 'l2l_rnn[hub]'"),
    ],
)
def test_variants_of_a_card(changes, line):
    assert line in str(dataclasses.replace(CARD, **changes))
