"""`evaluate` against a plain loop, for every learner and every kind of task set."""

import copy
import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, ProtoNet
from l2l_rnn.data import SourceTaskset, TaskBatch, TaskLoader
from l2l_rnn.functional import accuracy
from l2l_rnn.tasksets import DelayedRecall, Sinusoids
from l2l_rnn.training import Evaluation, adaptation_curve, adapted, evaluate, shots_curve
from tests.training.evaluation.learners import LEARNERS, WAYS, classifier, dataset

TASKS = 7


def everything(learner):
    """All that an evaluation must leave as it is."""
    return copy.deepcopy(
        {
            "tensors": [
                torch.get_rng_state(),
                *(p.detach() for p in learner.parameters()),
                *(p.grad for p in learner.parameters() if p.grad is not None),
                *learner.buffers(),
            ],
            "modes": [m.training for m in learner.modules()],
            "first_order": getattr(learner, "first_order", None),
            "random": [random.getstate(), str(np.random.get_state())],
        }
    )


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("no_grad", [False, True])
def test_scores_equal_those_of_a_plain_loop(name, no_grad):
    learner = LEARNERS[name]().double()
    source = dataset()
    source.sequences = source.sequences.double()
    next(learner.parameters()).grad = torch.ones_like(next(learner.parameters()))
    before = everything(learner)
    with torch.set_grad_enabled(not no_grad):
        found = evaluate(
            learner, source, 2, TASKS, ways=WAYS, queries=3, steps=2, tasks_at_once=4, seed=3
        )
    after = everything(learner)
    torch.testing.assert_close(after.pop("tensors"), before.pop("tensors"), rtol=0, atol=0)
    assert after == before
    learner.eval()
    batch = next(TaskLoader(source, 20, 2, 3, ways=WAYS, seed=3)).slice(0, TASKS)
    for n in range(TASKS):
        x, y, query_x, query_y = (part[n] for part in batch)
        wanted = accuracy(adapted(learner, x, y, steps=2)(query_x), query_y).item()
        assert found.per_task["accuracy"][n] == wanted


def test_tasks_do_not_depend_on_the_number_at_once():
    learner = ProtoNet(nn.Flatten(-2), WAYS)
    one, other, fewer = (
        evaluate(learner, dataset(), 1, tasks, ways=WAYS, queries=3, tasks_at_once=size)
        for tasks, size in ((45, 1), (45, 33), (30, 50))
    )
    assert one.fingerprint == other.fingerprint != fewer.fingerprint
    assert one.per_task == other.per_task
    assert one.per_task["accuracy"][:30] == fewer.per_task["accuracy"]
    again = evaluate(learner, dataset(), 1, 45, ways=WAYS, queries=3, seed=1)
    assert again.fingerprint != one.fingerprint


@pytest.mark.parametrize("name", ["MAML", "ProtoNet", "learn2learn"])
def test_dropout_is_off_and_the_mode_returns(name):
    learner = LEARNERS[name]()
    learner.module = nn.Sequential(learner.module, nn.Dropout(0.9))
    learner.module[0].eval()
    found = [evaluate(learner, dataset(), 1, 5, ways=WAYS, queries=3, steps=1) for _ in range(2)]
    assert found[0].per_task == found[1].per_task
    assert learner.training
    assert not learner.module[0].training


def test_kinds_of_task_sets():
    learner, source = LEARNERS["ProtoNet"](), dataset()
    endless = SourceTaskset(source, WAYS, 5)
    batch = TaskLoader(source, 20, 2, 3, ways=WAYS, seed=0)
    position = batch.state_dict()
    found = {
        "dataset": evaluate(learner, source, 2, 25, ways=WAYS, queries=3),
        "taskset": evaluate(learner, endless, 2, 25),
        "loader": evaluate(learner, batch, tasks=25),
    }
    torch.testing.assert_close(batch.state_dict(), position)
    found["batches"] = evaluate(learner, [next(batch), next(batch).slice(0, 5)])
    assert len({evaluation.fingerprint for evaluation in found.values()}) == 1
    assert len({evaluation.per_task["accuracy"] for evaluation in found.values()}) == 1
    assert found["taskset"].settings["queries"] == 3
    assert evaluate(learner, next(batch)).tasks == 20
    listed = [(x, int(y)) for x, y in source]
    assert evaluate(learner, listed, 2, 3, ways=WAYS, queries=3).tasks == 3


def test_each_task_of_a_fixed_number_is_used_once():
    taskset = SourceTaskset(dataset(), WAYS, 4, num_tasks=30)
    state = random.getstate()
    found = evaluate(LEARNERS["ProtoNet"](), taskset, 2)
    assert random.getstate() == state
    assert found.tasks == 30
    assert sorted(taskset.sampled_descriptions) == list(range(30))
    learner = LEARNERS["ProtoNet"]()
    fresh = SourceTaskset(dataset(), WAYS, 4, num_tasks=30)
    one = evaluate(learner, fresh, 2, 25)
    assert one.per_task["accuracy"] == evaluate(learner, taskset, 2).per_task["accuracy"][:25]


def test_families_have_their_own_loss_and_error():
    maml = MAML(nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)), 0.01)
    family = Sinusoids()
    found = evaluate(maml, family, 5, 4, queries=6, score=("error", "mse", "mae"))
    batch = next(TaskLoader(family, 20, 5, 6, seed=0)).slice(0, 4)
    x, y, query_x, query_y = batch
    wanted = family.error(adapted(maml, x, y, tasks=4)(query_x), query_y)
    torch.testing.assert_close(found.scores, wanted.detach().double())
    assert found.score == "error"
    assert evaluate(maml, family, 5, 4, queries=6).per_task["error"] == found.per_task["error"]
    recall = DelayedRecall(lag=2)
    learner = ProtoNet(nn.Flatten(-2), recall.classes)
    found = evaluate(learner, recall, 1, 4, queries=2, score=("accuracy", "error"))
    for right, wrong in zip(*found.per_task.values(), strict=True):
        assert right + wrong == pytest.approx(1)


