"""Families of drawn tasks: exact answers, splits, seeds, and learners on them."""

import math

import pytest
import torch
from torch import Generator, nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import Linear
from l2l_rnn.tasksets import Adding, DelayedRecall, Sinusoids

FAMILIES = {
    "sinusoids": Sinusoids(),
    "recall": DelayedRecall(7),
    "recall at once": DelayedRecall(1, symbols=3, mode="test"),
    "adding": Adding(7),
    "adding at once": Adding(1),
}


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request):
    return request.param


def seeded(seed):
    return Generator().manual_seed(seed)


def exact_answers(family, x, parameters):
    """The answers by the family's rule, written out example by example."""
    if isinstance(family, Sinusoids):
        a, p = parameters
        return torch.stack([a * torch.sin(value - p) for value in x])
    if isinstance(family, DelayedRecall):
        return torch.stack([parameters[steps[0, :-1].argmax()] for steps in x])
    a, b = parameters
    marked = [
        (steps[steps[:, 1] == 1, 0].item(), steps[steps[:, 1] == -1, 0].item()) for steps in x
    ]
    return torch.tensor([[a * u + b * v] for u, v in marked])


def test_answers_follow_the_rule(family):
    parameters = family.parameters(4, seeded(0))
    x, y = family.examples(parameters, 3, seeded(1))
    for task in range(4):
        expected = exact_answers(family, x[task], parameters[task])
        torch.testing.assert_close(y[task], expected.to(y.dtype))


def test_support_and_query_are_of_the_same_task(family):
    batch = family.draw(5, 3, 2, seeded(3))
    parameters = family.parameters(5, seeded(3))
    for task in range(5):
        for x, y in ((batch.support_x, batch.support_y), (batch.query_x, batch.query_y)):
            expected = exact_answers(family, x[task], parameters[task])
            torch.testing.assert_close(y[task], expected.to(y.dtype))


def test_shapes_are_those_declared(family):
    batch = family.draw(4, 3, 2)
    assert batch.support_x.shape[-1] == family.input_size
    assert len(batch) == 4
    lead = batch.query_x.shape[:2]
    assert batch.query_y.shape in (lead, (*lead, family.output_size))
    if isinstance(family, DelayedRecall):
        assert batch.support_x.shape[1] == 3 * family.symbols
        assert (batch.support_y.sort(-1).values.unflatten(1, (-1, 3)).diff(dim=-1) == 0).all()
    else:
        assert batch.support_x.shape[1] == 3


def test_a_seed_fixes_what_is_drawn(family):
    first, again, other = (family.draw(3, 2, 2, seeded(s)) for s in (5, 5, 6))
    assert torch.equal(first.support_x, again.support_x)
    assert torch.equal(first.query_y, again.query_y)
    assert not torch.equal(first.support_x, other.support_x)


def test_right_answers_have_no_error_and_little_loss(family):
    _, y = family.examples(family.parameters(3), 4)
    right = 50.0 * nn.functional.one_hot(y, family.output_size) if y.dim() == 2 else y
    assert family.error(right, y).tolist() == pytest.approx([0, 0, 0])
    assert family.loss(right, y).max() < 1e-6


def test_no_permutation_is_in_two_splits():
    modes = [DelayedRecall(3, symbols=4, mode=mode) for mode in ("train", "validation", "test")]
    rows = [{tuple(row) for row in family.permutations.tolist()} for family in modes]
    assert sum(map(len, rows)) == len(set.union(*rows)) == math.factorial(4)
    assert [len(found) for found in rows] == [16, 4, 4]


def test_the_symbol_is_flagged_and_the_others_do_not_tell():
    x, _ = DelayedRecall(9).examples(torch.arange(5).unsqueeze(0), 200, seeded(0))
    assert (x[..., 0, -1] == 1).all()
    assert (x[..., 1:, -1] == 0).all()
    shown, later = x[0, :, 0, :-1].argmax(-1), x[0, :, 5, :-1].argmax(-1)
    assert (shown == later).float().mean() == pytest.approx(0.2, abs=0.05)


def test_figures_of_the_adding_problem():
    x, y = Adding(20).examples(Adding(20).parameters(2000, seeded(0)), 20, seeded(1))
    assert (x[:, :, 0, 1] == 1).all()
    assert ((x[..., 1] == -1).sum(-1) == 1).all()
    assert y.square().mean().item() == pytest.approx(Adding.VARIANCE, rel=0.05)
    assert Adding(20).error(torch.zeros_like(y), y).mean().item() == pytest.approx(1, rel=0.05)


def test_ranges_of_the_sinusoids():
    parameters = Sinusoids().parameters(5000, seeded(0))
    low, high = parameters.amin(0), parameters.amax(0)
    assert low.tolist() == pytest.approx([0.1, 0], abs=0.01)
    assert high.tolist() == pytest.approx([5, math.pi], abs=0.01)
    x, _ = Sinusoids().examples(parameters, 5)
    assert x.abs().max() <= 5


def test_a_learner_of_many_tasks_learns_on_every_family(family):
    if family.input_size == 1:
        model = nn.Sequential(Linear(1, 8), nn.Tanh(), Linear(8, 1))
    else:
        model = SequenceClassifier(
            family.output_size, input_size=family.input_size, hidden_size=8, cell="gru"
        )
    batch = family.draw(3, 5, 5, seeded(0))
    learner = MAML(model, lr=0.05).clone(tasks=3)
    losses = []
    for _ in range(6):
        loss = family.loss(learner(batch.support_x), batch.support_y)
        losses.append(loss.sum().item())
        learner.adapt(loss)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("count", [0, -1, True, 1.5])
@pytest.mark.parametrize("which", ["tasks", "shots", "queries"])
def test_a_count_that_is_none(which, count):
    counts = {"tasks": 1, "shots": 1, "queries": 1} | {which: count}
    with pytest.raises(ArgumentError, match=f"Sinusoids.draw: {which} must be a positive integer"):
        Sinusoids().draw(**counts)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: DelayedRecall(0), "lag must be a positive integer, got 0"),
        (lambda: Adding(2.0), "lag must be a positive integer, got 2.0"),
        (lambda: DelayedRecall(3, symbols=2), "symbols must be an integer from 3 to 8, got 2"),
        (lambda: DelayedRecall(3, mode="dev"), "mode must be one of .*'validation'.* got 'dev'"),
    ],
)
def test_bad_options_get_one_clear_error(make, told):
    with pytest.raises(ArgumentError, match=told):
        make()
