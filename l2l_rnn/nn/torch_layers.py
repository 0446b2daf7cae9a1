"""torch's recurrent layers: recognition, ragged batches, and their kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from l2l_rnn.errors import ExportError
from l2l_rnn.functional.layer_calls import is_exported
from l2l_rnn.nn.recurrent_parameters import RecurrentParameters

_NAMES = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")


def is_torch_recurrent(layer: nn.Module) -> bool:
    """Return whether a layer is a recurrent layer or cell of torch, quantized or compiled or not.

    Example:
        >>> is_torch_recurrent(nn.LSTM(3, 4)), is_torch_recurrent(nn.Linear(3, 4))
        (True, False)
    """
    if isinstance(layer, torch.jit.ScriptModule):
        return layer.original_name in _NAMES
    kind = type(layer)
    return not getattr(kind, "task_axis", False) and any(
        base.__module__.startswith("torch.") and base.__name__ in ("RNNBase", "RNNCellBase")
        for base in kind.__mro__
    )


def run_ragged(layer: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """Return the outputs of a recurrent layer at the valid steps of ragged sequences.

    Past a sequence's length the outputs are arbitrary. A layer of torch, which takes no lengths,
    gets a `PackedSequence` if it runs in both directions. In one direction padding comes last, so
    no valid step depends on it.

    Args:
        layer: a recurrent layer of this package or of torch, with `batch_first=True`.
        x: the sequences, with finite padding.
        lengths: number of valid steps of each sequence, at least 1.

    Shapes:
        x `(…, B, S, F)`, lengths `(…, B)` -> `(…, B, S, H)`; with a layer of torch, no axes before
        `B`.
    """
    if isinstance(layer, RecurrentParameters):
        outputs: Tensor = layer(x, lengths=lengths)[0]
        return outputs
    if not layer.bidirectional:
        return layer(x)[0]
    return run_packed(layer, x, lengths)[0]


def run_packed(
    call: Callable[[PackedSequence], tuple[PackedSequence, Any]], x: Tensor, lengths: Tensor
) -> tuple[Tensor, Any]:
    """Pack sequences `(B, S, F)`, call a layer, and pad its outputs to `(B, S, H)`."""
    if torch.compiler.is_compiling() and is_exported():
        export_the_model_without_to_torch()
    packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    packed, state = call(packed)
    y, _ = pad_packed_sequence(packed, batch_first=True)
    return F.pad(y, (0, 0, 0, x.shape[1] - y.shape[1])), state


@torch.compiler.disable  # type: ignore[untyped-decorator]
def export_the_model_without_to_torch() -> None:
    """Raise an error; Dynamo stops at this function, and its message shows the name."""
    raise ExportError(
        "run_packed: torch.export cannot pack ragged sequences for torch's layers; export the "
        "model without nn.to_torch"
    )


def run_kernel(layer: Any, kernel: Any, input: Any, hx: Any, lengths: Tensor | None) -> Any:
    """Run one of torch's kernels in place of a layer of this package, and check nothing.

    The shapes of the input are not read as numbers, so that a trace of the call is right for other
    numbers of sequences and steps.

    Args:
        layer: a `RecurrentLayer`.
        kernel: the kernel, such as `torch.lstm`.
        input, hx, lengths: as in the layer's `forward`.
    """
    if isinstance(input, PackedSequence):
        return _run_packed_kernel(layer, kernel, input, hx)
    if input.dim() == 2:
        y, state = run_kernel(
            layer,
            kernel,
            input.unsqueeze(0 if layer.batch_first else 1),
            _each(lambda h: h.unsqueeze(1), hx),
            None if lengths is None else lengths.unsqueeze(0),
        )
        return y.squeeze(0 if layer.batch_first else 1), _each(lambda h: h.squeeze(1), state)
    if input.dim() > 3:
        x = input if layer.batch_first else input.transpose(-3, -2)
        lead = x.shape[:-2]
        hx = _each(lambda h: h.movedim(-3, 0).flatten(1, -2), hx)
        lengths = None if lengths is None else lengths.flatten()
        y, state = _run_batch(layer, kernel, x.flatten(0, -3), hx, lengths)
        y = y.reshape(*lead, *y.shape[1:])
        state = _each(lambda h: h.reshape(h.shape[0], *lead, h.shape[-1]).movedim(0, -3), state)
        return y if layer.batch_first else y.transpose(-3, -2), state
    if layer.batch_first:
        return _run_batch(layer, kernel, input, hx, lengths)
    y, state = _run_batch(layer, kernel, input.transpose(0, 1), hx, lengths)
    return y.transpose(0, 1), state


def _run_batch(layer: Any, kernel: Any, x: Tensor, hx: Any, lengths: Tensor | None) -> Any:
    """Run a kernel on sequences `(B, S, F)`."""
    if lengths is not None:
        return run_packed(lambda packed: _run_packed_kernel(layer, kernel, packed, hx), x, lengths)
    hx = _initial(layer, x, x.shape[0]) if hx is None else hx
    y, *state = kernel(x, hx, *_settings(layer), True)
    return y, _one_or_all(state)


def _run_packed_kernel(layer: Any, kernel: Any, packed: PackedSequence, hx: Any) -> Any:
    data, batch_sizes, order, inverse = packed
    if hx is None:
        hx = _initial(layer, data, batch_sizes[0])
    elif order is not None:
        hx = _each(lambda h: h.index_select(1, order), hx)
    y, *state = kernel(data, batch_sizes, hx, *_settings(layer))
    final = _one_or_all(state)
    if inverse is not None:
        final = _each(lambda h: h.index_select(1, inverse), final)
    return PackedSequence(y, batch_sizes, order, inverse), final


def _settings(layer: Any) -> tuple[Any, ...]:
    """Return the arguments of a kernel that are not data."""
    return (
        layer.flat_weights(),
        layer.bias,
        layer.num_layers,
        layer.dropout,
        layer.training,
        layer.bidirectional,
    )


def _initial(layer: Any, like: Tensor, batch: Any) -> Any:
    blocks = layer.num_layers * (1 + layer.bidirectional)
    return _one_or_all([like.new_zeros(blocks, batch, size) for size in layer.state_sizes])


def _each(change: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply a function to the tensors of a state; None stays None."""
    if isinstance(state, (tuple, list)):
        return tuple(map(change, state))
    return None if state is None else change(state)


def _one_or_all(state: Any) -> Any:
    return state[0] if len(state) == 1 else tuple(state)
