"""Linear, Embedding and LayerNorm against torch's, and with the task axis."""

import copy
import pickle

import pytest
import torch
from torch import nn

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.nn import Embedding, LayerNorm, Linear

TASKS = 3


def with_tasks(layer):
    """Return the layer with parameters (N, …), and one layer per task."""
    singles = [copy.deepcopy(layer) for _ in range(TASKS)]
    for name, p in list(layer._parameters.items()):
        if p is not None:
            stacked = torch.randn(TASKS, *p.shape, dtype=p.dtype, requires_grad=True)
            layer._parameters[name] = stacked
            for single, value in zip(singles, stacked.detach(), strict=True):
                getattr(single, name).data.copy_(value)
    return layer, singles


def pair(ours, theirs, *arguments, **options):
    made = []
    for layer in (ours, theirs):
        torch.manual_seed(0)
        made.append(layer(*arguments, **options, dtype=torch.float64))
    return made


# ------------------------------------------------------------------ Linear


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3), (0, 3), (2, 2, 5, 3)])
def test_linear_equals_torchs(bias, shape):
    ours, theirs = pair(Linear, nn.Linear, 3, 4, bias=bias)
    assert isinstance(ours, nn.Linear)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True)
    )
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))
    ours.load_state_dict(theirs.state_dict(), strict=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axes", [(5,), (2, 5), (1, 2, 5), (0,)])
def test_linear_with_tasks_equals_a_loop(bias, axes):
    layer, singles = with_tasks(Linear(3, 4, bias=bias, dtype=torch.float64))
    x = torch.randn(TASKS, *axes, 3, dtype=torch.float64)
    y = layer(x)
    apart = torch.stack([single(x[n]) for n, single in enumerate(singles)])
    torch.testing.assert_close(y, apart)
    y.square().sum().backward()
    apart.square().sum().backward()
    for n, single in enumerate(singles):
        torch.testing.assert_close(layer.weight.grad[n], single.weight.grad)


@pytest.mark.parametrize("shape", [(5, 2), (2,), (), (3, 5, 4)])
def test_linear_with_other_features_raises(shape):
    with pytest.raises(ShapeError, match=r"^Linear: x must end in F=3 features, got shape \("):
        Linear(3, 4)(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 5, 3), (3, 3), (3,), (4, 5, 3)])
def test_linear_without_the_task_axis_raises(shape):
    layer, _ = with_tasks(Linear(3, 4))
    with pytest.raises(ShapeError, match=r"^Linear: .*N=3 tasks first.*got shape \("):
        layer(torch.zeros(shape))


# ------------------------------------------------------------------ Embedding


@pytest.mark.parametrize("padding_idx", [None, 0, 2, -1])
@pytest.mark.parametrize("shape", [(), (5,), (2, 5), (0, 5), (2, 2, 5)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_embedding_equals_torchs(padding_idx, shape, dtype):
    ours, theirs = pair(Embedding, nn.Embedding, 7, 4, padding_idx=padding_idx)
    assert isinstance(ours, nn.Embedding)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert torch.equal(ours.weight, theirs.weight)
    tokens = torch.randint(0, 7, shape, dtype=dtype)
    torch.testing.assert_close(ours(tokens), theirs(tokens), rtol=0, atol=0)
    for layer in (ours, theirs):
        layer(tokens).sin().sum().backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    if padding_idx is not None:
        assert (ours.weight.grad[padding_idx] == 0).all()


@pytest.mark.parametrize("padding_idx", [None, 0, -1])
@pytest.mark.parametrize("axes", [(), (5,), (2, 5)])
def test_embedding_with_tasks_equals_a_loop(padding_idx, axes):
    layer, singles = with_tasks(Embedding(7, 4, padding_idx=padding_idx, dtype=torch.float64))
    tokens = torch.randint(0, 7, (TASKS, *axes))
    y = layer(tokens)
    assert torch.equal(y, torch.stack([s(tokens[n]) for n, s in enumerate(singles)]))
    y.sin().sum().backward()
    for n, single in enumerate(singles):
        single(tokens[n]).sin().sum().backward()
        torch.testing.assert_close(layer.weight.grad[n], single.weight.grad)


@pytest.mark.parametrize("bad", [-1, 7, 8, 100])
@pytest.mark.parametrize("many", [False, True])
def test_ids_outside_the_table_raise(bad, many):
    """With a task axis, an id that is too large by 1 would read row 0 of the next task."""
    layer = Embedding(7, 4)
    if many:
        layer, _ = with_tasks(layer)
    tokens = torch.ones(TASKS, 2, 5, dtype=torch.long)
    tokens[0, 1, 3] = bad
    with pytest.raises(
        ArgumentError, match=rf"^Embedding: token ids must be from 0 to 6, got {bad};"
    ):
        layer(tokens)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bool, torch.complex64])
