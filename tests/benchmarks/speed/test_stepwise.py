"""The benchmark's step-by-step recurrences against the naive references."""

import pytest
import torch

from benchmarks.speed.stepwise import STEPS, Stepwise
from l2l_rnn.functional.recurrence import reference
from l2l_rnn.functional.recurrence.weights import Weights


@pytest.mark.parametrize("cell", STEPS)
def test_stepwise_equals_the_reference(cell):
    torch.manual_seed(0)
    layer = Stepwise(cell, 3, 4).double()
    for parameter in layer.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    x = torch.randn(2, 5, 3, dtype=torch.float64)  # (B, S, F)
    outputs, _ = layer(x)
    state = (torch.zeros(1, 2, 4, dtype=torch.float64),) * layer.states
    packed = x.transpose(0, 1).reshape(1, 10, 3)  # (A, P, F)
    weights = Weights(*(parameter.unsqueeze(0) for parameter in layer.parameters()))
    expected = getattr(reference, cell.lower())(packed, weights, state, [2] * 5)[0]
    torch.testing.assert_close(outputs, expected.reshape(5, 2, 4).transpose(0, 1))
