"""The linear recurrent unit: a complex diagonal recurrence, so that all steps run in one scan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.recurrence.recurrences import State
from l2l_rnn.nn.recurrent_layer import RecurrentLayer


class LRU(RecurrentLayer):
    """Compute a linear recurrent unit: a linear recurrence of complex states, read by real outputs.

    `h_t = lambda * h_{t-1} + gamma * (B x_t)`, `y_t = phi(Re(C h_t) + D x_t + b)`, with
    `lambda = exp(-exp(nu_log) + i exp(theta_log))`, so that `|lambda| < 1`, and
    `gamma = exp(gamma_log)`: these are `nu_log_l0`, `theta_log_l0` and `gamma_log_l0`. The rows of
    `weight_ih_l0` stack the real and the imaginary part of `B`, the columns of `weight_ho_l0` those
    of `C`; `weight_io_l0` is `D`, `bias_o_l0` is `b`. At the start `|lambda|^2` is uniform in
    `[r_min^2, r_max^2]`, the phase of `lambda` in `[0, max_phase]`, and
    `gamma = sqrt(1 - |lambda|^2)`.

    The outputs of every layer, the last one too, go through `phi`, a GELU: without it a stack of
    layers would stay linear. Everything else is as in `RecurrentLayer`, but that derivatives of
    every order are there.

    Args:
        bias: whether there is `b`.
        r_min, r_max: radii of the ring in which `lambda` starts; closer to 1 is a longer memory.
        max_phase: the largest phase of `lambda` at the start, in radians.
        nonlinearity: `"gelu"`, or None for the bare `y_t`, to be put in a block of another kind.

    Shapes:
        Outputs have `H` real values. The state, `(D L, B, 2H)`, holds the real and the imaginary
        part of each complex unit side by side: `torch.view_as_complex(h.unflatten(-1, (-1, 2)))`.

    Raises:
        ArgumentError: the ring, the phase or the nonlinearity is out of its range.

    Example:
        >>> outputs, h = LRU(3, 5, batch_first=True)(torch.zeros(2, 7, 3))
        >>> outputs.shape, h.shape
        (torch.Size([2, 7, 5]), torch.Size([1, 2, 10]))

    Source: A. Orvieto et al., 2023, Resurrecting Recurrent Neural Networks for Long Sequences,
    section 3, lemma 3.2 for the ring, and appendix A. `D` is a full matrix, as F need not be H; `b`
    is added; the GELU is that of the paper's block, whose normalisation, gated linear unit and skip
    are left to a model. In half precision the recurrence runs in float32.
    """

    dense: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        nonlinearity: str | None = "gelu",
    ) -> None:
        if not 0 <= r_min < r_max <= 1:
            raise ArgumentError(
                f"LRU: the ring must have 0 <= r_min < r_max <= 1, got r_min={r_min!r} and "
                f"r_max={r_max!r}"
            )
        if not 0 < max_phase <= 2 * math.pi:
            raise ArgumentError(f"LRU: max_phase must lie in (0, 2 pi], got {max_phase!r}")
        if nonlinearity not in ("gelu", None):
            raise ArgumentError(f"LRU: nonlinearity must be 'gelu' or None, got {nonlinearity!r}")
        # Before the parameters, which are drawn by them.
        self.r_min, self.r_max, self.max_phase = float(r_min), float(r_max), float(max_phase)
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
        )

    def reset_parameters(self) -> None:
        """Draw `lambda` from the ring and normal weights that keep the size of what they read."""
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                own = {name: getattr(self, name + suffix) for name in self._parameter_shapes(1)}
                self._draw_ring(own["nu_log"], own["theta_log"], own["gamma_log"])
                for name, size in {
                    "weight_ih": 2 * own["weight_ih"].shape[-1],
                    "weight_ho": self.hidden_size,
                    "weight_io": own["weight_io"].shape[-1],
                }.items():
                    nn.init.normal_(own[name], std=1 / math.sqrt(size))
                if self.bias:
                    nn.init.zeros_(own["bias_o"])

    @torch.no_grad()
    def _draw_ring(self, nu_log: Tensor, theta_log: Tensor, gamma_log: Tensor) -> None:
        real = torch.promote_types(nu_log.dtype, torch.float32)
        least = torch.finfo(real).eps  # a logarithm of 0 is not finite
        area, angle = torch.rand(2, *nu_log.shape, device=nu_log.device, dtype=real).clamp(
            least, 1 - least
        )
        square = self.r_min**2 + area * (self.r_max**2 - self.r_min**2)  # |lambda|^2
        gap = (1 - self.r_max**2) + (1 - area) * (self.r_max**2 - self.r_min**2)  # 1 - |lambda|^2
        # The logarithm of the square, by whichever of the two does not round to 0 or 1.
        log_square = torch.where(square < 0.5, square.log(), torch.log1p(-gap))
        nu_log.copy_((-log_square / 2).log())
        theta_log.copy_((self.max_phase * angle).log())
        gamma_log.copy_(gap.log() / 2)

    def _parameter_shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        hidden = self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "nu_log": (hidden,),
            "theta_log": (hidden,),
            "gamma_log": (hidden,),
            "weight_ih": (2 * hidden, features),
            "weight_ho": (hidden, 2 * hidden),
            "weight_io": (hidden, features),
        }
        return shapes | {"bias_o": (hidden,)} if self.bias else shapes

    def _state_sizes(self) -> tuple[int, ...]:
        return (2 * self.hidden_size,)

    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        nu_log, theta_log, gamma_log, weight = (
            self._stacked(name, layer) for name in ("nu_log", "theta_log", "gamma_log", "weight_ih")
        )
        # gamma * (B x) is (gamma * B) x; the parts go side by side here, where they are few.
        weight = weight.unflatten(-2, (2, -1)) * gamma_log.exp().unsqueeze(1).unsqueeze(-1)
        b = functional.linear(x, weight.transpose(1, 2).flatten(1, 2))
        return functional.lru(b.unflatten(1, (len(batch_sizes), -1)), nu_log, theta_log, state)

    def _outputs(self, layer: int, x: Tensor, states: State) -> Tensor:
        real, imaginary = self._stacked("weight_ho", layer).chunk(2, -1)
        # Re(C h) = Re C Re h - Im C Im h
        y = functional.linear(states[0], torch.stack([real, -imaginary], -1).flatten(-2))
        bias = self._stacked("bias_o", layer) if self.bias else None
        y = y + functional.linear(x, self._stacked("weight_io", layer), bias)
        return F.gelu(y) if self.nonlinearity else y
