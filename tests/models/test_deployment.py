"""Sequence models after `to_torch`, traced, exported, quantized and compiled."""

import warnings

import pytest
import torch
from torch import nn

from l2l_rnn.errors import ExportError
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import convert, to_torch

NAN = float("nan")
TOKENS = (
    torch.tensor([[3, 4, 5, 6, 0], [2, 0, 0, 0, 0], [1, 2, 3, 4, 5]]),
    torch.tensor([[3, 4, 0, 0], [2, 3, 1, 0]]),
)
STEPS = (torch.randn(3, 5, 2), torch.randn(2, 9, 2))
STEPS[0][1, 3:] = NAN
STEPS[1][0, 2:] = NAN
INPUTS = {"tokens": ({"vocab_size": 9}, TOKENS), "steps": ({"input_size": 2}, STEPS)}
CASES = [
    *(
        ("lstm", two, pool, "tokens")
        for two in (0, 1)
        for pool in ("last", "mean", "max", "attention")
    ),
    *((cell, two, "last", "steps") for two in (0, 1) for cell in ("lstm", "gru", "rnn")),
]
# torch's compiler and exporters warn of many things, more in each release.
pytestmark = pytest.mark.filterwarnings("ignore", "error::l2l_rnn.errors.ConversionWarning")


def build(cell, two, pooling, kind, **options):
    torch.manual_seed(0)
    given, inputs = INPUTS[kind]
    model = SequenceClassifier(
        3, hidden_size=4, cell=cell, bidirectional=bool(two), pooling=pooling, **given, **options
    )
    return model.eval(), inputs


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_to_torch(case):
    model, inputs = build(*case, num_layers=2)
    exported = to_torch(model)
    assert isinstance(exported.encoder.recurrence, nn.RNNBase)
    again = convert(exported)
    for x in inputs:
        close(exported(x), model(x))
        assert torch.equal(again(x), model(x))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_traces_are_right_on_other_inputs(case):
    model, inputs = build(*case)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(model, (inputs[0],), check_trace=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of torch's layers
        traced_torch = torch.jit.trace(to_torch(model), (inputs[0],), check_trace=False)
    for x in inputs:
        close(traced(x), model(x))
        close(traced_torch(x), model(x))


@pytest.mark.slow
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("two", [0, 1])
@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("cell", ["lstm", "mingru"])
def test_torch_export(cell, two, kind, strict):
    model, (x, _) = build(cell, two, "mean", kind)
    exported = torch.export.export(model, (x,), strict=strict).module()
    close(exported(x), model(x))
    other = x.flip(0)
    close(exported(other), model(other))
    if cell == "lstm" and two:
        with pytest.raises(Exception, match=r"without_to_torch|without nn\.to_torch"):
            torch.export.export(to_torch(model), (x,), strict=strict)
    elif cell == "lstm":
        exported = torch.export.export(to_torch(model), (x,), strict=strict).module()
        close(exported(other), model(other))


@pytest.mark.parametrize("two", [0, 1])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_quantization(cell, two):
    model, inputs = build(cell, two, "attention", "tokens")
    kinds = {nn.LSTM, nn.GRU, nn.Linear}
    quantized = torch.ao.quantization.quantize_dynamic(to_torch(model), kinds)
    assert "quantized" in type(quantized.encoder.recurrence).__module__
    for x in inputs:
        torch.testing.assert_close(quantized(x), model(x), rtol=0.1, atol=0.05)
    with pytest.raises(ExportError, match=r"quantize nn\.to_torch\(model\)"):
        torch.ao.quantization.quantize_dynamic(model, kinds)


def test_scripting_names_the_fix():
    model, _ = build("lstm", 0, "last", "tokens")
    with pytest.raises(ExportError, match=r"nn\.to_torch\(model\)"):
        torch.jit.script(model)
    with pytest.raises(ExportError, match=r"SequenceEncoder: .*torch\.jit\.trace"):
        torch.jit.script(to_torch(model))


@pytest.mark.parametrize("kind", INPUTS)
def test_a_compiled_model(kind):
    model, inputs = build("lstm", 1, "attention", kind)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    for x in inputs:
        found = []
        for each in (model, compiled):
            model.zero_grad()
            y = each(x)
            y.square().sum().backward()
            found.append([y.detach(), *(p.grad.clone() for p in model.parameters())])
        for a, b in zip(*found, strict=True):
            close(a, b)
    torch._dynamo.reset()
