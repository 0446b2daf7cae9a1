"""A support set in slices takes the same step as the whole, for every learner."""

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
    PerTensorLR,
    ProtoMAML,
    ProximalRegularizer,
    Reptile,
)
from l2l_rnn.errors import AdaptationError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import Linear

WAYS, TASKS, BATCH = 3, 4, 6
SLICES = [2, 3, 1]

LEARNERS = {
    "MAML": MAML,
    "MAML, clipped": lambda m, lr, **o: MAML(m, lr, max_grad_norm=0.1, **o),
    "MAML, momentum": lambda m, lr, **o: MAML(m, lr, momentum=0.9, **o),
    "MAML, pull": lambda m, lr, **o: MAML(m, lr, regularizer=ProximalRegularizer(m, 0.5), **o),
    "MAML, all of them": lambda m, lr, **o: MAML(
        m, lr, max_grad_norm=0.1, momentum=0.9, regularizer=ProximalRegularizer(m, 0.5), **o
    ),
    "MAML, rates": lambda m, lr, **o: MAML(m, PerTensorLR(m, lr, 2), **o),
    "MAML, meta-curvature": lambda m, lr, **o: MAML(m, MetaCurvature(m, lr), **o),
    "MAML++": lambda m, lr, **o: MAMLPlusPlus(m, lr, 2, **o),
    "MetaSGD": MetaSGD,
    "ANIL": ANIL,
    "BOIL": BOIL,
    "ProtoMAML": ProtoMAML,
    "Reptile": lambda m, lr, first_order: Reptile(m, lr),
}


@pytest.fixture
def batch():
    """Ragged tokens: support and query `(N, B, S)` with labels `(N, B)`."""
    generator = torch.Generator().manual_seed(1)
    sequences = torch.randint(1, 9, (2, TASKS, BATCH, 5), generator=generator)
    lengths = torch.randint(1, 6, (2, TASKS, BATCH, 1), generator=generator)
    sequences = sequences.masked_fill(torch.arange(5) >= lengths, 0)
    y = torch.arange(BATCH).remainder(WAYS).expand(TASKS, BATCH)
    return sequences[0], y, sequences[1], y


def make(kind="MAML", foreign=False, **options):
    torch.manual_seed(0)
    model = SequenceClassifier(WAYS, vocab_size=9, embedding_size=3, hidden_size=4)
    if foreign:
        model.head = nn.Linear(4, WAYS)
    return LEARNERS[kind](model.double(), 0.3, **options)


def parts(learner, x, y):
    """The losses of the slices, each computed when it is asked for."""
    for part_x, part_y in zip(x.split(SLICES, -2), y.split(SLICES, -1), strict=True):
        yield cross_entropy(learner(part_x), part_y) * part_y.shape[-1] / BATCH


def step(learner, x, y, sliced):
    if not sliced:
        learner.adapt(cross_entropy(learner(x), y))
        return
    for index, loss in enumerate(parts(learner, x, y), start=1):
        (learner.adapt if index == len(SLICES) else learner.accumulate)(loss)


def run(learner, batch, sliced, tasks):
    """Take two steps, backpropagate the outer loss, return adapted parameters and gradients."""
    x, y, query_x, query_y = batch if tasks else [part[0] for part in batch]
    clone = learner.clone(tasks=tasks)
    if isinstance(clone, ProtoMAML):
        clone.write(x, y)
    for _ in range(2):
        step(clone, x, y, sliced)
    assert clone.steps_taken == 2
    reptile = isinstance(clone, Reptile)
    loss = clone.distance() if reptile else cross_entropy(clone(query_x), query_y)
    loss.sum().backward()
    adapted = {n: p.detach() for n, p in clone.module.named_parameters()}
    return adapted, {n: p.grad for n, p in learner.named_parameters() if p.grad is not None}


def close(found, wanted):
    assert list(found) == list(wanted)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tasks", [None, TASKS])
@pytest.mark.parametrize("first_order", [False, True], ids=["second-order", "first-order"])
@pytest.mark.parametrize("kind", LEARNERS)
def test_slices_take_the_step_of_the_whole(batch, kind, first_order, tasks):
    found, wanted = (
        run(make(kind, first_order=first_order), batch, sliced, tasks) for sliced in (True, False)
    )
    for got, expected in zip(found, wanted, strict=True):
        close(got, expected)
    assert any(g.abs().max() > 0 for g in wanted[1].values())


def test_slices_of_a_foreign_model(batch):
    found, wanted = (run(make(foreign=True), batch, sliced, TASKS) for sliced in (True, False))
    for got, expected in zip(found, wanted, strict=True):
        close(got, expected)


