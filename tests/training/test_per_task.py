"""Losses and scores of any kind have the same values for each task, with and without padding."""

import functools

import learn2learn as l2l
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import MAML, MemoryLearner, ProtoNet
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ArgumentError, DataError, ShapeError
from l2l_rnn.functional import binary_cross_entropy, cross_entropy
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel
from l2l_rnn.training import Pretrained, adaptation_curve, adapted, evaluate, shots_curve
from l2l_rnn.training.learning.objective import query_losses
from l2l_rnn.training.per_task import PerTask
from tests.training.evaluation.learners import dataset

WAYS = 5


def of_masks(outputs, targets, mask):
    return cross_entropy(outputs, targets, mask)


def of_tasks(outputs, targets):
    """Takes the task axis, but no mask."""
    losses = F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none")
    return losses.reshape(targets.shape).mean(-1)


def of_one(outputs, targets, mask=None):
    """Takes a mask, but no task axis."""
    if mask is not None:
        outputs, targets = outputs[mask], targets[mask]
    return F.cross_entropy(outputs, targets)


LOSSES = {
    "torch": F.cross_entropy,
    "module": nn.CrossEntropyLoss(),
    "partial": functools.partial(F.cross_entropy, reduction="mean"),
    "ours": cross_entropy,
    "any arguments": lambda *args, **options: cross_entropy(*args, **options),
    "tasks": of_tasks,
    "masks": of_masks,
    "one": of_one,
    "float": lambda o, y: F.cross_entropy(o, y).item(),
}


def batch_of(tasks=4, padded=False):
    torch.manual_seed(0)
    x, y = torch.randn(tasks, WAYS, 3), torch.arange(WAYS).expand(tasks, WAYS)
    mask = None
    if padded:
        mask = torch.ones(tasks, WAYS, dtype=torch.bool)
        mask[1, 3:] = mask[2, 1] = False
    return TaskBatch(x, y, x + 0.1, y, support_mask=mask, query_mask=mask)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("order", [(False, True), (True, False)])
def test_values_are_those_of_each_task_in_any_order_of_masks(loss, order):
    each = PerTask(loss, "evaluate", "loss")
    for padded in order:
        batch = batch_of(padded=padded)
        y = batch.support_y
        outputs = torch.randn(4, WAYS, WAYS)
        values = each(outputs, y, batch.support_mask)
        masks = [slice(None)] * 4 if batch.support_mask is None else batch.support_mask
        wanted = [F.cross_entropy(outputs[n][masks[n]], y[n][masks[n]]) for n in range(4)]
        torch.testing.assert_close(values, torch.stack(wanted))


def test_as_many_rows_as_the_probe_has_tasks():
    outputs, targets = torch.randn(3, 2, 1), torch.randn(3, 2, 1)
    each = PerTask(lambda o, y: (o - y).square().mean(0).squeeze(), "evaluate", "loss")
    wanted = (outputs - targets).square().mean((1, 2))
    torch.testing.assert_close(each(outputs, targets), wanted)


def test_several_values_for_one_task_are_refused():
    with pytest.raises(ShapeError, match="evaluate: score 'f' must return one value per task"):
        PerTask(lambda o, y: o, "evaluate", "score 'f'")(torch.zeros(3, 2, 1), torch.zeros(3, 2, 1))


def test_bits_with_a_mask():
    logits, bits = torch.randn(2, 4, 3, 2), torch.randint(2, (2, 4, 3, 2)).float()
    mask = torch.tensor([[True, True, False, True], [True, True, True, True]])
    found = binary_cross_entropy(logits.masked_fill(~mask[..., None, None], torch.nan), bits, mask)
    for n in range(2):
        wanted = F.binary_cross_entropy_with_logits(logits[n][mask[n]], bits[n][mask[n]])
        torch.testing.assert_close(found[n], wanted)
    with pytest.raises(ShapeError, match="mask must have shape"):
        binary_cross_entropy(logits, bits, mask[:, :2])


def linear():
    torch.manual_seed(1)
    return nn.Linear(3, WAYS)


def memory():
    encoder = nn.Linear(3, 4)
    encoder.output_size = 4
    model = MemoryModel(encoder, DeltaFastWeights(4, WAYS))
    return MemoryLearner(model, lr=0.1)


LEARNERS = {
    "MAML": lambda: MAML(linear(), 0.5),
    "learn2learn": lambda: l2l.algorithms.MAML(linear(), 0.5),
}


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.parametrize("loss", [F.cross_entropy, of_masks, of_tasks, of_one])
@pytest.mark.parametrize("padded", [False, True])
def test_adaptation_does_not_depend_on_the_kind_of_loss(make, loss, padded):
    batch, learner = batch_of(padded=padded), make()
    x, y, *_ = batch
    mask = batch.support_mask
    outputs = adapted(learner, x, y, tasks=4, steps=3, loss=loss, mask=mask)(x)
    for n in range(4):
        rows = slice(None) if mask is None else mask[n]
        copy = learner.clone()
        for _ in range(3):
            copy.adapt(F.cross_entropy(copy(x[n][rows]), y[n][rows]))
        torch.testing.assert_close(outputs[n], copy(x[n]))
        one = None if mask is None else mask[n]
        alone = adapted(learner, x[n], y[n], steps=3, loss=loss, mask=one)
        torch.testing.assert_close(alone(x[n]), copy(x[n]))


