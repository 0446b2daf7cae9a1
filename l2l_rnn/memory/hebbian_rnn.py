"""The recurrent network of Ba et al. with Hebbian fast weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.axes import align_tasks
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.fast_weights import hebbian_rule
from l2l_rnn.memory.memory import leading_axis
from l2l_rnn.memory.recurrent_memory import LAYERS, RecurrentMemory

_BLOCK = 64  # steps between two updates of the matrix
_FEW = 50_000  # elements of all matrices; below it, updating them at every step is faster


class HebbianRNNState(NamedTuple):
    """State of a `HebbianRNN`.

    Attributes:
        hidden: `h`, `(…, H)`.
        weights: `A`, the fast weights, `(…, H, H)`.
    """

    hidden: Tensor
    weights: Tensor


@LAYERS.register("hebbian-rnn")
@configurable
class HebbianRNN(RecurrentMemory[HebbianRNNState]):
    """A recurrent network that attends to its recent past, `A_t = lambda A_{t-1} + eta h_t h_t^T`.

    A step computes `z = W h + C x + b` and runs an inner loop of `inner_steps` rounds, which starts
    at `h_0 = f(LN(z))` and computes `h_{s+1} = f(LN(z + A h_s))`; `f` is ReLU, and `LN` is a layer
    norm with gain and bias. The last `h_s` is the hidden state and the output.

    Args:
        input_size: `F`, features of a step.
        hidden_size: `H`, hidden units.
        decay: `lambda`, the factor by which the fast weights decay at each step.
        lr: `eta`, the learning rate of the fast weights; None for `0.2 / H`. Hidden states have a
            norm of about `sqrt(H / 2)`. With the paper's 0.5, `A h` would be much larger than `z`,
            and the network would learn little.
        inner_steps: number of rounds of the inner loop, `S` in the paper.

    Attributes:
        weight_hh, weight_ih, bias: `W`, `C` and `b`.
        gain, shift: the gain and the bias of the layer norm.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> outputs `(…, S, H)` and a `HebbianRNNState`.

    Raises:
        ArgumentError: a size is not a positive integer, `decay` is not in [0, 1], or `lr` is not
            positive.
        ShapeError: in a call, the input, state or lengths have the wrong shape.

    Example:
        >>> layer = HebbianRNN(3, 8)
        >>> outputs, state = layer(torch.randn(5, 7, 3))
        >>> outputs.shape, state.weights.shape
        (torch.Size([5, 7, 8]), torch.Size([5, 8, 8]))

    Source: J. Ba, G. Hinton, V. Mnih, J. Z. Leibo and C. Ionescu, 2016, Using Fast Weights to
    Attend to the Recent Past, eq. 1-2 and section 3.2. Here `h_0` has a layer norm too.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 32,
        *,
        decay: float = 0.95,
        lr: float | None = None,
        inner_steps: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "HebbianRNN"
        self.input_size = check_int(who, "input_size", input_size)
        self.hidden_size = self.output_size = check_int(who, "hidden_size", hidden_size)
        self.inner_steps = check_int(who, "inner_steps", inner_steps)
        self.decay = check_number(who, "decay", decay, least=0, most=1)
        self.lr = check_number(who, "lr", 0.2 / hidden_size if lr is None else lr, above=0)

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_ih = empty(hidden_size, input_size)
        self.weight_hh = empty(hidden_size, hidden_size)
        self.bias, self.gain, self.shift = (empty(hidden_size) for _ in range(3))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw `C` uniformly from `[-1/sqrt(F), 1/sqrt(F)]`, and set `W` to `0.05 I`."""
        bound = 1 / math.sqrt(self.input_size)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        nn.init.eye_(self.weight_hh)
        self.weight_hh.data.mul_(0.05)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.gain)
        nn.init.zeros_(self.shift)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, inner_steps={self.inner_steps}"

    def _tasks(self) -> int | None:
        return leading_axis(self.weight_ih, 2)

    def _blank(self, *batch: int) -> HebbianRNNState:
        zero, size = self.weight_ih.new_zeros(()), self.hidden_size
        return HebbianRNNState(zero.expand(*batch, size), zero.expand(*batch, size, size))

    def _project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight_ih, self.bias)

    def _advance(self, features: Tensor, state: HebbianRNNState) -> tuple[Tensor, HebbianRNNState]:
        h, weights = state
        weights = self.decay * weights + self.lr * h.unsqueeze(-1) * h.unsqueeze(-2)
        z = features + functional.linear(h, self.weight_hh)
        h = self._activation(z)
        for _ in range(self.inner_steps):
            h = self._activation(z + (weights @ h.unsqueeze(-1)).squeeze(-1))
        return h, HebbianRNNState(h, weights)

    def _steps(
        self, features: Tensor, state: HebbianRNNState, inside: Tensor | None
    ) -> tuple[Tensor, HebbianRNNState]:
        rows, size = math.prod(features.shape[:-2]), self.hidden_size
        if rows * size * size < _FEW:
            return super()._steps(features, state, inside)
        outputs, blocks = [], features.split(_BLOCK, -2)
        within = (None,) * len(blocks) if inside is None else inside.split(_BLOCK, -1)
        for block, here in zip(blocks, within, strict=True):
            seen, state = self._block(block, state, here)
            outputs.append(seen)
        return torch.cat(outputs, -2), state

    def _block(
        self, features: Tensor, state: HebbianRNNState, inside: Tensor | None
    ) -> tuple[Tensor, HebbianRNNState]:
        """Take a block of steps from the hidden states, without forming their outer products.

        `A_t h = lambda^t A_0 h + eta sum_s lambda^(t - s) h_{s-1} (h_{s-1} . h)`. `A` itself is
        computed only once, at the end of the block.
        """
        hidden, weights = state
        steps, batch = features.shape[-2], features.shape[:-2]
        ages = torch.arange(steps - 1, -1, -1, device=features.device, dtype=features.dtype)
        shares = self.lr * self.decay**ages
        written, before = [hidden.unsqueeze(-2)], weights.mT
        for t, x in enumerate(features.unbind(-2)):
            past = torch.cat(written, -2)
            z = (x + functional.linear(hidden, self.weight_hh)).unsqueeze(-2)
            h = self._activation(z)
            for _ in range(self.inner_steps):
                similar = (h @ past.mT) * shares[steps - 1 - t :]
                old = torch.add(z, h @ before, alpha=self.decay ** (t + 1))
                h = self._activation(old + similar @ past)
            hidden = h.squeeze(-2)
            written.append(h)
        h = torch.cat(written, -2)
        past, seen = h[..., :-1, :], h[..., 1:, :]
        if inside is None:
            weights = hebbian_rule(past, past, weights, decay=self.decay, lr=self.lr)
            return seen, HebbianRNNState(hidden, weights)
        # Sequences take different numbers of steps, so the powers of lambda differ.
        taken = inside.sum(-1)
        ages = taken.unsqueeze(-1) - 1 - torch.arange(steps, device=inside.device)
        kept = (self.decay ** ages.clamp(min=0).to(h.dtype)).masked_fill(ages < 0, 0)
        left = (self.decay ** taken.to(h.dtype)).unsqueeze(-1).unsqueeze(-1)
        added = (past * kept.unsqueeze(-1)).mT @ past
        weights = torch.add(left * weights, added, alpha=self.lr)
        last = taken.reshape(*batch, 1, 1).expand(*batch, 1, self.hidden_size)
        return seen, HebbianRNNState(h.gather(-2, last).squeeze(-2), weights)

    def _activation(self, x: Tensor) -> Tensor:
        normal = F.layer_norm(x, (self.hidden_size,))
        gain, shift = (align_tasks(p, 1, x) for p in (self.gain, self.shift))
        return (gain * normal + shift).relu()
