"""Gradients of all parameters are contiguous, of first and second order, with and without tasks."""

import pytest
import torch
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters

from l2l_rnn.axes import expand_parameters
from l2l_rnn.nn import AttentionPooling, Embedding, LayerNorm, LearnedDropout, Linear
from tests.memory.cases import LAYER_CASES

TASKS, BATCH, STEPS, FEATURES = 2, 5, 7, 3
DTYPES = [torch.float32, torch.float64]
OTHER_LAYERS = {
    "Linear": (lambda: Linear(FEATURES, 4), lambda layer, x: layer(x)),
    "Linear, one output": (lambda: Linear(FEATURES, 1), lambda layer, x: layer(x)),
    "Embedding": (lambda: Embedding(9, 4), lambda layer, x: layer(x[..., 0].abs().long())),
    "LayerNorm": (lambda: LayerNorm(FEATURES), lambda layer, x: layer(x)),
    "LayerNorm, two axes": (lambda: LayerNorm((STEPS, FEATURES)), lambda layer, x: layer(x)),
    "LearnedDropout": (lambda: LearnedDropout(0.3), lambda layer, x: layer(x)),
    "AttentionPooling": (
        lambda: AttentionPooling(FEATURES),
        lambda layer, x: layer(x, torch.full(x.shape[:-2], STEPS)),
    ),
}


def check(layer, call, tasks):
    """Check the gradients of the parameters, and those of the originals of N tasks' copies."""
    originals = list(layer.parameters())
    if tasks:
        expand_parameters(layer, TASKS)
    own = [p for m in layer.modules() for p in m._parameters.values() if p is not None]
    first = torch.autograd.grad(
        call(layer).sin().sum(), own, create_graph=True, allow_unused=True, materialize_grads=True
    )
    total = sum(gradient.sin().sum() for gradient in first)
    gradients = [*first]
    if total.requires_grad:
        options = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        for wanted in (own, originals):
            gradients += torch.autograd.grad(total, wanted, **options)
    assert all(gradient.is_contiguous() for gradient in gradients)
    assert parameters_to_vector(gradients).isfinite().all()


def inputs(tasks, dtype):
    return torch.randn(*([TASKS] if tasks else []), BATCH, STEPS, FEATURES, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
def test_recurrent_layers(recurrent, options, tasks, dtype, ragged):
    layer = recurrent.make(dtype=dtype, **{**options, "batch_first": True})
    x = inputs(tasks, dtype)
    lengths = torch.tensor([1, 7, 3, 4, 2]).expand(x.shape[:-2]) if ragged else None
    check(layer, lambda layer: layer(x, lengths=lengths)[0], tasks)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("name", LAYER_CASES)
def test_memory_layers(name, tasks, dtype):
    x = inputs(tasks, dtype)
    check(LAYER_CASES[name](dtype=dtype), lambda layer: layer(x)[0], tasks)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("name", OTHER_LAYERS)
def test_other_layers(name, tasks, dtype):
    make, call = OTHER_LAYERS[name]
    x = inputs(tasks, dtype)
    check(make().to(dtype), lambda layer: call(layer, x), tasks)


def test_under_torch_func(recurrent):
    layer = recurrent.make(num_layers=2)
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def loss(parameters):
        return torch.func.functional_call(layer, parameters, x)[0].sin().sum()

    gradients = torch.func.grad(loss)(dict(layer.named_parameters()))
    assert all(gradient.is_contiguous() for gradient in gradients.values())


@pytest.mark.parametrize("foreach", [False, True])
def test_gradients_in_use(recurrent, foreach):
    """A Hessian-vector product, clipping and an optimizer step, on vectors of all parameters."""
    layer = recurrent.make()
    parameters = list(layer.parameters())
    loss = layer(torch.randn(5, 2, 3, dtype=torch.float64))[0].square().sum()
    vector = parameters_to_vector(torch.autograd.grad(loss, parameters, create_graph=True))
    products = torch.autograd.grad(vector @ vector.detach(), parameters, allow_unused=True)
    for parameter, product in zip(parameters, products, strict=True):
        parameter.grad = product
    assert clip_grad_norm_(parameters, 0.1, foreach=foreach) > 0
    before = parameters_to_vector(parameters).clone()
    torch.optim.Adam(parameters, 0.1, foreach=foreach).step()
    assert not torch.equal(parameters_to_vector(parameters), before)
    vector_to_parameters(before, parameters)
    assert torch.equal(parameters_to_vector(parameters), before)
