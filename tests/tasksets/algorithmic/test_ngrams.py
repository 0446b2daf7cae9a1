"""Dynamic n-grams: the layout, the tables, and the optimal predictor against exact references."""

import itertools
import math

import pytest
import torch
from torch import Generator

from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.tasksets import DynamicNGrams, list_tasksets


def seeded(seed):
    return Generator().manual_seed(seed)


def optimal_cost(bits, order, counts):
    """Compute the cost of a sequence in bits by equation 10, step by step; updates the counts."""
    cost = 0.0
    for t in range(order - 1, len(bits)):
        zeros, ones = counts.setdefault(tuple(bits[t - order + 1 : t]), [0, 0])
        p = (ones + 0.5) / (ones + zeros + 1)
        cost -= math.log2(p if bits[t] else 1 - p)
        counts[tuple(bits[t - order + 1 : t])][bits[t]] += 1
    return cost


def sequence_of(inputs, targets):
    return [*map(int, inputs.flatten().tolist()), int(targets[-1, 0])]


def test_layout():
    inputs, targets, mask = DynamicNGrams(order=4, length=9).sequences(30, seeded(0))
    assert inputs.shape == targets.shape == (30, 8, 1)
    assert mask[0].tolist() == [False] * 2 + [True] * 6
    assert torch.equal(targets[:, 2:-1], inputs[:, 3:])
    assert (targets[:, :2] == 0).all()
    x, y = DynamicNGrams(order=4, length=9).examples(torch.rand(2, 8), 3, seeded(0))
    assert y.shape == (2, 3, 8, 1)
    assert y[:, :, :2].isnan().all()
    assert torch.equal(y[:, :, 2:-1], x[:, :, 3:])


def test_sequences_follow_the_table():
    # After 00 a 1, after 01 a 1, after 10 a 0, after 11 a 0, always: 0 0 1 1 0 0 …
    table = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    x, y = DynamicNGrams(order=3, length=40).examples(table, 20, seeded(0))
    starts = set()
    for inputs, targets in zip(x[0], y[0], strict=True):
        bits = sequence_of(inputs, targets)
        starts.add(tuple(bits[:2]))
        for t in range(2, 40):
            assert bits[t] == int(table[0, 2 * bits[t - 2] + bits[t - 1]])
    assert len(starts) == 4


def test_bit_frequencies_match_the_table():
    table = torch.tensor([[0.2, 0.9]])
    x, y = DynamicNGrams(order=2, length=200).examples(table, 100, seeded(0))
    for bit, p in enumerate(table[0].tolist()):
        assert y[x == bit].mean().item() == pytest.approx(p, abs=0.02)


def test_tables_follow_the_arcsine_distribution():
    tables = DynamicNGrams().parameters(2000, seeded(0))
    assert tables.shape == (2000, 32)
    for level in (0.01, 0.1, 0.5, 0.8):  # the distribution function of Beta(1/2, 1/2)
        expected = 2 / math.pi * math.asin(math.sqrt(level))
        assert (tables < level).double().mean().item() == pytest.approx(expected, abs=0.01)


def test_sequences_share_a_table_within_a_task_but_not_within_a_batch():
    family = DynamicNGrams(order=2, length=400)

    def spread(bits):  # over sequences, of how often the next bit is different
        x, y = bits
        return (x != y).double().mean((-2, -1)).std()

    assert spread(family.sequences(50, seeded(0))[:2]) > 0.15
    x, y = family.examples(torch.tensor([[0.5, 0.5]]), 50, seeded(0))
    assert spread((x[0], y[0])) < 0.1


@pytest.mark.parametrize("order", [2, 3, 6])
def test_the_optimal_predictor_equals_a_loop(order):
    family = DynamicNGrams(order, length=60)
    inputs, targets, _ = family.sequences(12, seeded(1))
    costs = family.bayes_bits(inputs, targets)
    for x, y, cost in zip(inputs, targets, costs, strict=True):
        assert cost.item() == pytest.approx(optimal_cost(sequence_of(x, y), order, {}))


def test_the_cost_equals_that_of_the_exact_probability():
    """Probabilities of all sequences of a length follow from the final counts and sum to 1."""
    order, length = 3, 9
    family = DynamicNGrams(order, length)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=length))).unsqueeze(-1)
    inputs, targets = every[:, :-1], every[:, 1:]
    costs = family.bayes_bits(inputs, targets)
    assert (0.5 ** (costs + order - 1)).sum().item() == pytest.approx(1)

    def log_beta(a, b):
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    for bits, cost in list(zip(every.squeeze(-1).int().tolist(), costs, strict=True))[::37]:
        counts = {}
        optimal_cost(bits, order, counts)
        exact = sum(log_beta(n1 + 0.5, n0 + 0.5) - log_beta(0.5, 0.5) for n0, n1 in counts.values())
        assert cost.item() == pytest.approx(-exact / math.log(2))


