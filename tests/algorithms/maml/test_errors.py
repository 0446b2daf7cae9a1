"""MAML rejects invalid input, and the learner is then unchanged."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.nn import GRU, Linear

TASKS = 4


BAD = {
    "nan": (lambda good: good * float("nan"), AdaptationError, "the loss is .*nan"),
    "inf": (lambda good: good / 0, AdaptationError, "the loss is .*inf"),
    "no graph": (lambda good: good.detach(), AdaptationError, "no graph"),
    "shape": (lambda good: good + torch.zeros(6, TASKS), ShapeError, r"got shape \(6, 4\)"),
    "number": (lambda good: 1.0, ArgumentTypeError, "must be a tensor, got float"),
}


def still_works(helpers, learner, loss, before):
    assert helpers.same_parameters(learner, before)
    assert all(getattr(p, "update", None) is None for p in learner.parameters())
    learner.adapt(loss())
    assert not helpers.same_parameters(learner, before)
    assert loss().isfinite().all()


@pytest.mark.parametrize("call", ["adapt", "accumulate"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_loss_changes_nothing(adapting, kind, call, helpers):
    learner, loss = adapting
    spoil, error, message = BAD[kind]
    before = helpers.snapshot(learner)
    with pytest.raises(error, match=message) as caught:
        getattr(learner, call)(spoil(loss()))
    assert str(caught.value).startswith(f"MAML.{call}: ")
    still_works(helpers, learner, loss, before)


def test_one_bad_task_of_many_raises(adapting, helpers):
    learner, loss = adapting
    if learner.tasks is None:
        pytest.skip("one task")
    before = helpers.snapshot(learner)
    spoiled = loss() * torch.tensor([1.0, float("nan"), 1.0, 1.0])
    with pytest.raises(AdaptationError, match="nan"):
        learner.adapt(spoiled)
    still_works(helpers, learner, loss, before)


def test_a_loss_for_each_task_needs_a_task_axis(helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    learner = MAML(ours, lr=0.3).clone()
    with pytest.raises(ShapeError, match=r"loss must be a scalar, got shape \(6,\)"):
        learner.adapt(nn.functional.cross_entropy(learner(x[0]), y[0], reduction="none"))
    learner.adapt(cross_entropy(learner(x[0]), y[0]).reshape(1))  # learn2learn accepts it too


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_must_be_enabled(adapting, off, helpers):
    learner, loss = adapting
    before = helpers.snapshot(learner)
    with pytest.raises(AdaptationError, match="gradients are disabled"), off():
        learner.adapt(loss())
    good = loss()
    with pytest.raises(AdaptationError, match="gradients are disabled"), off():
        learner.adapt(good)
    with off():
        blind = loss()
    with pytest.raises(AdaptationError, match="no graph"):
        learner.adapt(blind)
    still_works(helpers, learner, loss, before)


def test_an_unused_parameter_is_named(adapting, helpers):
    learner, loss = adapting
    learner.module.spare = Linear(2, 1).double()
    before = helpers.snapshot(learner)
    with pytest.raises(
        AdaptationError, match=r"on parameter 'spare\.weight', 'spare\.bias'; .*allow_unused"
    ):
        learner.adapt(loss())
    assert helpers.same_parameters(learner, before)
    spare = learner.module.spare.weight
    learner.adapt(loss(), allow_unused=True)
    assert learner.module.spare.weight is spare
    assert not helpers.same_parameters(learner, before)


def test_the_loss_of_another_learner_raises(adapting, helpers):
    learner, loss = adapting
    other = learner.clone()
    before = helpers.snapshot(other)
    with pytest.raises(AdaptationError, match=r"does not depend on parameter .* and 3 more"):
        other.adapt(loss())
    assert helpers.same_parameters(other, before)


@pytest.mark.parametrize("many", [None, TASKS])
def test_a_frozen_parameter_is_named(many, helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    ours.lstm.weight_hh_l0.requires_grad_(False)
    learner = MAML(ours, lr=0.3).clone(tasks=many)
    if many is None:
        x, y = x[0], y[0]
    before = helpers.snapshot(learner)
    with pytest.raises(AdaptationError, match=r"'lstm\.weight_hh_l0' .*allow_nograd"):
        learner.adapt(cross_entropy(learner(x), y))
    assert helpers.same_parameters(learner, before)
    learner.adapt(cross_entropy(learner(x), y), allow_nograd=True)
    moved = {n for n, p in learner.state_dict().items() if not torch.equal(p, before[n])}
    assert moved == set(before) - {"module.lstm.weight_hh_l0"}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("model", 0.1), ArgumentTypeError, "must be a torch.nn.Module, got str"),
        (
            (nn.Linear(1, 1), float("nan")),
            ArgumentError,
            "lr must be a finite number, got nan; .* GradientTransform",
        ),
        (
            (nn.Linear(1, 1), float("inf")),
            ArgumentError,
            "lr must be a finite number, got inf; .* GradientTransform",
        ),
        ((nn.Linear(1, 1), "0.1"), (ArgumentError, ArgumentTypeError), "lr must be .*'0.1'"),
        ((nn.Linear(1, 1), None), (ArgumentError, ArgumentTypeError), "lr must be .*None"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        MAML(*arguments)


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", True])
def test_bad_number_of_tasks(count):
    with pytest.raises(ArgumentError, match="tasks must be a positive integer"):
        MAML(nn.Linear(1, 1), lr=0.1).clone(tasks=count)


def test_a_learner_of_tasks_cannot_be_cloned_for_tasks():
    learner = MAML(Linear(2, 2), lr=0.1).clone(tasks=2)
    with pytest.raises(ArgumentError, match="already holds 2 tasks"):
        learner.clone(tasks=3)


def test_inputs_without_the_task_axis_raise():
    learner = MAML(GRU(2, 3, batch_first=True), lr=0.1).clone(tasks=4)
    with pytest.raises(ShapeError, match=r"N=4 .*got shape \(3, 5, 2\)"):
        learner(torch.zeros(3, 5, 2))


def test_messages_name_the_subclass(helpers):
    with pytest.raises(AdaptationError, match=r"^Extended\.adapt: "):
        helpers.Extended(Linear(2, 2), 0.1, "").clone().adapt(torch.tensor(1.0))
