"""Curves over steps and shots equal separate evaluations."""

import json

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, ProtoNet
from l2l_rnn.data import SourceTaskset, TaskBatch
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets import Sinusoids
from l2l_rnn.training import Curve, adaptation_curve, compare, evaluate, shots_curve
from l2l_rnn.training.evaluation.tasks import first_support
from tests.training.evaluation.learners import LEARNERS, WAYS, dataset


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "MAML++"])
def test_a_curve_over_steps_equals_separate_evaluations(name):
    learner, given = LEARNERS[name](), {"ways": WAYS, "queries": 3, "score": ("nll", "accuracy")}
    curve = adaptation_curve(learner, dataset(), 2, (4, 0, 1), 6, tasks_at_once=4, **given)
    assert (curve.axis, curve.values) == ("steps", (0, 1, 4))
    for value, found in zip(curve.values[1:], curve.evaluations[1:], strict=True):
        alone = evaluate(learner, dataset(), 2, 6, steps=value, tasks_at_once=4, **given)
        torch.testing.assert_close(found.scores, alone.scores)
        assert found.fingerprint == alone.fingerprint
    if name not in ("ProtoMAML", "MAML", "Reptile", "learn2learn", "Meta-SGD of learn2learn"):
        log = torch.tensor(float(WAYS)).log().item()  # all classes have equal scores
        assert curve.means[0] == pytest.approx(log, rel=1e-5)
    assert curve.means[2] < curve.means[0]
    assert compare(*curve.evaluations[:2]).mean > 0
    assert Curve.from_json(json.loads(json.dumps(curve.to_json()))) == curve


def test_fewer_shots_are_a_part_of_more():
    source = dataset()
    learner = ProtoNet(nn.Flatten(-2), WAYS)
    taskset = SourceTaskset(source, WAYS, 7)
    curve = shots_curve(learner, taskset, (1, 2, 4), 12)
    assert [one.settings["shots"] for one in curve.evaluations] == [1, 2, 4]
    assert all(one.settings["queries"] == 3 for one in curve.evaluations)
    whole = evaluate(learner, taskset, 4, 12)
    assert curve.evaluations[2].per_task == whole.per_task
    assert curve.evaluations[2].fingerprint == whole.fingerprint
    text = str(curve).splitlines()
    assert text[0].split() == ["shots", "accuracy"]
    assert len(text) == 4


def test_a_curve_of_a_family():
    maml = MAML(nn.Linear(1, 1), 0.01)
    curve = shots_curve(maml, Sinusoids(), [2, 5], 4, queries=3)
    assert curve.evaluations[0].score == "error"
    assert len(set(curve.means)) == 2


def test_the_first_support_examples_of_unequal_classes():
    y = torch.tensor([[0, 0, 0, 1, 1], [1, 0, 1, 1, 1]])
    x = torch.arange(10.0).view(2, 5, 1)
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 1, 1]]).bool()
    found = first_support(TaskBatch(x, y, x, y, support_mask=mask), 2)
    assert found.support_mask is None
    assert found.support_x.squeeze(-1).tolist() == [[0, 1, 3], [5, 6, 8]]
    found = first_support(TaskBatch(x, y, x, y), 3)
    pairs = zip(found.support_x.squeeze(-1), found.support_mask, strict=True)
    assert [x[rows].tolist() for x, rows in pairs] == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]


@pytest.mark.parametrize("bad", [(), (0, -1), (1.5,), 3, None])
def test_bad_numbers(bad):
    with pytest.raises(ArgumentError, match=r"^adaptation_curve: steps must be"):
        adaptation_curve(LEARNERS["MAML"](), dataset(), 1, bad, 2, ways=WAYS, queries=2)
    with pytest.raises(ArgumentError, match=r"^shots_curve: shots must be"):
        shots_curve(LEARNERS["MAML"](), dataset(), bad, 2, ways=WAYS, queries=2)


def test_too_many_shots():
    with pytest.raises(DataError, match="samples must be at most 8"):
        shots_curve(LEARNERS["MAML"](), dataset(), (1, 9), 2, ways=WAYS, queries=2)
