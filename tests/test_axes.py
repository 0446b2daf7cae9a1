import copy

import pytest
import torch
from torch import nn

import l2l_rnn.nn
from l2l_rnn.axes import (
    align_tasks,
    expand_parameters,
    is_transformed,
    knows_tasks,
    readable_values,
)
from l2l_rnn.models import SequenceClassifier, SequenceEncoder

OURS = {layer.__name__: layer(2, 3) for layer in l2l_rnn.nn.CELLS.values()} | {
    "RNNCell": l2l_rnn.nn.RNNCell(2, 3),
    "GRUCell": l2l_rnn.nn.GRUCell(2, 3),
    "LSTMCell": l2l_rnn.nn.LSTMCell(2, 3),
    "LayerNorm": l2l_rnn.nn.LayerNorm(3),
    "LearnedDropout": l2l_rnn.nn.LearnedDropout(0.5),
    "Linear": l2l_rnn.nn.Linear(2, 3),
    "Embedding": l2l_rnn.nn.Embedding(5, 3),
    "LastStep": l2l_rnn.nn.LastStep(3),
    "MeanPooling": l2l_rnn.nn.MeanPooling(3),
    "MaxPooling": l2l_rnn.nn.MaxPooling(3),
    "AttentionPooling": l2l_rnn.nn.AttentionPooling(3),
}
MODELS = [SequenceEncoder(input_size=2), SequenceClassifier(3, vocab_size=4)]


def test_every_layer_is_covered():
    layers = {n for n, v in vars(l2l_rnn.nn).items() if isinstance(v, type)}
    assert set(OURS) == layers - {"RecurrentLayer"}


@pytest.mark.parametrize("module", [*OURS.values(), *MODELS], ids=lambda m: type(m).__name__)
def test_our_modules_support_the_task_axis(module):
    assert knows_tasks(module)
    assert knows_tasks(nn.Sequential(module, nn.Tanh(), nn.ModuleList([nn.Dropout(0.1)])))


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(2, 2),
        nn.LayerNorm(2),
        nn.LSTM(2, 2),
        nn.Flatten(),
        nn.BatchNorm1d(2),
        nn.Softmax(1),
    ],
    ids=lambda m: type(m).__name__,
)
def test_torchs_modules_do_not_know_tasks(module):
    assert not knows_tasks(module)
    assert not knows_tasks(nn.Sequential(OURS["Linear"], nn.Sequential(module)))


def test_subclasses_of_containers_do_not_know_tasks():
    class Mixing(nn.Sequential):
        def forward(self, x):
            return super().forward(x).mean(0)

    assert not knows_tasks(Mixing(OURS["Linear"]))


@pytest.mark.parametrize(
    "layer",
    [nn.Identity, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.ELU, nn.SiLU, lambda: nn.Dropout(0.5)],
)
def test_elementwise_layers_preserve_the_axis(layer):
    layer = layer().eval()
    assert knows_tasks(layer)
    x = torch.randn(3, 4, 2)
    torch.testing.assert_close(layer(x), torch.stack([layer(one) for one in x]))


def test_expand_parameters():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2, bias=False), nn.BatchNorm1d(2))
    model[0].bias.requires_grad_(False)
    originals = dict(model.named_parameters())
    twin = copy.copy(model)
    twin._modules = {name: copy.copy(child) for name, child in model._modules.items()}
    for child in twin._modules.values():
        child._parameters = dict(child._parameters)
    expand_parameters(twin, 4)
    for name, p in twin.named_parameters():
        assert p.shape == (4, *originals[name].shape)
        assert all(torch.equal(slice_, originals[name]) for slice_ in p)
        assert p.requires_grad == originals[name].requires_grad
    assert twin[2].running_mean.shape == (2,)
    assert dict(model.named_parameters()) == originals
    (twin[0].weight * torch.arange(4.0).reshape(4, 1, 1)).sum().backward()
    assert (originals["0.weight"].grad == 6).all()
    with torch.no_grad():
        twin[0].weight[1] += 1  # tasks have separate memory
    assert torch.equal(twin[0].weight[0], originals["0.weight"])


def test_expand_parameters_keeps_ties():
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    model[1].weight = model[0].weight
    expand_parameters(model, 3)
    assert model[1].weight is model[0].weight
    assert model[1].bias is not model[0].bias


def test_values_are_readable_even_under_vmap():
    seen = []

    def look(x):
        seen.append(readable_values(x))
        return x

    x = torch.arange(6.0).reshape(2, 3)
    look(x)
    torch.func.vmap(look)(x)
    torch.func.vmap(torch.func.grad(lambda x: look(x).sum()))(x)
    assert len(seen) == 3
    for values in seen:
        assert torch.equal(values, x)


def test_is_transformed():
    seen = []

    def look(x):
        seen.append(is_transformed(x))
        return x.sum()

    x = torch.zeros(2)
    look(x)
    torch.func.vmap(look)(x)
    torch.func.grad(look)(x)
    assert seen == [False, True, True]


@pytest.mark.parametrize("own", [1, 2])
def test_a_parameter_aligned_with_tasks_broadcasts(own):
    parameter, like = torch.randn(2, *(4, 3)[-own:]), torch.randn(2, 5, 6, 4, 3)
    aligned = align_tasks(parameter, own, like)
    for n in range(2):
        torch.testing.assert_close((aligned * like)[n], parameter[n] * like[n])
    torch.testing.assert_close(align_tasks(parameter[0], own, like), parameter[0])
