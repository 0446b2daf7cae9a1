"""Memories under `torch.jit`, `torch.export` and `torch.compile`."""

import pytest
import torch

from l2l_rnn.errors import ExportError
from l2l_rnn.memory import LAYERS, STORES, MemoryLayer

# torch's compiler and exporters warn of many things, more in each release.
pytestmark = pytest.mark.filterwarnings("ignore", "error::l2l_rnn.errors.ConversionWarning")
MAKE = {name: lambda kind=kind: kind(3, 6) for name, kind in LAYERS.items()} | {
    name: lambda kind=kind: MemoryLayer(3, kind(4, 2)) for name, kind in STORES.items()
}


@pytest.fixture(params=MAKE)
def layer(request):
    torch.manual_seed(0)
    return MAKE[request.param]()


def test_compiled_layers_break_the_graph_once_and_have_the_same_derivatives(layer):
    x = torch.randn(2, 4, 3)

    def run(x):
        return layer(x * 2)[0].sin()

    torch._dynamo.reset()
    assert torch._dynamo.explain(run)(x).graph_break_count == 1
    torch._dynamo.reset()
    found = []
    for call in (run, torch.compile(run, backend="eager")):
        y = call(x)
        parameters = list(layer.parameters())
        first = torch.autograd.grad(
            y.sum(), parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        value = sum(g.square().sum() for g in first)
        second = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        found.append([y, *first, *second])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
def test_traces_and_scripts_are_refused(layer):
    with pytest.raises(ExportError, match=r"use torch\.export\.export"):
        torch.jit.trace(layer, torch.randn(2, 4, 3), check_trace=False)
    with pytest.raises(ExportError, match=r"use torch\.export\.export"):
        torch.jit.script(layer)


def test_export(layer):
    x = torch.randn(2, 4, 3)
    exported = torch.export.export(layer, (x,), strict=False).module()
    other = torch.randn(2, 4, 3)
    torch.testing.assert_close(exported(other)[0], layer(other)[0], rtol=1e-4, atol=1e-5)
    if hasattr(torch.compiler, "is_exporting"):  # a newer torch
        exported = torch.export.export(layer, (x,), strict=True).module()
        torch.testing.assert_close(exported(other)[0], layer(other)[0], rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(Exception, match="pass_strict_false_to_torch_export"):
            torch.export.export(layer, (x,), strict=True)
