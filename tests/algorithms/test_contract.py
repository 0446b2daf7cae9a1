"""The contract of every learner: clones, the task axis, meta-gradients, copies, errors."""

import copy
import inspect
import pickle

import pytest
import torch
from learn2learn.algorithms.base_learner import BaseLearner

import l2l_rnn.algorithms
from l2l_rnn.algorithms import ALPaCA, ALPaCAMixture, PairMemoryLearner, TfIdfLearner
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import AdaptationError, ArgumentError
from l2l_rnn.functional import cross_entropy
from tests.algorithms.finite_differences import central_difference

TASKS = 4


def test_every_learner_is_covered(learners, make):
    classes = {
        value
        for value in vars(l2l_rnn.algorithms).values()
        if inspect.isclass(value) and issubclass(value, BaseLearner)
    }
    # A TfIdfLearner has no network, and the others have no classes; all have tests of their own.
    others = {TfIdfLearner, PairMemoryLearner, ALPaCA, ALPaCAMixture}
    assert {type(make(name)) for name in learners} == classes - others


@pytest.mark.parametrize("cell", ["lstm", "mingru", "lru"])
def test_tasks_at_once_equal_a_loop(name, cell, make, run, gradients, batch):
    one, many = make(name, cell), make(name, cell)
    a, b = run(one, batch, at_once=False), run(many, batch, at_once=True)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    found, expected = gradients(many), gradients(one)
    assert set(found) >= set(expected)
    assert any(g.abs().max() > 0 for g in expected.values())
    for n in expected:
        torch.testing.assert_close(found[n], expected[n], rtol=1e-8, atol=1e-11)


def test_the_meta_gradient_is_a_finite_difference(name, make, run, batch):
    """For second-order learners, the outer loss changes as its gradient predicts."""
    learner = make(name)
    if getattr(learner, "first_order", False):
        pytest.skip("a first-order learner ignores a part of the gradient")
    run(learner, batch, at_once=True)
    generator = torch.Generator().manual_seed(2)
    parameters = [p for p in learner.parameters() if p.grad is not None]
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    slope = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True))
    difference = central_difference(
        lambda: run(learner, batch, at_once=True).sum(), parameters, directions
    )
    assert difference == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_clone_keeps_the_class_and_leaves_the_initialization(name, make, batch):
    learner = make(name)
    before = {n: p.detach().clone() for n, p in learner.state_dict().items()}
    x, y, query_x, _ = batch
    clone, untouched = learner.clone(tasks=TASKS), learner.clone(tasks=TASKS)
    assert type(clone) is type(learner)
    scores = untouched(query_x)
    for _ in range(2):
        clone.adapt(cross_entropy(clone(x), y))
    assert not torch.equal(clone(query_x), scores)
    assert list(learner.state_dict()) == list(before)
    assert all(torch.equal(p, before[n]) for n, p in learner.state_dict().items())
    for other in (untouched, learner.clone(tasks=TASKS)):
        assert torch.equal(other(query_x), scores)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(name, copied, make, run, batch):
    learner, other = make(name), make(name, seed=5)
    other.load_state_dict(learner.state_dict())
    expected = run(learner, batch, at_once=True)
    for twin in (copied(make(name)), other):
        assert torch.equal(run(twin, batch, at_once=True), expected)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_give_the_gradients_of_the_whole_batch(name, size, make, run, gradients, batch):
    whole, chunked = make(name), make(name)
    run(whole, batch, at_once=True)
    for chunk in TaskBatch(*batch).chunks(size):
        parts = (chunk.support_x, chunk.support_y, chunk.query_x, chunk.query_y)
        run(chunked, parts, at_once=True)
    for n, g in gradients(whole).items():
        torch.testing.assert_close(gradients(chunked)[n], g, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_a_nan_loss_changes_nothing(name, tasks, make, batch):
    learner = make(name).clone(tasks=tasks)
    x, y, query_x, _ = batch if tasks else (part[0] for part in batch)
    learner.adapt(cross_entropy(learner(x), y))
    before = learner(query_x)
    with pytest.raises(AdaptationError, match=r"\.adapt: "):
        learner.adapt(cross_entropy(learner(x), y) * torch.nan)
    assert torch.equal(learner(query_x), before)
    learner.adapt(cross_entropy(learner(x), y))


@pytest.mark.parametrize("tasks", [0, -1, 2.0, "2", True])
def test_the_number_of_tasks_is_a_positive_integer(name, tasks, make):
    with pytest.raises(ArgumentError, match=r"\.clone: tasks must be a positive integer, got"):
        make(name).clone(tasks=tasks)


# ------------------------------------------------------------------ learners with gradient steps


def test_a_clone_counts_its_own_steps(gradient_name, make, batch):
    learner = make(gradient_name)
    clone = learner.clone(tasks=TASKS)
    for _ in range(2):
        clone.adapt(cross_entropy(clone(batch[0]), batch[1]))
    assert clone.steps_taken >= 1
    for other in (learner, learner.clone(tasks=TASKS)):
        assert other.steps_taken == 0
        assert not other._velocity


def test_a_clone_of_an_adapted_clone_continues_from_there(gradient_name, make, batch):
    learner = make(gradient_name).clone()
    x, y, query_x, _ = (part[0] for part in batch)
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
    before = learner(query_x)
    twin = learner.clone()
    torch.testing.assert_close(twin(query_x), before)
    twin.adapt(cross_entropy(twin(x), y))
    assert not torch.equal(twin(query_x), before)
    assert torch.equal(learner(query_x), before)


def test_adapting_lowers_the_loss(gradient_name, make, batch):
    clone = make(gradient_name).clone(tasks=TASKS)
    x, y, *_ = batch
    clone.adapt(cross_entropy(clone(x), y))
    before = cross_entropy(clone(x), y)
    for _ in range(5):
        clone.adapt(cross_entropy(clone(x), y))
    assert cross_entropy(clone(x), y).sum() < before.sum()
