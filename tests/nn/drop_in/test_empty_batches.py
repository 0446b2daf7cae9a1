"""Batches of no sequences: shapes and gradients as torch's layers give them."""

import pytest
import torch
from torch import nn

from l2l_rnn.axes import expand_parameters
from l2l_rnn.errors import ShapeError
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import CELLS, Embedding, LayerNorm, Linear, convert
from tests.memory.cases import LAYER_CASES

TASKS, STEPS, FEATURES, WAYS = 2, 5, 3, 4
DTYPES = [torch.float32, torch.float64]


def gradients(outputs, tensors):
    """Return first derivatives, with their graph, and second derivatives."""
    first = torch.autograd.grad(sum(y.sum() for y in outputs), tensors, create_graph=True)
    total = sum(g.sum() for g in first)
    return [*first, *torch.autograd.grad(total, tensors, allow_unused=True, materialize_grads=True)]


def all_zero(tensors):
    return all(torch.equal(t, torch.zeros_like(t)) for t in tensors)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_state", [False, True])
def test_recurrent_layers_equal_torchs(torch_recurrent, options, dtype, with_state):
    layers = [
        make(dtype=dtype, **options) for make in (torch_recurrent.make, torch_recurrent.make_torch)
    ]
    shape = (0, STEPS, FEATURES) if options["batch_first"] else (STEPS, 0, FEATURES)
    results = []
    for layer in layers:
        x = torch.zeros(shape, dtype=dtype, requires_grad=True)
        hx = torch_recurrent.state(layer, 0) if with_state else None
        found = torch_recurrent.flat(layer(x, hx))
        first = torch.autograd.grad(sum(y.sum() for y in found), [x, *layer.parameters()])
        results.append([*found, *first])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert ours.requires_grad == theirs.requires_grad


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_every_recurrent_layer(recurrent, options, dtype, tasks, with_lengths):
    layer = recurrent.make(dtype=dtype, **{**options, "batch_first": True})
    if tasks:
        expand_parameters(layer, TASKS)
    lead = [TASKS] if tasks else []
    x = torch.zeros(*lead, 0, STEPS, FEATURES, dtype=dtype, requires_grad=True)
    lengths = torch.zeros(*lead, 0, dtype=torch.long) if with_lengths else None
    hx = recurrent.state(layer, *lead, 0)
    y, *states = recurrent.flat(layer(x, hx, lengths=lengths))
    assert y.shape == (*lead, 0, STEPS, layer.output_size)
    assert [s.shape for s in states] == [s.shape for s in recurrent.flat((hx,))]
    assert y.dtype == dtype
    assert all_zero(gradients([y, *states], [x, *layer._parameters.values()]))


def test_extra_batch_axes(layer_class):
    layer = layer_class(FEATURES, WAYS, batch_first=True)
    for lead in ((0, 2), (2, 0), (2, 0, 3)):
        assert layer(torch.zeros(*lead, STEPS, FEATURES))[0].shape == (*lead, STEPS, WAYS)


@pytest.mark.parametrize("batch_first", [False, True])
def test_no_steps_raise_as_in_torch(layer_class, batch_first):
    layer = layer_class(FEATURES, WAYS, batch_first=batch_first)
    for shape in (
        (2, 0, FEATURES) if batch_first else (0, 2, FEATURES),
        (0, FEATURES),
        (0, 0, FEATURES),
    ):
        with pytest.raises(ShapeError, match="x must have at least one step, got shape"):
            layer(torch.zeros(shape))
        with pytest.raises(RuntimeError, match="sequence length to be larger than 0"):
            nn.GRU(FEATURES, WAYS, batch_first=batch_first)(torch.zeros(shape))


def test_under_no_grad_and_autocast(recurrent):
    layer, x = recurrent.make(dtype=torch.float32), torch.zeros(STEPS, 0, FEATURES)
    with torch.no_grad():
        assert not layer(x)[0].requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        full, _ = layer(torch.zeros(STEPS, 2, FEATURES))
        assert layer(x)[0].dtype == full.dtype


@pytest.mark.parametrize("tasks", [False, True])
@pytest.mark.parametrize("name", LAYER_CASES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_layers(name, dtype, tasks):
    layer = LAYER_CASES[name](dtype=dtype)
    if tasks:
        expand_parameters(layer, TASKS)
    lead = [TASKS] if tasks else []
    x = torch.zeros(*lead, 0, STEPS, FEATURES, dtype=dtype, requires_grad=True)
    y, state = layer(x)
    y, _ = layer(x, state, lengths=torch.zeros(*lead, 0, dtype=torch.long))
    assert y.shape == (*lead, 0, STEPS, layer.output_size)
    own = [p for m in layer.modules() for p in m._parameters.values() if p is not None]
    found = torch.autograd.grad(y.sum(), own, allow_unused=True, materialize_grads=True)
    assert all_zero(found)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Linear(FEATURES, WAYS), torch.zeros(0, FEATURES)),
        (Linear(FEATURES, WAYS), torch.zeros(0, STEPS, FEATURES)),
        (Linear(FEATURES, WAYS, bias=False), torch.zeros(STEPS, 0, FEATURES)),
        (Embedding(9, WAYS), torch.zeros(0, STEPS, dtype=torch.long)),
        (Embedding(9, WAYS, padding_idx=0), torch.zeros(0, dtype=torch.int32)),
        (LayerNorm(FEATURES), torch.zeros(0, STEPS, FEATURES)),
        (LayerNorm((STEPS, FEATURES)), torch.zeros(0, STEPS, FEATURES)),
    ],
)
@pytest.mark.parametrize("tasks", [False, True])
def test_other_layers_equal_torchs(layer, x, tasks):
    kind = getattr(nn, type(layer).__name__)
    twin = kind.__new__(kind)
    twin.__dict__ = vars(layer)
    expected = twin(x)
    zeros = torch.autograd.grad(expected.sum(), list(twin.parameters()))
    layer = convert(twin)
    if tasks:
        expand_parameters(layer, TASKS)
        x, expected = x.expand(TASKS, *x.shape), expected.expand(TASKS, *expected.shape)
    y = layer(x)
    torch.testing.assert_close(y, expected)
    own = [p for p in layer._parameters.values() if p is not None]
    assert all_zero([*torch.autograd.grad(y.sum(), own), *zeros])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", ["tokens", "steps"])
def test_the_classifier(cell, pooling, bidirectional, kind):
    size = {"vocab_size": 9} if kind == "tokens" else {"input_size": FEATURES}
    model = SequenceClassifier(
        WAYS, cell=cell, pooling=pooling, bidirectional=bidirectional, hidden_size=4, **size
    )
    x = torch.zeros(0, STEPS, dtype=torch.long)
    x = x if kind == "tokens" else torch.zeros(0, STEPS, FEATURES)
    y = model(x)
    assert y.shape == (0, WAYS)
    y.sum().backward()
    assert all_zero([p.grad for p in model.parameters()])
    with pytest.raises(ShapeError, match="at least one step"):
        model(x[:, :0])
    with pytest.raises(ShapeError, match="at least one step"):
        model(x.new_zeros(2, *x.shape[1:])[:, :0])
    expand_parameters(model, TASKS)
    assert model(x.expand(TASKS, *x.shape)).shape == (TASKS, 0, WAYS)
