"""The minimal gated recurrence with its first and second derivative by hand, in compiled code.

`h_t = h_{t-1} + z_t (n_t - h_{t-1})`, `z = sigmoid(a_z)`, `n = g(a_n)`. As in `packed_recurrence`,
the adjoint runs from the last step, `lambda_t = dh_t + (1 - z_{t+1}) lambda_{t+1}`, and makes
`da_t` of it; the tangent runs from the first and finds the gradients in dh, a and h. Gates are
computed anew in each pass, rather than kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.errors import DerivativeError, ShapeError
from l2l_rnn.functional.recurrence import compiled_passes


@torch.compiler.disable  # type: ignore[untyped-decorator] # not traced, as `packed_recurrence`
def min_recurrence(a: Tensor, h0: Tensor) -> Tensor:
    """Compute h after every step. Differentiable twice; a third derivative raises an error.

    Args:
        a: the pre-activations, stacked z, n.
        h0: the initial state.

    Shapes:
        a `(A, S, B, 2H)`, h0 `(A, B, H)` -> `(A, S, B, H)`.

    Raises:
        ShapeError: these do not fit each other.
    """
    fits = a.dim() == 4 and h0.dim() == 3 and a.shape[1] > 0
    if not fits or a.shape != (len(h0), a.shape[1], h0.shape[1], 2 * h0.shape[2]):
        raise ShapeError(
            "min_recurrence: expected pre-activations (A, S, B, 2H) and a state (A, B, H), got "
            f"{tuple(a.shape)} and {tuple(h0.shape)}"
        )
    h: Tensor = _Minimal.apply(a.contiguous(), h0.contiguous())
    return h


def _run(what: str, arrays: dict[str, Tensor]) -> None:
    """Run a pass of the compiled code, which wants steps and sequences on one axis."""
    _, steps, batch, _ = arrays["h"].shape
    packed: dict[str, Tensor | None] = {
        name: array.flatten(1, 2) if array.dim() == 4 else array for name, array in arrays.items()
    }
    compiled_passes.run(what, compiled_passes.MINIMAL, [batch] * steps, packed)


class _Minimal(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, h0: Tensor) -> Tensor:
        h = a.new_empty(*a.shape[:-1], h0.shape[-1])
        _run("forward", {"z": a, "h0": h0, "h": h})
        ctx.save_for_backward(a, h0, h)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> Any:
        return _Adjoint.apply(dh, *ctx.saved_tensors)


class _Adjoint(Function):
    @staticmethod
    def forward(ctx: Any, dh: Tensor, a: Tensor, h0: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        lam = dh.clone(memory_format=torch.contiguous_format)
        da, dh0 = torch.empty_like(a), torch.zeros_like(h0)
        _run("adjoint", {"z": a, "h0": h0, "h": h, "lam": lam, "da": da, "dh0": dh0})
        ctx.save_for_backward(a, h0, h, lam)
        return da, dh0

    @staticmethod
    def backward(ctx: Any, v: Tensor, vh0: Tensor) -> Any:
        return _Tangent.apply(v, vh0, *ctx.saved_tensors)


class _Tangent(Function):
    @staticmethod
    def forward(
        ctx: Any, v: Tensor, vh0: Tensor, a: Tensor, h0: Tensor, h: Tensor, lam: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        h_tangent, a_gradient = torch.empty_like(h), torch.empty_like(a)
        h0_gradient, h_gradient = torch.zeros_like(h0), torch.zeros_like(h)
        known = {"z": a, "h0": h0, "h": h, "lam": lam}
        given = {"through": v.contiguous(), "h0_tangent": vh0.contiguous()}
        made = {"a": a_gradient, "h_tangent": h_tangent, "h_gradient": h_gradient}
        _run("tangent", {**known, **given, **made, "dh0": h0_gradient})
        return h_tangent, a_gradient, h0_gradient, h_gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise DerivativeError(
            "min_recurrence: the third derivative was asked for, compiled code has the first two; "
            "take it in double precision, or call backward() without create_graph"
        )
