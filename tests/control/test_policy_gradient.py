"""Advantages and the loss of policy gradients, against their definitions."""

import pytest
import torch

from l2l_rnn.control import advantages, clipped_policy_loss


def test_advantages_equal_their_definition():
    torch.manual_seed(0)
    rewards, values = torch.rand(2, 7), torch.randn(2, 7)
    ends = torch.zeros(2, 7, dtype=torch.bool)
    ends[0, 3] = True
    g, trace = 0.97, 0.9
    found = advantages(rewards, values, ends, discount=g, trace=trace)
    for n in range(2):
        for t in range(7):
            total, weight = 0.0, 1.0
            for k in range(t, 7):
                going = 0.0 if ends[n, k] else 1.0
                following = values[n, min(k + 1, 6)]
                total += weight * (rewards[n, k] + g * going * following - values[n, k])
                weight *= g * trace * going
            assert found[n, t].item() == pytest.approx(total.item(), abs=1e-5)


def test_the_clipped_loss_has_the_policy_gradient_at_first_and_none_beyond_the_clip():
    torch.manual_seed(0)
    old, gains = torch.randn(30), torch.randn(30)
    mask = torch.arange(30) < 20
    now = old.clone().requires_grad_()
    (grad,) = torch.autograd.grad(clipped_policy_loss(now, old, gains, mask=mask), now)
    kept = gains[mask]
    torch.testing.assert_close(grad[mask], -(kept - kept.mean()) / kept.std() / 20)
    assert (grad[~mask] == 0).all()
    far = (old + 0.5 * gains.sign()).requires_grad_()  # already changed as the gains ask
    wanted = torch.where(gains > gains.mean(), gains.sign() > 0, gains.sign() < 0)
    (grad,) = torch.autograd.grad(clipped_policy_loss(far, old, gains), far)
    assert (grad[wanted] == 0).all()
