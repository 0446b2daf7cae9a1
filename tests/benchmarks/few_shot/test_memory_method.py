"""The memory learner as a method of the benchmarks."""

import dataclasses

import pytest
import torch

from benchmarks.few_shot.methods.memory import MEMORIES, MetaLearnedMemory
from benchmarks.few_shot.problems.problem import Problem, seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS

TRAINING = Training(
    steps=3,
    minutes=1,
    tasks=2,
    ways=6,
    shots=(1, 2),
    queries=2,
    validate_every=3,
    validation_tasks=4,
)


@pytest.fixture(scope="module")
def problem():
    spec = dataclasses.replace(SPECS["languages"], shots=(1, 2))
    return Problem(spec, seed=3, device=torch.device("cpu"), test_tasks=6)


@pytest.mark.parametrize("memory", MEMORIES)
def test_it_trains_and_scores_and_repeats_with_its_seed(problem, memory):
    found = []
    for _ in range(2):
        seed_everything(3)
        method = MetaLearnedMemory(
            problem,
            "memory",
            model={"embedding_size": 8, "hidden_size": 8},
            memory=memory,
            training=TRAINING,
            writes=2,
            class_weight=1.0,
        )
        history = method.fit()
        assert history.steps == 3
        assert history.best is not None
        assert all(p.grad.abs().max() > 0 for p in method.learner.parameters())
        scores = method.scores("2 shots")
        assert scores.shape == (6,)
        found.append(scores)
    assert torch.equal(*found)


def test_a_prediction_is_of_the_test_tasks_ways(problem):
    method = MetaLearnedMemory(
        problem, "memory", model={"hidden_size": 8}, memory="hebbian", training=TRAINING
    )
    (batch,) = problem.episodes("validation", 1, 3).batches(3, problem.device)
    assert method.predict(batch).shape == (3, 50, problem.spec.ways)


def test_the_languages_have_an_entry_in_every_form():
    for entries in SPECS["languages"].entries.values():
        assert sum(entry.method is MetaLearnedMemory for entry in entries) == 1
