"""Sine waves: their ranges, an exact solver, the card, and learn2learn's script on them."""

import math
import random

import learn2learn
import pytest
import torch
from torch import Generator, nn

from l2l_rnn.tasksets import Sinusoids, get_tasksets, list_tasksets


def seeded(seed):
    return Generator().manual_seed(seed)


def test_parameters_and_inputs_stay_in_their_ranges():
    parameters = Sinusoids().parameters(5000, seeded(0))
    low, high = parameters.amin(0), parameters.amax(0)
    assert low.tolist() == pytest.approx([0.1, 0], abs=0.01)
    assert high.tolist() == pytest.approx([5, math.pi], abs=0.01)
    x, _ = Sinusoids().examples(parameters, 5)
    assert x.abs().max() <= 5


@pytest.mark.parametrize("shots", [2, 5])
def test_least_squares_reaches_the_optimum(shots):
    family = Sinusoids()
    batch = family.draw(50, shots, 4, seeded(0))

    def features(x):
        return torch.cat([x.sin(), x.cos()], -1).double()

    weights = torch.linalg.lstsq(features(batch.support_x), batch.support_y.double()).solution
    error = family.error((features(batch.query_x) @ weights).float(), batch.query_y)
    # Two points may lie almost half a wave apart, where rounding errors grow.
    assert error.median().item() == pytest.approx(family.optimum, abs=1e-9)
    assert family.optimum == 0
    if shots == 5:
        assert error.max().item() == pytest.approx(0, abs=1e-4)


def test_chance_level_and_baseline_of_the_card():
    card, family = list_tasksets()["sinusoids"], Sinusoids()
    batch = family.draw(20_000, 5, 10, seeded(0))
    zero = family.error(torch.zeros_like(batch.query_y), batch.query_y).mean().item()
    exact = (5**3 - 0.1**3) / (3 * 4.9) / 2  # E a^2 E sin^2
    assert zero == pytest.approx(exact, rel=0.02)
    assert card.chance == pytest.approx(exact, abs=0.005)
    nearest = (batch.query_x - batch.support_x.mT).abs().argmin(-1, keepdim=True)
    error = family.error(batch.support_y.gather(1, nearest), batch.query_y).mean().item()
    assert error == pytest.approx(card.baseline[1], rel=0.03)


def test_tasksets_yield_inputs_and_targets():
    tasksets = get_tasksets("sinusoids", train_samples=10)
    random.seed(0)
    x, y = tasksets.train.sample()
    assert x.shape == y.shape == (10, 1)
    assert list_tasksets()["sinusoids"].lengths == (1, 1)


def test_an_unchanged_learn2learn_script_trains_on_it():
    """As in Finn et al.: the first half of a task is its support set, the rest its query set."""
    random.seed(0)
    torch.manual_seed(0)
    tasksets = get_tasksets("sinusoids", train_samples=10)
    model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    maml = learn2learn.algorithms.MAML(model, lr=0.02)
    optimizer = torch.optim.Adam(maml.parameters(), lr=0.01)
    losses = []
    for _ in range(120):
        loss = 0.0
        for _ in range(4):
            learner = maml.clone()
            x, y = tasksets.train.sample()
            learner.adapt(nn.functional.mse_loss(learner(x[:5]), y[:5]))
            loss = loss + nn.functional.mse_loss(learner(x[5:]), y[5:]) / 4
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-30:]) < 0.9 * sum(losses[:30])
