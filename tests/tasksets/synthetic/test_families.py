"""Properties of every synthetic family: targets, splits, seeds, and learning."""

import pytest
import torch
from torch import Generator, nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, UnknownNameError
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import Linear
from l2l_rnn.tasksets import Adding, DelayedRecall, Sinusoids

FAMILIES = {
    "sinusoids": Sinusoids(),
    "recall": DelayedRecall(7),
    "recall after one step": DelayedRecall(1, symbols=3, split="test"),
    "adding": Adding(7),
    "adding after one step": Adding(1),
}


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request):
    return request.param


def seeded(seed):
    return Generator().manual_seed(seed)


def exact_targets(family, x, parameters):
    """Compute the targets of one task from the family's rule, example by example."""
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


def test_targets_follow_the_rule(family):
    parameters = family.parameters(4, seeded(0))
    x, y = family.examples(parameters, 3, seeded(1))
    for task in range(4):
        expected = exact_targets(family, x[task], parameters[task])
        torch.testing.assert_close(y[task], expected.to(y.dtype))


def test_support_and_query_belong_to_the_same_task(family):
    batch = family.draw(5, 3, 2, seeded(3))
    parameters = family.parameters(5, seeded(3))
    for task in range(5):
        for x, y in ((batch.support_x, batch.support_y), (batch.query_x, batch.query_y)):
            expected = exact_targets(family, x[task], parameters[task])
            torch.testing.assert_close(y[task], expected.to(y.dtype))


def test_shapes_are_as_declared(family):
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


def test_draws_are_reproducible(family):
    first, again, other = (family.draw(3, 2, 2, seeded(s)) for s in (5, 5, 6))
    assert torch.equal(first.support_x, again.support_x)
    assert torch.equal(first.query_y, again.query_y)
    assert not torch.equal(first.support_x, other.support_x)


def test_a_family_without_a_split_draws_from_the_given_generator(family):
    generator = seeded(0)
    parameters = family.parameters(3, generator)
    support, _ = family.examples(parameters, 2, generator)
    assert torch.equal(family.draw(3, 2, 2, seeded(0)).support_x, support)


def test_splits_draw_different_tasks_and_leave_the_family_unchanged(family):
    before = family.draw(3, 2, 2, seeded(0)).support_x
    splits = [family.for_split(split) for split in SPLITS]
    drawn = [split.draw(3, 2, 2, seeded(0)).support_x for split in splits]
    for i, x in enumerate(drawn):
        assert torch.equal(splits[i].draw(3, 2, 2, seeded(0)).support_x, x)
        assert not any(torch.equal(x, other) for other in [before, *drawn[:i]])
    seeds = [{split.split_seed(number) for number in range(100)} for split in splits]
    assert len(set.union(*seeds)) == 300
    assert max(split.split_seed(2**32 // 3 - 1) for split in splits) < 2**32
    assert torch.equal(family.draw(3, 2, 2, seeded(0)).support_x, before)


def test_an_unknown_split_is_rejected(family):
    with pytest.raises(UnknownNameError, match=r"for_split: unknown split 'val'.* Known: train"):
        family.for_split("val")


def test_correct_predictions_have_no_error_and_a_small_loss(family):
    _, y = family.examples(family.parameters(3), 4)
    right = 50.0 * nn.functional.one_hot(y, family.output_size) if y.dim() == 2 else y
    assert family.error(right, y).tolist() == pytest.approx([0, 0, 0])
    assert family.loss(right, y).max() < 1e-6


def test_a_learner_of_several_tasks_learns_every_family(family):
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
def test_an_invalid_count_is_rejected(which, count):
    counts = {"tasks": 1, "shots": 1, "queries": 1} | {which: count}
    with pytest.raises(ArgumentError, match=f"Sinusoids.draw: {which} must be a positive integer"):
        Sinusoids().draw(**counts)