@pytest.mark.parametrize("name", LEARNERS)
def test_evaluation_under_inference_mode(name):
    learner = LEARNERS[name]()
    options = {"ways": WAYS, "queries": 2, "steps": 2}
    wanted = evaluate(learner, dataset(), 1, 5, **options)
    with torch.inference_mode():
        source = dataset()
        found = evaluate(learner, source, 1, 5, **options)
        batch = next(TaskLoader(source, 20, 1, 2, ways=WAYS, seed=0)).slice(0, 5)
        assert batch.support_x.is_inference()
        of_batch = evaluate(learner, batch, steps=2)
        curve = adaptation_curve(learner, batch, steps=(0, 2))
        shots = shots_curve(learner, source, (1, 2), 5, **options)
    assert found.per_task == of_batch.per_task == wanted.per_task
    assert curve.evaluations[1].per_task == wanted.per_task
    with_shots = shots_curve(learner, dataset(), (1, 2), 5, **options)
    assert shots.means == with_shots.means


def test_own_scores_and_losses():
    seen = []

    def margin(outputs, targets, mask):
        assert mask is None
        best = outputs.topk(2).values
        return (best[..., 0] - best[..., 1]).mean(-1)

    def loss(outputs, targets):
        seen.append(outputs.requires_grad)
        return outputs.square().mean((-2, -1))

    found = evaluate(
        LEARNERS["MAML"](), dataset(), 1, 5, ways=WAYS, queries=2, score=margin, loss=loss, steps=3
    )
    assert list(found.per_task) == ["margin"]
    assert seen.count(True) == 3  # without gradients, the loss is tried once
    assert found.settings["loss"] == "loss"


def test_second_order_graphs_are_not_kept():
    learner = MAML(classifier(), 0.1)
    graphs = []
    adapt = MAML.adapt

    class Watched(MAML):
        def adapt(self, loss, *arguments, **options):
            adapt(self, loss, *arguments, **options)
            graphs.append(self.first_order)

    learner.__class__ = Watched
    evaluate(learner, dataset(), 1, 3, ways=WAYS, queries=2, steps=2)
    assert graphs == [True, True]
    assert learner.first_order is False


def test_an_evaluation_is_saved_as_json():
    found = evaluate(
        LEARNERS["memory"](), dataset(), 1, 5, ways=WAYS, queries=2, score=["accuracy", "ece"]
    )
    values = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert Evaluation.from_json(values) == found
    assert values["scores"]["accuracy"]["mean"] == found.mean
    assert found.settings == {
        "learner": "MemoryLearner",
        "seed": 0,
        "taskset": "SequenceDataset(items=40, steps=4, features=2, classes=5)",
        "ways": WAYS,
        "shots": 1,
        "queries": 2,
        "tasks": 5,
        "steps": 3,
        "loss": None,
    }
    assert "accuracy" in str(found)
    assert "5 tasks, ways=3, shots=1, steps=3" in str(found)


def test_masked_batches():
    """Tasks of several sizes in one batch have the scores that each has alone."""
    source = dataset()
    single = [
        next(TaskLoader(source, 1, shots, queries, ways=ways, seed=shots))
        for shots, queries, ways in ((1, 4, 3), (3, 2, 2), (2, 5, 3))
    ]
    batch = TaskBatch.joined(single)
    scores = ("accuracy", "f1", "ece", "brier", "nll")
    for name in ("MAML", "learn2learn", "hybrid", "ProtoNet", "ProtoMAML", "memory"):
        learner = LEARNERS[name]()
        together = evaluate(learner, batch, score=scores, steps=2)
        for n, task in enumerate(single):
            alone = evaluate(learner, task, score=scores, steps=2)
            for score in scores:
                assert together.per_task[score][n] == pytest.approx(
                    alone.per_task[score][0], abs=1e-5
                )


@pytest.mark.parametrize("name", ["MAML", "ProtoNet", "memory", "learn2learn"])
def test_tasks_of_several_sizes(name):
    """Whatever the number of tasks at once, and so the padding, the scores are the same."""
    learner, source = LEARNERS[name]().double(), dataset((2, 3, 5, 20, 20))
    source.sequences = source.sequences.double()
    given = {"ways": (2, 3), "queries": (1, 6), "imbalanced": True, "steps": 2, "score": "nll"}
    one, other = (
        evaluate(learner, source, (1, 4), 25, tasks_at_once=size, **given) for size in (1, 50)
    )
    torch.testing.assert_close(one.scores, other.scores)
    assert one.fingerprint == other.fingerprint
    assert one.settings["shots"] == [1, 4]
    assert one.settings["imbalanced"] is True
    assert Evaluation.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_families_of_several_sizes():
    maml = MAML(nn.Linear(1, 1), 0.01)
    one, other = (
        evaluate(maml, Sinusoids(), (2, 6), 25, queries=(3, 5), tasks_at_once=size)
        for size in (1, 50)
    )
    torch.testing.assert_close(one.scores, other.scores)


def test_a_fixed_number_of_tasks_of_several_sizes():
    taskset = SourceTaskset(dataset(), WAYS, 8, num_tasks=23)
    found = evaluate(LEARNERS["ProtoNet"](), taskset, (1, 5), score=("accuracy", "f1"))
    assert found.tasks == 23
    assert found.settings["queries"] == 3
