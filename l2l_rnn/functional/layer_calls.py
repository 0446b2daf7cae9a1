"""Calls of a layer whose weights are computed, or that a compiler or an exporter of torch records.

- With `torch.nn.utils.parametrize`, each read of a weight computes it again. A call computes it
  once.
- `torch.jit.trace` records the operations of one call with its number of steps, and so does the
  TorchScript exporter to ONNX. A layer records one of torch's kernels or refuses.
- `torch.export` records plain operations and checks the shapes of later calls.
- `torch.compile` runs a recurrent layer as it is, between two compiled graphs. A compiler would
  unroll the steps, and its graphs have no second derivatives.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from l2l_rnn.errors import ExportError

Forward = TypeVar("Forward", bound=Callable[..., Any])


def layer_call(forward: Forward) -> Forward:
    """Decorate the `forward` of a layer. `torch.jit.trace` records its `_forward_jit` instead."""

    @functools.wraps(forward)
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if "parametrizations" in self._modules:
            self = _with_computed_weights(self)
        if torch.jit.is_tracing():
            return self._forward_jit(*args, **kwargs)
        return forward(self, *args, **kwargs)

    return cast(Forward, call)


def recurrent_call(forward: Forward) -> Forward:
    """Decorate the `forward` of a recurrent layer: `layer_call`, and not compiled."""
    inner = layer_call(forward)
    apart = torch.compiler.disable(inner)

    @functools.wraps(forward)
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() and not is_exported():
            return apart(self, *args, **kwargs)
        return inner(self, *args, **kwargs)

    return cast(Forward, call)


def is_exported() -> bool:
    """Return whether `torch.export` records the call, given that a compiler does."""
    if hasattr(torch.compiler, "is_exporting"):  # since torch 2.7
        return bool(torch.compiler.is_exporting())
    # In torch 2.3, export runs Python directly, or in Dynamo with this setting.
    return not torch.compiler.is_dynamo_compiling() or bool(torch._dynamo.config.allow_rnn)


class NotScripted(nn.Module):
    """Base class of modules that `torch.jit.script` cannot compile; it raises an ExportError."""

    _script_fix: ClassVar[str] = "use torch.export.export"

    def __prepare_scriptable__(self) -> nn.Module:
        who = type(self).__name__
        raise ExportError(f"{who}: torch.jit.script cannot compile this module; {self._script_fix}")


class HasTorchCounterpart(NotScripted):
    """Base class of layers that `nn.to_torch` replaces."""

    _script_fix: ClassVar[str] = "pass nn.to_torch(model), or use torch.jit.trace"

    @property
    def qconfig(self) -> Any:
        """Quantization settings, which torch's own layers have."""
        raise AttributeError(f"{type(self).__name__} has no qconfig")

    @qconfig.setter
    def qconfig(self, value: Any) -> None:
        raise ExportError(
            f"{type(self).__name__}: torch.ao.quantization would leave this layer as it is; "
            "quantize nn.to_torch(model)"
        )


@torch.compiler.disable  # type: ignore[untyped-decorator]
def pass_strict_false_to_torch_export() -> None:
    """Do nothing; Dynamo cannot export this function, and its message shows the name."""


def refuse_strict_export() -> None:
    """Refuse `torch.export` through Dynamo in torch 2.3, which lacks what memories need."""
    if torch.compiler.is_dynamo_compiling() and not hasattr(torch.compiler, "is_exporting"):
        pass_strict_false_to_torch_export()


def refuse_tracing(layer: nn.Module) -> ExportError:
    """Return the error of a layer that has no kernel in torch."""
    return ExportError(
        f"{type(layer).__name__}: torch.jit.trace would fix the number of steps; use "
        "torch.export.export, which checks the shapes of later calls"
    )


def _with_computed_weights(layer: nn.Module) -> nn.Module:
    """Return a shallow copy of a parametrized layer that holds its weights as plain tensors."""
    plain: Any = type_before_parametrizations(layer)
    copy: nn.Module = plain.__new__(plain)
    modules = dict(layer._modules)
    computed = {name: getattr(layer, name) for name in modules.pop("parametrizations")}  # type: ignore[union-attr]
    copy.__dict__ = {
        **vars(layer),
        "_modules": modules,
        "_parameters": {**layer._parameters, **computed},
    }
    return copy
