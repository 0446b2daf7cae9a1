"""Learners of support sets with padding equal learners of the examples alone."""

import learn2learn as l2l
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from l2l_rnn.algorithms import (
    LRD2,
    MAML,
    R2D2,
    ALPaCA,
    GaussianPrior,
    MemoryLearner,
    ProtoMAML,
    ProtoNet,
    StackedLearner,
)
from l2l_rnn.errors import ArgumentTypeError, ShapeError
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.memory import DeltaFastWeights, KeyValueMemory, SlotMemory
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.training import adapted

TASKS, ROWS, WAYS = 2, 6, 3


def classifier():
    return SequenceClassifier(WAYS, input_size=2, hidden_size=4)


def encoder():
    return SequenceEncoder(input_size=2, hidden_size=4)


def memory(store=DeltaFastWeights, regression=False, **options):
    sizes = {"slots": ROWS - 1} if store is not DeltaFastWeights else {}
    model = MemoryModel(encoder(), store(4, WAYS, **sizes), regression=regression)
    return MemoryLearner(model, **options)


LEARNERS = {
    "MAML": lambda: MAML(classifier(), 0.1),
    "learn2learn": lambda: l2l.algorithms.MAML(classifier(), 0.1),
    "ProtoMAML": lambda: ProtoMAML(classifier(), 0.1),
    "ProtoNet": lambda: ProtoNet(encoder(), WAYS),
    "R2D2": lambda: R2D2(encoder(), WAYS),
    "stacked": lambda: StackedLearner(encoder(), WAYS, [R2D2(nn.Identity(), WAYS)]),
    "LRD2": lambda: LRD2(encoder(), WAYS),
    "prior": lambda: ProtoNet(encoder(), WAYS, prior=GaussianPrior(4)),
    "delta": memory,
    "slots": lambda: memory(SlotMemory),
    "key-value": lambda: memory(KeyValueMemory),
    "in order": lambda: memory(in_order=True),
    "hybrid": lambda: memory(lr=0.1),
    "sum": lambda: memory(lr=0.1, reduction="sum"),
    "first order": lambda: memory(SlotMemory, first_order=True),
    "regression": lambda: memory(regression=True),
    "ALPaCA": lambda: ALPaCA(encoder(), WAYS),
}
REGRESSION = ("regression", "ALPaCA")


def batch(name, mask, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(TASKS, ROWS, 4, 2, generator=generator, dtype=torch.float64)
    if name in REGRESSION:
        y = torch.randn(TASKS, ROWS, WAYS, generator=generator, dtype=torch.float64)
        return x, y.masked_fill(~mask.unsqueeze(-1), torch.nan)
    y = torch.randint(0, WAYS, (TASKS, ROWS), generator=generator)
    return x, y.masked_fill(~mask, -1)


def gradients(loss, learner):
    options = {"allow_unused": True, "retain_graph": True}
    found = torch.autograd.grad(loss, list(learner.parameters()), **options)
    return [torch.zeros(()) if g is None else g for g in found]


def check(name, mask, seed):
    torch.manual_seed(seed)
    learner = LEARNERS[name]().double()
    options = {"steps": 2}
    if name == "sum":

        def summed(p, y, mask=None):
            rows = p.shape[-2] if mask is None else mask.sum(-1)
            return rows * cross_entropy(p, y, mask)

        options["loss"] = summed
    x, y = batch(name, mask, seed)
    together = adapted(learner, x, y, tasks=TASKS, mask=mask, **options)(x)
    for n in range(TASKS):
        rows = mask[n]
        alone = adapted(learner, x[n][rows], y[n][rows], **options)(x[n])
        torch.testing.assert_close(together[n], alone, rtol=1e-9, atol=1e-9)
        found = [gradients(outputs.square().mean(), learner) for outputs in (together[n], alone)]
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", LEARNERS)
def test_padding_of_the_support_set_changes_nothing(name):
    check(name, torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 1, 0]]).bool(), 0)


@settings(max_examples=3, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.lists(st.booleans(), min_size=ROWS, max_size=ROWS).filter(any),
        min_size=TASKS,
        max_size=TASKS,
    ),
    st.integers(0, 99),
)
def test_any_padding_changes_nothing(masks, seed):
    mask = torch.tensor(masks)
    mask &= mask.cumsum(-1) < ROWS
    for name in (
        "MAML",
        "ProtoMAML",
        "ProtoNet",
        "R2D2",
        "LRD2",
        "stacked",
        "delta",
        "slots",
        "hybrid",
        *REGRESSION,
    ):
        check(name, mask, seed)


def test_counts_and_prototypes_are_exact():
    mask = torch.tensor([[1, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]]).bool()
    x, y = batch("ProtoNet", mask)
    y[0, :4] = torch.tensor([0, 0, -1, 2])
    learner = ProtoNet(encoder().double(), WAYS).clone(tasks=TASKS)
    learner.write(x, y, mask=mask)
    learner.write(x, y, mask=mask)
    assert learner._counts[0].flatten().tolist() == [4, 0, 2]
    assert learner._counts[1].sum() == 2
    once = learner.clone()
    once.write(x, y, mask=mask)
    torch.testing.assert_close(once.prototypes, learner.prototypes)
    by_loss = learner.clone()
    for _ in range(2):
        by_loss.adapt(cross_entropy(by_loss(x), y, mask), mask=mask)
    torch.testing.assert_close(by_loss._counts, learner._counts)
    slots = memory(SlotMemory).double().clone(tasks=TASKS)
    slots.write(x, y, times=1, mask=mask)
    assert slots.state.written.tolist() == [3, 1]
    assert slots.state.overwritten.tolist() == [0, 0]


def test_the_first_masked_loss_of_a_prototypical_network_skips_padding():
    """An unchanged loop needs no mask in `adapt`: all scores are 0, so only padding has no loss."""
    mask = torch.tensor([[1, 1, 0, 1, 0, 0], [1, 0, 1, 0, 0, 0]]).bool()
    x, y = batch("ProtoNet", mask)
    one, other = (ProtoNet(encoder().double(), WAYS).clone() for _ in range(2))
    other.module = one.module
    one.adapt(cross_entropy(one(x), y, mask))
    other.write(x, y, mask=mask)
    torch.testing.assert_close(one.prototypes, other.prototypes)


def test_masked_regression_by_loss():
    mask = torch.tensor([[1, 1, 0, 1, 0, 0], [1, 0, 1, 0, 0, 0]]).bool()
    x, y = batch("regression", mask)
    y = y.nan_to_num()
    learner = memory(SlotMemory, regression=True).double().clone(tasks=TASKS)
    by_loss = memory(SlotMemory, regression=True).double()
    by_loss.module = learner.module
    by_loss = by_loss.clone(tasks=TASKS)
    learner.write(x, y, times=1, mask=mask)
    by_loss.adapt(mean_squared_error(by_loss(x), y, mask), mask=mask)
    torch.testing.assert_close(by_loss.state.memory, learner.state.memory)
    assert by_loss.state.written.tolist() == [3, 2]


@pytest.mark.parametrize("name", ["ProtoNet", "R2D2", "ProtoMAML", "delta", *REGRESSION])
def test_bad_masks(name):
    mask = torch.ones(TASKS, ROWS).bool()
    x, y = batch(name, mask)
    learner = LEARNERS[name]().double().clone(tasks=TASKS)
    with pytest.raises(ShapeError, match=r"\.write: mask must have shape"):
        learner.write(x, y, mask=mask[:, :2])
    with pytest.raises(ArgumentTypeError, match=r"\.write: mask must be a bool"):
        learner.write(x, y, mask=mask.int())
