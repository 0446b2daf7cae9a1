"""Step-by-step recurrences for `torch.func.vmap`, a peer in `meta_step.py`.

Torch has no batching rule for its recurrent layers, so a recurrence must be written out to map over
tasks, as in parallel-metalearn: one matrix product for all inputs, then a matrix product with the
state and pointwise operations at each step, differentiated by autograd.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]


def lstm_step(x: Tensor, h: Tensor, state: State) -> State:
    """Compute `(h, c)` from the gates of the input and of the state, `(B, 4H)` each."""
    i, f, g, o = (x + h).chunk(4, -1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(x: Tensor, h: Tensor, state: State) -> State:
    """Compute `(h,)` from the gates of the input and of the state, `(B, 3H)` each."""
    (x_r, x_z, x_n), (h_r, h_z, h_n) = x.chunk(3, -1), h.chunk(3, -1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return ((1 - z) * n + z * state[0],)


def rnn_step(x: Tensor, h: Tensor, state: State) -> State:
    """Compute `(h,)` from the gates of the input and of the state, `(B, H)` each."""
    return (torch.tanh(x + h),)


STEPS: dict[str, tuple[Callable[[Tensor, Tensor, State], State], int, int]] = {
    "LSTM": (lstm_step, 4, 2),
    "GRU": (gru_step, 3, 1),
    "RNN": (rnn_step, 1, 1),
}


class Stepwise(nn.Module):
    """One layer in one direction, `(B, S, F)` -> `(B, S, H)`, with torch's parameter names.

    Args:
        cell: `"LSTM"`, `"GRU"` or `"RNN"`.
        input_size, hidden_size: `F`, `H`.
    """

    def __init__(self, cell: str, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.step, gates, self.states = STEPS[cell]
        rows = gates * hidden_size
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))

    def forward(self, x: Tensor) -> tuple[Tensor, State]:
        zeros = x.new_zeros(x.shape[0], self.weight_hh_l0.shape[1])
        state: State = (zeros,) * self.states
        outputs = []
        for a in F.linear(x, self.weight_ih_l0, self.bias_ih_l0).unbind(1):
            state = self.step(a, F.linear(state[0], self.weight_hh_l0, self.bias_hh_l0), state)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state
