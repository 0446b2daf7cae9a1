"""Losses and scores against torch's losses, one task at a time."""

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError

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


MASKED = {
    "cross_entropy": (lambda: torch.randn(TASKS, 6, 3), lambda: torch.randint(0, 3, (TASKS, 6))),
    "accuracy": (lambda: torch.randn(TASKS, 6, 3), lambda: torch.randint(0, 3, (TASKS, 6))),
    "mean_squared_error": (lambda: torch.randn(TASKS, 6, 2), lambda: torch.randn(TASKS, 6, 2)),
}


@pytest.mark.parametrize("name", MASKED)
def test_padding_changes_neither_loss_nor_gradient(name):
    function = getattr(functional, name)
    outputs, targets = (make() for make in MASKED[name])
    mask = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0]]).bool()
    bad = outputs.masked_fill(~mask.unsqueeze(-1), torch.nan).requires_grad_()
    if not targets.is_floating_point():
        targets = targets.masked_fill(~mask, -7)
    else:
        targets = targets.masked_fill(~mask.unsqueeze(-1), torch.nan)
    losses = function(bad, targets, mask)
    for n in range(TASKS):
        alone = outputs[n][mask[n]].requires_grad_()
        loss = function(alone, targets[n][mask[n]])
        torch.testing.assert_close(losses[n], loss)
        if name != "accuracy":
            (wanted,) = torch.autograd.grad(loss, alone)
            (gradient,) = torch.autograd.grad(losses[n], bad, retain_graph=True)
            torch.testing.assert_close(gradient[n][mask[n]], wanted)
            assert not gradient[n][~mask[n]].any()
    assert function(bad, targets, torch.zeros_like(mask)).tolist() == [0, 0]
    assert torch.equal(
        function(outputs, targets.nan_to_num().clamp_min(0)),
        function(outputs, targets.nan_to_num().clamp_min(0), None),
    )


def test_masks_of_another_shape_or_type():
    logits, labels = torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.long)
    with pytest.raises(ShapeError, match=r"cross_entropy: mask must have shape \(2, 3\)"):
        functional.cross_entropy(logits, labels, torch.ones(3, dtype=torch.bool))
    with pytest.raises(ArgumentTypeError, match="mask must be a bool tensor"):
        functional.mean_squared_error(logits, logits, torch.ones(2, 3))
