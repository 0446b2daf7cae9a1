"""ALPaCA, the reader and the exact references on tasks of families."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.methods.families.family_alpaca import FamilyALPaCA
from benchmarks.few_shot.methods.families.family_reader import FamilyReader, Reader
from benchmarks.few_shot.methods.families.family_references import (
    FamilyGaussianProcess,
    FamilyMean,
    HarmonicsPosterior,
    SineFit,
)
from benchmarks.few_shot.methods.families.harmonics_posterior import posterior_mean
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.tasksets import Harmonics

CPU = torch.device("cpu")
TRAINING = Training(
    steps=120, minutes=1, tasks=10, lr=5e-3, validate_every=60, validation_tasks=20, clip=10.0
)
WAVES = {"kind": "harmonics", "network": {"hidden_size": 32, "cell": None, "frequency": 15.0}}


def problem(name, test_tasks=60):
    seed_everything(0)
    return FamilyProblem(SPECS[name], seed=3, device=CPU, test_tasks=test_tasks)


def test_the_fitted_amplitude_and_phase_are_exact():
    method = SineFit(problem("sinusoids", 200), "fit", kind="sinusoids")
    for shots in (5, 10):
        assert method.evaluate(Shots(shots)).max() < 1e-6


def test_alpaca_adapts_to_sine_waves_beyond_gradient_steps():
    of = {"kind": "sinusoids", "network": {"hidden_size": 40, "cell": None}}
    method = FamilyALPaCA(problem("sinusoids"), "head", likelihood=False, training=TRAINING, **of)
    method.train()
    assert method.evaluate(Shots(10)).mean() < 0.3
    assert method.details() == {}


@pytest.mark.parametrize("kind", [FamilyALPaCA, FamilyReader])
def test_methods_of_harmonics_learn(kind):
    given = problem("harmonics")
    method = kind(given, "learned", training=TRAINING, **WAVES)
    before = method.evaluate(Shots(10)).mean()
    history = method.train()
    after = method.evaluate(Shots(10)).mean()
    mean = FamilyMean(given, "mean", kind="harmonics").evaluate(Shots(10)).mean()
    assert after < min(before, mean)
    assert history.best == min(point["validation"] for point in history.points)
    if kind is FamilyALPaCA:
        assert all(0.6 < share < 1 for share in method.details()["coverage_of_90"].values())


def test_a_reader_depends_on_distances_and_not_on_the_order():
    torch.manual_seed(0)
    reader = Reader(1, 1, 8, 5.0).double()
    x, y = torch.randn(2, 3, 6, 1, dtype=torch.float64)
    query = torch.randn(3, 4, 1, dtype=torch.float64)
    outputs, order = reader(x, y, query), torch.randperm(6)
    torch.testing.assert_close(reader(x[:, order], y[:, order], query), outputs)
    torch.testing.assert_close(reader(x + 7, y, query + 7), outputs)
    assert not torch.allclose(reader(x, y, query + 1), outputs)


def test_the_gaussian_process_is_the_best_on_validation_tasks():
    method = FamilyGaussianProcess(
        problem("harmonics", 10),
        "process",
        kind="harmonics",
        lengths=(0.01, 0.15),
        noises=(0.05, 5.0),
        validation_tasks=40,
    )
    method.train()
    assert method.details() == {"length_scale": 0.15, "variance": 1.0, "noise": 0.05}
    batch = method.problem.evaluation_tasks("harmonics", Shots(5), "test", 3)
    process = GaussianProcessRegressor(RBF(0.15), alpha=0.05, optimizer=None)
    process.fit(batch.support_x[1].numpy(), batch.support_y[1].numpy())
    expected = process.predict(batch.query_x[1].numpy())
    np.testing.assert_allclose(method.predict(batch)[1, :, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shots", [1, 3])
def test_optimal_predictions_are_means_of_tasks_weighted_by_their_likelihood(shots):
    """Plain importance sampling from the family agrees, up to its own error."""
    family = Harmonics(noise=0.5)
    batch = family.draw(1, shots, 5, torch.Generator().manual_seed(shots))
    x, y, query = (p[0] for p in (batch.support_x, batch.support_y, batch.query_x))
    drawn = family.parameters(400_000, torch.Generator().manual_seed(0))
    many = drawn.shape[0]
    fits = family.signal(drawn, x.expand(many, -1, 1)) - y
    weights = (-fits.square().sum((1, 2)) / (2 * family.noise**2)).double().softmax(0)
    values = family.signal(drawn, query.expand(many, -1, 1)).double().squeeze(-1)
    expected = weights @ values
    error = (weights.square() @ (values - expected).square()).sqrt()
    found = posterior_mean(
        *(p.double().squeeze(-1) for p in (x, y, query)), family.noise, frequencies=32, phases=32
    )
    assert ((found.mean - expected).abs() < 4 * error).all()
    assert error.max() < 0.05


def test_the_grid_of_optimal_predictions_is_fine_enough():
    """A random origin and a finer grid change nothing; a wrong noise makes predictions worse."""
    family = Harmonics()
    batch = family.draw(25, 8, 20, torch.Generator().manual_seed(0))
    tasks = list(zip(batch.support_x, batch.support_y, batch.query_x, batch.query_y, strict=True))

    def error(noise, frequencies, phases, seed=None):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        means = [
            posterior_mean(
                *(part.double().squeeze(-1) for part in task[:3]),
                noise,
                frequencies=frequencies,
                phases=phases,
                generator=generator,
            ).mean
            for task in tasks
        ]
        return family.error(torch.stack(means).unsqueeze(-1), batch.query_y).mean().item()

    coarse, fine = error(0.1, 64, 32), error(0.1, 96, 48, seed=1)
    assert fine == pytest.approx(coarse, rel=0.03)
    assert 0.01 < fine < 0.1
    assert error(1.0, 64, 32) > 1.2 * fine


def test_optimal_predictions_record_their_grid():
    spec = dataclasses.replace(SPECS["harmonics"], columns=(Shots(2),))
    seed_everything(0)
    given = FamilyProblem(spec, seed=3, device=CPU, test_tasks=5)
    method = HarmonicsPosterior(given, "best", kind="harmonics", frequencies=16, phases=8)
    assert method.evaluate(Shots(2)).shape == (5,)
    details = method.details()
    assert details["grid"] == [16, 8, 8]
    assert 1 <= details["effective"]["2"]["least"] <= details["effective"]["2"]["median"] <= 1024
    assert math.isfinite(method.evaluate(Shots(2)).mean())
