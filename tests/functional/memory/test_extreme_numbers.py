"""Extreme but finite numbers: compiled passes, torch's operations and double precision agree."""

import pytest
import torch
from torch.func import functional_call, grad, vmap

from l2l_rnn import functional
from l2l_rnn.functional.memory import compiled_passes
from l2l_rnn.functional.memory.addressing import (
    bounded_exp,
    bounded_exp_slope,
    bounded_softplus,
    masked_softmax,
)
from l2l_rnn.memory import DNC, MANN, NTM, DeltaFastWeights

SIZES = {"hidden_size": 5, "slots": 7, "slot_size": 4, "read_heads": 2}
LAYERS = {
    "NTM": lambda **options: NTM(3, 3, write_heads=2, **SIZES, **options),
    "MANN": lambda **options: MANN(3, 3, **SIZES, **options),
    "DNC": lambda **options: DNC(3, 3, **SIZES, **options),
}
ACTIVATED = {"NTM": 4, "MANN": 3, "DNC": 4}  # parts of the interface vector
STEPS = 3


def set_interface(layer, part, value):
    first = sum(layer._interface()[:part])
    layer.bias_heads.data[first : first + layer._interface()[part]] = value


def bias(part, value):
    return lambda layer: set_interface(layer, part, value)


def logarithm(value):
    def change(layer):
        layer.log_sharpness.data.fill_(value)

    return change


STRENGTHS = [1e4, 1e10, 1e20, 1e30, 3e38]
CHANGES = {
    **{f"MANN, sharpness exp {v}": ("MANN", logarithm(v)) for v in (-1e30, -110, 10, 69, 88, 1e30)},
    **{f"{n}, strengths {v}": (n, bias(2, v)) for n in ("NTM", "DNC") for v in STRENGTHS},
    **{
        f"{name}, part {part} of the interface {value}": (name, bias(part, value))
        for name, parts in ACTIVATED.items()
        for part in range(parts)
        for value in (-1e30, -90.0, 90.0, 4e3)
        if (name, part) != ("DNC", 0)  # keys and vectors to write, which are not activated
    },
}


def results(layer, x, create_graph=False):
    """Return outputs and gradients, from a memory whose slots have different contents."""
    generator = torch.Generator().manual_seed(1)
    state = layer.blank(len(x))
    memory = torch.randn(state.memory.shape, generator=generator)
    state = state._replace(memory=memory.to(x.dtype))
    x = x.clone().requires_grad_()
    y, last = layer(x, state)
    value = y.sin().sum() + last.memory.sin().sum()
    found = torch.autograd.grad(
        value, [x, *layer.parameters()], create_graph=create_graph, allow_unused=True
    )
    return [part.detach() for part in (y, last.memory, *(g for g in found if g is not None))]


def all_routes(monkeypatch, layer, x):
    """Return the results of each route and, last, those in double precision."""
    routes = {"compiled": results(layer, x), "create_graph": results(layer, x, create_graph=True)}
    with monkeypatch.context() as context:
        context.setattr(compiled_passes, "_LIBRARY", None)
        routes["torch"] = results(layer, x)
    return routes, results(layer.double(), x.double())