def test_other_predictors_cost_more():
    family = DynamicNGrams(order=3, length=60)
    batch = family.draw(500, 1, 4, seeded(0))
    best = family.bayes_logits(batch.query_x)
    cost = family.cost(best, batch.query_y).mean()
    assert cost == pytest.approx(family.bayes_bits(batch.query_x, batch.query_y).mean().item())
    assert family.error(best, batch.query_y).mean() == cost
    others = {
        "always 1/2": torch.zeros_like(best),
        "always 1": torch.full_like(best, 1.0),
        "the last bit": 2 * batch.query_x - 1,
        "more confident": 1.5 * best,
        "less confident": 0.7 * best,
    }
    for logits in others.values():
        assert family.cost(logits, batch.query_y).mean() > cost + 0.5


def test_a_support_set_lowers_the_cost_by_its_counts():
    family = DynamicNGrams(order=3, length=30)
    batch = family.draw(4, 3, 2, seeded(0))
    support = batch.support_x, batch.support_y
    costs = family.bayes_bits(batch.query_x, batch.query_y, support)
    assert costs.shape == (4, 2)
    for n in range(4):
        for b in range(2):
            counts = {}
            for x, y in zip(batch.support_x[n], batch.support_y[n], strict=True):
                optimal_cost(sequence_of(x, y), 3, counts)
            bits = sequence_of(batch.query_x[n, b], batch.query_y[n, b])
            assert costs[n, b].item() == pytest.approx(optimal_cost(bits, 3, counts))
    many = family.draw(200, 3, 2, seeded(1))
    alone = family.bayes_bits(many.query_x, many.query_y).mean()
    support = many.support_x, many.support_y
    assert family.bayes_bits(many.query_x, many.query_y, support).mean() < alone - 2


def test_a_prediction_does_not_see_the_bit_it_predicts():
    family = DynamicNGrams(order=3, length=20)
    inputs = family.sequences(5, seeded(0)).inputs
    changed = inputs.clone()
    changed[:, 12:] = 1 - changed[:, 12:]
    before, after = family.bayes_logits(inputs), family.bayes_logits(changed)
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12:], after[:, 12:])


def test_chance_level_and_baseline_of_the_card():
    card = list_tasksets()["dynamic_ngrams"]
    family = DynamicNGrams()
    inputs, targets, mask = family.sequences(2000, seeded(3))
    costs = family.bayes_bits(inputs, targets)
    assert mask[0].sum() == card.chance == 195
    assert costs.mean().item() == pytest.approx(card.baseline[1], abs=3.2)  # 4 standard errors


@pytest.mark.parametrize("length", [7, 50, 400])
def test_at_returns_a_family_of_another_length(length):
    assert DynamicNGrams().at(length).sequences(2).inputs.shape == (2, length - 1, 1)


@pytest.mark.parametrize("order", [1, 13, 0, True, 2.0])
def test_an_invalid_order_is_rejected(order):
    with pytest.raises(ArgumentError, match=f"order must be an integer from 2 to 12, got {order}"):
        DynamicNGrams(order)


@pytest.mark.parametrize(
    "make", [lambda: DynamicNGrams(length=6), lambda: DynamicNGrams().at(length=6)]
)
def test_a_length_without_targets_is_rejected(make):
    with pytest.raises(ArgumentError, match="length must be greater than order=6, got 6"):
        make()


@pytest.mark.parametrize("shape", [(20, 1), (2, 20, 2), (2, 4, 1), (2, 20)])
def test_sequences_of_another_shape_are_rejected(shape):
    with pytest.raises(ShapeError, match=r"have shape \(…, B, S, 1\) with S of at least 5"):
        DynamicNGrams().bayes_logits(torch.zeros(shape))


def test_targets_of_another_shape_are_rejected():
    family, x = DynamicNGrams(), torch.zeros(2, 20, 1)
    with pytest.raises(
        ShapeError, match=r"targets must have the shape of .*\(2, 20, 1\), got \(2, 19, 1\)"
    ):
        family.bayes_bits(x, x[:, 1:])
    with pytest.raises(ShapeError, match="targets must have the shape"):
        family.bayes_logits(x, (x, x[:1]))
