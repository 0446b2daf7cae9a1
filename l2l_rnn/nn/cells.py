"""torch's recurrent cells, with an optional task axis and exact second derivatives on every device.

A cell computes one step of a recurrence, for models that write out the loop themselves, such as
decoders with attention.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError, ShapeError
from l2l_rnn.functional.affine import product_type
from l2l_rnn.functional.layer_calls import HasTorchCounterpart, layer_call
from l2l_rnn.functional.recurrence.single_step import single_step
from l2l_rnn.functional.recurrence.weights import State, Weights
from l2l_rnn.mapped_axis import takes_mapped_axis
from l2l_rnn.nn.layouts import state_tensors

# A cell without a task axis takes no axes before the batch, so its parameters always get the axis.
_maps_tasks = takes_mapped_axis(shares=lambda *_, **__: False)


@configurable
class RNNCell(HasTorchCounterpart, nn.RNNCell):
    """Cell of the simple recurrent network: `h' = phi(W_ih x + b_ih + W_hh h + b_hh)`.

    With parameters `(N, …)`, each task has its own.

    Args:
        input_size: `F`, features of the input.
        hidden_size: `H`, hidden units.
        bias: whether to use `b_ih` and `b_hh`.
        nonlinearity: `phi`, `"tanh"` or `"relu"`.

    Shapes:
        input `(B, F)`, hx `(B, H)` -> `(B, H)`; or `(F,)`, `(H,)` -> `(H,)` for one sequence. With
        parameters `(N, …)`, all of these start with `N`. A state of zeros may be omitted.

    Raises:
        ArgumentError: a size or the nonlinearity is not valid.
        ShapeError: in `forward`, the input or the state has the wrong shape.
        ArgumentTypeError: in `forward`, the input or the state has the wrong type, dtype or device.

    Example:
        >>> cell, h = RNNCell(3, 5), None
        >>> for x in torch.zeros(7, 2, 3):  # (S, B, F)
        ...     h = cell(x, h)
        >>> h.shape
        torch.Size([2, 5])

    Source: `torch.nn.RNNCell`, with the same initialization and state dict.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check_sizes("RNNCell", input_size, hidden_size)
        check_choice("RNNCell", "nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, bias, nonlinearity, device, dtype)

    _forward_jit = nn.RNNCell.forward

    @layer_call
    @_maps_tasks
    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return _advance(self, self.nonlinearity, input, hx)[0]


@configurable
class GRUCell(HasTorchCounterpart, nn.GRUCell):
    """Cell of the gated recurrent unit; the equations are in `nn.GRU`.

    With parameters `(N, …)`, each task has its own. Arguments, shapes and errors are as in
    `RNNCell`.

    Example:
        >>> GRUCell(3, 5)(torch.zeros(2, 3)).shape
        torch.Size([2, 5])

    Source: `torch.nn.GRUCell`, with the same initialization and state dict.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check_sizes("GRUCell", input_size, hidden_size)
        super().__init__(input_size, hidden_size, bias, device, dtype)

    _forward_jit = nn.GRUCell.forward

    @layer_call
    @_maps_tasks
    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return _advance(self, "gru", input, hx)[0]


@configurable
class LSTMCell(HasTorchCounterpart, nn.LSTMCell):
    """Cell of the long short-term memory; the equations are in `nn.LSTM`.

    With parameters `(N, …)`, each task has its own. The state is `(h, c)`. Arguments, shapes and
    errors are as in `RNNCell`.

    Example:
        >>> h, c = LSTMCell(3, 5)(torch.zeros(2, 3))
        >>> h.shape, c.shape
        (torch.Size([2, 5]), torch.Size([2, 5]))

    Source: `torch.nn.LSTMCell`, with the same initialization and state dict.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check_sizes("LSTMCell", input_size, hidden_size)
        super().__init__(input_size, hidden_size, bias, device, dtype)

    _forward_jit = nn.LSTMCell.forward

    @layer_call
    @_maps_tasks
    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        h, c = _advance(self, "lstm", input, hx)
        return h, c


def _check_sizes(who: str, input_size: Any, hidden_size: Any) -> None:
    check_int(who, "input_size", input_size)
    check_int(who, "hidden_size", hidden_size)


def _advance(layer: nn.RNNCellBase, cell: str, x: Tensor, hx: Any) -> State:
    """Compute the state after one step from the arguments of a cell's `forward`."""
    own: dict[str, Any] = layer._parameters  # faster than attributes
    try:
        weights = Weights(own["weight_ih"], own["weight_hh"], own["bias_ih"], own["bias_hh"])
    except KeyError:  # a parametrized cell computes some of them
        weights = Weights(layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh)
    state = hx if cell == "lstm" and type(hx) is tuple else (hx,)
    if _fits(x, state, cell, weights):
        return single_step(cell, x, state, weights)
    who = type(layer).__name__
    single = x.dim() == weights.ih.dim() - 1  # one sequence, no batch axis
    x, state = _checked(who, x, hx, weights, 1 + (cell == "lstm"), single)
    state = single_step(cell, x, state, weights)
    return tuple(s.squeeze(-2) for s in state) if single else state


def _fits(x: Tensor, state: Any, cell: str, weights: Weights) -> bool:
    """Return whether the arguments of a call are surely valid; `_checked` decides if not."""
    shape, weight_shape = x.shape, weights.ih.shape
    dtype = weights.hh.dtype
    if (
        len(shape) != len(weight_shape)
        or shape[-1] != weight_shape[-1]
        or (len(shape) == 3 and shape[0] != weight_shape[0])
        or x.dtype is not dtype
        or x.device != weights.ih.device
        or len(state) != 1 + (cell == "lstm")
    ):
        return False
    expected = (*shape[:-1], weights.hh.shape[-1])
    for tensor in state:
        if (
            not isinstance(tensor, Tensor)
            or tensor.shape != expected
            or tensor.dtype is not dtype
            or tensor.device != x.device
        ):
            return False
    return True


def _checked(
    who: str, x: Tensor, hx: Any, weights: Weights, count: int, single: bool
) -> tuple[Tensor, State]:
    """Check the arguments of a call, and return them with a batch axis and an initial state."""
    weight = weights.ih
    given = f"got shape {tuple(x.shape)}"
    if (
        x.device != weight.device
        or not x.is_floating_point()
        or product_type(x) != product_type(weight)
    ):
        raise ArgumentTypeError(
            f"{who}: x must be {weight.dtype} on {weight.device}, like the parameters, got "
            f"{x.dtype} on {x.device}; convert it with .to(…)"
        )
    if weight.dim() == 3 and (x.dim() not in (2, 3) or len(x) != len(weight)):
        raise ShapeError(
            f"{who}: x must be (N, B, F) or (N, F) with N={len(weight)} tasks first, like the "
            f"parameters, {given}"
        )
    if x.dim() not in (weight.dim() - 1, weight.dim()):
        raise ShapeError(
            f"{who}: x must be one step, (B, F) or (F,), {given}; call the cell once for each step"
        )
    if x.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"{who}: x must end in F={weight.shape[-1]} features, {given}; set "
            f"input_size={x.shape[-1]} or project x"
        )
    expected = (*x.shape[:-1], weights.hh.shape[-1])
    if hx is None:
        state: State = (x.new_zeros(expected),) * count
    else:
        state = state_tensors(who, hx, count)
    for tensor in state:
        if tensor.shape != expected:
            raise ShapeError(f"{who}: hx must have shape {expected}, got {tuple(tensor.shape)}")
        if tensor.device != x.device or product_type(tensor) != product_type(x):
            raise ArgumentTypeError(
                f"{who}: hx must be {x.dtype} on {x.device}, like the input, got {tensor.dtype} on "
                f"{tensor.device}; convert it with .to(…)"
            )
    if single:
        return x.unsqueeze(-2), tuple(s.unsqueeze(-2) for s in state)
    return x, state
