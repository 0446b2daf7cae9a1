"""A support set passed in slices gives the same step as the whole set, for every learner."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, ProtoMAML
from l2l_rnn.errors import AdaptationError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.nn import Linear

WAYS, TASKS, BATCH = 3, 4, 6
SLICES = [2, 3, 1]


def parts(learner, x, y):
    """Yield the losses of the slices, each computed when requested."""
    for part_x, part_y in zip(x.split(SLICES, -2), y.split(SLICES, -1), strict=True):
        yield cross_entropy(learner(part_x), part_y) * part_y.shape[-1] / BATCH


def step(learner, x, y, sliced):
    if not sliced:
        learner.adapt(cross_entropy(learner(x), y))
        return
    for index, loss in enumerate(parts(learner, x, y), start=1):
        (learner.adapt if index == len(SLICES) else learner.accumulate)(loss)


@pytest.fixture
def take_steps(outer_loss):
    """A function that takes two steps and returns adapted parameters and meta-gradients."""

    def take_steps(learner, batch, sliced, tasks, first_order=False):
        x, y, query_x, query_y = batch if tasks else [part[0] for part in batch]
        clone = learner.clone(first_order=first_order or None, tasks=tasks)
        if isinstance(clone, ProtoMAML):
            clone.write(x, y)
        for _ in range(2):
            step(clone, x, y, sliced)
        assert clone.steps_taken == 2
        outer_loss(clone, query_x, query_y).sum().backward()
        adapted = {n: p.detach() for n, p in clone.module.named_parameters()}
        return adapted, {n: p.grad for n, p in learner.named_parameters() if p.grad is not None}

    return take_steps


def close(found, wanted):
    assert list(found) == list(wanted)
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("tasks", [None, TASKS])
@pytest.mark.parametrize("first_order", [False, True], ids=["second-order", "first-order"])
def test_slices_take_the_step_of_the_whole(
    gradient_name, first_order, tasks, make, take_steps, batch
):
    found, expected = (
        take_steps(make(gradient_name), batch, sliced, tasks, first_order)
        for sliced in (True, False)
    )
    for ours, theirs in zip(found, expected, strict=True):
        close(ours, theirs)
    assert any(g.abs().max() > 0 for g in expected[1].values())


def test_slices_of_a_model_under_vmap(make, take_steps, batch):
    found, expected = [], []
    for results, sliced in ((found, True), (expected, False)):
        learner = make("MAML")
        torch.manual_seed(1)
        learner.module.head = nn.Linear(4, WAYS).double()  # a layer without the task axis
        results += take_steps(learner, batch, sliced, TASKS)
    for ours, theirs in zip(found, expected, strict=True):
        close(ours, theirs)


def parameters(learner):
    return {n: p.detach().clone() for n, p in learner.module.named_parameters()}


def test_parameters_do_not_change_before_the_step(make, batch):
    clone = make("MAML, momentum").clone(tasks=TASKS)
    before = parameters(clone)
    for loss in parts(clone, *batch[:2]):
        clone.accumulate(loss)
    assert clone.steps_taken == 0
    close(parameters(clone), before)


def test_with_first_order_the_graph_of_a_slice_is_freed(make, batch):
    clone = make("MAML, first order").clone(tasks=TASKS)
    loss = cross_entropy(clone(batch[0]), batch[1]).sum()
    clone.accumulate(loss)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_a_call_may_override_the_order(make, batch):
    learner = make("MAML")
    clone = learner.clone(tasks=TASKS)
    clone.accumulate(cross_entropy(clone(batch[0]), batch[1]), first_order=True)
    assert not any(g.requires_grad for g in clone._pending.values())


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_a_clone_keeps_accumulated_gradients_and_is_independent(make, batch, tasks):
    x, y = batch[:2] if tasks else (batch[0][0], batch[1][0])
    learner, whole = make("MAML").clone(tasks=tasks), make("MAML").clone(tasks=tasks)
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
def test_tasks_start_with_the_gradients_that_their_parent_accumulated(make, batch, kind):
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
def test_an_error_keeps_accumulated_gradients(make, batch, tasks):
    x, y = batch[:2] if tasks else (batch[0][0], batch[1][0])
    learner, whole = make("MAML").clone(tasks=tasks), make("MAML").clone(tasks=tasks)
    step(whole, x, y, sliced=False)
    for index, loss in enumerate(parts(learner, x, y), start=1):
        for call in (learner.accumulate, learner.adapt):
            with pytest.raises(AdaptationError, match="nan"):
                call(loss * float("nan"))
            with pytest.raises(AdaptationError, match="does not depend on parameter"):
                call(torch.ones((), requires_grad=True))
        (learner.adapt if index == len(SLICES) else learner.accumulate)(loss)
    close(parameters(learner), parameters(whole))


def test_a_non_finite_gradient_raises_at_its_slice():
    model = Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    learner = MAML(model, 0.1).clone(tasks=3)
    x = torch.tensor([[[1.0]], [[0.0]], [[1.0]]])  # the square root has an infinite slope at 0
    with pytest.raises(AdaptationError, match=r"^MAML\.accumulate: the gradient of task 1 is NaN"):
        learner.accumulate(learner(x).abs().sqrt().sum((1, 2)))
    assert not learner._pending


def test_a_parameter_that_only_some_slices_use(make, batch):
    x, y = batch[:2]
    moved = []
    for order in (1, -1):
        learner = make("MAML").clone(allow_unused=True, tasks=TASKS)
        losses = [
            cross_entropy(learner(x), y),
            learner.module.head.bias.square().sum(-1),
        ][::order]
        learner.accumulate(losses[0])
        learner.adapt(losses[1])
        moved.append(parameters(learner))
    close(moved[0], moved[1])
    whole = make("MAML").clone(tasks=TASKS)
    whole.adapt(cross_entropy(whole(x), y) + whole.module.head.bias.square().sum(-1))
    close(moved[0], parameters(whole))


def test_protomaml_needs_its_head_first(make, batch):
    x, y = batch[:2]
    learner = make("ProtoMAML").clone(tasks=TASKS)
    loss = cross_entropy(learner(x), y)
    with pytest.raises(AdaptationError, match=r"^ProtoMAML\.accumulate: the head is not set"):
        learner.accumulate(loss)
    learner.adapt(loss)
    learner.accumulate(cross_entropy(learner(x), y))
    learner.write(x, y)
    assert not learner._pending
