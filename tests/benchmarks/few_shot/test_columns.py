"""Columns with other ways, and curves of the score against shots."""

import dataclasses

import pytest
import torch

from benchmarks.few_shot.columns import CurvePoint, Shots
from benchmarks.few_shot.methods.baselines.scratch import FromScratch
from benchmarks.few_shot.methods.baselines.tfidf import NgramRegression
from benchmarks.few_shot.methods.closed_form import ClosedFormMethod
from benchmarks.few_shot.methods.maml import MAMLMethod, ProtoMAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.transfer import FineTuned, LinearProbe, PretrainedPrior
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem, ways_of
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.errors import ArgumentError

CPU = torch.device("cpu")
MODEL = {"embedding_size": 8, "hidden_size": 8}
TRAINING = Training(
    steps=2, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=2, validation_tasks=2
)
TRANSFER = {"model": MODEL, "pretraining": {"training": TRAINING, "batch_size": 10}}
INNER = {
    "model": MODEL,
    "training": TRAINING,
    "inner_lr": 0.1,
    "inner_steps": 1,
    "test_steps": 2,
}
SPEC = dataclasses.replace(
    SPECS["languages"], ways=5, more_ways=(8,), shots=(1, 3), curve=(1, 2, 50), queries=5
)


@pytest.fixture(scope="module")
def problem():
    problem = ClassificationProblem(SPEC, seed=3, device=CPU, test_tasks=4)
    problem.curve_tasks = 3
    return problem


def test_columns_have_ways_and_shots(problem):
    assert [column.name for column in problem.columns] == [
        "5 ways, 1 shot",
        "5 ways, 3 shots",
        "8 ways, 1 shot",
        "8 ways, 3 shots",
    ]
    assert problem.columns[2].to_json() == {"name": "8 ways, 1 shot", "shots": 1, "ways": 8}
    for column in problem.columns:
        (batch,) = problem.evaluation_tasks("test", column, 4).batches(4, CPU)
        assert ways_of(batch) == column.ways
        assert batch.support_x.shape[:2] == (4, column.ways * column.shots)
        assert batch.query_x.shape[:2] == (4, column.ways * SPEC.queries)


def test_the_usual_ways_have_the_tasks_of_a_column_without_ways(problem):
    named = problem.evaluation_tasks("test", Shots(3, 5), 4).index
    usual = problem.evaluation_tasks("test", 3, 4).index
    assert torch.equal(named.support_x, usual.support_x)
    assert torch.equal(named.query_x, usual.query_x)


def test_the_points_of_a_curve_have_nested_support_sets_and_the_same_queries(problem):
    assert problem.curve[1].name == "curve, 2 shots"
    assert problem.curve[1].to_json() == {
        "name": "curve, 2 shots",
        "shots": 2,
        "most": 50,
        "tasks": 3,
    }
    points = [problem.evaluation_tasks("test", point, 3).index for point in problem.curve]
    first, second, last = points
    assert torch.equal(first.query_x, last.query_x)
    assert torch.equal(second.query_y, last.query_y)
    assert first.support_x.shape == (3, 5, 1)
    assert last.support_x.shape == (3, 250, 1)
    for fewer, more in ((first, second), (second, last)):
        for task in range(3):
            pairs = [
                {*zip(p.support_x[task, :, 0].tolist(), p.support_y[task].tolist(), strict=True)}
                for p in (fewer, more)
            ]
            assert pairs[0] < pairs[1]
    labels = problem.test.labels[second.support_x[..., 0]]
    assert all(len(row.unique()) == 5 for row in labels)


def test_only_classes_with_enough_items_take_part(problem):
    counts = problem.test.grouping.counts
    column = CurvePoint(1, most=300, tasks=20)
    tasks = problem.evaluation_tasks("test", column, 20)
    classes = problem.test.labels[tasks.items].unique()
    assert counts[classes].min() >= 300 + SPEC.queries
    assert len(classes) <= int((counts >= 300 + SPEC.queries).sum()) < len(counts)
    with pytest.raises(ArgumentError, match="must have 5 test classes of 2005 items, got 0"):
        problem.evaluation_tasks("test", Shots(2000), 2)
    with pytest.raises(ArgumentError, match="must have 40 test classes of 6 items, got 28"):
        problem.evaluation_tasks("test", Shots(1, 40), 2)


