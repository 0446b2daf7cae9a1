"""ProtoNet rejects invalid input, and the learner is then unchanged."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.errors import (
    AdaptationError,
    ArgumentError,
    ArgumentTypeError,
    L2LRNNError,
    ShapeError,
)
from tests.algorithms.protonets import BATCH, TASKS, WAYS, data, make


@pytest.mark.parametrize("ways", [0, -1, 2.0, "2", None, True])
def test_bad_ways(ways):
    with pytest.raises(ArgumentError, match="ways must be a positive integer"):
        ProtoNet(nn.Identity(), ways)


@pytest.fixture
def learner():
    learner = make().clone()
    learner.write(*data())
    return learner


def assert_unchanged(learner, before):
    assert torch.equal(learner.prototypes, before)
    x, y = data(seed=4)
    learner.adapt(F.cross_entropy(learner(x), y))
    assert not torch.equal(learner.prototypes, before)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.full((BATCH,), WAYS), ArgumentError, r"labels must be from 0 to 2, got 3 to 3"),
        (torch.full((BATCH,), -1), ArgumentError, r"got -1 to -1"),
        (torch.zeros(BATCH - 1).long(), ShapeError, r"y must have shape \(9,\).*got \(8,\)"),
        (torch.zeros(BATCH, 1).long(), ShapeError, r"got \(9, 1\)"),
        (torch.zeros(BATCH), ArgumentTypeError, r"float32"),
    ],
)
def test_bad_labels_change_nothing(learner, labels, error, message):
    before = learner.prototypes
    with pytest.raises(error, match=message) as caught:
        learner.write(data()[0], labels)
    assert str(caught.value).startswith("ProtoNet.write: ")
    assert_unchanged(learner, before)


@pytest.mark.parametrize(
    "spoil", [lambda v: v * float("nan"), lambda v: v / 0, torch.Tensor.detach]
)
def test_a_bad_loss_changes_nothing(learner, spoil):
    x, y = data(seed=3)
    before = learner.prototypes
    with pytest.raises(AdaptationError, match="finite and have a graph"):
        learner.adapt(spoil(F.cross_entropy(learner(x), y)))
    assert_unchanged(learner, before)


def test_the_loss_must_be_a_tensor(learner):
    before = learner.prototypes
    learner(data()[0])
    with pytest.raises(L2LRNNError, match=r"^ProtoNet\.adapt: "):
        learner.adapt(1.0)
    assert_unchanged(learner, before)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_must_be_enabled(learner, off):
    x, y = data(seed=3)
    before = learner.prototypes
    with pytest.raises(AdaptationError), off():
        learner.adapt(F.cross_entropy(learner(x), y))
    assert_unchanged(learner, before)


def test_adapt_needs_outputs_first(learner):
    x, y = data(seed=3)
    before = learner.prototypes
    with pytest.raises(AdaptationError, match="call the learner on the support set first"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))
    loss = F.cross_entropy(learner(x), y)
    learner(x)  # the loss is not of these outputs
    with pytest.raises(AdaptationError, match="does not depend on the learner's last outputs"):
        learner.adapt(loss)
    assert_unchanged(learner, before)


def test_prototypes_of_tasks_need_inputs_of_tasks():
    learner = make().clone()
    x, y = data(TASKS)
    learner.write(x, y)
    with pytest.raises(ShapeError, match="ProtoNet"):
        learner(data(2)[0])
