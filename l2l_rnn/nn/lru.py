"""The linear recurrent unit: a complex diagonal recurrence that one scan computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.checks import check_choice, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.recurrence.weights import State
from l2l_rnn.nn.recurrent_layer import CELLS, RecurrentLayer


@CELLS.register("lru")
@configurable
class LRU(RecurrentLayer):
    """Linear recurrent unit network: a linear recurrence with complex states and real outputs.

    `h_t = lambda * h_{t-1} + gamma * (B x_t)`, `y_t = phi(Re(C h_t) + D x_t + b)`, with
    `lambda = exp(-exp(nu_log) + i exp(theta_log))`, so that `|lambda| < 1`, and
    `gamma = exp(gamma_log)`. The parameters are `nu_log_l0`, `theta_log_l0` and `gamma_log_l0`. The
    rows of `weight_ih_l0` stack the real and the imaginary part of `B`, and the columns of
    `weight_ho_l0` stack those of `C`; `weight_io_l0` is `D`, and `bias_o_l0` is `b`. Initially,
    `|lambda|^2` is uniform in `[r_min^2, r_max^2]`, the phase of `lambda` is uniform in
    `[0, max_phase]`, and `gamma = sqrt(1 - |lambda|^2)`.

    The outputs of every layer, including the last, pass through a GELU, `phi`. Without it, a stack
    of layers would be linear. The other arguments, shapes and errors are as in `RecurrentLayer`.
    The layer has derivatives of every order.

    Args:
        bias: whether to add `b`.
        r_min, r_max: radii of the ring in which `lambda` is initialized; values closer to 1 give a
            longer memory.
        max_phase: the largest initial phase of `lambda`, in radians.
        nonlinearity: `"gelu"`, or None to omit `phi` and build another kind of block.

    Shapes:
        Outputs have `H` real values. The state, `(D L, B, 2H)`, stores the real and the imaginary
        part of each complex unit next to each other:
        `torch.view_as_complex(h.unflatten(-1, (-1, 2)))`.

    Raises:
        ArgumentError: the ring, the phase or the nonlinearity is out of range.

    Example:
        >>> outputs, h = LRU(3, 5, batch_first=True)(torch.zeros(2, 7, 3))
        >>> outputs.shape, h.shape
        (torch.Size([2, 7, 5]), torch.Size([1, 2, 10]))

    Source: A. Orvieto et al., 2023, Resurrecting Recurrent Neural Networks for Long Sequences,
    section 3, lemma 3.2 for the ring, and appendix A. `D` is a full matrix, because F may differ
    from H, and there is a bias `b`. The GELU comes from the paper's block; the other parts of the
    block, normalization, gated linear unit and skip connection, are left to the model. In half
    precision, the recurrence runs in float32.
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
        # Set before the parameters, which are initialized from these values.
        self.r_min = check_number("LRU", "r_min", r_min, least=0, below=1)
        self.r_max = check_number("LRU", "r_max", r_max, above=self.r_min, most=1)
        self.max_phase = check_number("LRU", "max_phase", max_phase, above=0, most=2 * math.pi)
        if nonlinearity is not None:
            check_choice("LRU", "nonlinearity", nonlinearity, ("gelu",))
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
        """Draw `lambda` from the ring, and normal weights that preserve the input's variance."""
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
        least = torch.finfo(real).eps  # the logarithm of 0 is not finite
        area, angle = torch.rand(2, *nu_log.shape, device=nu_log.device, dtype=real).clamp(
            least, 1 - least
        )
        square = self.r_min**2 + area * (self.r_max**2 - self.r_min**2)  # |lambda|^2
        gap = (1 - self.r_max**2) + (1 - area) * (self.r_max**2 - self.r_min**2)  # 1 - |lambda|^2
        # The logarithm of the square, from the one of the two that does not round to 0 or 1.
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

    @property
    def state_sizes(self) -> tuple[int, ...]:
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
        # gamma * (B x) = (gamma * B) x: the smaller product. Real and imaginary parts alternate.
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
