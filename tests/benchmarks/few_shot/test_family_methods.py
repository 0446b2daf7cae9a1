"""Methods for tasks of families."""

import dataclasses
import random

import pytest
import torch

from benchmarks.few_shot.columns import Lag, Shots
from benchmarks.few_shot.methods.families.family_baselines import FamilyFineTuned, FamilyFromScratch
from benchmarks.few_shot.methods.families.family_maml import FamilyMAML
from benchmarks.few_shot.methods.families.family_memory import FamilyMemory
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS

CPU = torch.device("cpu")
TRAINING = Training(steps=150, minutes=1, tasks=10, lr=5e-3, validate_every=50, clip=10.0)
WAVES = {"kind": "sinusoids", "network": {"hidden_size": 20, "cell": None}, "steps": 1}


@pytest.fixture
def problem():
    seed_everything(0)
    return FamilyProblem(SPECS["sinusoids"], seed=3, device=CPU, test_tasks=50)


def test_evaluation_tasks_are_fixed(problem):
    first, again = (problem.evaluation_tasks("sinusoids", Shots(5), "test", 4) for _ in range(2))
    assert torch.equal(first.query_x, again.query_x)
    for other in ((Shots(10), "test"), (Shots(5), "validation")):
        batch = problem.evaluation_tasks("sinusoids", *other, 4)
        assert not torch.equal(first.query_y[:, :5], batch.query_y[:, :5])
    other_seed = FamilyProblem(problem.spec, 4, CPU, 4)
    batch = other_seed.evaluation_tasks("sinusoids", Shots(5), "test", 4)
    assert not torch.equal(first.query_x, batch.query_x)


@pytest.mark.parametrize("learner", ["MAML", "MetaSGD", "MAMLPlusPlus"])
def test_meta_learning_beats_training_from_scratch(learner, problem):
    scratch = FamilyFromScratch(problem, "scratch", **WAVES)
    scratch.train()
    learned = FamilyMAML(problem, "learned", learner=learner, lr=0.02, training=TRAINING, **WAVES)
    history = learned.train()
    assert history.best == min(point["validation"] for point in history.points)
    assert learned.evaluate(Shots(10)).mean() < 0.9 * scratch.evaluate(Shots(10)).mean()


def test_the_learning_rate_of_a_baseline_is_the_best_on_validation_tasks(problem):
    method = FamilyFromScratch(problem, "scratch", lrs=(1e-6, 1e-2, 3.0), **WAVES)
    method.train()
    assert method.details() == {"lr": 1e-2}
    errors = {}
    for lr in method.lrs:
        method.lr = lr
        errors[lr] = method.validation_score(method.validation_tasks)
    assert min(errors, key=errors.get) == 1e-2


def test_pretraining_fits_the_tasks_of_its_heads(problem):
    training = dataclasses.replace(TRAINING, steps=300, tasks=4)
    method = FamilyFineTuned(problem, "tuned", training=training, heads=4, **WAVES)
    history = method.train()
    losses = [point["loss"] for point in history.points[1:]]
    assert losses[-1] < 0.7 * losses[0]
    assert method.evaluate(Shots(5)).shape == (50,)


def test_training_lags_grow_and_stay_mixed_with_short_ones():
    generator = random.Random(0)
    curriculum = SPECS["lags"].kinds["recall"].curriculum
    drawn = {
        progress: [curriculum(progress, generator).family("train").lag for _ in range(300)]
        for progress in (0.0, 0.3, 1.0)
    }
    assert max(drawn[0.0]) <= 4 < max(drawn[0.3]) <= 20 < max(drawn[1.0]) <= 100
    assert {1, 2, 3} <= set(drawn[1.0])


@pytest.mark.parametrize(
    ("kind", "cell", "memory", "options", "column"),
    [
        ("sinusoids", None, "delta", {"features": "unit", "gate": 0.9}, Shots(10)),
        ("sinusoids", None, "hebbian", {"decay": 1.0, "lr": 0.1}, Shots(10)),
        ("sinusoids", None, "key-value", {"similarity": "distance"}, Shots(10)),
        ("recall", "gru", "hebbian", {"decay": 1.0, "lr": 1.0}, Lag(10)),
        ("adding", "gru", "delta", {"features": "unit"}, Lag(10)),
    ],
)
def test_a_memory_learner_learns_tasks_of_families(kind, cell, memory, options, column):
    """The error falls below that before meta-training; runs on sine waves are reproducible."""
    name = "sinusoids" if kind == "sinusoids" else "lags"
    spec = dataclasses.replace(SPECS[name], kinds={kind: SPECS[name].kinds[kind]})
    problem = FamilyProblem(spec, seed=3, device=CPU, test_tasks=20)
    steps, times, clip = (60, 2, 10.0) if kind == "sinusoids" else (150, 1, 1.0)
    training = dataclasses.replace(
        TRAINING, steps=steps, validate_every=50, validation_tasks=10, clip=clip, tasks=8
    )
    found = []
    for _ in range(times):
        seed_everything(0)
        method = FamilyMemory(
            problem,
            "memory",
            kind=kind,
            network={"hidden_size": 16 if kind == "sinusoids" else 32, "cell": cell},
            steps=2,
            memory=memory,
            memory_options=options,
            unit_keys=memory == "hebbian",
            training=training,
        )
        before = method.evaluate(column).mean()
        method.train()
        found.append(method.evaluate(column))
        assert all(p.grad.abs().max() > 0 for p in method.learner.parameters())
        assert (len(method.details()) == 0) == (cell is None)
    assert found[0].shape == (20,)
    assert torch.equal(found[0], found[-1])
    assert found[0].mean() < 0.8 * before
