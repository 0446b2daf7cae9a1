"""Recurrent layers under `torch.jit`, `torch.export`, ONNX, quantization and `torch.compile`."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from l2l_rnn.errors import ExportError, ShapeError
from l2l_rnn.nn import (
    CELLS,
    GRU,
    LSTM,
    Embedding,
    GRUCell,
    LayerNorm,
    Linear,
    LSTMCell,
    MinGRU,
    RNNCell,
    convert,
    to_torch,
)
from tests.nn.comparison import close

# torch's compiler and exporters warn of many things, more in each release.
pytestmark = pytest.mark.filterwarnings("ignore", "error::l2l_rnn.errors.ConversionWarning")

TRACED = {
    "RNN": lambda **o: CELLS["rnn"](3, 4, **o),
    "RNN-relu": lambda **o: CELLS["rnn"](3, 4, nonlinearity="relu", **o),
    "GRU": lambda **o: GRU(3, 4, **o),
    "LSTM": lambda **o: LSTM(3, 4, **o),
    "LSTM-projected": lambda **o: LSTM(3, 4, proj_size=2, **o),
}
OPTIONS = [
    {},
    {"batch_first": True, "num_layers": 2, "bidirectional": True, "dropout": 0.5},
    {"bias": False, "bidirectional": True},
]
STEP_CELLS = (RNNCell, GRUCell, LSTMCell)


def trace(model, *inputs, **options):
    return torch.jit.trace(model, inputs, check_trace=False, **options)


def flat(result):
    return [result] if isinstance(result, torch.Tensor) else [t for r in result for t in flat(r)]


@pytest.fixture(params=TRACED)
def make(request):
    torch.manual_seed(0)
    return TRACED[request.param]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_traced_layer_is_right_on_other_shapes(make, options):
    layer = make(**options).double().eval()
    traced = trace(layer, torch.randn(5, 2, 3, dtype=torch.float64))
    for shape in [(5, 2, 3), (7, 3, 3), (1, 1, 3)]:
        x = torch.randn(shape, dtype=torch.float64)
        close(flat(traced(x)), flat(layer(x)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_trace_with_a_state_and_lengths(make, options):
    layer = make(**options).double().eval()

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, lengths, *state):
            state = state[0] if len(state) == 1 else state
            return self.layer(x, state, lengths=lengths)

    def inputs(batch, lengths):
        steps = max(lengths) + 1
        shape = (batch, steps, 3) if layer.batch_first else (steps, batch, 3)
        blocks = layer.num_layers * (1 + layer.bidirectional)
        state = [torch.randn(blocks, batch, s, dtype=torch.float64) for s in layer.state_sizes]
        return torch.randn(shape, dtype=torch.float64), torch.tensor(lengths), *state

    model = Model()
    traced = trace(model, *inputs(2, [3, 5]))
    for given in (inputs(2, [3, 5]), inputs(3, [1, 7, 2])):
        close(flat(traced(*given)), flat(model(*given)))


@pytest.mark.parametrize("batch_first", [False, True])
def test_traces_of_one_sequence_of_more_axes_and_of_packed_sequences(make, batch_first):
    layer = make(batch_first=batch_first, bidirectional=True).double().eval()
    for shapes in ([(5, 3), (8, 3)], [(2, 3, 5, 3), (4, 2, 6, 3)]):
        traced = trace(layer, torch.randn(shapes[0], dtype=torch.float64))
        x = torch.randn(shapes[1], dtype=torch.float64)
        close(flat(traced(x)), flat(layer(x)))

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, lengths):
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
            y, state = self.layer(packed)
            return y.data, state

    def given(*lengths):
        return torch.randn(max(lengths), len(lengths), 3).double(), torch.tensor(lengths)

    traced = trace(Packed(), *given(2, 4, 3))
    for inputs in (given(2, 4, 3), given(5, 1)):
        close(flat(traced(*inputs)), flat(Packed()(*inputs)))


class Model(nn.Module):
    def __init__(self, recurrence):
        super().__init__()
        self.embedding = Embedding(9, 3)
        self.norm = LayerNorm(3)
        self.recurrence = recurrence
        self.head = Linear(recurrence.output_size, 2)

    def forward(self, tokens):
        return self.head(self.recurrence(self.norm(self.embedding(tokens)))[0])


def model_of(make, **options):
    torch.manual_seed(0)
    return Model(make(batch_first=True, **options)).eval()


def test_a_traced_model(make):
    model = model_of(make)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = trace(model, torch.randint(9, (2, 5)))
    for shape in [(2, 5), (3, 8)]:
        tokens = torch.randint(9, shape)
        close([traced(tokens)], [model(tokens)], rtol=1e-5, atol=1e-6)


def test_to_torch_is_scripted_and_quantized(make):
    model = model_of(make)
    tokens = torch.randint(9, (3, 8))
    if getattr(model.recurrence, "proj_size", 0) == 0:
        scripted = torch.jit.script(to_torch(model))
        close([scripted(tokens)], [model(tokens)], rtol=1e-5, atol=1e-6)
        assert type(model.recurrence) is not type(to_torch(model).recurrence)
    if type(model.recurrence) in (GRU, LSTM) and not model.recurrence.proj_size:
        kinds = {nn.LSTM, nn.GRU, nn.Linear}
        quantized = torch.ao.quantization.quantize_dynamic(to_torch(model), kinds)
        assert "quantized" in type(quantized.recurrence).__module__
        assert "quantized" in type(quantized.head).__module__
        torch.testing.assert_close(quantized(tokens), model(tokens), rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    "layer",
    [LSTM(3, 4), GRU(3, 4), CELLS["rnn"](3, 4), Linear(3, 4), Embedding(9, 4), LayerNorm(3)],
)
def test_scripting_and_quantizing_our_layers_name_to_torch(layer):
    model = nn.Sequential(layer)
    with pytest.raises(ExportError, match=r"torch\.jit\.script .*pass nn\.to_torch\(model\)"):
        torch.jit.script(model)
    with pytest.raises(ExportError, match=r"quantize nn\.to_torch\(model\)"):
        torch.ao.quantization.quantize_dynamic(model, {nn.LSTM, nn.Linear})
    assert model[0] is layer
    assert not hasattr(layer, "qconfig")


def test_layers_without_a_kernel_refuse_to_be_traced(recurrent):
    layer = recurrent.make()
    if layer._kernel is not None:
        return
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    for model in (layer, nn.Sequential(layer)):
        with pytest.raises(ExportError, match=r"use torch\.export\.export"):
            trace(model, x)
        with pytest.raises(ExportError, match=r"use torch\.export\.export"):
            torch.jit.script(model)


def test_a_layer_with_tasks_refuses_to_be_traced():
    layer = LSTM(3, 4)
    for name, p in list(layer._parameters.items()):
        layer._parameters[name] = p.detach().expand(2, *p.shape)
    with pytest.raises(ShapeError, match="select_task"):
        trace(layer, torch.randn(2, 5, 3, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("options", "strict"), [(OPTIONS[0], True), (OPTIONS[1], False)], ids=str)
def test_torch_export(recurrent, options, strict):
    layer = recurrent.make(**options).eval()
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    exported = torch.export.export(layer, (x,), strict=strict).module()
    close(flat(exported(x)), flat(layer(x)), rtol=1e-9)
    with pytest.raises(Exception, match=r"(?i)shape|size|guard"):
        exported(torch.randn(4, 2, 3, dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("strict", [True, False])
def test_torch_export_with_lengths(recurrent, strict):
    class Ragged(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = recurrent.make(bidirectional=True)

        def forward(self, x, lengths):
            return self.layer(x, lengths=lengths)

    model, x = Ragged(), torch.randn(3, 2, 3, dtype=torch.float64)
    exported = torch.export.export(model, (x, torch.tensor([1, 3])), strict=strict).module()
    for lengths in ([1, 3], [3, 2]):
        given = x, torch.tensor(lengths)
        close(flat(exported(*given)), flat(model(*given)), rtol=1e-9)


# -- torch.compile --------------------------------------------------------------------------------


def test_a_layer_breaks_a_compiled_graph_once(recurrent):
    layer = recurrent.make(num_layers=2, bidirectional=True)
    x = torch.randn(4, 3, 3, dtype=torch.float64)
    for lengths in (None, torch.tensor([2, 4, 1])):
        torch._dynamo.reset()
        explained = torch._dynamo.explain(lambda x, n=lengths: layer(x * 2, lengths=n)[0].sin())(x)
        assert explained.graph_break_count == 1
    torch._dynamo.reset()


def test_embeddings_and_norms_do_not_break_a_compiled_graph():
    model = nn.Sequential(Embedding(9, 3), LayerNorm(3), Linear(3, 2))
    torch._dynamo.reset()
    tokens = torch.randint(9, (2, 5))
    assert torch._dynamo.explain(model)(tokens).graph_break_count == 0
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens), model(tokens))
    torch._dynamo.reset()


def test_a_compiled_model_has_the_same_derivatives(recurrent):
    """First derivatives, and second ones through the layer itself."""
    model = nn.Sequential(recurrent.make(batch_first=True))
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    found = []
    for each in (model, compiled):
        y = each(x)[0]
        parameters = list(model.parameters())
        found.append([y, *recurrent.derivatives([y], parameters)])
    close(*found)
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.filterwarnings("ignore")  # of the compilers
def test_compilers(backend):
    torch.manual_seed(0)
    model = convert(Model(LSTM(3, 4, batch_first=True)))
    tokens = torch.randint(9, (2, 5))
    torch._dynamo.reset()
    compiled = torch.compile(model, backend=backend)
    found = []
    for each in (model, compiled):
        model.zero_grad()
        y = each(tokens)
        y.square().sum().backward()
        found.append([y, *(p.grad.clone() for p in model.parameters())])
    close(*found, rtol=1e-5, atol=1e-6)
    torch._dynamo.reset()


def test_a_minimal_layer_in_a_larger_traced_model_names_itself():
    model = nn.Sequential(Linear(3, 3), MinGRU(3, 4))
    with pytest.raises(ExportError, match="MinGRU: "):
        trace(model, torch.randn(5, 2, 3))


@pytest.mark.parametrize("kind", STEP_CELLS)
def test_cells(kind):
    torch.manual_seed(0)
    cell = kind(3, 4).double()
    state = torch.randn(2, 4).double()
    hx = (state, state + 1) if kind is LSTMCell else state

    def run(model, x):
        return flat(model(x, hx))

    x = torch.randn(2, 3).double()
    traced = trace(cell, x, hx)
    exported = torch.export.export(cell, (x, hx), strict=False).module()
    scripted = torch.jit.script(to_torch(nn.ModuleDict({"cell": cell})).cell)
    other = torch.randn(2, 3).double()
    for each in (traced, exported, scripted, to_torch(cell)):
        close(run(each, other), run(cell, other))
    more = torch.randn(5, 3).double()
    close(flat(trace(cell, x)(more)), flat(cell(more)))
    torch._dynamo.reset()
    compiled = torch.compile(cell, backend="eager")
    found = []
    for each in (cell, compiled):
        y = run(each, other)
        found.append([*y, *torch.autograd.grad(y[0].sin().sum(), list(cell.parameters()))])
    close(*found)
    torch._dynamo.reset()
