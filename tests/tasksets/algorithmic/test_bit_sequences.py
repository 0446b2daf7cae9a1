"""Tasks on bit vectors: batches, padding, seeds, losses, and exact solvers for their rules."""

import math
import random

import pytest
import torch
from torch import Generator, nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import SourceTaskset
from l2l_rnn.functional import step_lengths
from l2l_rnn.nn import GRU, Linear
from l2l_rnn.tasksets import (
    AssociativeRecall,
    Copy,
    DynamicNGrams,
    PrioritySort,
    RepeatCopy,
    get_tasksets,
    list_tasksets,
)

FAMILIES = {
    "copy": Copy(bits=3, lengths=(1, 4)),
    "repeat_copy": RepeatCopy(bits=2, lengths=(1, 3), repeats=(1, 3)),
    "associative_recall": AssociativeRecall(bits=2, vectors=2, items=(2, 5)),
    "dynamic_ngrams": DynamicNGrams(order=3, length=12),
    "priority_sort": PrioritySort(bits=3, vectors=5, highest=3),
}
DETERMINISTIC = [name for name in FAMILIES if name != "dynamic_ngrams"]


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request):
    return request.param


def seeded(seed):
    return Generator().manual_seed(seed)


def solve_copy(steps):
    (delimiter,) = [t for t, step in enumerate(steps) if step[-1]]
    return [step[:-1] for step in steps[:delimiter]]


def solve_repeat_copy(steps):
    mean, std = 2, math.sqrt(2 / 3)  # of the numbers of repeats: 1, 2, 3
    (flagged,) = [t for t, step in enumerate(steps) if step[-1]]
    copies = round(steps[flagged][-2] * std + mean)
    rows = [[*step[:-2], 0.0] for step in steps[:flagged]]
    return rows * copies + [[0.0] * (len(rows[0]) - 1) + [1.0]]


def solve_recall(steps, vectors=2):
    markers = [t for t, step in enumerate(steps) if step[-2]]
    start, _ = [t for t, step in enumerate(steps) if step[-1]]
    items = [[step[:-2] for step in steps[t + 1 : t + 1 + vectors]] for t in markers]
    query = [step[:-2] for step in steps[start + 1 : start + 1 + vectors]]
    return items[items.index(query) + 1]


def solve_sort(steps, highest=3):
    (delimiter,) = [t for t, step in enumerate(steps) if step[-1]]
    by_priority = sorted(steps[:delimiter], key=lambda step: -step[-2])
    return [step[:-2] for step in by_priority[:highest]]


SOLVERS = {
    "copy": solve_copy,
    "repeat_copy": solve_repeat_copy,
    "associative_recall": solve_recall,
    "priority_sort": solve_sort,
}


def solve(name, inputs, output_size):
    """Return logits of the exact solution of one sequence; it fills the last steps."""
    steps = inputs[: step_lengths(inputs)].tolist()
    solution = torch.tensor(SOLVERS[name](steps))
    outputs = torch.zeros(len(inputs), output_size)
    outputs[len(steps) - len(solution) : len(steps)] = 100 * solution - 50
    return outputs


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("ragged", [True, False])
def test_solvers_predict_every_target_of_a_batch(name, ragged):
    family = FAMILIES[name]
    inputs, targets, mask = family.sequences(40, seeded(0), ragged=ragged)
    for i in range(40):
        outputs = solve(name, inputs[i], family.output_size)
        assert torch.equal(outputs[mask[i]] > 0, targets[i][mask[i]] == 1)
        assert (outputs[~mask[i]] == 0).all()  # every solved step has a target
        assert mask[i, -1] or ragged


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_solvers_have_zero_error_and_inverted_solutions_the_maximum(name):
    family = FAMILIES[name]
    batch = family.draw(6, 2, 3, seeded(1))
    outputs = torch.stack(
        [torch.stack([solve(name, x, family.output_size) for x in task]) for task in batch.query_x]
    )
    assert family.error(outputs, batch.query_y).tolist() == [family.optimum] * 6 == [0.0] * 6
    assert family.loss(outputs, batch.query_y).max() < 1e-6
    assert family.cost(outputs, batch.query_y).max() < 1e-6
    target_bits = (~batch.query_y.isnan()).sum((-3, -2, -1)) / 3
    torch.testing.assert_close(family.error(-outputs, batch.query_y), target_bits)


