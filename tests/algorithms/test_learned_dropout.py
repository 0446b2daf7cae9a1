"""A learned dropout in a learner: the outer loop trains its rate, the inner loop does not."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import (
    ANIL,
    BOIL,
    MAML,
    MAMLPlusPlus,
    MetaCurvature,
    MetaSGD,
    ProtoMAML,
    ProximalRegularizer,
    Reptile,
)
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import LearnedDropout

WAYS, TASKS = 3, 4
RATE = "encoder.dropout.log_odds"

LEARNERS = {
    "MAML": lambda model: MAML(model, 0.3),
    "MAML, pull and momentum": lambda model: MAML(
        model, 0.3, regularizer=ProximalRegularizer(model, 0.5), momentum=0.9, max_grad_norm=1.0
    ),
    "MAML, meta-curvature": lambda model: MAML(model, MetaCurvature(model, 0.3)),
    "MAML of the encoder": lambda model: MAML(model, 0.3, adapts=["encoder", "head"]),
    "MAML++": lambda model: MAMLPlusPlus(model, 0.3, 2),
    "MetaSGD": lambda model: MetaSGD(model, 0.3),
    "ANIL": lambda model: ANIL(model, 0.3),
    "BOIL": lambda model: BOIL(model, 0.3),
    "ProtoMAML": lambda model: ProtoMAML(model, 0.3),
    "Reptile": lambda model: Reptile(model, 0.3),
}


def make(foreign=False, rate=0.3, temperature=0.5):
    torch.manual_seed(0)
    dropout = LearnedDropout(rate, temperature)
    model = SequenceClassifier(WAYS, input_size=2, hidden_size=4, dropout=dropout).double()
    if foreign:  # a layer that knows no task axis
        model.head = nn.Linear(4, WAYS).double()
    return model


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, TASKS, 6, 4, 2, generator=generator, dtype=torch.float64)
    y = torch.arange(6).remainder(WAYS).expand(TASKS, 6)
    return x[0], y, x[1], y


def outer(learner, batch, tasks, steps=2):
    """The query losses of adapted clones, the support sets read with dropout alone."""
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
@pytest.mark.parametrize("foreign", [False, True], ids=["direct", "vmap"])
def test_the_rates_meta_gradient_is_a_finite_difference(batch, foreign, tasks):
    """The query is read without dropout: all of the gradient comes through the inner steps."""
    learner = MAML(make(foreign), 0.5)
    log_odds = learner.module.encoder.dropout.log_odds
    outer(learner, batch, tasks).backward()
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            log_odds += step
        ends.append(outer(learner, batch, tasks).item())
    assert log_odds.grad.item() != 0
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(log_odds.grad.item(), rel=1e-5, abs=1e-9)


def test_without_the_second_derivative_the_rate_has_no_gradient(batch):
    learner = MAML(make(), 0.5, first_order=True)
    outer(learner, batch, TASKS).backward()
    assert learner.module.encoder.dropout.log_odds.grad is None


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_the_inner_loop_leaves_the_rate(batch, name, tasks):
    learner = LEARNERS[name](make())
    x, y = (batch[0], batch[1]) if tasks else (batch[0][0], batch[1][0])
    clone = learner.clone(tasks=tasks)
    for _ in range(3):
        clone.adapt(cross_entropy(clone(x), y))
    before, after = (dict(each.module.named_parameters()) for each in (learner, clone))
    assert (after[RATE] == before[RATE]).all()
    assert any((after[n] != p).any() for n, p in before.items())


def test_a_rate_that_plays_no_part_is_no_error(batch):
    """In evaluation the loss does not depend on it."""
    clone = MAML(make().eval(), 0.3).clone(tasks=TASKS)
    clone.adapt(cross_entropy(clone(batch[0]), batch[1]))


def test_a_frozen_rate_is_no_error(batch):
    model = make()
    model.encoder.dropout.requires_grad_(False)
    clone = MAML(model, 0.3).clone(tasks=TASKS)
    clone.adapt(cross_entropy(clone(batch[0]), batch[1]))


@pytest.mark.parametrize("name", ["encoder.dropout", RATE])
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_a_rate_that_is_named_adapts(batch, name, tasks):
    learner = MAML(make(), 0.3, adapts=["head", name])
    assert learner.adapted == {"head.weight", "head.bias", RATE}
    x, y = (batch[0], batch[1]) if tasks else (batch[0][0], batch[1][0])
    clone = learner.clone(tasks=tasks)
    clone.adapt(cross_entropy(clone(x), y))
    log_odds = clone.module.encoder.dropout.log_odds
    assert log_odds.shape == (() if tasks is None else (TASKS,))
    assert (log_odds != learner.module.encoder.dropout.log_odds).all()
    assert len(set(log_odds.flatten().tolist())) == (tasks or 1)


def test_what_adapts_where_a_module_leaves_its_own_to_the_outer_loop():
    model = make()
    every = {name for name, _ in model.named_parameters()}
    assert MAML(model, 0.1).adapted == every - {RATE}
    body = {name for name in every if name.startswith("encoder.")} - {RATE}
    assert MAML(model, 0.1, adapts="encoder").adapted == body == BOIL(model, 0.1).adapted
    assert MAML(SequenceClassifier(WAYS, input_size=2), 0.1).adapted is None
    with pytest.raises(
        ArgumentError, match="no parameter '0' and no module of that name with parameters to adapt"
    ):
        MAML(nn.Sequential(nn.Sequential(LearnedDropout(0.5)), model), 0.1, adapts="0")


def test_one_dropout_at_two_places_is_left_at_both():
    dropout = LearnedDropout(0.5)
    model = nn.Sequential(nn.Linear(2, 2), dropout, nn.Sequential(nn.Linear(2, 2), dropout))
    assert not any("log_odds" in name for name in MAML(model, 0.1).adapted)


def test_the_children_of_such_a_module_are_left_too():
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
