"""A recurrent layer's call on sequences of one step, as in a decoder's loop.

Such a call takes less time than a general one spends on checks and layouts. It is therefore
recognized by a few comparisons; every other call, including one with an error, is left to the
general code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.functional.compiled_code import operations_are_watched
from l2l_rnn.functional.recurrence.single_step import intercepted, single_step
from l2l_rnn.functional.recurrence.weights import State, Weights

if TYPE_CHECKING:
    from l2l_rnn.nn.recurrent_layer import RecurrentLayer


def run_one_step(
    layer: RecurrentLayer, cell: str, x: Tensor, hx: Any
) -> tuple[Tensor, State] | None:
    """Return the outputs and the final state, or None if this is not a plain call on one step.

    Args:
        layer: the layer.
        cell: its cell, as in `single_step`.
        x: the sequences, as passed to the layer.
        hx: the initial state, as passed to the layer.
    """
    weight = _parameter(layer, "weight_ih_l0")
    shape, axes = x.shape, weight.dim()
    steps = axes - 1 if layer.batch_first else axes - 2  # the axis of x
    if (
        len(shape) != axes + 1
        or shape[steps] != 1
        or shape[-1] != weight.shape[-1]
        or (axes == 3 and shape[0] != len(weight))
        or 0 in shape
        or x.dtype is not weight.dtype
        or x.device != weight.device
        or operations_are_watched()
        or intercepted()
    ):
        return None
    x = x.select(steps, 0)  # (B, F) or (N, B, F)
    state = _split_state(layer, x, hx, 1 + (cell == "lstm"))
    if state is None:
        return None
    finals: list[State] = []
    for number in range(layer.num_layers):
        if number and layer.dropout:
            x = F.dropout(x, layer.dropout, layer.training)
        outputs = []
        for suffix in layer._suffixes(number):
            weights = Weights(
                _parameter(layer, "weight_ih" + suffix),
                _parameter(layer, "weight_hh" + suffix),
                _parameter(layer, "bias_ih" + suffix) if layer.bias else None,
                _parameter(layer, "bias_hh" + suffix) if layer.bias else None,
            )
            after = single_step(cell, x, state[len(finals)], weights)
            finals.append(after)
            outputs.append(after[0])
        x = torch.cat(outputs, -1) if layer.bidirectional else outputs[0]
    # Copies, because the derivatives may read the state even if the caller changes the outputs.
    y = torch.stack((x,), steps)
    return y, tuple(torch.stack(kind, -3) for kind in zip(*finals, strict=True))


def _parameter(layer: RecurrentLayer, name: str) -> Tensor:
    """Return a parameter; reading `_parameters` is faster, but parametrized ones are not there."""
    parameter = layer._parameters.get(name)
    return getattr(layer, name) if parameter is None else parameter


def _split_state(layer: RecurrentLayer, x: Tensor, hx: Any, count: int) -> list[State] | None:
    """Split the initial state by layer and direction; return None if it is not valid.

    Shapes:
        hx `(…, DL, B, H)` -> DL states `(…, B, H)`, as many tensors as `count` each.
    """
    blocks, size = layer.num_layers * (1 + layer.bidirectional), layer.hidden_size
    if hx is None:
        return [(x.new_zeros(*x.shape[:-1], size),) * count] * blocks
    given = hx if count > 1 else (hx,)
    expected = (*x.shape[:-2], blocks, x.shape[-2], size)
    if type(given) is not tuple or len(given) != count:
        return None
    for tensor in given:
        if (
            not isinstance(tensor, Tensor)
            or tensor.shape != expected
            or tensor.dtype is not x.dtype
            or tensor.device != x.device
        ):
            return None
    if blocks == 1:
        return [tuple([tensor.select(-3, 0) for tensor in given])]
    return list(zip(*(tensor.unbind(-3) for tensor in given), strict=True))
