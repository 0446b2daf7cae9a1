"""The compiled passes against torch's operations, and the choice between the two."""

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from l2l_rnn import functional
from l2l_rnn import nn as recurrent
from l2l_rnn.errors import ArgumentTypeError, ShapeError
from l2l_rnn.functional.recurrence import compiled_passes
from l2l_rnn.functional.recurrence.cells import PackedLSTMCell
from l2l_rnn.functional.recurrence.weights import Weights
from tests.functional.csrc_digest import csrc_digest

LAYERS = {
    "lstm": lambda *sizes, **options: recurrent.LSTM(*sizes, **options),
    "gru": lambda *sizes, **options: recurrent.GRU(*sizes, **options),
    "tanh": lambda *sizes, **options: recurrent.RNN(*sizes, **options),
    "relu": lambda *sizes, **options: recurrent.RNN(*sizes, nonlinearity="relu", **options),
    "min_gru": lambda *sizes, **options: recurrent.MinGRU(*sizes, **options),
    "min_lstm": lambda *sizes, **options: recurrent.MinLSTM(*sizes, **options),
}


@pytest.fixture
def compiled(monkeypatch):
    """A list of the compiled passes that ran, in order."""
    assert compiled_passes.compiled(), "it was not compiled; reinstall the package"
    calls = []
    run = compiled_passes.run
    monkeypatch.setattr(
        compiled_passes,
        "run",
        lambda cell, sizes, arrays: (calls.append(arrays.kind), run(cell, sizes, arrays)),
    )
    return calls


def both_orders(layer, x, state, lengths):
    """Return the outputs, and first and second derivatives w.r.t. all inputs and parameters."""
    inputs = [x, *state, *layer.parameters()]
    hx = state[0] if len(state) == 1 else tuple(state)
    y, final = layer(x, hx, lengths=lengths)
    final = [final] if isinstance(final, torch.Tensor) else list(final)
    loss = sum((part * torch.cos(part)).sum() for part in (y.nan_to_num(), *final))
    first = torch.autograd.grad(loss, inputs, create_graph=True)
    waves = [torch.linspace(-1, 1, g.numel()).view_as(g) for g in first]
    second = torch.autograd.grad(
        sum((g.sin() * wave).sum() for g, wave in zip(first, waves, strict=True)), inputs
    )
    return [y, *final, *first, *second]


def compare(ours, exact, tolerance=1e-4):
    for one, other in zip(ours, exact, strict=True):
        scale = other.abs().max().item() or 1.0
        torch.testing.assert_close(one.double() / scale, other / scale, atol=tolerance, rtol=0)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize(
    ("batch", "steps", "features", "hidden", "layers", "both", "ragged", "bias"),
    [
        (1, 1, 1, 1, 1, False, False, True),
        (5, 4, 3, 16, 1, False, False, True),
        (7, 9, 5, 19, 2, True, True, True),
        (6, 3, 2, 7, 1, True, False, False),
        (101, 5, 4, 33, 1, False, True, True),  # several blocks of rows and a partial one
    ],
)
def test_matches_double_precision(
    compiled, cell, batch, steps, features, hidden, layers, both, ragged, bias
):
    torch.manual_seed(0)
    layer = LAYERS[cell](
        features, hidden, num_layers=layers, bidirectional=both, batch_first=True, bias=bias
    )
    x = torch.randn(batch, steps, features, requires_grad=True)
    shape = (layers * (1 + both), batch, hidden)
    state = [torch.randn(shape, requires_grad=True) for _ in range(1 + (cell == "lstm"))]
    # With lengths, a single step takes this route too.
    lengths = torch.randint(1 if ragged else steps, steps + 1, (batch,))
    ours = both_orders(layer, x, state, lengths)
    assert {"forward", "adjoint", "tangent"} == set(compiled)
    compiled.clear()
    exact = both_orders(
        layer.double(),
        x.detach().double().requires_grad_(),
        [s.detach().double().requires_grad_() for s in state],
        lengths,
    )
    assert not compiled
    compare(ours, exact)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("cell", LAYERS)
