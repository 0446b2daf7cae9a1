"""Conversion of a model from torch's layers to this package's, and back."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from l2l_rnn.errors import ArgumentTypeError, ConversionWarning, ShapeError
from l2l_rnn.nn.affine import Embedding, LayerNorm, Linear
from l2l_rnn.nn.cells import GRUCell, LSTMCell, RNNCell
from l2l_rnn.nn.copying import copy_with, held_by
from l2l_rnn.nn.gru import GRU
from l2l_rnn.nn.lstm import LSTM
from l2l_rnn.nn.recurrent_layer import RecurrentLayer
from l2l_rnn.nn.rnn import RNN
from l2l_rnn.nn.torch_layers import is_torch_recurrent

_COUNTERPARTS: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: RNN,
    nn.GRU: GRU,
    nn.LSTM: LSTM,
    nn.RNNCell: RNNCell,
    nn.GRUCell: GRUCell,
    nn.LSTMCell: LSTMCell,
    nn.Linear: Linear,
    nn.Embedding: Embedding,
    nn.LayerNorm: LayerNorm,
}
# Attributes of torch's recurrent layers that only cuDNN needs.
_CUDNN_ONLY = {"_flat_weights", "_flat_weights_names", "_flat_weight_refs", "_all_weights"}

# Names that a subclass may define without changing what the layer computes.
_DISPLAY = {"extra_repr", "reset_parameters", "__repr__"}
_HARMLESS = _DISPLAY | {"flatten_parameters", "_compiled_call_impl"}
_SPECIAL = {"__call__", "__getattr__", "__getattribute__", "__setattr__", "__delattr__", "__new__"}


def convert(model: nn.Module) -> nn.Module:
    """Return a copy of a model that has this package's layers in place of torch's.

    `torch.nn.RNN`, `GRU`, `LSTM`, their cells, `Linear`, `Embedding` and `LayerNorm` are replaced
    at any depth, with their hooks, parametrizations, mode and attributes. A subclass of these
    layers is replaced too, by a subclass that keeps its methods, unless it overrides something that
    the computation needs, such as `forward`. The two models share their parameters, buffers and
    other tensors, so an optimizer or a state dict of one works for the other. `model` itself does
    not change.

    A recurrent layer of torch that stays is reported with a `ConversionWarning`; `unconverted`
    lists such layers.

    Args:
        model: any module.

    Raises:
        ArgumentTypeError: `model` is not a module, or has an attribute that cannot be copied.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GRU(3, 4))
        >>> converted = convert(model)
        >>> type(converted[1]), converted[1].weight_hh_l0 is model[1].weight_hh_l0
        (<class 'l2l_rnn.nn.gru.GRU'>, True)
    """
    _check_module("convert", model)
    plans = {
        layer: _plan(layer, _COUNTERPARTS)
        for _, layer in held_by(model)
        if isinstance(layer, nn.Module)
    }
    classes = {layer: plan for layer, plan in plans.items() if isinstance(plan, type)}
    twin, copies = copy_with("convert", model, classes, _drop_cudnn_attributes)
    what = "convert: torch's layer stays"
    _warn_of(what, unconverted(twin))
    known = {id(layer) for _, layer in held_by(twin)}
    for layer in copies:
        if id(layer) not in known and isinstance(layer, nn.Module) and is_torch_recurrent(layer):
            reason = f"torch.nn.{type(layer).__name__}, which is not registered; register it"
            _warn(f"{what} inside another object: {reason}")
    return twin


def to_torch(model: nn.Module) -> nn.Module:
    """Return a copy of a model that has torch's layers in place of this package's.

    The opposite of `convert`: use it before `torch.onnx.export`, `torch.jit.script`, quantization,
    or any tool that knows only torch's layers. The two models share their parameters, buffers and
    other tensors. Parameters of an adapted model, which depend on its initialization, are detached
    from it. `model` itself does not change.

    A recurrent layer or a memory without a counterpart in torch, such as `MinGRU`, stays and is
    reported with a `ConversionWarning`. torch's layers have no argument `lengths`: a model of your
    own that passes it must pass a `PackedSequence` instead. `models.SequenceEncoder` does this by
    itself.

    Args:
        model: any module, a learner for one task included.

    Raises:
        ArgumentTypeError: `model` is not a module, or has an attribute that cannot be copied.
        ShapeError: the parameters have a task axis.

    Example:
        >>> model = nn.Sequential(Embedding(10, 3), LSTM(3, 4))
        >>> exported = to_torch(model)
        >>> type(exported[1]), exported[1].weight_hh_l0 is model[1].weight_hh_l0
        (<class 'torch.nn.modules.rnn.LSTM'>, True)
    """
    _check_module("to_torch", model)
    table = {ours: torchs for torchs, ours in _COUNTERPARTS.items()}
    classes: dict[nn.Module, type[nn.Module]] = {}
    stay: dict[str, str] = {}
    for path, layer in held_by(model):
        if not isinstance(layer, nn.Module):
            continue
        kind = type_before_parametrizations(layer)
        target = table.get(kind) or vars(kind).get("converted_from")
        if target is not None:
            _check_one_task(path, layer)
            classes[layer] = target
        elif _is_recurrent_of_ours(layer):
            stay[path] = f"{kind.__name__} has no counterpart in torch"
    twin, _ = copy_with("to_torch", model, classes, _complete_torch_layer, detach=True)
    _warn_of("to_torch: this package's layer stays", stay)
    return twin


def unconverted(model: nn.Module) -> dict[str, str]:
    """Return the recurrent layers and cells of torch in a model, with the reason for each.

    They cannot run under `clone(tasks=N)`, and on a GPU most have no second derivatives.

    Args:
        model: any module.

    Returns:
        The reasons by path, in the order of the model. Empty for a model that `convert` returned
        without a warning.

    Example:
        >>> unconverted(nn.ModuleDict({"encoder": nn.GRU(3, 4), "head": nn.Linear(4, 2)}))
        {'encoder': 'torch.nn.GRU is not converted'}
    """
    found = {}
    for path, layer in held_by(model):
        if not isinstance(layer, nn.Module) or not is_torch_recurrent(layer):
            continue
        plan = _plan(layer, _COUNTERPARTS)
        if isinstance(plan, type):
            kind = type_before_parametrizations(layer)
            root = "torch.nn." if kind in _COUNTERPARTS else ""
            plan = f"{root}{kind.__name__} is not converted"
        found[path] = plan or f"{type(layer).__name__} has no counterpart in this package"
    return found


def is_convertible(layer: nn.Module) -> bool:
    """Return whether `convert` replaces a layer."""
    return isinstance(_plan(layer, _COUNTERPARTS), type)


def _warn_of(what: str, layers: Mapping[str, str]) -> None:
    for path, reason in layers.items():
        _warn(f"{what} at {path or 'the root'!r}: {reason}", stacklevel=4)


def _warn(message: str, stacklevel: int = 3) -> None:
    warnings.warn(message, ConversionWarning, stacklevel=stacklevel)


def _check_module(who: str, model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(
            f"{who}: model must be a torch.nn.Module, got {type(model).__name__}; pass an instance"
        )


# -- which layers are swapped ---------------------------------------------------------------------


def _plan(layer: nn.Module, table: Mapping[type, type[nn.Module]]) -> type[nn.Module] | str | None:
    """Return the class that a layer gets, or the reason why it stays, or None if neither."""
    if isinstance(layer, torch.jit.ScriptModule):
        return f"{layer.original_name} is compiled by TorchScript; convert the model before that"
    kind: Any = type_before_parametrizations(layer)
    ours = set(table.values())
    known = next((base for base in kind.__mro__ if base in table or base in ours), None)
    if known is None or known in ours:
        return None
    target = table[known]
    if isinstance(layer, nn.Embedding) and (
        layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
    ):
        return f"{kind.__name__} has an option that this package's Embedding lacks"
    if kind is not known and kind.__module__.startswith("torch."):
        return f"{kind.__name__} has no counterpart in this package"
    return _conflict(layer, kind, known, target) or (
        target if kind is known else _combined(target, kind, known)  # type: ignore[arg-type]
    )


def _conflict(
    layer: nn.Module, kind: type[nn.Module], known: type[nn.Module], target: type[nn.Module]
) -> str | None:
    """Return the reason why a layer's own attributes or its class's rule out a swap, or None."""
    who = kind.__name__
    for base in kind.__mro__[: kind.__mro__.index(known)]:
        for name, value in vars(base).items():
            if name in _HARMLESS or (name.startswith("__") and name not in _SPECIAL):
                continue
            if hasattr(known, name):
                if value is not getattr(known, name):
                    return f"{who} overrides {name}"
            elif hasattr(target, name):
                return f"{who} defines {name}, which this package's layer uses"
    for name in vars(layer):
        if hasattr(known, name) and name not in _HARMLESS:
            return f"{who} has its own {name}, set on the instance"
        if hasattr(target, name) and not hasattr(known, name):
            return f"{who} sets {name}, which this package's layer uses"
    return None


@functools.cache
def _combined(target: Any, kind: Any, known: Any) -> type[nn.Module]:
    """Return a subclass of our layer with the methods of a user's subclass of torch's.

    The user's class stays a base, so that `super()` in its methods works and `isinstance` holds.
    """
    body: dict[str, Any] = {
        # torch's recurrent layers extend these methods of Module for cuDNN's copy of the weights.
        name: vars(nn.Module)[name]
        for name in ("__setattr__", "__getstate__", "__setstate__", "_replicate_for_data_parallel")
    }
    for base in reversed(kind.__mro__[: kind.__mro__.index(known)]):
        body |= {name: vars(base)[name] for name in _DISPLAY.intersection(vars(base))}
    body |= {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__reduce_ex__": lambda self, _: (_blank, (target, kind, known), self.__getstate__()),
        "converted_from": kind,
    }
    return types.new_class(kind.__name__, (target, kind), exec_body=lambda ns: ns.update(body))


def _blank(target: Any, kind: Any, known: Any) -> nn.Module:
    """Return an instance of `_combined` without attributes, for pickle."""
    combined = _combined(target, kind, known)
    return combined.__new__(combined)


def _is_recurrent_of_ours(layer: nn.Module) -> bool:
    return isinstance(layer, RecurrentLayer) or any(
        base.__module__ == "l2l_rnn.memory.memory" for base in type(layer).__mro__
    )


# -- attributes of a swapped layer ----------------------------------------------------------------


def _drop_cudnn_attributes(layer: nn.Module, twin: nn.Module) -> None:
    for name in _CUDNN_ONLY:
        vars(twin).pop(name, None)


def _complete_torch_layer(layer: nn.Module, twin: nn.Module) -> None:
    """Add the attributes that torch's recurrent layers have and ours do not."""
    if not isinstance(twin, nn.RNNBase):
        return
    known = next(torchs for torchs in _COUNTERPARTS if isinstance(twin, torchs))
    given: dict[str, Any] = {"proj_size": layer.proj_size} if known is nn.LSTM else {}
    if known is nn.RNN:
        given["nonlinearity"] = layer.nonlinearity
    model = known(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        bidirectional=layer.bidirectional,
        device="meta",
        **given,
    )
    for name, value in vars(model).items():
        vars(twin).setdefault(name, value)
    twin._init_flat_weights()


def _check_one_task(path: str, layer: nn.Module) -> None:
    """Check that the parameters of one of our layers have no task axis."""
    usual = len(layer.normalized_shape) if isinstance(layer, nn.LayerNorm) else 2
    for parameter in layer.parameters(recurse=False):
        if parameter.dim() > usual:
            raise ShapeError(
                f"to_torch: the parameters of {path or type(layer).__name__!r} have a task axis of "
                f"N={len(parameter)} tasks; pass the learner of one task, "
                "algorithms.select_task(learner, n)"
            )
