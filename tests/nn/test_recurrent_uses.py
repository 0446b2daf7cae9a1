"""Recurrent layers in use: autocast, transforms, hooks, learners, checkpointing."""

import warnings

import learn2learn
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.checkpoint import checkpoint

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.nn import GRU, LSTM, Embedding, convert


def test_autocast_to_second_order(recurrent):
    layer = recurrent.make(dtype=torch.float32, batch_first=True)
    head = nn.Linear(layer.output_size, 1)
    x = torch.randn(2, 5, 3)
    values = []
    for enabled in (False, True):
        maml = MAML(nn.ModuleDict({"layer": layer, "head": head}), 0.1)
        maml.zero_grad()
        learner = maml.clone()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            for _ in range(2):
                y, _ = learner.module["layer"](x)
                loss = learner.module["head"](y).float().square().mean()
                learner.adapt(loss)
        loss.backward()
        values.append(torch.cat([p.grad.flatten() for p in layer.parameters()]))
    assert values[1].isfinite().all()
    assert nn.functional.cosine_similarity(*values, dim=0) > 0.95


def test_autocast_without_bias(recurrent):
    layer = recurrent.make(dtype=torch.float32, bias=False)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = layer(torch.randn(5, 2, 3))
    y.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_a_transform_of_other_tensors(recurrent):
    """A frozen layer inside `torch.func.grad` and `vmap` of other tensors."""
    layer = recurrent.make()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    weight = torch.randn(4, layer.output_size, dtype=torch.float64)
    y = layer(x)[0].detach()

    def value(w):
        return (layer(x)[0] @ w).sum()

    torch.testing.assert_close(torch.func.grad(value)(weight[0]), y.sum((0, 1)))
    torch.testing.assert_close(torch.func.vmap(value)(weight), (y @ weight.mT).sum((0, 1)))


def test_outputs_may_be_changed_in_place(recurrent):
    layer = recurrent.make()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    torch.relu_(layer(x)[0]).sum().backward()
    changed = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    torch.relu(layer(x)[0]).sum().backward()
    torch.testing.assert_close(changed, [p.grad for p in layer.parameters()])


def test_a_hook_runs_once_on_a_packed_sequence(recurrent):
    layer = recurrent.make()
    calls = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    layer(pack_sequence([torch.randn(n, 3, dtype=torch.float64) for n in (3, 2)]))
    assert calls == [1]


class Flattening(nn.Module):
    """A typical model that flattens its parameters."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x, scale=None, reverse=False):
        self.lstm.flatten_parameters()
        scores = self.head(self.lstm(x.flip(1) if reverse else x)[0][:, -1])
        return scores if scale is None else scores * scale


def test_a_model_that_flattens_its_parameters_converts_and_clones_without_a_warning():
    model = Flattening()
    x = torch.randn(5, 6, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner = learn2learn.algorithms.MAML(convert(model), lr=0.1).clone()
        for _ in range(2):
            learner.adapt(learner(x).square().mean())
        learner(x).square().mean().backward()
    assert model.lstm.weight_hh_l0.grad is not None
    assert convert(model).double().lstm.weight_hh_l0.dtype == torch.float64


def test_tensors_by_keyword_are_split_by_task():
    model = convert(Flattening())
    x, scale = torch.randn(3, 5, 6, 3), torch.randn(3, 5, 1)
    scores = MAML(model, 0.1).clone(tasks=3)(x, scale=scale, reverse=True)
    each = [model(x[n], scale[n], True) for n in range(3)]
    torch.testing.assert_close(scores, torch.stack(each))
    torch.testing.assert_close(
        MAML(model, 0.1).clone(tasks=3)(x, None, True), torch.stack(each) / scale
    )


@pytest.mark.parametrize("lengths", [[2, 5], torch.tensor([2.0, 5.0])])
def test_lengths_of_another_type_raise(lengths):
    with pytest.raises(ArgumentTypeError, match="tensor of integers"):
        LSTM(3, 4)(torch.randn(5, 2, 3), lengths=lengths)


def test_lengths_of_any_integer_dtype():
    layer, x = LSTM(3, 4), torch.randn(5, 2, 3)
    results = [
        layer(x, lengths=torch.tensor([2, 5], dtype=kind))[0]
        for kind in (torch.int64, torch.int32, torch.uint8)
    ]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_proj_size_is_for_lstm_only():
    with pytest.raises(ArgumentError, match="proj_size is only for LSTM"):
        GRU(3, 4, proj_size=2)


def test_a_packed_sequence_with_lengths_or_a_wrong_state_raises():
    packed = pack_sequence([torch.randn(n, 3) for n in (2, 3)], enforce_sorted=False)
    with pytest.raises(ArgumentError, match="omit lengths="):
        GRU(3, 4)(packed, lengths=torch.tensor([2, 3]))
    with pytest.raises(ShapeError, match="hx"):
        GRU(3, 4)(packed, torch.zeros(1, 3, 4))


def test_pretrained_vectors_make_an_embedding():
    vectors = torch.randn(5, 2)
    layer = Embedding.from_pretrained(vectors)
    assert not layer.weight.requires_grad
    assert torch.equal(layer(torch.tensor([3])), vectors[3:4])
    assert Embedding.from_pretrained(vectors, freeze=False).weight.requires_grad


def test_checkpointing(recurrent):
    """Recomputed activations give the same gradients."""
    layer = recurrent.make(batch_first=True)
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    found = []
    for again in (False, True):
        call = (lambda x: layer(x)[0], x)
        y = checkpoint(*call, use_reentrant=False) if again else call[0](x)
        found.append(torch.autograd.grad(y.sin().sum(), [x, *layer.parameters()]))
    for plain, recomputed in zip(*found, strict=True):
        assert torch.equal(plain, recomputed)