def parameters(learner):
    return {n: p.detach().clone() for n, p in learner.module.named_parameters()}


def test_nothing_moves_before_the_step(batch):
    clone = make("MAML, momentum").clone(tasks=TASKS)
    before = parameters(clone)
    for loss in parts(clone, *batch[:2]):
        clone.accumulate(loss)
    assert clone.steps_taken == 0
    close(parameters(clone), before)


def test_of_first_order_a_slices_graph_is_freed(batch):
    clone = make(first_order=True).clone(tasks=TASKS)
    loss = cross_entropy(clone(batch[0]), batch[1]).sum()
    clone.accumulate(loss)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_a_call_may_override_the_order(batch):
    learner = make()
    clone = learner.clone(tasks=TASKS)
    clone.accumulate(cross_entropy(clone(batch[0]), batch[1]), first_order=True)
    assert not any(g.requires_grad for g in clone._pending.values())


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_a_clone_carries_what_is_pending_and_goes_its_own_way(batch, tasks):
    x, y = batch[:2] if tasks else (batch[0][0], batch[1][0])
    learner, whole = make().clone(tasks=tasks), make().clone(tasks=tasks)
    step(whole, x, y, sliced=False)
    *first, _ = (loss for loss in parts(learner, x, y))
    for loss in first:
        learner.accumulate(loss)
    twin = learner.clone()
    for each in (twin, learner):
        *_, last = parts(each, x, y)
        each.adapt(last)
        close(parameters(each), parameters(whole))
    step(learner, x, y, sliced=False)  # nothing of the first step is left
    step(whole, x, y, sliced=False)
    close(parameters(learner), parameters(whole))


@pytest.mark.parametrize("kind", ["MAML, clipped", "MAML, momentum"])
def test_tasks_begin_with_what_their_parent_accumulated(batch, kind):
    x, y = batch[:2]
    one = make(kind).clone()
    step(one, x[0], y[0], sliced=False)
    one.accumulate(cross_entropy(one(x[0]), y[0]))
    many = one.clone(tasks=TASKS)
    many.adapt(cross_entropy(many(x), y))
    for n in range(TASKS):
        single = one.clone()
        single.adapt(cross_entropy(single(x[n]), y[n]))
        close({k: p[n] for k, p in parameters(many).items()}, parameters(single))


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_a_failure_keeps_what_is_pending(batch, tasks):
    x, y = batch[:2] if tasks else (batch[0][0], batch[1][0])
    learner, whole = make().clone(tasks=tasks), make().clone(tasks=tasks)
    step(whole, x, y, sliced=False)
    for index, loss in enumerate(parts(learner, x, y), start=1):
        for call in (learner.accumulate, learner.adapt):
            with pytest.raises(AdaptationError, match="nan"):
                call(loss * float("nan"))
            with pytest.raises(AdaptationError, match="does not depend on parameter"):
                call(torch.ones((), requires_grad=True))
        (learner.adapt if index == len(SLICES) else learner.accumulate)(loss)
    close(parameters(learner), parameters(whole))


def test_a_gradient_that_is_not_finite_is_told_at_its_slice():
    model = Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    learner = MAML(model, 0.1).clone(tasks=3)
    x = torch.tensor([[[1.0]], [[0.0]], [[1.0]]])  # the root's slope at 0 is infinite
    with pytest.raises(AdaptationError, match=r"^MAML\.accumulate: the gradient of task 1 is NaN"):
        learner.accumulate(learner(x).abs().sqrt().sum((1, 2)))
    assert not learner._pending


def test_a_parameter_that_only_some_slices_use(batch):
    x, y = batch[:2]
    moved = []
    for order in (1, -1):
        learner = make(allow_unused=True).clone(tasks=TASKS)
        losses = [
            cross_entropy(learner(x), y),
            learner.module.head.bias.square().sum(-1),
        ][::order]
        learner.accumulate(losses[0])
        learner.adapt(losses[1])
        moved.append(parameters(learner))
    close(moved[0], moved[1])
    whole = make().clone(tasks=TASKS)
    whole.adapt(cross_entropy(whole(x), y) + whole.module.head.bias.square().sum(-1))
    close(moved[0], parameters(whole))


def test_protomaml_needs_its_head_first(batch):
    x, y = batch[:2]
    learner = make("ProtoMAML").clone(tasks=TASKS)
    loss = cross_entropy(learner(x), y)
    with pytest.raises(AdaptationError, match=r"^ProtoMAML\.accumulate: the head is not set"):
        learner.accumulate(loss)
    learner.adapt(loss)
    learner.accumulate(cross_entropy(learner(x), y))
    learner.write(x, y)
    assert not learner._pending
