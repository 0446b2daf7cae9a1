"""Paired differences and intervals."""

import pytest
import torch
from torch import Generator, nn

from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.training import compare, evaluate
from l2l_rnn.training.evaluation import confidence_interval
from tests.training.evaluation.learners import WAYS, dataset


def test_the_interval_is_the_usual_one():
    torch.manual_seed(0)
    scores = torch.randn(200)
    mean, half = confidence_interval(scores)
    assert mean == pytest.approx(scores.mean().item(), abs=1e-6)
    assert half == pytest.approx(1.96 * scores.std().item() / 200**0.5, rel=1e-5)
    assert confidence_interval([0.5]) == (0.5, 0.0)


def test_the_paired_difference_is_narrower():
    torch.manual_seed(0)
    source = dataset()
    source.sequences += 2 * torch.randn(
        source.sequences.shape, generator=Generator().manual_seed(1)
    )
    good = ProtoNet(nn.Flatten(-2), WAYS)
    bad = ProtoNet(nn.Sequential(nn.Flatten(-2), nn.Linear(8, 4)), WAYS)
    a, b = (
        evaluate(one, source, 1, 60, ways=WAYS, queries=4, score=("accuracy", "nll"))
        for one in (good, bad)
    )
    found = compare(a, b)
    assert found.mean == pytest.approx(a.mean - b.mean)
    differences = a.scores - b.scores
    assert found.ci95 == pytest.approx(confidence_interval(differences)[1])
    assert found.ci95 < a.ci95 + b.ci95
    assert found.significant == (abs(found.mean) > found.ci95)
    assert str(found).startswith(f"accuracy: {found.mean:+.4g} ± ")
    assert compare(b, a).mean == -found.mean
    assert compare(a, b, "nll").score == "nll"
    assert not compare(a, a).significant
    assert "no significant difference" in str(compare(a, a))
