"""Bad arguments of an evaluation: clear errors, before the first task."""

import dataclasses

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, ProtoNet
from l2l_rnn.data import TaskBatch, TaskLoader
from l2l_rnn.errors import (
    AdaptationError,
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    UnknownNameError,
)
from l2l_rnn.tasksets import Sinusoids
from l2l_rnn.training import Evaluation, compare, evaluate
from tests.training.evaluation.learners import LEARNERS, WAYS, dataset


def run(name="MAML", source=None, shots=1, tasks=4, learner=None, **options):
    options = {"ways": WAYS, "queries": 2} | options
    learner = LEARNERS[name]() if learner is None else learner
    return evaluate(learner, dataset() if source is None else source, shots, tasks, **options)


BAD = {
    "module": ({"learner": nn.Linear(2, 2)}, ArgumentTypeError, r"clone\(\) and adapt\(\)"),
    "task set": ({"source": 3}, ArgumentTypeError, "taskset must be a learn2learn Taskset"),
    "no shots": ({"shots": None}, ArgumentError, "shots must be given"),
    "no tasks": ({"tasks": 0}, ArgumentError, "tasks must be a positive integer"),
    "no steps": ({"steps": 0}, ArgumentError, "steps must be a positive integer"),
    "at once": ({"tasks_at_once": 0}, ArgumentError, "tasks_at_once must be a positive"),
    "ways": ({"ways": 9}, DataError, "ways must be at most 5, the number of classes"),
    "one class": ({"ways": 1}, DataError, "at least 2 classes, got 1"),
    "samples": ({"shots": 7}, DataError, "samples must be at most 8"),
    "score": ({"score": "acuracy"}, UnknownNameError, "did you mean 'accuracy'"),
    "no score": ({"score": ()}, ArgumentError, "score must name a score"),
    "error": ({"score": "error"}, UnknownNameError, "unknown score 'error'"),
    "numbers": ({"score": "mse"}, ArgumentError, "'mse' needs targets that are numbers"),
    "few outputs": ({"ways": 5}, ArgumentError, "outputs for at least 5 classes, got 3"),
    "few prototypes": ({"ways": 4, "name": "ProtoNet"}, ArgumentError, "at least 4 classes, got 3"),
    "score of rows": ({"score": lambda p, y, m: p}, ShapeError, "one value per task"),
    "no outputs": (
        {"learner": MAML(nn.Flatten(0), 0.1, allow_nograd=True)},
        ArgumentError,
        "adapts selects no parameter|must return scores of classes",
    ),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        run(**options)


def test_classes_are_not_numbers():
    maml = MAML(nn.Linear(1, 1), 0.1)
    with pytest.raises(ArgumentError, match=r"'accuracy' needs targets that are classes.*error"):
        evaluate(maml, Sinusoids(), 5, 4, queries=5, score="accuracy")
    with pytest.raises(ShapeError):
        evaluate(MAML(nn.Linear(1, 2), 0.1), Sinusoids(), 5, 4, queries=5)


def test_sizes_of_a_loader_are_its_own():
    loader = TaskLoader(dataset(), 3, 1, 2, ways=WAYS, seed=0)
    with pytest.raises(ArgumentError, match="shots must be None with a TaskLoader"):
        evaluate(LEARNERS["MAML"](), loader, 2)
    with pytest.raises(ArgumentError, match="ways must be None with task batches"):
        evaluate(LEARNERS["MAML"](), next(loader), ways=3)


class NaNAbove(nn.Module):
    """Gives NaN for sequences that begin with a large number."""

    def forward(self, x):
        return torch.where(x[..., :1, :1] > 50, torch.nan, x).flatten(-2)


def test_tasks_with_nan_outputs_are_named():
    batch = next(TaskLoader(dataset(), 6, 1, 2, ways=WAYS, seed=0))
    batch.query_x[[4, 5], 2] = 99.0
    learner = ProtoNet(NaNAbove(), WAYS)
    with pytest.raises(AdaptationError, match="outputs of task 4, 5 are NaN"):
        evaluate(learner, batch, tasks_at_once=4)
    mask = torch.ones_like(batch.query_y, dtype=torch.bool)
    mask[:, 2] = False
    assert evaluate(learner, dataclasses.replace(batch, query_mask=mask)).tasks == 6


def test_tasks_whose_loss_is_nan_are_named():
    learner = LEARNERS["MAML"]()
    batch = next(TaskLoader(dataset(), 6, 1, 2, ways=WAYS, seed=0))
    batch.support_x[5, :, 0] = torch.inf
    match = r"must be finite, got task 5: support_x\[0, 0, 0\] is inf, MAML.*; check the"
    with pytest.raises(AdaptationError, match=match):
        evaluate(learner, batch, tasks_at_once=4)


@pytest.mark.parametrize("name", LEARNERS)
def test_an_entry_that_is_nan_is_named(name):
    batch = next(TaskLoader(dataset(), 6, 1, 2, ways=WAYS, seed=0))
    batch.query_x[5, 2, 1, 0] = torch.nan
    with pytest.raises(AdaptationError, match=r"evaluate: .*task 5.*query_x\[2, 1, 0\] is nan"):
        evaluate(LEARNERS[name](), batch, tasks_at_once=4)
    batch.support_x[0, 2, 1, 0] = torch.nan
    with pytest.raises(AdaptationError, match=r"evaluate: .*task 0.*support_x\[2, 1, 0\] is nan"):
        evaluate(LEARNERS[name](), batch, tasks_at_once=4)


def test_empty_sets_are_named():
    x, y = torch.randn(3, 4, 5, 2), torch.tensor([0, 1, 0, 1]).expand(3, 4)
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1] = False
    with pytest.raises(DataError, match="must have a support set, got an empty one in task 1;"):
        evaluate(LEARNERS["MAML"](), TaskBatch(x, y, x, y, support_mask=mask))
    with pytest.raises(DataError, match="must have a query set, got an empty one in task 0, 1, 2;"):
        evaluate(LEARNERS["MAML"](), TaskBatch(x, y, x[:, :0], y[:, :0]))


def test_only_evaluations_on_the_same_tasks_are_compared():
    one = run()
    with pytest.raises(ArgumentError, match="same tasks, got shots=1 and 2"):
        compare(one, run(shots=2))
    with pytest.raises(ArgumentError, match="same tasks, got tasks of other data"):
        compare(one, run(source=dataset(seed=1)))
    with pytest.raises(ArgumentError, match="have the score 'f1'"):
        compare(one, one, "f1")
    with pytest.raises(ArgumentTypeError, match="what evaluate"):
        compare(one, 0.5)


@pytest.mark.parametrize(
    "change", [{"format": "other"}, {"per_task": {}}, {"per_task": {"a": ["b"]}}, {"settings": 3}]
)
def test_other_json(change):
    values = run().to_json() | change
    with pytest.raises(ArgumentError, match=r"values must come from to_json\(\)"):
        Evaluation.from_json(values)
    with pytest.raises(ArgumentError):
        Evaluation.from_json([])