@pytest.mark.parametrize("change", CHANGES)
def test_extreme_heads(monkeypatch, change):
    name, apply = CHANGES[change]
    torch.manual_seed(0)
    layer = LAYERS[name]()
    apply(layer)
    routes, exact = all_routes(monkeypatch, layer, torch.randn(2, STEPS, 3))
    for route, found in routes.items():
        for one, other in zip(found, exact, strict=True):
            assert other.isfinite().all()
            assert one.isfinite().all(), route
        # Values agree. Gradients agree if they are not those of a difference below the precision.
        torch.testing.assert_close(found[0].double(), exact[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_extreme_strengths_in_a_blank_memory(monkeypatch, name, strength):
    """All slots tie, and the short rows have inverse lengths up to 1 / eps."""
    torch.manual_seed(0)
    layer = LAYERS[name]()
    if name == "MANN":
        logarithm(torch.tensor(strength).log().item())(layer)
    else:
        set_interface(layer, 2, strength)
    for route, found in all_routes(monkeypatch, layer, torch.zeros(2, STEPS, 3))[0].items():
        assert all(part.isfinite().all() for part in found), route


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("value", [0.0, 1e-42, 1e-20, 1e4, 1e20, 1e37])
def test_extreme_inputs(monkeypatch, name, value):
    torch.manual_seed(0)
    layer, x = LAYERS[name](), value * torch.randn(2, STEPS, 3).sign()
    routes, exact = all_routes(monkeypatch, layer, x)
    for route, found in routes.items():
        for one, other in zip(found, exact, strict=True):
            assert one.isfinite().all(), route
            scale = other.abs().max().clamp_min(1e-3)
            torch.testing.assert_close(one.double() / scale, other / scale, rtol=0, atol=1e-3)


def test_sharp_weights_of_close_similarities():
    """A product of strength and similarity, rounded before the maximum is subtracted, is off."""
    mann = MANN(1, 1, hidden_size=2, slots=3, slot_size=2, read_heads=1, sharpness=1e5)
    memory = torch.tensor([[[1.0, 0.01], [1.0, 0.0101], [1.0, -1.0]]])
    x, found = torch.ones(1, 1, 1), []
    for layer in (mann, mann.double()):
        dtype = layer.bias_output.dtype
        state = layer.blank(1)._replace(memory=memory.to(dtype), usage=x.new_tensor([[1, 1, 0.0]]))
        set_interface(layer, 2, -50.0)  # writes to the least used slot alone
        found.append(
            layer(x.to(dtype), state._replace(usage=state.usage.to(dtype)))[1].read_weights
        )
    torch.testing.assert_close(found[0].double(), found[1], rtol=0, atol=2e-2)


@pytest.mark.parametrize("size", [1e-42, 1e-10, 1.0, 1e15, 1e18, 1e36])
def test_cosines_of_short_and_long_vectors(size):
    torch.manual_seed(0)
    memory, keys = size * torch.randn(5, 4), size * torch.randn(2, 4)
    for function in (
        functional.cosine_similarity,
        lambda m, k: functional.content_weights(m, k, torch.tensor([3.0, 2.0**46]).to(m.dtype)),
    ):
        inputs = memory.requires_grad_(), keys.requires_grad_()
        found = function(*inputs)
        exact = function(memory.detach().double(), keys.detach().double())
        if size > 1e19:  # the square of a norm overflows, and a similarity is 0
            exact = function(0 * memory.detach().double(), 0 * keys.detach().double())
        torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
        gradients = torch.autograd.grad(found[0].sin().sum(), inputs)
        assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("size", [1e15, 1e25, 1e36])
def test_compiled_cosines_of_long_vectors(size):
    """The keys, the vectors and the slots of a DNC have any length."""
    torch.manual_seed(0)
    layer = DNC(3, 3, **SIZES)
    set_interface(layer, 0, size)
    x, found = torch.randn(2, STEPS, 3), []
    for one, dtype in ((layer, torch.float32), (layer.double(), torch.float64)):
        _, last = one.to(dtype)(x.to(dtype))
        found.append([part.double() for part in (last.read_weights, last.memory / size)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [-3e38, -1e3, -60.0, -20.0, 0.0, 60.0, 1e30])
def test_features_of_extreme_keys(size):
    """`elu(k) + 1` is 0 for k below about -17 in float32, and cannot be normalized then."""
    store = DeltaFastWeights(4, 2)
    keys = (torch.linspace(0.9, 1, 4) * size + torch.linspace(0, 1, 4)).requires_grad_()
    features = store._phi(keys)
    k = keys.detach().double()
    top = k.max().clamp(max=0)
    positive = torch.where(k > 0, k + 1, (k - top).exp())
    torch.testing.assert_close(features.double(), positive / positive.sum(), rtol=1e-3, atol=1e-6)
    (g,) = torch.autograd.grad(features[0], keys)
    assert g.isfinite().all()


def test_masked_softmax_of_very_negative_scores():
    weights = masked_softmax(torch.tensor([-3e38, -3.1e38, 0.0]), torch.tensor([1, 1, 0]).bool())
    assert weights.tolist() == [1, 0, 0]


def test_bounded_softplus():
    x = torch.tensor([-1e30, 0.0, 1e10, 1e30, 3e38], requires_grad=True)
    y = bounded_softplus(x)
    assert y.equal(torch.nn.functional.softplus(x).clamp(max=2.0**46))
    (g,) = torch.autograd.grad(y.sum(), x)
    assert g.tolist() == [0, 0.5, 1, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_bounded_exp(dtype):
    x = torch.tensor([-1e4, -2.0, 0.0, 5.0, 1e4], dtype=dtype, requires_grad=True)
    y = bounded_exp(x)
    assert y.isfinite().all()
    assert y[1:4].equal(x[1:4].exp())
    (g,) = torch.autograd.grad(y.sum(), x)
    assert g.equal(bounded_exp_slope(x))


def test_sharpening_with_extreme_exponents():
    weights = torch.tensor([0.5, 0.5, 0.0, 1e-30], requires_grad=True)
    for exponent in (1e10, 2.0**46):
        sharp = functional.sharpen(weights, torch.tensor(exponent))
        assert sharp.tolist() == [0.5, 0.5, 0, 0]
    single = functional.sharpen(torch.tensor([0.3, 0.1]), torch.tensor(2.0**46))
    assert single.tolist() == [1, 0]


@pytest.mark.parametrize("kind", [lambda: MANN(3, 3, **SIZES), lambda: DNC(3, 3, **SIZES)])
def test_order_of_slots_under_vmap_without_warnings(kind):
    layer, x = kind(), torch.randn(3, 2, 4, 3)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    found = vmap(grad(lambda x: functional_call(layer, parameters, (x,))[0].sin().sum()))(x)
    for n, given in enumerate(x):
        given = given.clone().requires_grad_()
        (g,) = torch.autograd.grad(layer(given)[0].sin().sum(), given)
        torch.testing.assert_close(found[n], g, rtol=1e-3, atol=1e-5)
