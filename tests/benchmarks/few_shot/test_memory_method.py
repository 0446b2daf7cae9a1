"""The memory learner as a method of few-shot classification."""

import dataclasses

import pytest
import torch

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.methods.memory import MEMORIES, MemoryMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.problems.problem import seed_everything
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
    return ClassificationProblem(spec, seed=3, device=torch.device("cpu"), test_tasks=6)


@pytest.mark.parametrize("memory", MEMORIES)
def test_every_memory_trains_and_is_reproducible(problem, memory):
    found = []
    for _ in range(2):
        seed_everything(3)
        method = MemoryMethod(
            problem,
            "memory",
            model={"embedding_size": 8, "hidden_size": 8},
            memory=memory,
            training=TRAINING,
            writes=2,
            class_weight=1.0,
        )
        history = method.train()
        assert history.steps == 3
        assert history.best is not None
        assert all(p.grad.abs().max() > 0 for p in method.learner.parameters())
        scores = method.evaluate(Shots(2))
        assert scores.shape == (6,)
        found.append(scores)
    assert torch.equal(*found)


def test_predictions_have_the_ways_of_the_test_tasks(problem):
    method = MemoryMethod(
        problem, "memory", model={"hidden_size": 8}, memory="hebbian", training=TRAINING
    )
    (batch,) = problem.evaluation_tasks("validation", 1, 3).batches(3, problem.device)
    assert method.predict(batch).shape == (3, 50, problem.spec.ways)
