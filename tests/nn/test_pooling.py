"""Pooling of ragged sequences against one sequence at a time."""

import pytest
import torch

from l2l_rnn.models.encoder import POOLINGS
from l2l_rnn.nn import AttentionPooling

SIZE, BATCH, STEPS = 4, 3, 5

# What each pooling computes from the steps `(S, H)` of one sequence.
REFERENCES = {
    "last": lambda layer, y, bidirectional: (
        torch.cat([y[-1, :2], y[0, 2:]]) if bidirectional else y[-1]
    ),
    "mean": lambda layer, y, bidirectional: y.mean(0),
    "max": lambda layer, y, bidirectional: y.max(0).values,
    "attention": lambda layer, y, bidirectional: torch.einsum(
        "s,sh->h",
        torch.softmax(
            torch.tanh(y @ layer.key.weight.T + layer.key.bias) @ layer.query.weight[0], 0
        ),
        y,
    ),
}


def test_every_pooling_has_a_reference():
    assert set(REFERENCES) == set(POOLINGS)


@pytest.fixture(params=POOLINGS)
def name(request):
    return request.param


@pytest.fixture(params=[False, True], ids=["one direction", "two directions"])
def bidirectional(request):
    return request.param


@pytest.fixture
def layer(name, bidirectional):
    torch.manual_seed(0)
    return POOLINGS[name](SIZE, bidirectional).double()


def sequences(*lead):
    return torch.randn(*lead, BATCH, STEPS, SIZE, dtype=torch.float64, requires_grad=True)


def test_a_batch_equals_its_sequences(name, layer, bidirectional):
    outputs, lengths = sequences(), torch.tensor([1, 5, 3])
    pooled = layer(outputs, lengths)
    wanted = torch.stack(
        [
            REFERENCES[name](layer, y[:n], bidirectional)
            for y, n in zip(outputs, lengths, strict=True)
        ]
    )
    torch.testing.assert_close(pooled, wanted, rtol=1e-12, atol=1e-14)
    weights = [outputs, *layer.parameters()]
    got, expected = (torch.autograd.grad(p.sin().sum(), weights) for p in (pooled, wanted))
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("filling", [0.0, 1e30, -1e30])
def test_steps_past_the_length_are_ignored(layer, filling):
    outputs, lengths = sequences().detach(), torch.tensor([1, 4, 3])
    inside = (torch.arange(STEPS) < lengths.unsqueeze(-1)).unsqueeze(-1)
    padded = torch.nn.functional.pad(outputs.where(inside, filling), (0, 0, 0, 2), value=filling)
    wanted = layer(outputs.where(inside, 0)[:, :4], lengths)
    torch.testing.assert_close(layer(padded, lengths), wanted, rtol=1e-14, atol=0)


@pytest.mark.parametrize("lead", [(2,), (2, 3)])
def test_axes_before_the_batch(layer, lead):
    outputs = sequences(*lead)
    lengths = torch.randint(1, STEPS + 1, (*lead, BATCH))
    pooled = layer(outputs, lengths)
    assert pooled.shape == (*lead, BATCH, SIZE)
    flat = layer(outputs.flatten(0, -3), lengths.flatten())
    torch.testing.assert_close(pooled.flatten(0, -2), flat)


def test_parameters_for_each_task(layer, name, bidirectional):
    tasks = 2
    singles = [POOLINGS[name](SIZE, bidirectional).double() for _ in range(tasks)]
    for child, *alike in zip(layer.modules(), *(s.modules() for s in singles), strict=True):
        for key in child._parameters:
            if child._parameters[key] is not None:
                child._parameters[key] = torch.stack([a._parameters[key] for a in alike])
    outputs, lengths = sequences(tasks), torch.tensor([[1, 5, 2], [3, 3, 4]])
    wanted = torch.stack([s(outputs[n], lengths[n]) for n, s in enumerate(singles)])
    torch.testing.assert_close(layer(outputs, lengths), wanted, rtol=1e-12, atol=1e-14)


def test_under_vmap(layer):
    outputs, lengths = sequences(2), torch.tensor([[1, 5, 2], [3, 3, 4]])
    mapped = torch.func.vmap(layer)(outputs, lengths)
    torch.testing.assert_close(mapped, layer(outputs, lengths), rtol=1e-12, atol=1e-14)


def test_second_derivatives(layer):
    torch.manual_seed(0)
    lengths = torch.tensor([1, 5, 3])
    assert torch.autograd.gradgradcheck(lambda y: layer(y, lengths), sequences(), fast_mode=True)


def test_attention_weights():
    layer = AttentionPooling(SIZE).double()
    weights = layer.weights(sequences(), torch.tensor([1, 5, 3]))
    assert weights.shape == (BATCH, STEPS)
    torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, dtype=torch.float64))
    assert weights[0].tolist() == [1, 0, 0, 0, 0]
    assert (weights[2, 3:] == 0).all()
