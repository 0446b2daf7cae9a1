"""Experiments whose tasks are drawn from families."""

import dataclasses
import json
import random

import pytest
import torch

from benchmarks import report, runner
from benchmarks.family_problem import FamilyProblem
from benchmarks.methods.families import AdamFromPretrained, AdamFromRandom, MetaLearned
from benchmarks.problem import seed_everything
from benchmarks.spec import Training
from benchmarks.specs import SPECS

CPU = torch.device("cpu")
TRAINING = Training(steps=150, minutes=1, tasks=10, lr=5e-3, validate_every=50, clip=10.0)
WAVES = {"kind": "sinusoids", "network": {"hidden_size": 20, "cell": None}, "steps": 1}


@pytest.fixture
def problem():
    seed_everything(0)
    return FamilyProblem(SPECS["sinusoids"], seed=3, device=CPU, test_tasks=50)


@pytest.mark.parametrize("name", ["sinusoids", "lags"])
def test_the_quick_form_runs_and_writes_what_it_prints(name, tmp_path, capsys):
    result = runner.run(SPECS[name], "quick", 0, CPU, tmp_path)
    assert report.table(result) in capsys.readouterr().out
    assert json.loads((tmp_path / f"{name}-quick.json").read_text()) == result
    assert (tmp_path / f"{name}-quick.png").read_bytes().startswith(b"\x89PNG")
    assert all(set(m["scores"]) == set(result["columns"]) for m in result["methods"])
    if name == "lags":
        learned = [m for m in result["methods"] if m["group"] == "meta-learned"]
        assert {len(m["gradient_flow"]["after"]) for m in learned} == {201}
        table = report.column_table(result, "100 back")
        assert len(table.splitlines()) == 2 + len({m["label"].split(":")[0] for m in learned})


def test_every_method_is_judged_on_the_same_tasks(problem):
    first = problem.judged("sinusoids", "5 shots", "test", 4)
    assert torch.equal(first.query_x, problem.judged("sinusoids", "5 shots", "test", 4).query_x)
    for other in (("10 shots", "test"), ("5 shots", "validation")):
        batch = problem.judged("sinusoids", *other, 4)
        assert not torch.equal(first.query_y[:, :5], batch.query_y[:, :5])
    assert not torch.equal(
        first.query_x,
        FamilyProblem(problem.spec, 4, CPU, 4).judged("sinusoids", "5 shots", "test", 4).query_x,
    )


@pytest.mark.parametrize("learner", ["MAML", "MetaSGD", "MAMLPlusPlus"])
def test_meta_learning_beats_training_from_scratch(learner, problem):
    scratch = AdamFromRandom(problem, "scratch", **WAVES)
    scratch.fit()
    learned = MetaLearned(problem, "learned", learner=learner, lr=0.02, training=TRAINING, **WAVES)
    history = learned.fit()
    assert history.best == min(point["validation"] for point in history.points)
    assert learned.scores("10 shots").mean() < 0.9 * scratch.scores("10 shots").mean()


def test_the_step_size_of_a_baseline_is_the_best_on_validation_tasks(problem):
    method = AdamFromRandom(problem, "scratch", lrs=(1e-6, 1e-2, 3.0), **WAVES)
    method.fit()
    assert method.details() == {"lr": 1e-2}
    errors = {}
    for lr in method.lrs:
        method.lr = lr
        errors[lr] = method.validation_error(method.validation_tasks)
    assert min(errors, key=errors.get) == 1e-2


def test_pretraining_learns_the_tasks_it_has_heads_for(problem):
    training = dataclasses.replace(TRAINING, steps=300, tasks=4)
    method = AdamFromPretrained(problem, "tuned", training=training, heads=4, **WAVES)
    history = method.fit()
    losses = [point["loss"] for point in history.points[1:]]
    assert losses[-1] < 0.7 * losses[0]
    assert method.scores("5 shots").shape == (50,)


def test_lags_of_lessons_grow_and_cover_short_ones():
    chance = random.Random(0)
    lesson = SPECS["lags"].kinds["recall"].lesson
    drawn = {
        progress: [lesson(progress, chance).family("train").lag for _ in range(300)]
        for progress in (0.0, 0.3, 1.0)
    }
    assert max(drawn[0.0]) <= 4 < max(drawn[0.3]) <= 20 < max(drawn[1.0]) <= 100
    assert {1, 2, 3} <= set(drawn[1.0])
