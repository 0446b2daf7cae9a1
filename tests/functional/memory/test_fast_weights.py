"""The update rules of fast weights against the loops that define them."""

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn.functional.memory.fast_weights import delta_rule, hebbian_rule


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_delta_rule_retrieves_what_was_written_exactly():
    keys, _ = torch.linalg.qr(numbers(5, 5))
    values, nothing = numbers(5, 3, seed=1), torch.zeros(3, 5, dtype=torch.float64)
    ones = torch.ones(5, dtype=torch.float64)
    _, weights = delta_rule(keys, keys, values, ones, nothing)
    torch.testing.assert_close(keys @ weights.mT, values, rtol=0, atol=1e-14)
    other = values.flip(0)  # a second write replaces the value, while the Hebbian rule adds to it
    _, replaced = delta_rule(keys, keys, other, ones, weights)
    torch.testing.assert_close(keys @ replaced.mT, other, rtol=0, atol=1e-14)
    added = hebbian_rule(keys, other, hebbian_rule(keys, values, nothing))
    torch.testing.assert_close(keys @ added.mT, values + other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("steps", [1, 7, 64, 65, 150])
def test_the_delta_rule_equals_its_loop(steps):
    q, k, v = (numbers(2, steps, n, seed=n) for n in (3, 3, 2))
    k = F.normalize(k + 1, dim=-1)
    gates, weights = numbers(2, steps, seed=5).sigmoid(), numbers(2, 2, 3, seed=6)
    y, last = delta_rule(q, k, v, gates, weights)
    for t in range(steps):
        error = v[:, t] - (weights @ k[:, t, :, None])[..., 0]
        weights = weights + gates[:, t, None, None] * error.unsqueeze(-1) * k[:, t, None]
        torch.testing.assert_close(y[:, t], (weights @ q[:, t, :, None])[..., 0])
    torch.testing.assert_close(last, weights)


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_the_hebbian_rule_equals_its_loop(decay):
    k, v, weights = numbers(2, 6, 3), numbers(2, 6, 2, seed=1), numbers(2, 2, 3, seed=2)
    found = hebbian_rule(k, v, weights, decay=decay, lr=0.3)
    for t in range(6):
        weights = decay * weights + 0.3 * v[:, t, :, None] * k[:, t, None]
    torch.testing.assert_close(found, weights)
