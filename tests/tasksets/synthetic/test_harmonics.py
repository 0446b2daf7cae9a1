"""Noisy sums of two sine waves: the rule, the ranges, and the lowest possible error."""

import math
import random

import pytest
import torch
from torch import Generator

from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets import Harmonics, get_tasksets, list_tasksets


def seeded(seed):
    return Generator().manual_seed(seed)


def test_targets_follow_the_rule():
    family = Harmonics(noise=0)
    parameters = family.parameters(4, seeded(0))
    x, y = family.examples(parameters, 3, seeded(1))
    assert x.shape == y.shape == (4, 3, 1)
    for n, (a1, a2, b1, b2, w, _) in enumerate(parameters.tolist()):
        for value, target in zip(x[n, :, 0].tolist(), y[n, :, 0].tolist(), strict=True):
            expected = a1 * math.sin(w * value + b1) + a2 * math.sin(2 * w * value + b2)
            assert target == pytest.approx(expected, abs=1e-4)


def test_parameters_and_inputs_follow_their_distributions():
    family = Harmonics()
    parameters = family.parameters(20_000, seeded(0))
    low, high = parameters[:, 2:].amin(0), parameters[:, 2:].amax(0)
    assert low.tolist() == pytest.approx([0, 0, 5, -4], abs=0.01)
    assert high.tolist() == pytest.approx([2 * math.pi, 2 * math.pi, 7, 4], abs=0.01)
    assert parameters[:, :2].mean(0).tolist() == pytest.approx([0, 0], abs=0.03)
    assert parameters[:, :2].std(0).tolist() == pytest.approx([1, 1], abs=0.03)
    x, _ = family.examples(parameters, 5, seeded(1))
    offsets = x.squeeze(-1) - parameters[:, 5:]
    assert offsets.std().item() == pytest.approx(1, abs=0.02)
    assert offsets.mean().item() == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
def test_the_noiseless_waves_have_the_lowest_error(noise):
    family = Harmonics(noise)
    parameters = family.parameters(500, seeded(0))
    x, y = family.examples(parameters, 40, seeded(1))
    oracle = family.signal(parameters, x)
    assert family.optimum == noise**2
    error = family.error(oracle, y).mean().item()
    assert error == pytest.approx(family.optimum, rel=0.05, abs=1e-12)
    for other in (0.9 * oracle, oracle + 0.1):
        assert family.error(other, y).mean() > error + 0.005


def test_many_examples_determine_the_waves():
    """Least squares at the best of many frequencies leaves little more than the noise."""
    family = Harmonics()
    batch = family.draw(8, 100, 100, seeded(0))
    frequencies = torch.linspace(5, 7, 401, dtype=torch.float64)[:, None, None, None]

    def waves(x):
        angles = frequencies * x.double()
        parts = (angles.sin(), angles.cos(), (2 * angles).sin(), (2 * angles).cos())
        return torch.cat(parts, -1)  # (frequencies, N, B, 4)

    target = batch.support_y.double().expand(401, -1, -1, -1)
    found = torch.linalg.lstsq(waves(batch.support_x), target).solution
    fits = (waves(batch.support_x) @ found - target).square().mean((-2, -1))
    chosen = fits.argmin(0), torch.arange(8)
    predictions = (waves(batch.query_x) @ found)[chosen].float()
    assert family.error(predictions, batch.query_y).mean() < 1.3 * family.optimum


def test_chance_level_and_baseline_of_the_card():
    card = list_tasksets()["harmonics"]
    family = Harmonics()
    batch = family.draw(10_000, 5, 10, seeded(0))
    zero = family.error(torch.zeros_like(batch.query_y), batch.query_y).mean()
    assert zero.item() == pytest.approx(card.chance, abs=0.04)

    def covariance(distance):  # of the waves: E a^2 E cos(w d) / 2, plus the same at 2 w
        d = torch.where(distance.abs() < 1e-6, 1e-6, distance.double())
        return sum(((7 * k * d).sin() - (5 * k * d).sin()) / (4 * k * d) for k in (1, 2))

    known = covariance(batch.support_x - batch.support_x.mT) + 0.01 * torch.eye(5)
    weights = torch.linalg.solve(known, batch.support_y.double())
    predictions = covariance(batch.query_x - batch.support_x.mT) @ weights
    error = family.error(predictions.float(), batch.query_y).mean().item()
    assert error == pytest.approx(card.baseline[1], abs=0.02)


def test_the_option_noise_reaches_the_family():
    tasksets = get_tasksets("harmonics", train_samples=10, noise=0.3)
    random.seed(0)
    x, y = tasksets.train.sample()
    assert x.shape == y.shape == (10, 1)
    assert tasksets.test.source.noise == 0.3
    assert repr(tasksets.test.source) == "Harmonics(noise=0.3)"


def test_draws_are_reproducible():
    first, again, other = (Harmonics().draw(3, 2, 2, seeded(s)) for s in (5, 5, 6))
    assert torch.equal(first.support_x, again.support_x)
    assert torch.equal(first.query_y, again.query_y)
    assert not torch.equal(first.support_x, other.support_x)


@pytest.mark.parametrize("noise", [-0.1, math.nan, math.inf, "0.1", None, True])
def test_invalid_noise_is_rejected(noise):
    with pytest.raises(ArgumentError, match="noise must be a number of at least 0, got"):
        Harmonics(noise)
