"""Layers under `torch.func.vmap`: the mapped axis is their task axis, with exact derivatives."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from l2l_rnn.mapped_axis import takes_mapped_axis
from l2l_rnn.nn import CELLS, Embedding, LayerNorm, LearnedDropout, Linear, RecurrentLayer
from tests.memory.cases import FEATURES, KEY, LAYER_CASES, STORE_CASES, VALUE

TASKS, BATCH, STEPS = 3, 2, 5
F64 = {"dtype": torch.float64}


def run_mapped(module, parameters, inputs, function=None, **options):
    """Run a module under vmap, with parameters and inputs `(N, …)`."""

    def one(parameters, *inputs):
        if function is not None:
            return functional_call(_Call(module, function), _prefixed(parameters), inputs)
        return functional_call(module, parameters, inputs)

    return vmap(one, randomness="different", **options)(parameters, *inputs)


class _Call(nn.Module):
    def __init__(self, module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *inputs):
        return self.function(self.module, *inputs)


def _prefixed(parameters):
    return {f"module.{name}": p for name, p in parameters.items()}


def run_loop(module, parameters, inputs, function=None):
    """Run the same for one task after the other."""
    results = []
    for n in range(TASKS):
        own = {name: p[n] for name, p in parameters.items()}
        given = [x[n] for x in inputs]
        call = module if function is None else _Call(module, function)
        own = own if function is None else _prefixed(own)
        results.append(tensors(functional_call(call, own, tuple(given))))
    return [torch.stack(same) for same in zip(*results, strict=True)]


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [tensor for part in value for tensor in tensors(part)]


def stacked_parameters(module):
    """Return different parameters for each task."""
    return {
        name: (p.detach() + 0.1 * torch.randn(TASKS, *p.shape, **F64)).requires_grad_()
        for name, p in module.named_parameters()
    }


def derivatives(outputs, leaves):
    """Return first and second derivatives of a function of the floating-point outputs."""
    real = [y for y in outputs if y.is_floating_point() and y.requires_grad]
    first = torch.autograd.grad(
        sum(y.sin().sum() for y in real), leaves, create_graph=True, allow_unused=True
    )
    first = [torch.zeros_like(p) if g is None else g for g, p in zip(first, leaves, strict=True)]
    second = torch.autograd.grad(
        sum(g.square().sum() for g in first), leaves, allow_unused=True, materialize_grads=True
    )
    return [*first, *second]


def check(module, inputs, function=None):
    """Compare vmap with a loop, in values and derivatives."""
    parameters = stacked_parameters(module)
    inputs = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
    leaves = [*parameters.values(), *(x for x in inputs if x.is_floating_point())]
    got = tensors(run_mapped(module, parameters, inputs, function))
    expected = run_loop(module, parameters, inputs, function)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        derivatives(got, leaves), derivatives(expected, leaves), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layers(cell, bidirectional):
    layer = CELLS[cell](3, 4, 2, batch_first=True, bidirectional=bidirectional, **F64)
    x = torch.randn(TASKS, BATCH, STEPS, 3, **F64)
    lengths = torch.randint(1, STEPS + 1, (TASKS, BATCH))
    blocks = 2 * (1 + bidirectional)
    hx = [torch.randn(TASKS, blocks, BATCH, size, **F64) for size in layer.state_sizes]

    def ragged(layer, x, lengths, *hx):
        return layer(x, hx if len(hx) > 1 else hx[0], lengths=lengths)

    check(layer, [x])
    check(layer, [x, lengths, *hx], ragged)


@pytest.mark.parametrize("axes", [(), (4,), (2, 4)], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layers_with_any_batch_axes(cell, axes):
    layer = CELLS[cell](3, 4, batch_first=True, **F64)
    check(layer, [torch.randn(TASKS, *axes, STEPS, 3, **F64)])


@pytest.mark.parametrize("axes", [(), (2,), (2, 4)], ids=str)
@pytest.mark.parametrize(
    "module", [Linear(3, 2, **F64), LayerNorm(3, **F64)], ids=["Linear", "LayerNorm"]
)
def test_affine_layers(module, axes):
    check(module, [torch.randn(TASKS, *axes, 3, **F64)])


@pytest.mark.parametrize("axes", [(), (2,), (2, 4)], ids=str)
def test_embedding(axes):
    check(Embedding(7, 3, padding_idx=0, **F64), [torch.randint(0, 7, (TASKS, *axes))])


@pytest.mark.parametrize("name", LAYER_CASES)
def test_memory_layers(name):
    memory = LAYER_CASES[name](**F64)
    lengths = torch.randint(1, STEPS + 1, (TASKS, BATCH))

    def ragged(memory, x, lengths):
        outputs, state = memory(x, lengths=lengths)
        step, state = memory.step(x[:, 0], state)
        return outputs, step

    check(memory, [torch.randn(TASKS, BATCH, STEPS, FEATURES, **F64), lengths], ragged)


@pytest.mark.parametrize("name", STORE_CASES)
def test_stores(name):
    store = STORE_CASES[name](**F64)
    keys = torch.randn(TASKS, BATCH, KEY, **F64)
    values = torch.randn(TASKS, BATCH, VALUE, **F64)

    def write_and_read(store, keys, values):
        state = store.write(store.blank(), keys, values)
        return store.read(store.write(state, keys.flip(0), values), 2 * keys)

    check(store, [keys, values], write_and_read)


class Spy(RecurrentLayer):
    """A layer that records the shape of what `step` gets: A is the number of tasks."""

    gates = 1

    def step(self, a, state):
        self.seen.append(tuple(a.shape))
        return ((state[0] + a).tanh(),)


def spy():
    layer = Spy(3, 4, batch_first=True, **F64)
    layer.seen = []
    return layer


def test_the_layer_runs_all_tasks_at_once():
    layer, x = spy(), torch.randn(TASKS, BATCH, 2, 3, **F64)
    run_mapped(layer, stacked_parameters(layer), [x])
    assert layer.seen == [(TASKS, BATCH, 4)] * 2


def test_tasks_that_share_the_parameters_are_one_batch():
    layer, x = spy(), torch.randn(TASKS, BATCH, 2, 3, **F64)
    got, _ = vmap(layer)(x)
    assert layer.seen == [(1, TASKS * BATCH, 4)] * 2
    torch.testing.assert_close(got, torch.stack([layer(one)[0] for one in x]))


def test_one_sequence_for_each_task_and_shared_parameters():
    layer, x = spy(), torch.randn(TASKS, 2, 3, **F64)
    got, _ = vmap(layer)(x)
    torch.testing.assert_close(got, torch.stack([layer(one)[0] for one in x]))


@pytest.mark.parametrize("mapped", ["parameters", "input", "one parameter"])
@pytest.mark.parametrize("cell", CELLS)
def test_what_is_not_mapped_is_shared(cell, mapped):
    layer = CELLS[cell](3, 4, batch_first=True, **F64)
    parameters, x = stacked_parameters(layer), torch.randn(TASKS, BATCH, STEPS, 3, **F64)
    axes = dict.fromkeys(parameters, 0 if mapped == "parameters" else None)
    if mapped == "one parameter":
        axes[next(iter(axes))] = 0
    given = {n: p if axes[n] == 0 else p[0] for n, p in parameters.items()}
    x = x[0] if mapped == "parameters" else x
    got = run_mapped(layer, given, [x], in_dims=(axes, None if mapped == "parameters" else 0))
    full = {n: p if axes[n] == 0 else p[:1].expand_as(p) for n, p in parameters.items()}
    expected = run_loop(layer, full, [x.expand(TASKS, BATCH, STEPS, 3)])
    torch.testing.assert_close(tensors(got), expected, rtol=1e-10, atol=1e-12)
    leaves = list(parameters.values())
    torch.testing.assert_close(
        derivatives(tensors(got), leaves), derivatives(expected, leaves), rtol=1e-8, atol=1e-10
    )


def test_nothing_mapped_in_the_layer():
    layer, x = CELLS["lstm"](3, 4, **F64), torch.randn(STEPS, BATCH, 3, **F64)
    got = vmap(lambda scale: scale * layer(x)[0])(torch.ones(TASKS, **F64))
    torch.testing.assert_close(got, layer(x)[0].expand(TASKS, -1, -1, -1))


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_another_mapped_axis(axis):
    layer, x = CELLS["gru"](3, 4, batch_first=True, **F64), torch.randn(TASKS, 2, 5, 3, **F64)
    got, _ = vmap(layer, in_dims=axis, out_dims=axis)(x.movedim(0, axis))
    torch.testing.assert_close(got.movedim(axis, 0), layer(x)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_nested_transforms(cell):
    """Gradients under vmap, vmap under a gradient, and vmap under vmap keep their results."""
    layer = CELLS[cell](3, 4, batch_first=True, **F64)
    x = torch.randn(TASKS, BATCH, STEPS, 3, **F64)

    def loss(x):
        return layer(x)[0].sin().sum()

    (expected,) = torch.autograd.grad(loss(x.requires_grad_()), x)
    torch.testing.assert_close(vmap(grad(loss))(x), expected)
    torch.testing.assert_close(grad(lambda x: vmap(loss)(x).sum())(x), expected)
    nested = vmap(vmap(lambda x: layer(x)[0]))(x.reshape(TASKS, BATCH, 1, STEPS, 3))
    torch.testing.assert_close(nested.squeeze(2), layer(x)[0])


@pytest.mark.parametrize(
    ("module", "draws"),
    [
        (CELLS["lstm"](3, 3, 2, dropout=0.5, **F64), True),
        (CELLS["lstm"](3, 3, 2, **F64), False),
        (LearnedDropout(0.5).double(), True),
    ],
    ids=["dropout", "none", "learned"],
)
@pytest.mark.parametrize("randomness", ["same", "different", "error"])
def test_the_randomness_of_vmap(module, draws, randomness):
    x = torch.ones(TASKS, STEPS, BATCH, 3, **F64)

    def one(x):
        return tensors(module(x))[0]

    if randomness == "error" and draws:
        with pytest.raises(RuntimeError, match="vmap"):
            vmap(one, randomness=randomness)(x)
        return
    first, second, *_ = vmap(one, randomness=randomness)(x)
    assert torch.equal(first, second) == (randomness == "same" or not draws)


@pytest.mark.parametrize("computed", ["parametrized", "hook"])
def test_computed_weights(computed):
    """The layer takes all tasks at once, although its weights are computed."""
    layer = spy()
    if computed == "parametrized":
        nn.utils.parametrize.register_parametrization(layer, "weight_hh_l0", Unit())
    else:
        layer.register_forward_pre_hook(_normalize)
        layer(torch.zeros(BATCH, 2, 3, **F64))
        layer.seen.clear()
    x = torch.randn(TASKS, BATCH, 2, 3, **F64)
    parameters = stacked_parameters(layer)
    got = tensors(run_mapped(layer, parameters, [x]))
    assert layer.seen == [(TASKS, BATCH, 4)] * 2
    torch.testing.assert_close(got, run_loop(layer, parameters, [x]), rtol=1e-10, atol=1e-12)


class Unit(nn.Module):
    def forward(self, weight):
        return weight / weight.norm()


def _normalize(layer, _):
    """Set a plain attribute, as the older `torch.nn.utils.weight_norm` does."""
    weight = layer._parameters.pop("weight_hh_l0", None)
    if weight is not None:
        layer.register_parameter("raw", nn.Parameter(weight.detach()))
    layer.weight_hh_l0 = layer.raw / layer.raw.norm()


def test_a_subclass_that_calls_its_base_class():
    class Scaled(Linear):
        def forward(self, x):
            return super().forward(x) * self.weight.sum()

    check(Scaled(3, 2, **F64), [torch.randn(TASKS, BATCH, 3, **F64)])


def test_results_may_hold_anything():
    class Odd(nn.Module):
        task_axis = True

        @takes_mapped_axis()
        def forward(self, x, name):
            return {"x": x, "rest": (None, 3, name)}

    got = []
    vmap(lambda x: got.append(Odd()(x, name="a")["rest"]) or x)(torch.zeros(2))
    assert got == [(None, 3, "a")]


def test_the_module_is_unchanged():
    layer = CELLS["lstm"](3, 4, **F64)
    before, state = dict(vars(layer)), copy.deepcopy(layer.state_dict())
    run_mapped(layer, stacked_parameters(layer), [torch.randn(TASKS, STEPS, BATCH, 3, **F64)])
    assert vars(layer) == before
    assert all(torch.equal(value, layer.state_dict()[name]) for name, value in state.items())
