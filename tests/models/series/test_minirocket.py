"""MiniRocket features equal those of sktime, and a definition with plain loops."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from l2l_rnn.configuration import build, configuration_of
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.models import EncoderEnsemble, MiniRocket, ResampledSeries, VectorPart


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_definition(rocket, series):
    """Return the features of one series, written from the paper with plain loops."""
    found, biases = [], iter(rocket.biases.tolist())
    triples = list(itertools.combinations(range(9), 3))
    for number, (dilation, count) in enumerate(zip(rocket.dilations, rocket.counts, strict=True)):
        cut = 4 * dilation
        padded = np.pad(series, cut)
        for kernel, triple in enumerate(triples):
            weights = [2 if place in triple else -1 for place in range(9)]
            outputs = sum(
                weight * padded[place * dilation : place * dilation + len(series)]
                for place, weight in enumerate(weights)
            )
            if (number + kernel) % 2:
                outputs = outputs[cut:-cut]
            found += [(outputs > next(biases)).mean() for _ in range(count)]
    return np.array(found)


def test_features_are_those_of_the_definition():
    x = draw(3, 40, 1)
    rocket = MiniRocket(length=40, features=84 * 7, normalize=False)
    rocket.fit(x, torch.Generator().manual_seed(1))
    expected = np.stack([by_definition(rocket, series) for series in x[..., 0].numpy()])
    np.testing.assert_allclose(rocket(x).numpy(), expected, atol=1e-5)
    assert 0.2 < expected.mean() < 0.8


def test_features_are_those_of_sktime():
    """The file was written by sktime's MiniRocketMultivariate, with 252 features."""
    saved = json.loads((Path(__file__).parent / "minirocket_of_sktime.json").read_text())
    rocket = MiniRocket(length=32, features=252, normalize=False)
    assert rocket.dilations == saved["dilations"]
    assert rocket.counts == saved["counts"]
    rocket.biases.copy_(torch.tensor(saved["biases"]))
    found = rocket(torch.tensor(saved["series"]).unsqueeze(-1))
    torch.testing.assert_close(found, torch.tensor(saved["features"]), atol=1e-5, rtol=0)


def test_channels_lengths_and_padding():
    x = draw(4, 50, 3)
    rocket = MiniRocket(length=32, features=84).fit(x, torch.Generator().manual_seed(0))
    each = torch.stack([rocket(x[..., c : c + 1]) for c in range(3)])
    torch.testing.assert_close(rocket(x), each.mean(0))
    padded = torch.cat([x, torch.full((4, 9, 3), torch.nan)], 1)
    torch.testing.assert_close(rocket(padded), rocket(x))
    torch.testing.assert_close(rocket(2 * x + 3), rocket(x))  # each channel is normalized
    torch.testing.assert_close(rocket(x.reshape(2, 2, 50, 3)), rocket(x).reshape(2, 2, -1))
    together = MiniRocket(3, length=32, features=84).fit(x)
    assert together(x).shape == (4, 3 * rocket.output_size)
    with pytest.raises(ShapeError, match="F=3 channels, got shape"):
        together(x[..., :2])


def test_standardized_features_have_mean_0_and_a_small_scale():
    x = draw(60, 32, 1)
    rocket = MiniRocket(length=32, features=168, standardize=True).fit(x)
    features = rocket(x)
    torch.testing.assert_close(features.mean(0), torch.zeros(168), atol=1e-4, rtol=0)
    assert 0.7 < features.square().sum(-1).mean() <= 1.01
    again = build(configuration_of(rocket))
    again.load_state_dict(rocket.state_dict())
    assert torch.equal(again(x), features)


def test_too_short_a_length_is_rejected():
    with pytest.raises(ArgumentError, match="length must be an integer of at least 9, got 8"):
        MiniRocket(length=8)


def test_parts_of_the_vectors_of_an_ensemble():
    x = draw(2, 20, 2)
    rocket = MiniRocket(length=16, features=84).fit(x)
    series = ResampledSeries(20)
    vectors = EncoderEnsemble([rocket, series])(x)
    assert torch.equal(VectorPart(0, 84)(vectors), rocket(x))
    assert torch.equal(VectorPart(84)(vectors), series(x))
    assert torch.equal(VectorPart(84, 96, torch.nn.ReLU())(vectors), series(x)[:, :12].relu())
    channels = series(x).unflatten(-1, (2, 20))
    torch.testing.assert_close(channels.mean(-1), torch.zeros(2, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(channels.std(-1, correction=0), torch.ones(2, 2))
    with pytest.raises(ArgumentError, match="stop must be"):
        VectorPart(3, 3)
