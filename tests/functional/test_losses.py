"""Losses and scores against torch's losses, one task at a time."""

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError, ShapeError

TASKS = 2


def test_losses_are_means_within_each_task():
    logits, labels = torch.randn(TASKS, 5, 3), torch.randint(0, 3, (TASKS, 5))
    loss = functional.cross_entropy(logits, labels)
    score = functional.accuracy(logits, labels)
    assert loss.shape == score.shape == (TASKS,)
    for n in range(TASKS):
        torch.testing.assert_close(loss[n], F.cross_entropy(logits[n], labels[n]))
        torch.testing.assert_close(functional.cross_entropy(logits[n], labels[n]), loss[n])
        right = (logits[n].argmax(-1) == labels[n]).float().mean()
        torch.testing.assert_close(score[n], right)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 2], [-100, 1]])
def test_labels_outside_the_classes(labels):
    logits = torch.zeros(2, 2, 3)
    message = rf"labels must be from 0 to 2 for C=3 classes, got {labels[0]} to {labels[1]}"
    with pytest.raises(ArgumentError, match=rf"^cross_entropy: {message}"):
        functional.cross_entropy(logits, torch.tensor(labels).expand(2, 2))


def test_binary_cross_entropy_is_over_bits_with_a_target():
    logits, targets = torch.randn(TASKS, 5, 4, 3), torch.rand(TASKS, 5, 4, 3).round()
    targets[torch.rand(targets.shape) < 0.4] = torch.nan
    loss = functional.binary_cross_entropy(logits, targets)
    assert loss.shape == (TASKS,)
    for n in range(TASKS):
        known = ~targets[n].isnan()
        alone = F.binary_cross_entropy_with_logits(logits[n][known], targets[n][known])
        torch.testing.assert_close(loss[n], alone)
        torch.testing.assert_close(functional.binary_cross_entropy(logits[n], targets[n]), alone)


def test_bits_without_a_target_have_no_gradient():
    targets = torch.tensor([1.0, torch.nan, 0.0]).reshape(1, 1, 3, 1)
    logits = torch.tensor([0.5, torch.nan, torch.inf]).reshape(1, 1, 3, 1).requires_grad_()
    loss = functional.binary_cross_entropy(logits[..., :2, :], targets[..., :2, :])
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    expected = [1 / (1 + torch.tensor(-0.5).exp().item()) - 1, 0, 0]
    assert gradient.flatten().tolist() == pytest.approx(expected)
    nothing = functional.binary_cross_entropy(logits, torch.full_like(targets, torch.nan))
    assert nothing.tolist() == [0]


@pytest.mark.parametrize("shapes", [((2, 3, 1), (2, 3)), ((2, 3), (2, 3)), ((1, 3, 2), (1, 3, 1))])
def test_bits_of_another_shape(shapes):
    with pytest.raises(ShapeError, match=r"^binary_cross_entropy: .* must have one shape"):
        functional.binary_cross_entropy(*map(torch.zeros, shapes))


@pytest.mark.parametrize("loss", [functional.cross_entropy, functional.accuracy])
@pytest.mark.parametrize("shape", [(5,), (2, 4), (2, 5, 1), ()])
def test_labels_of_another_shape(loss, shape):
    with pytest.raises(ShapeError, match=rf"^{loss.__name__}: labels must have shape \(2, 5\)"):
        loss(torch.zeros(2, 5, 3), torch.zeros(shape).long())