def test_batches_of_one_length_have_no_padding(family):
    lengths = set()
    for seed in range(12):
        inputs, targets, mask = family.sequences(3, seeded(seed))
        assert not inputs.isnan().any()
        assert inputs.shape == (3, mask.shape[1], family.input_size)
        assert targets.shape == (3, mask.shape[1], family.output_size)
        assert mask.dtype == torch.bool
        assert (mask == mask[0]).all()
        assert set(targets.unique().tolist()) <= {0.0, 1.0}
        assert (targets[~mask] == 0).all()
        lengths.add(inputs.shape[1])
    fixed = isinstance(family, (DynamicNGrams, PrioritySort))
    assert (len(lengths) == 1) == fixed
    assert max(lengths) <= family.steps


def test_ragged_batches_are_padded_at_the_end(family):
    inputs, _, mask = family.sequences(60, seeded(2), ragged=True)
    lengths = step_lengths(inputs)
    assert int(lengths.max()) == inputs.shape[1]
    for steps, masked, length in zip(inputs, mask, lengths.tolist(), strict=True):
        assert not steps[:length].isnan().any()
        assert steps[length:].isnan().all()
        assert not masked[length:].any()
    assert len(lengths.unique()) > 1 or isinstance(family, (DynamicNGrams, PrioritySort))


def test_tasks_are_padded_to_the_longest_possible_sequence(family):
    batch = family.draw(30, 2, 3, seeded(3))
    assert batch.support_x.shape == (30, 2, family.steps, family.input_size)
    assert batch.query_y.shape == (30, 3, family.steps, family.output_size)
    lengths = torch.cat([step_lengths(batch.support_x), step_lengths(batch.query_x)], 1)
    assert (lengths == lengths[:, :1]).all()  # a task has one length
    assert int(lengths.max()) == family.steps
    assert (batch.query_x.isnan().all(-1) | ~batch.query_x.isnan().any(-1)).all()
    assert not (batch.query_x.isnan().all(-1) & ~batch.query_y.isnan().all(-1)).any()


def test_draws_are_reproducible(family):
    def drawn(seed):
        batch = family.draw(3, 2, 2, seeded(seed))
        return (*family.sequences(5, seeded(seed)), batch.support_x, batch.query_y)

    first, again, other = drawn(5), drawn(5), drawn(6)
    for one, same in zip(first, again, strict=True):
        torch.testing.assert_close(one, same, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first[3].nan_to_num(9), other[3].nan_to_num(9))


def test_sequences_of_a_batch_are_different(family):
    inputs = family.sequences(64, seeded(1), ragged=True).inputs.nan_to_num(9)
    assert len({tuple(steps.flatten().tolist()) for steps in inputs}) > 20


@pytest.mark.parametrize("name", FAMILIES)
def test_tasksets_and_draw_have_the_same_distribution(name):
    """Statistics of tasks from a Taskset match those of tasks drawn at once."""
    family = FAMILIES[name]
    taskset = SourceTaskset(family, ways=1, samples=3)
    random.seed(0)
    x, y = (torch.stack(part) for part in zip(*(taskset.sample() for _ in range(400)), strict=True))
    batch = family.draw(400, 3, 1, seeded(0))
    assert x.shape == batch.support_x.shape
    assert y.shape == batch.support_y.shape

    def statistics(x, y):
        mask = ~y.isnan()
        return torch.stack(
            [
                step_lengths(x).double().mean() / family.steps,
                mask.double().mean(),
                y.nan_to_num(0).double().sum() / mask.sum(),
                x.nan_to_num(0).double().mean(),
            ]
        )

    expected = statistics(batch.support_x, batch.support_y)
    torch.testing.assert_close(statistics(x, y), expected, rtol=0, atol=0.05)
    first = x[:, 0].nan_to_num(9).flatten(1)
    assert len(first.unique(dim=0)) > 50


