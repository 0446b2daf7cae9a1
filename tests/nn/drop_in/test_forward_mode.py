"""Forward-mode derivatives of all layers, with dual numbers and with `torch.func.jvp`."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import functional_call, jvp

from l2l_rnn.algorithms import MAML
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import (
    AttentionPooling,
    Embedding,
    LastStep,
    LayerNorm,
    Linear,
    MaxPooling,
    MeanPooling,
)
from tests.algorithms.finite_differences import central_difference
from tests.memory.cases import LAYER_CASES, make

# Newer versions of torch compile their own forward-mode formulas, and warn about that.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")

DOUBLE = torch.float64
LENGTHS = torch.tensor([5, 2, 3])
TOKENS = torch.tensor([[1, 2, 0], [3, 1, 4]])
OTHER_LAYERS = {
    "Linear": (lambda: Linear(3, 4), ()),
    "Embedding": (lambda: Embedding(9, 4), (TOKENS,)),
    "LayerNorm": (lambda: LayerNorm(3), ()),
    "LastStep": (lambda: LastStep(3), (LENGTHS,)),
    "MeanPooling": (lambda: MeanPooling(3), (LENGTHS,)),
    "MaxPooling": (lambda: MaxPooling(3), (LENGTHS,)),
    "AttentionPooling": (lambda: AttentionPooling(3), (LENGTHS,)),
}


def tensors(result):
    if isinstance(result, torch.Tensor):
        return [result] if result.is_floating_point() else []
    return [tensor for part in result for tensor in tensors(part)]


def check(layer, call, *inputs):
    """Check the tangents of outputs w.r.t. inputs and parameters.

    Args:
        call: a function of the layer, called with other parameters, and the inputs.
    """
    torch.manual_seed(1)
    point = [*inputs, *layer.parameters()]
    point = [p.detach() for p in point]
    direction = [torch.randn_like(p) for p in point]
    names = [name for name, _ in layer.named_parameters()]

    def outputs(*given):
        parameters = dict(zip(names, given[len(inputs) :], strict=True))
        called = call(lambda *args, **kw: functional_call(layer, parameters, args, kw), *given)
        return tuple(tensors(called))

    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(*pair) for pair in zip(point, direction, strict=True)]
        pairs = [forward_ad.unpack_dual(y) for y in outputs(*duals)]
    plain = outputs(*point)
    _, expected = jvp(outputs, tuple(point), tuple(direction))
    weights = [torch.randn_like(y) for y in plain]
    slope = 0.0
    for (primal, tangent), y, t, w in zip(pairs, plain, expected, weights, strict=True):
        torch.testing.assert_close(primal, y)
        tangent = torch.zeros_like(y) if tangent is None else tangent
        torch.testing.assert_close(tangent, t)
        slope += (tangent * w).sum().item()

    def total():
        return sum((y * w).sum() for y, w in zip(outputs(*point), weights, strict=True))

    assert central_difference(total, point, direction) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("ragged", [False, True])
def test_recurrent_layers(recurrent, ragged):
    layer = recurrent.make(num_layers=2, bidirectional=True, batch_first=True)
    lengths = LENGTHS if ragged else None
    x = torch.randn(3, 5, 3, dtype=DOUBLE)
    check(layer, lambda layer, x, *_: layer(x, lengths=lengths), x)


def test_recurrent_layers_with_a_state_in_float32(recurrent):
    """The fused and the compiled routes exist only in float32."""
    layer = recurrent.make(dtype=torch.float32)
    x, hx = torch.randn(5, 3, 3), recurrent.state(layer, 3)
    tangent = torch.randn_like(x)
    _, expected = jvp(lambda x: layer(x, hx)[0], (x,), (tangent,))
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled), forward_ad.dual_level():
            y, _ = layer(forward_ad.make_dual(x, tangent), hx)
            torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, expected)


@pytest.mark.parametrize("name", LAYER_CASES)
def test_memory_layers(name):
    layer = make(LAYER_CASES, name, noise=0.1)
    x = torch.randn(3, 5, 3, dtype=DOUBLE)
    # The state of a MANN has parts without derivatives.
    check(layer, lambda layer, x, *_: layer(x, lengths=LENGTHS)[0], x)


@pytest.mark.parametrize("name", LAYER_CASES)
def test_memory_layers_in_float32(name):
    layer, x = LAYER_CASES[name](dtype=torch.float32), torch.randn(3, 5, 3)
    tangent = torch.randn_like(x)
    _, expected = jvp(lambda x: layer(x)[0], (x,), (tangent,))
    with forward_ad.dual_level():
        y, _ = layer(forward_ad.make_dual(x, tangent))
        torch.testing.assert_close(forward_ad.unpack_dual(y).tangent, expected)


@pytest.mark.parametrize("name", OTHER_LAYERS)
def test_other_layers(name):
    make, others = OTHER_LAYERS[name]
    if name == "Embedding":
        check(make().double(), lambda layer, *_: layer(*others))
    else:
        x = torch.randn(3, 5, 3, dtype=DOUBLE)
        check(make().double(), lambda layer, x, *_: layer(x, *others), x)


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_the_classifier(pooling):
    model = SequenceClassifier(4, vocab_size=9, hidden_size=4, pooling=pooling).double()
    check(model, lambda model, *_: model(TOKENS))


def test_forward_over_reverse_mode(recurrent):
    """A Hessian-vector product by dual numbers equals the one by two backward passes."""
    layer = recurrent.make()
    x = torch.randn(5, 2, 3, dtype=DOUBLE)
    weight = layer.weight_ih_l0
    direction = torch.randn_like(weight)
    (first,) = torch.autograd.grad(layer(x)[0].sin().sum(), weight, create_graph=True)
    (expected,) = torch.autograd.grad((first * direction).sum(), weight)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(weight.detach().requires_grad_(), direction)
        y, _ = functional_call(layer, {"weight_ih_l0": dual}, x)
        (gradient,) = torch.autograd.grad(y.sin().sum(), dual, create_graph=True)
        torch.testing.assert_close(forward_ad.unpack_dual(gradient).tangent, expected)


@pytest.mark.parametrize("tasks", [None, 2])
def test_an_inner_step_inside_a_dual_level(tasks):
    """A level without dual numbers changes nothing."""
    model = SequenceClassifier(4, vocab_size=9, hidden_size=4).double()
    x, y = TOKENS.expand(*([tasks] if tasks else []), 2, 3), torch.tensor([0, 3])
    y = y.expand(x.shape[:-1])
    learners = [MAML(model, 0.1).clone(tasks=tasks) for _ in range(2)]
    learners[0].adapt(cross_entropy(learners[0](x), y))
    with forward_ad.dual_level():
        learners[1].adapt(cross_entropy(learners[1](x), y))
    torch.testing.assert_close(learners[0](x), learners[1](x))