METHODS = {
    "n-grams": (NgramRegression, {"longest": 2}),
    "words": (NgramRegression, {"longest": 1, "analyzer": "word", "lowercase": True}),
    "words, training": (
        NgramRegression,
        {"longest": 2, "sublinear": True, "training_idf": True, "idf_power": 2.0},
    ),
    "scratch": (FromScratch, {"model": MODEL, "steps": 1, "lr": 0.01}),
    "probe": (LinearProbe, TRANSFER),
    "fine-tuned": (FineTuned, {"steps": 1, "lr": 0.01, **TRANSFER}),
    "prior": (PretrainedPrior, {"shrinkage": 0.5, "members": 2, **TRANSFER}),
    "ProtoNet": (ProtoNetMethod, {"model": MODEL, "training": TRAINING}),
    "ProtoNet, prior": (
        ProtoNetMethod,
        {"model": MODEL, "training": TRAINING, "shrinkage": 0.5},
    ),
    "R2D2": (ClosedFormMethod, {"model": MODEL, "training": TRAINING}),
    "LRD2": (ClosedFormMethod, {"model": MODEL, "training": TRAINING, "head": "logistic"}),
    "memory": (
        MemoryMethod,
        {"model": MODEL, "training": TRAINING, "memory": "hebbian", "unit_keys": True},
    ),
    "ProtoMAML": (ProtoMAMLMethod, INNER),
    "MAML": (MAMLMethod, {"learner": "MAML", **INNER}),
    "Meta-SGD": (MAMLMethod, {"learner": "MetaSGD", **INNER}),
    "ANIL": (MAMLMethod, {"learner": "ANIL", **INNER}),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_score_in_every_column(name, problem):
    method, options = METHODS[name]
    seed_everything(0)
    made = method(problem, name, **options)
    made.train()
    made.trained = True
    for column in (*problem.columns, *problem.curve[1:]):
        scores = made.evaluate(column)
        assert scores.shape == (column.tasks if isinstance(column, CurvePoint) else 4,)
        assert scores.min() >= 0
        assert scores.max() <= 1
    if made.encoder_place() is not None:
        (batch,) = problem.evaluation_tasks("test", Shots(3, 8), 4).batches(4, CPU)
        direct = made.predict(batch)
        assert direct.shape == (*batch.query_y.shape, 8)
        right = (direct.argmax(-1) == batch.query_y).float().mean(-1)
        scores = made.evaluate(Shots(3, 8)).float()
        torch.testing.assert_close(scores, right.float(), rtol=0, atol=0.03)
    made.most_tasks = 2
    every = made.evaluate(problem.columns[0])
    assert len(every) == 2


def test_classes_of_learned_heads_are_in_random_order(problem):
    tasks = problem.training_tasks(TRAINING, 0)
    order = []
    for step in range(20):
        batch, classes = tasks.batch(step, 0.0)
        for own, true in zip(batch.query_y, classes.query_y, strict=True):
            order.append([int(true[own == label][0]) for label in range(5)])
    ascending = sum(row == sorted(row) for row in order)
    assert ascending <= 4  # 40 tasks; 1 in 120 orders is ascending


def test_training_tasks_cycle_through_ways(problem):
    training = dataclasses.replace(TRAINING, ways=(3, 6))
    assert training.most_ways == 6
    tasks = problem.training_tasks(training, 0)
    sizes = [tasks.batch(step, 0.0)[0].support_y.shape[1] for step in range(4)]
    assert sizes == [3, 6, 6, 12]


def test_a_trained_encoder_reads_each_test_item_once(problem, monkeypatch):
    method = ProtoNetMethod(problem, "once", model=MODEL, training=TRAINING)
    seed_everything(0)
    method.train()
    (encoder,) = method.encoders
    read = []
    encoder.register_forward_hook(lambda module, given, found: read.append(len(given[0])))
    method.trained = True
    for column in problem.columns:
        method.evaluate(column)
    assert sum(read) == len(problem.test)
    assert method.learner.module is encoder
    assert method.saved_seconds != 0
