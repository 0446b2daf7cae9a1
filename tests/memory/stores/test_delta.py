"""Fast weights with the delta rule on hand-computed examples."""

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import DeltaFastWeights, MemoryLayer


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_an_open_gate_stores_values_exactly():
    memory = DeltaFastWeights(4, 2, features="unit").double()
    with torch.no_grad():
        memory.gate_bias.fill_(60.0)
    keys, _ = torch.linalg.qr(numbers(4, 4))
    state = memory.write(memory.blank(), 3 * keys, numbers(4, 2, seed=1))
    torch.testing.assert_close(memory.read(state, 7 * keys), numbers(4, 2, seed=1))


@pytest.mark.parametrize("gate", [0.1, 0.5, 0.9])
def test_the_gate_is_the_share_of_the_error_that_a_write_corrects(gate):
    memory = DeltaFastWeights(2, 1, features="unit", gate=gate).double()
    key = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    state = memory.blank()
    for written in (1, 2):
        state = memory.write(state, key, torch.tensor([[5.0]], dtype=torch.float64))
        wanted = 5 * (1 - (1 - gate) ** written)
        assert memory.read(state, key).item() == pytest.approx(wanted)


def test_a_layer_equals_its_loop():
    layer = MemoryLayer(3, DeltaFastWeights(4, 2)).double()
    x = numbers(2, 5, 3)
    y, state = layer(x)
    q, k, v = (x @ layer.weight.mT).split([4, 4, 2], -1)
    p, r = ((F.elu(a) + 1) / (F.elu(a) + 1).sum(-1, keepdim=True) for a in (k, q))
    weights = torch.zeros(2, 2, 4, dtype=torch.float64)
    for t in range(5):
        error = v[:, t] - (weights @ p[:, t, :, None])[..., 0]
        weights = weights + 0.5 * error.unsqueeze(-1) * p[:, t, None]
        torch.testing.assert_close(y[:, t], (weights @ r[:, t, :, None])[..., 0])
    torch.testing.assert_close(state.weights, weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "relu"}, "unknown features 'relu'; did you mean 'elu'"),
        ({"gate": 1.0}, r"gate must be a number above 0 and below 1, got 1\.0"),
        ({"gate": 0}, "gate must be a number above 0 and below 1, got 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=f"^DeltaFastWeights: {message}"):
        DeltaFastWeights(4, 2, **options)