def test_ids_that_are_not_integers_raise(dtype):
    with pytest.raises(ArgumentTypeError, match=f"token ids must be integers, got {dtype}"):
        Embedding(7, 4)(torch.ones(2, 5).to(dtype))


@pytest.mark.parametrize("shape", [(2, 5), (), (4,)])
def test_embedding_without_the_task_axis_raises(shape):
    layer, _ = with_tasks(Embedding(7, 4))
    with pytest.raises(ShapeError, match=r"^Embedding: .*N=3 tasks first.*got shape \("):
        layer(torch.zeros(shape, dtype=torch.long))


def test_second_derivatives_of_tasks():
    layer, _ = with_tasks(Embedding(5, 2, padding_idx=0, dtype=torch.float64))
    tokens = torch.randint(0, 5, (TASKS, 2, 3))

    def compute(weight):
        return torch.func.functional_call(layer, {"weight": weight}, (tokens,)).sin()

    weight = layer.weight.detach().clone()
    weight[:, 0] = 0.0
    assert torch.autograd.gradgradcheck(
        lambda w: compute(torch.cat([weight[:, :1], w], 1)), weight[:, 1:].clone().requires_grad_()
    )


@pytest.mark.parametrize("layer", [Linear(3, 4), Embedding(3, 4, padding_idx=1)])
def test_copies(layer):
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert type(other) is type(layer)
        assert torch.equal(other.weight, layer.weight)
        assert repr(other) == repr(layer)


# ------------------------------------------------------------------ LayerNorm

NORMS = [
    {"normalized_shape": 4},
    {"normalized_shape": (3, 4)},
    {"normalized_shape": 4, "bias": False},
    {"normalized_shape": 4, "elementwise_affine": False},
]


@pytest.mark.parametrize("options", NORMS, ids=str)
def test_layer_norm_equals_torchs(options):
    ours, theirs = pair(LayerNorm, nn.LayerNorm, **options)
    assert isinstance(ours, nn.LayerNorm)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("options", NORMS[:3], ids=str)
@pytest.mark.parametrize("axes", [(), (5,), (2, 5)])
def test_layer_norm_with_tasks_equals_a_loop(options, axes):
    layer, singles = with_tasks(LayerNorm(**options, dtype=torch.float64))
    x = torch.randn(TASKS, *axes, 3, 4, dtype=torch.float64)
    apart = torch.stack([single(x[n]) for n, single in enumerate(singles)])
    torch.testing.assert_close(layer(x), apart)


@pytest.mark.parametrize("shape", [(5, 3), (), (4, 5)])
def test_layer_norm_with_other_sizes_raises(shape):
    with pytest.raises(ShapeError, match=r"^LayerNorm: x must end in \(4,\), got shape \("):
        LayerNorm(4)(torch.zeros(shape))


def test_layer_norm_without_the_task_axis_raises():
    layer, _ = with_tasks(LayerNorm(4))
    with pytest.raises(ShapeError, match=r"^LayerNorm: x must be \(N, …\) with N=3"):
        layer(torch.zeros(2, 5, 4))