def test_threads_change_nothing(compiled, cell, threads):
    torch.manual_seed(1)
    layer = LAYERS[cell](3, 20, bidirectional=True, batch_first=True)
    x = torch.randn(50, 6, 3, requires_grad=True)
    state = [torch.zeros(2, 50, 20) for _ in range(1 + (cell == "lstm"))]
    state = [s.requires_grad_() for s in state]
    lengths = torch.arange(50) % 6 + 1
    before = torch.get_num_threads()
    results = []
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            results.append(both_orders(layer, x, state, lengths))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", LAYERS)
def test_without_gradients(compiled, cell):
    torch.manual_seed(2)
    layer = LAYERS[cell](4, 10, batch_first=True)
    x, lengths = torch.randn(9, 7, 4), torch.tensor([7, 1, 3, 3, 6, 2, 7, 5, 4])
    with torch.no_grad():
        y, _ = layer(x, lengths=lengths)
    expected, _ = layer(x, lengths=lengths)
    assert compiled == ["forward"] * 2
    torch.testing.assert_close(y, expected.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("cell", ["lstm", "gru", "tanh"])
@pytest.mark.parametrize("value", [-1e30, -200.0, -30.0, -1e-4, 0.0, 1e-30, 0.6, 30.0, 1e30])
def test_extreme_inputs(compiled, cell, value):
    layer = LAYERS[cell](1, 17)
    torch.nn.init.constant_(layer.weight_ih_l0, 1.0)
    for name, parameter in layer.named_parameters():
        if name != "weight_ih_l0":
            torch.nn.init.zeros_(parameter)
    x = torch.full((1, 1, 1), value)
    y, _ = layer(x)
    exact, _ = layer.double()(x.double())
    rounding = 1e-7 if cell == "gru" else 1e-37  # 1 - sigmoid(30) rounds to 0 in float32
    torch.testing.assert_close(y.double(), exact, rtol=1e-6, atol=rounding)


@pytest.mark.parametrize("cell", LAYERS)
def test_nan_stays_in_its_sequence(compiled, cell):
    torch.manual_seed(3)
    layer = LAYERS[cell](2, 21, batch_first=True)
    x = torch.randn(8, 3, 2)
    x[5, 1] = torch.nan
    y, _ = layer(x)
    assert compiled
    broken = y.isnan().flatten(1).any(-1)
    assert broken.tolist() == [n == 5 for n in range(8)]
    assert not y[5, 0].isnan().any()


def test_tensors_that_are_not_contiguous(compiled):
    torch.manual_seed(4)
    layer = recurrent.LSTM(3, 8)
    x = torch.randn(6, 3, 5).transpose(1, 2).requires_grad_()
    state = [torch.randn(1, 8, 6).mT.requires_grad_() for _ in range(2)]
    x, state = x.transpose(0, 1).detach().requires_grad_(), state
    ours = both_orders(layer, x, [s.detach().requires_grad_() for s in state], None)
    exact = both_orders(
        layer.double(),
        x.detach().double().requires_grad_(),
        [s.detach().double().requires_grad_() for s in state],
        None,
    )
    compare(ours, exact)


def test_falls_back_to_torch_operations_if_not_compiled(monkeypatch):
    torch.manual_seed(5)
    layer = recurrent.GRU(3, 12, bidirectional=True)
    x, state = torch.randn(4, 6, 3, requires_grad=True), [torch.zeros(2, 6, 12, requires_grad=True)]
    ours = both_orders(layer, x, state, None)
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    torch_alone = both_orders(layer, x, state, None)
    for one, other in zip(ours, torch_alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("like", [torch.zeros(1, dtype=t) for t in (torch.float64, torch.bfloat16)])
def test_compiled_code_serves_float32_only(like):
    assert compiled_passes.serve(PackedLSTMCell, [torch.zeros(1)])
    assert not compiled_passes.serve(PackedLSTMCell, [torch.zeros(1), like])


def test_compiled_code_does_not_serve_subclasses():
    class Other(PackedLSTMCell):
        pass

    assert not compiled_passes.serve(Other, [torch.zeros(1)])


def test_compiled_code_does_not_serve_meta_and_fake_tensors():
    assert not compiled_passes.serve(PackedLSTMCell, [torch.zeros(1, device="meta")])
    with FakeTensorMode():
        layer = recurrent.GRU(3, 4)
        assert layer(torch.zeros(2, 5, 3))[0].shape == (2, 5, 4)


@pytest.mark.parametrize("cell", LAYERS)
def test_a_traced_graph_computes_the_same(cell):
    layer = LAYERS[cell](3, 5, batch_first=True).requires_grad_(False)
    x = torch.randn(2, 4, 3)
    graph = make_fx(lambda x: layer(x)[0])(x)
    other = torch.randn(2, 4, 3)
    torch.testing.assert_close(graph(other), layer(other)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.filterwarnings("ignore")  # warnings of torch's compiler
def test_torch_compile_computes_the_same(cell, dtype):
    torch.manual_seed(6)
    layer = LAYERS[cell](3, 5, batch_first=True).to(dtype)
    x = torch.randn(2, 4, 3, dtype=dtype)
    results = []
    for run in (layer, torch.compile(layer, backend="aot_eager")):
        layer.zero_grad()
        y, _ = run(x)
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad.clone() for p in layer.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def weights(gates, axes=1, features=3, hidden=4):
    return Weights(
        torch.randn(axes, gates * hidden, features), torch.randn(axes, gates * hidden, hidden)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "call",
    [
        lambda x, h: functional.gru(x, weights(3), (h,), [200] * 200),
        lambda x, h: functional.gru(x, weights(3), (h,), [2, 4]),
        lambda x, h: functional.gru(x, weights(3), (h,), [2, 2]),
        lambda x, h: functional.lstm(x, weights(3), (h, h), [2, 2, 2]),
        lambda x, h: functional.lstm(x, weights(4), (h, h[..., :3]), [2, 2, 2]),
        lambda x, h: functional.gru(x, weights(3, axes=2), (h,), [2, 2, 2]),
        lambda x, h: functional.gru(x.expand(2, -1, -1), weights(3, axes=2), (h,), [2, 2, 2]),
        lambda x, h: functional.rnn(
            x.expand(2, -1, -1),
            weights(1, axes=2),
            (h.expand(2, -1, -1),),
            [2, 2, 2],
            nonlinearity="relu",
            valid=torch.ones(1, 6, 1, dtype=torch.bool),
        ),
    ],
)
def test_shapes_that_do_not_fit(call, dtype):
    x, h = torch.randn(1, 6, 3), torch.randn(1, 2, 4)
    with pytest.raises(ShapeError, match="packed_recurrence: "):
        call(x.to(dtype), h.to(dtype))


@pytest.mark.parametrize(
    ("shape", "state"),
    [((1, 3, 2, 10), (1, 2, 8)), ((3, 1, 2, 4), (1, 2, 2)), ((1, 3, 4), (1, 2, 2))],
)
def test_shapes_that_do_not_fit_the_minimal_recurrence(shape, state):
    with pytest.raises(ShapeError, match="min_recurrence: expected pre-activations"):
        functional.min_gru(torch.randn(shape), (torch.randn(state),))


def test_a_state_on_another_device():
    with pytest.raises(ArgumentTypeError, match="GRU: hx must be on the device of the input, cpu"):
        recurrent.GRU(3, 4)(torch.zeros(2, 5, 3), torch.zeros(1, 5, 4, device="meta"))


def test_compiled_code_can_be_turned_off(monkeypatch):
    assert compiled_passes._load() is not None
    monkeypatch.setenv("L2L_RNN_COMPILED", "0")
    assert compiled_passes._load() is None


def test_a_build_of_another_version_is_not_used(monkeypatch):
    monkeypatch.setattr(compiled_passes, "_VERSION", -1)
    assert compiled_passes._load() is None


def test_changed_code_has_a_new_version():
    """Otherwise an older build would be used: raise the version here, in C and in Python."""
    headers = ("common.h", "vector_math.h", "rnn_passes.h", "gru.h", "lstm.h", "minimal.h")
    headers = (*headers, "single_step.h")
    digest = csrc_digest(*headers, "rnn.c")
    assert (compiled_passes._VERSION, digest) == (8, "aa81d493f83c351f")
