"""Families of drawn tasks: exact answers, splits, seeds, and learners on them."""

import math
import random

import learn2learn
import pytest
import torch
from torch import Generator, nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import ArgumentError, DataError, UnknownNameError
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import Linear
from l2l_rnn.tasksets import Adding, DelayedRecall, Sinusoids, get_tasksets, list_tasksets

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


def test_a_family_made_by_hand_draws_from_the_generator_itself(family):
    generator = seeded(0)
    parameters = family.parameters(3, generator)
    support, _ = family.examples(parameters, 2, generator)
    assert torch.equal(family.draw(3, 2, 2, seeded(0)).support_x, support)


def test_a_split_has_tasks_of_its_own_and_leaves_the_family_as_it_was(family):
    before = family.draw(3, 2, 2, seeded(0)).support_x
    splits = [family.of_split(split) for split in ("train", "validation", "test")]
    drawn = [split.draw(3, 2, 2, seeded(0)).support_x for split in splits]
    for i, x in enumerate(drawn):
        assert torch.equal(splits[i].draw(3, 2, 2, seeded(0)).support_x, x)
        assert not any(torch.equal(x, other) for other in [before, *drawn[:i]])
    seeds = [{split.seed_of_split(number) for number in range(100)} for split in splits]
    assert len(set.union(*seeds)) == 300
    assert max(split.seed_of_split(2**32 // 3 - 1) for split in splits) < 2**32
    assert torch.equal(family.draw(3, 2, 2, seeded(0)).support_x, before)


def test_a_split_that_is_not_known(family):
    with pytest.raises(UnknownNameError, match=r"of_split: unknown split 'val'. Known: train"):
        family.of_split("val")


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


# ------------------------------------------------------------------ oracles and cards


def by_least_squares(features, batch):
    """Fit the answers of each support set by the features, and answer its queries."""
    weights = torch.linalg.lstsq(features(batch.support_x), batch.support_y.double()).solution
    return (features(batch.query_x) @ weights).float()


def two_waves(x):
    return torch.cat([x.sin(), x.cos()], -1).double()


def marked_numbers(x):
    numbers, marks = x.double().unbind(-1)
    return torch.stack([(numbers * (marks == m)).sum(-1) for m in (1, -1)], -1)


def by_name_shown(batch):
    """Answer with the name that the support set gives the symbol of the first step."""
    first = batch.query_x[:, :, 0], batch.support_x[:, :, 0]
    alike = (first[0].unsqueeze(2) == first[1].unsqueeze(1)).all(-1)  # (N, queries, support)
    names = batch.support_y.gather(1, alike.int().argmax(-1))
    return nn.functional.one_hot(names, int(names.max()) + 1).float()


@pytest.mark.parametrize(
    ("family", "solve"),
    [
        (Sinusoids(), lambda batch: by_least_squares(two_waves, batch)),
        (Adding(50), lambda batch: by_least_squares(marked_numbers, batch)),
        (DelayedRecall(50), by_name_shown),
    ],
)
@pytest.mark.parametrize("shots", [2, 5])
def test_an_exact_solver_attains_the_optimum(family, solve, shots):
    batch = family.draw(50, shots, 4, seeded(0))
    error = family.error(solve(batch), batch.query_y)
    # Two points may lie almost half a wave apart, where rounding errors grow.
    assert error.median().item() == pytest.approx(family.optimum, abs=1e-9)
    assert family.optimum == 0
    if shots == 5:
        assert error.max().item() == pytest.approx(0, abs=1e-4)


def nearest(batch):
    place = (batch.query_x - batch.support_x.mT).abs().argmin(-1, keepdim=True)
    return batch.support_y.gather(1, place)


def test_the_cards_figures():
    cards, batch = list_tasksets(), Sinusoids().draw(20_000, 5, 10, seeded(0))
    zero = Sinusoids().error(torch.zeros_like(batch.query_y), batch.query_y).mean().item()
    exact = (5**3 - 0.1**3) / (3 * 4.9) / 2  # E a^2 E sin^2
    assert zero == pytest.approx(exact, rel=0.02)
    assert cards["sinusoids"].chance == pytest.approx(exact, abs=0.005)
    error = Sinusoids().error(nearest(batch), batch.query_y).mean().item()
    assert error == pytest.approx(cards["sinusoids"].baseline[1], rel=0.03)
    assert cards["adding"].chance == 1  # of answering 0: see the figures of the adding problem
    assert cards["adding"].baseline[1] == 0
    batch = DelayedRecall(50).draw(200, 1, 20, seeded(0))
    accuracy = 1 - DelayedRecall(50).error(by_name_shown(batch), batch.query_y)
    assert accuracy.mean() == cards["lags"].baseline[1]
    guess = torch.randn(200, 100, 5, generator=seeded(1))
    chance = 1 - DelayedRecall(50).error(guess, batch.query_y).mean().item()
    assert chance == pytest.approx(cards["lags"].chance, abs=0.01)


@pytest.mark.parametrize(
    ("name", "shape", "labels"),
    [("sinusoids", (10, 1), (10, 1)), ("adding", (10, 51, 2), (10, 1)), ("lags", (50, 51, 6), 50)],
)
def test_learn2learns_usage(name, shape, labels):
    tasksets = get_tasksets(name, train_samples=10)
    random.seed(0)
    x, y = tasksets.train.sample()
    assert x.shape == shape
    assert y.shape == ((labels,) if isinstance(labels, int) else labels)
    assert list_tasksets()[name].lengths == ((1, 1) if len(shape) == 2 else (51, 51))
    if name == "lags":
        assert [taskset.source.mode for taskset in tasksets] == ["train", "validation", "test"]
        (support_x, support_y), (query_x, _) = learn2learn.data.partition_task(x, y, shots=5)
        assert support_x.shape == query_x.shape == (25, 51, 6)
        assert support_y.bincount().tolist() == [5] * 5


def test_an_unchanged_learn2learn_script_trains_on_sinusoids():
    """The script of Finn et al.: the first half of a task is its support, the second its query."""
    random.seed(0)
    torch.manual_seed(0)
    tasksets = get_tasksets("sinusoids", train_samples=10)
    model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    maml = learn2learn.algorithms.MAML(model, lr=0.02)
    optimiser = torch.optim.Adam(maml.parameters(), lr=0.01)
    losses = []
    for _ in range(120):
        loss = 0.0
        for _ in range(4):
            learner = maml.clone()
            x, y = tasksets.train.sample()
            learner.adapt(nn.functional.mse_loss(learner(x[:5]), y[:5]))
            loss = loss + nn.functional.mse_loss(learner(x[5:]), y[5:]) / 4
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-30:]) < 0.9 * sum(losses[:30])


def test_options_reach_the_families():
    tasksets = get_tasksets("lags", 3, 10, 3, 10, lag=7, symbols=3)
    assert repr(tasksets.validation.source) == "DelayedRecall(lag=7, symbols=3, mode='validation')"
    assert get_tasksets("adding", lag=9).test.sample()[0].shape == (10, 10, 2)
    with pytest.raises(DataError, match="every task has 5 classes, got ways=4"):
        get_tasksets("lags", train_ways=4)


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
