"""Rounding errors of features that a head would enlarge."""

import numpy as np
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import RidgeCV
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.models import MiniRocket


@pytest.mark.parametrize("standardize", [False, True])
def test_features_do_not_depend_on_the_order_of_channels(standardize):
    """Not in any bit."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(6, 50, 5, generator=draw)
    rocket = MiniRocket(length=40, features=84 * 4, standardize=standardize).fit(x, draw)
    expected = rocket(x)
    for seed in range(5):
        order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(rocket(x[..., order]), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ridge_does_not_scale_differences_of_the_size_of_rounding_errors(dtype):
    eps = torch.finfo(dtype).eps
    x = torch.tensor([[0.3, 1.0, 0.7], [0.3, 0.0, 0.7]], dtype=dtype)
    x[1, 0] += 0.3 * eps
    x[1, 2] -= 2 * eps
    learner = RidgeCV(nn.Identity(), ways=2).to(dtype).clone()
    learner.write(x, torch.tensor([0, 1]))
    query = torch.tensor([[0.9, 0.9, 0.1], [0.0, 0.1, 0.9]], dtype=dtype)
    scores = learner(query)
    assert scores.abs().max() < 100
    assert scores.argmax(-1).tolist() == [0, 1]


def test_the_bundled_model_learns_from_one_series_of_several_channels():
    draw = np.random.default_rng(0)
    times = np.linspace(0, 6, 100)

    def wave(frequency):
        phases = draw.uniform(0, 6, (6, 1))
        return np.sin(frequency * times + phases) + 0.3 * draw.standard_normal((6, 100))

    classifier = FewShotClassifier.from_pretrained("series", unknown_above=None)
    right = []
    for _ in range(8):
        classifier.fit([wave(2), wave(5)], ["slow", "fast"])
        queries = [wave(2), wave(2), wave(5), wave(5)]
        right.append(classifier.predict(queries) == ["slow", "slow", "fast", "fast"])
        assert np.abs(classifier.decision_function(queries)).max() < 100
    assert np.mean(right) > 0.9
