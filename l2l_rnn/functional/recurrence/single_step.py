"""A single step of a recurrence, for loops that call a layer or a cell one step at a time.

Shapes, for G gates: x `(B, F)`, h and c `(B, H)` and the parameters as in torch; or x `(N, B, F)`,
h and c `(N, B, H)` and the parameters `(N, …)` with a task axis.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from l2l_rnn.functional.compiled_code import operations_are_watched
from l2l_rnn.functional.recurrence import compiled_step, reference
from l2l_rnn.functional.recurrence.step_autograd import Step, step_forward
from l2l_rnn.functional.recurrence.weights import State, Weights

# Without a task axis, these are differentiable to any order on a CPU. On CUDA they are fused and
# have first derivatives only.
_CELLS_OF_TORCH: dict[str, Any] = {
    "tanh": torch.rnn_tanh_cell,
    "relu": torch.rnn_relu_cell,
    "gru": torch.gru_cell,
    "lstm": torch.lstm_cell,
}


def single_step(cell: str, x: Tensor, state: State, weights: Weights) -> State:
    """Compute the state after one step: h, and c for an LSTM.

    Args:
        cell: `"tanh"`, `"relu"`, `"gru"` or `"lstm"`.
        x: the input of the step.
        state: the state before it.
        weights: the parameters, gates stacked in torch's order.

    Shapes:
        as in the module.

    Example:
        >>> weights = Weights(torch.zeros(3, 2), torch.zeros(3, 3))
        >>> single_step("tanh", torch.ones(1, 2), (torch.ones(1, 3),), weights)
        (tensor([[0., 0., 0.]]),)
    """
    if operations_are_watched():
        return reference.single_step(cell, x, state, weights)
    tensors = (x, *state, *weights)
    differs = False
    if torch.is_grad_enabled():
        for tensor in tensors:
            if tensor is not None and tensor.requires_grad:
                differs = True
                break
    single = weights.ih.dim() == 2
    # torch's simple cell is a few operations, and a `Function` is not faster.
    few = single and (cell == "tanh" or cell == "relu")
    if not few and compiled_step.serves(tensors) and not intercepted():
        h, c = state if cell == "lstm" else (state[0], None)
        if differs:
            h, c = Step.call(cell, x, h, c, *weights)
        else:
            h, c, _ = step_forward(cell, x, h, c, *weights)
        return (h,) if c is None else (h, c)
    if single and (x.is_cpu or not differs):
        of_torch = _CELLS_OF_TORCH[cell]
        return (
            of_torch(x, state, *weights) if cell == "lstm" else (of_torch(x, state[0], *weights),)
        )
    return reference.single_step(cell, x, state, weights)


def intercepted() -> bool:
    """Return whether autocast or tracing must see torch's operations."""
    return torch._C._is_any_autocast_enabled() or torch._C._get_tracing_state() is not None