def test_pretrained_losses_take_masks():
    x, y = torch.randn(4, 2, 3), torch.randint(2, (4, 2, 3)).float()
    mask = torch.tensor([True, True, False, True])
    model = Pretrained(MAML(nn.Linear(3, 3), 0.5), loss="binary_cross_entropy")
    torch.testing.assert_close(
        model.adapted(x, y, mask=mask)(x), model.adapted(x[mask], y[mask])(x)
    )


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_evaluations_do_not_depend_on_the_tasks_at_once(make):
    torch.manual_seed(0)
    x = torch.randn(8, 10, 1)
    batch = TaskBatch(x, x.sin(), x, x.sin())
    model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1))
    learner = MAML(model, 0.1) if make is LEARNERS["MAML"] else l2l.algorithms.MAML(model, 0.1)
    wanted = evaluate(learner, batch, steps=5).mean
    for size in (1, 2, 8):
        options = {"loss": nn.MSELoss(), "score": F.mse_loss, "tasks_at_once": size}
        assert evaluate(learner, batch, steps=5, **options).mean == pytest.approx(wanted)
        curve = adaptation_curve(learner, batch, steps=(0, 5), **options)
        assert curve.means[1] == pytest.approx(wanted)


def test_losses_and_scores_of_torch_with_padding():
    learner, batch = LEARNERS["MAML"](), batch_of(padded=True)
    found = evaluate(learner, batch, steps=2, loss=F.cross_entropy, score=F.cross_entropy)
    wanted = evaluate(learner, batch, steps=2, score="nll")
    assert found.per_task["cross_entropy"] == pytest.approx(wanted.per_task["nll"])
    losses, _ = query_losses(learner, batch, loss=F.cross_entropy, steps=2)
    assert losses.tolist() == pytest.approx(wanted.per_task["nll"])


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_padding_is_kept_out_of_batch_normalization(make):
    batch, learner = batch_of(padded=True), make()
    learner.module = nn.Sequential(nn.BatchNorm1d(3), linear())
    x, y, mask = batch.support_x, batch.support_y, batch.support_mask
    alone = adapted(learner, x[1], y[1], mask=mask[1])(x[1])
    torch.testing.assert_close(alone, adapted(learner, x[1][:3], y[1][:3])(x[1]))
    match = "statistics of the batch, got rows of padding, which would change them in module.0"
    with pytest.raises(ArgumentError, match=match):
        query_losses(learner, batch)
    if make is LEARNERS["MAML"]:
        with pytest.raises(ArgumentError, match=match):
            adapted(learner, x, y, tasks=4, mask=mask)
    else:
        torch.testing.assert_close(adapted(learner, x, y, tasks=4, mask=mask)(x)[1], alone)
    assert evaluate(learner, batch).tasks == 4  # running statistics are not changed by padding
    learner.module[0] = nn.BatchNorm1d(3, track_running_stats=False)
    with pytest.raises(ArgumentError, match=f"evaluate: .*{match}"):
        evaluate(learner, batch)


EMPTY = {
    **LEARNERS,
    "ProtoNet": lambda: ProtoNet(linear(), WAYS),
    "memory": memory,
}


@pytest.mark.parametrize("make", EMPTY.values(), ids=EMPTY)
def test_empty_support_sets_are_refused(make):
    x, y, *_ = batch_of()
    mask = torch.ones_like(y, dtype=torch.bool)
    mask[2] = False
    for options in ({"mask": mask}, {}):
        rows = slice(None) if options else slice(0)
        task = "2" if options else "0, 1, 2, …"
        with pytest.raises(DataError, match=f"support set, got an empty one in task {task};"):
            adapted(make(), x[:, rows], y[:, rows], tasks=4, **options)
    for options in ({"mask": mask[2]}, {}):
        rows = slice(None) if options else slice(0)
        with pytest.raises(DataError, match="support set, got an empty one in task 0;"):
            adapted(make(), x[0][rows], y[0][rows], **options)


def test_shots_curve_with_a_loss_of_torch():
    torch.manual_seed(0)
    learner = MAML(nn.Sequential(nn.Flatten(-2), nn.Linear(8, 3)), 0.5)
    options = {"tasks": 4, "ways": 3, "queries": 2, "steps": 2}
    found = shots_curve(learner, dataset(), (1, 2), loss=F.cross_entropy, score="nll", **options)
    assert found.means == pytest.approx(
        shots_curve(learner, dataset(), (1, 2), score="nll", **options).means
    )
