"""Losses and scores of whole target sequences."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import sequence_accuracy, sequence_cross_entropy

END = 2
TARGETS = torch.tensor([[[5, 3, 2, 0], [2, 0, 0, 0]], [[4, 4, 4, 2], [3, 4, 1, 3]]])


def scores(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 2, 4, 6, generator=generator, dtype=torch.float64)


def test_equals_a_loop_over_tokens():
    logits = scores()
    for task in range(2):
        losses = [
            F.cross_entropy(logits[task, b, t], TARGETS[task, b, t])
            for b in range(2)
            for t in range(4)
            if TARGETS[task, b, t]
        ]
        expected = torch.stack(losses).mean()
        torch.testing.assert_close(sequence_cross_entropy(logits, TARGETS)[task], expected)
        torch.testing.assert_close(sequence_cross_entropy(logits[task], TARGETS[task]), expected)


def test_what_follows_the_end_changes_nothing():
    logits, targets = scores().requires_grad_(), TARGETS.clone()
    expected = sequence_cross_entropy(logits, targets)
    targets[0, 0, 3], targets[0, 1, 1:] = 4, torch.tensor([3, 2, 5])
    with torch.no_grad():
        changed = logits.clone()
        changed[0, 0, 3], changed[0, 1, 1:] = torch.nan, torch.inf
    changed.requires_grad_()
    loss = sequence_cross_entropy(changed, targets)
    assert torch.equal(loss, expected)
    for total, x in ((expected, logits), (loss, changed)):
        (x.grad,) = torch.autograd.grad(total.sum(), x)
    assert torch.equal(changed.grad, logits.grad)
    assert changed.grad[0, 0, 2].any()  # END itself counts
    assert not changed.grad[0, 0, 3].any()
    assert not torch.equal(sequence_cross_entropy(logits, targets, end=5), expected)


def test_masked_pairs_change_nothing():
    mask = torch.tensor([[True, False], [True, True]])
    logits = scores()
    loss = sequence_cross_entropy(logits, TARGETS, mask)
    torch.testing.assert_close(loss[0], sequence_cross_entropy(logits[0, :1], TARGETS[0, :1]))
    logits[0, 1] = torch.nan
    assert torch.equal(sequence_cross_entropy(logits, TARGETS, mask), loss)
    none = torch.zeros_like(mask)
    assert sequence_cross_entropy(logits, TARGETS, none).tolist() == [0.0, 0.0]
    assert sequence_accuracy(TARGETS, TARGETS, mask).tolist() == [1.0, 1.0]


def test_derivatives():
    mask = torch.tensor([[True, False], [True, True]])

    def loss(logits):
        return sequence_cross_entropy(logits, TARGETS, mask)

    assert gradcheck(loss, scores().requires_grad_())
    assert gradgradcheck(loss, scores().requires_grad_())


def test_accuracy_counts_whole_targets():
    tokens = TARGETS.clone()
    assert sequence_accuracy(tokens, TARGETS).tolist() == [1.0, 1.0]
    tokens[0, 0, 3] = 4  # after END
    assert sequence_accuracy(tokens, TARGETS).tolist() == [1.0, 1.0]
    tokens[0, 0, 2] = 4  # END itself
    tokens[1, 1, 0] = 4
    assert sequence_accuracy(tokens, TARGETS).tolist() == [0.5, 0.5]
    assert sequence_accuracy(tokens[..., :3], TARGETS).tolist() == [0.5, 0.0]
    assert sequence_accuracy(F.pad(tokens, (0, 2)), TARGETS).tolist() == [0.5, 0.5]


def test_errors():
    with pytest.raises(ShapeError, match=r"targets must be \(…, B, T\).*\(2, 2, 4\)"):
        sequence_cross_entropy(scores(), TARGETS[..., :3])
    with pytest.raises(ArgumentTypeError, match="mask"):
        sequence_cross_entropy(scores(), TARGETS, torch.ones(2, 2))
    with pytest.raises(ArgumentError, match="end must be a positive integer"):
        sequence_accuracy(TARGETS, TARGETS, end=0)