@pytest.mark.parametrize("name", FAMILIES)
def test_tasksets_match_their_cards(name):
    tasksets = get_tasksets(name, train_samples=4, test_samples=6)
    card = list_tasksets()[name]
    random.seed(1)
    x, y = tasksets.train.sample()
    family = tasksets.test.source
    assert x.shape == (4, family.steps, family.input_size)
    assert y.shape == (4, family.steps, family.output_size)
    assert len(tasksets.test.sample()[0]) == 6
    assert card.lengths[1] == family.steps
    shortest = step_lengths(family.sequences(2000, seeded(0), ragged=True).inputs).min()
    assert card.lengths[0] == shortest
    batch = family.draw(2500, 1, 1, seeded(0))
    outputs = torch.randn(batch.query_y.shape, generator=seeded(1))
    if name == "dynamic_ngrams":
        outputs.zero_()
    assert family.error(outputs, batch.query_y).mean() == pytest.approx(card.chance, rel=0.04)
    assert repr(family).startswith(type(family).__name__ + "(")
    assert tasksets.train.source.optimum == (None if name == "dynamic_ngrams" else 0.0)


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("copy", {"bits": 4, "lengths": (5, 5)}, 11),
        ("repeat_copy", {"bits": 4, "lengths": (2, 2), "repeats": (3, 3)}, 10),
        ("associative_recall", {"bits": 4, "vectors": 1, "items": (3, 3)}, 10),
        ("dynamic_ngrams", {"order": 2, "length": 30}, 29),
        ("priority_sort", {"bits": 4, "vectors": 6, "highest": 2}, 9),
    ],
)
def test_options_reach_the_family(name, options, steps):
    for taskset in get_tasksets(name, **options):
        assert {key: getattr(taskset.source, key) for key in options} == options
        assert taskset.sample()[0].shape[1] == steps


def test_loss_cost_and_error_agree_with_a_loop():
    family = Copy(bits=2, lengths=(1, 3))
    _, y = family.examples(torch.tensor([[1], [3]]), 2, seeded(0))
    outputs = torch.randn(y.shape, generator=seeded(1), dtype=torch.float64)
    for n, (task, targets) in enumerate(zip(outputs, y, strict=True)):
        nats, bits, wrong = [], 0.0, 0
        for logits, row in zip(task, targets, strict=True):
            for logit, bit in zip(logits.flatten().tolist(), row.flatten().tolist(), strict=True):
                if not math.isnan(bit):
                    p = 1 / (1 + math.exp(-logit))
                    nats.append(-math.log(p if bit else 1 - p))
                    bits += nats[-1] / math.log(2) / 2  # two sequences
                    wrong += (p > 0.5) != bool(bit)
        assert family.loss(outputs, y)[n] == pytest.approx(sum(nats) / len(nats))
        assert family.cost(outputs, y)[n] == pytest.approx(bits)
        assert family.error(outputs, y)[n] == wrong / 2


def test_a_nan_output_makes_the_error_nan():
    family = Copy(bits=2, lengths=(1, 2))
    _, y = family.examples(torch.tensor([[1], [2]]), 1, seeded(0))
    outputs = torch.zeros(y.shape)
    outputs[y.isnan()] = math.nan
    assert not family.error(outputs, y).isnan().any()
    outputs[1, 0, 3, 0] = math.nan
    assert family.error(outputs, y).isnan().tolist() == [False, True]


class StepwiseModel(nn.Module):
    """Predicts bits at every step; padding is replaced by zeros."""

    def __init__(self, family):
        super().__init__()
        self.cell = GRU(family.input_size, 8, batch_first=True)
        self.head = Linear(8, family.output_size)

    def forward(self, x):
        return self.head(self.cell(x.nan_to_num(0.0))[0])


def test_a_learner_adapts_to_its_tasks(family):
    torch.manual_seed(0)
    batch = family.draw(3, 4, 4, seeded(0))
    learner = MAML(StepwiseModel(family), lr=0.3).clone(tasks=3)
    losses = []
    for _ in range(6):
        loss = family.loss(learner(batch.support_x), batch.support_y)
        losses.append(loss.sum().item())
        learner.adapt(loss)
    assert losses[-1] < losses[0]
    assert family.error(learner(batch.query_x), batch.query_y).shape == (3,)


def test_families_move_to_a_device():
    placed = Copy(bits=2).to("meta")
    assert all(part.is_meta for part in placed.sequences(2))
    assert placed.draw(2, 1, 1).query_y.is_meta
    assert placed.at(3).sequences(1).inputs.is_meta


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_seed_gives_the_same_sequences_on_a_gpu(family):
    here, there = family.sequences(3, seeded(0)), family.to("cuda").sequences(3, seeded(0))
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))
