"""Experiments whose tasks are drawn from families."""

import dataclasses
import json
import random

import pytest
import torch

from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.families import MetaLearned
from benchmarks.few_shot.methods.family_adam import AdamFromPretrained, AdamFromRandom
from benchmarks.few_shot.methods.family_memory import FamilyMemory
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


@pytest.mark.parametrize(
    ("kind", "cell", "memory", "options", "column"),
    [
        ("sinusoids", None, "delta", {"features": "unit", "gate": 0.9}, "10 shots"),
        ("sinusoids", None, "hebbian", {"decay": 1.0, "lr": 0.1}, "10 shots"),
        ("sinusoids", None, "key-value", {"similarity": "distance"}, "10 shots"),
        ("recall", "gru", "hebbian", {"decay": 1.0, "lr": 1.0}, "10 back"),
        ("adding", "gru", "delta", {"features": "unit"}, "10 back"),
    ],
)
def test_a_memory_learns_tasks_of_families(kind, cell, memory, options, column):
    """It beats what it is before meta-training, and waves repeat with their seed."""
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
        before = method.scores(column).mean()
        method.fit()
        found.append(method.scores(column))
        assert all(p.grad.abs().max() > 0 for p in method.learner.parameters())
        assert (len(method.details()) == 0) == (cell is None)
    assert found[0].shape == (20,)
    assert torch.equal(found[0], found[-1])
    assert found[0].mean() < 0.8 * before


def test_the_memory_learner_is_in_every_form():
    for name in ("sinusoids", "lags"):
        for entries in SPECS[name].entries.values():
            learners = [e for e in entries if e.method is FamilyMemory]
            starts = [e for e in entries if e.options.get("learner") == "MAML"]
            assert len(learners) == len([e for e in starts if not e.options.get("first_order")])


def test_the_time_of_a_task_is_never_none():
    entry = {"label": "m", "group": "baseline", "scores": {}, "training_seconds": 0.0}
    result = {"columns": [], "spec": {"percent": False}}
    for seconds, told in ((0.0421, "42 ms"), (0.0011, "1 ms"), (0.00084, "840 µs")):
        result["methods"] = [{**entry, "seconds_per_task": seconds}]
        assert f"| {told} " in report.table(result)
