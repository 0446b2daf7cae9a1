"""MAML++: the weights of its query losses; the contract tests cover the rest."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAMLPlusPlus
from l2l_rnn.errors import ArgumentError


def test_step_weights_shift_to_the_last_step():
    maml = MAMLPlusPlus(nn.Linear(1, 1), 0.1, steps=4)
    torch.testing.assert_close(maml.step_weights(0.0), torch.full((4,), 0.25))
    torch.testing.assert_close(maml.step_weights(1.0), torch.tensor([0.0, 0.0, 0.0, 1.0]))
    half = maml.step_weights(0.5)
    torch.testing.assert_close(half, torch.tensor([0.125, 0.125, 0.125, 0.625]))
    with pytest.raises(
        ArgumentError, match=r"progress must be .* at least 0 and of at most 1, got 1\.5"
    ):
        maml.step_weights(1.5)
