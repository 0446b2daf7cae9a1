"""Learned dropout in a learner: the outer loop trains the rate, but the inner loop does not."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import BOIL, MAML
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import LearnedDropout
from tests.algorithms.finite_differences import central_difference

WAYS, TASKS = 3, 4
RATE = "encoder.dropout.log_odds"


def classifier(under_vmap=False, rate=0.3, temperature=0.5):
    torch.manual_seed(0)
    dropout = LearnedDropout(rate, temperature)
    model = SequenceClassifier(WAYS, input_size=2, hidden_size=4, dropout=dropout).double()
    if under_vmap:  # a layer without the task axis
        model.head = nn.Linear(4, WAYS).double()
    return model


@pytest.fixture
def batch():
    """Real-valued sequences: support and query `(N, B, S, F)` with labels `(N, B)`."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, TASKS, 6, 4, 2, generator=generator, dtype=torch.float64)
    y = torch.arange(6).remainder(WAYS).expand(TASKS, 6)
    return x[0], y, x[1], y


def outer(learner, batch, tasks, steps=2):
    """Adapt with dropout, and return the sum of the query losses without dropout."""
    torch.manual_seed(7)
    total = 0
    for x, y, query_x, query_y in [batch] if tasks else zip(*batch, strict=True):
        clone = learner.clone(tasks=tasks)
        for _ in range(steps):
            clone.adapt(cross_entropy(clone(x), y))
        clone.eval()
        total = total + cross_entropy(clone(query_x), query_y).sum()
    return total


@pytest.mark.parametrize("tasks", [None, TASKS])
@pytest.mark.parametrize("under_vmap", [False, True], ids=["direct", "vmap"])
def test_the_meta_gradient_of_the_rate_is_a_finite_difference(batch, under_vmap, tasks):
    """The query loss has no dropout, so the gradient comes only through the inner steps."""
    learner = MAML(classifier(under_vmap), 0.5)
    log_odds = learner.module.encoder.dropout.log_odds
    outer(learner, batch, tasks).backward()
    difference = central_difference(
        lambda: outer(learner, batch, tasks), [log_odds], [torch.ones_like(log_odds)]
    )
    assert log_odds.grad.item() != 0
    assert difference == pytest.approx(log_odds.grad.item(), rel=1e-5, abs=1e-9)


def test_without_the_second_derivative_the_rate_has_no_gradient(batch):
    learner = MAML(classifier(), 0.5, first_order=True)
    outer(learner, batch, TASKS).backward()
    assert learner.module.encoder.dropout.log_odds.grad is None


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_the_inner_loop_does_not_change_the_rate(batch, gradient_name, tasks, learners):
    learner = learners[gradient_name](classifier())
    x, y = (batch[0], batch[1]) if tasks else (batch[0][0], batch[1][0])
    clone = learner.clone(tasks=tasks)
    for _ in range(3):
        clone.adapt(cross_entropy(clone(x), y))
    before, after = (dict(each.module.named_parameters()) for each in (learner, clone))
    assert (after[RATE] == before[RATE]).all()
    assert any((after[n] != p).any() for n, p in before.items())


def test_adapting_an_enclosing_module_excludes_the_rate(batch):
    learner = MAML(classifier(), 0.3, adapts=["encoder", "head"])
    assert RATE not in learner.adapted
    clone = learner.clone()
    clone.adapt(cross_entropy(clone(batch[0][0]), batch[1][0]))
    before = learner.module.encoder.dropout.log_odds
    assert torch.equal(clone.module.encoder.dropout.log_odds, before)


def test_an_unused_rate_is_allowed(batch):
    """In evaluation mode, the loss does not depend on the rate."""
    clone = MAML(classifier().eval(), 0.3).clone(tasks=TASKS)
    clone.adapt(cross_entropy(clone(batch[0]), batch[1]))


def test_a_frozen_rate_is_allowed(batch):
    model = classifier()
    model.encoder.dropout.requires_grad_(False)
    clone = MAML(model, 0.3).clone(tasks=TASKS)
    clone.adapt(cross_entropy(clone(batch[0]), batch[1]))


@pytest.mark.parametrize("name", ["encoder.dropout", RATE])
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_a_named_rate_adapts(batch, name, tasks):
    learner = MAML(classifier(), 0.3, adapts=["head", name])
    assert learner.adapted == {"head.weight", "head.bias", RATE}
    x, y = (batch[0], batch[1]) if tasks else (batch[0][0], batch[1][0])
    clone = learner.clone(tasks=tasks)
    clone.adapt(cross_entropy(clone(x), y))
    log_odds = clone.module.encoder.dropout.log_odds
    assert log_odds.shape == (() if tasks is None else (TASKS,))
    assert (log_odds != learner.module.encoder.dropout.log_odds).all()
    assert len(set(log_odds.flatten().tolist())) == (tasks or 1)


def test_names_of_adapted_parameters():
    model = classifier()
    every = {name for name, _ in model.named_parameters()}
    assert MAML(model, 0.1).adapted == every - {RATE}
    body = {name for name in every if name.startswith("encoder.")} - {RATE}
    assert MAML(model, 0.1, adapts="encoder").adapted == body == BOIL(model, 0.1).adapted
    assert MAML(SequenceClassifier(WAYS, input_size=2), 0.1).adapted is None
    with pytest.raises(
        ArgumentError, match="no parameter '0' and no module of that name with parameters to adapt"
    ):
        MAML(nn.Sequential(nn.Sequential(LearnedDropout(0.5)), model), 0.1, adapts="0")


def test_a_dropout_used_twice_is_excluded_twice():
    dropout = LearnedDropout(0.5)
    model = nn.Sequential(nn.Linear(2, 2), dropout, nn.Sequential(nn.Linear(2, 2), dropout))
    assert not any("log_odds" in name for name in MAML(model, 0.1).adapted)


def test_children_of_an_outer_loop_module_are_excluded():
    class Outer(nn.Module):
        inner_loop = False

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

    model = nn.ModuleDict({"outer": Outer(), "head": nn.Linear(2, 2)})
    assert MAML(model, 0.1).adapted == {"head.weight", "head.bias"}
    named = MAML(model, 0.1, adapts="outer.layer").adapted
    assert named == {"outer.layer.weight", "outer.layer.bias"}
    model["outer"].layer.weight = model["head"].weight  # tied to one that adapts
    assert MAML(model, 0.1).adapted == {"outer.layer.weight", "head.bias"}
