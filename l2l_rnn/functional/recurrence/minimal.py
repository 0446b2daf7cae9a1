"""The minimal gated recurrence with hand-written first and second derivatives, in compiled code.

`h_t = (1 - z_t) h_{t-1} + z_t n_t` with `z = sigmoid(a_z)` and `n = g(a_n)`. As in
`packed_recurrence`, the adjoint runs from the last step to the first,
`lambda_t = dh_t + (1 - z_{t+1}) lambda_{t+1}`, and computes `da_t`. The tangent runs from the first
step to the last and computes the gradients w.r.t. dh, a and h. Each pass recomputes the gates
instead of keeping them. `csrc/minimal.h` has the equations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.errors import DerivativeError, ShapeError
from l2l_rnn.functional.recurrence import compiled_passes
from l2l_rnn.functional.recurrence.arrays import PassArrays


@torch.compiler.disable  # type: ignore[untyped-decorator] # not traced, like `packed_recurrence`
def min_recurrence(a: Tensor, h0: Tensor) -> Tensor:
    """Compute h after every step. Twice differentiable; a third derivative raises an error.

    Args:
        a: the pre-activations of z and n, stacked.
        h0: the initial state.

    Shapes:
        a `(A, S, B, 2H)`, h0 `(A, B, H)` -> `(A, S, B, H)`.

    Raises:
        ShapeError: the shapes do not match.
    """
    fits = a.dim() == 4 and h0.dim() == 3 and a.shape[1] > 0
    if not fits or a.shape != (len(h0), a.shape[1], h0.shape[1], 2 * h0.shape[2]):
        raise ShapeError(
            "min_recurrence: expected pre-activations (A, S, B, 2H) and a state (A, B, H), got "
            f"{tuple(a.shape)} and {tuple(h0.shape)}; stack the pre-activations of z and n"
        )
    h: Tensor = _Minimal.apply(a.contiguous(), h0.contiguous())
    return h


@dataclass(kw_only=True)
class _Arrays(PassArrays):
    """The arrays that every pass reads."""

    a: Tensor
    h0: Tensor
    h: Tensor


@dataclass(kw_only=True)
class _ForwardArrays(_Arrays):
    """The forward pass writes h."""

    kind: ClassVar[str] = "forward"


@dataclass(kw_only=True)
class _AdjointArrays(_Arrays):
    """The adjoint pass completes lam, which starts as dh, and dh0, and writes da."""

    kind: ClassVar[str] = "adjoint"

    lam: Tensor
    da: Tensor
    dh0: Tensor


@dataclass(kw_only=True)
class _TangentArrays(_Arrays):
    """The tangent pass writes h' and the gradient w.r.t. a, and completes those w.r.t. h and h0.

    a' is the cotangent of da, and h0' is the cotangent of dh0.
    """

    kind: ClassVar[str] = "tangent"

    lam: Tensor
    a_tangent: Tensor
    h0_tangent: Tensor
    a_gradient: Tensor
    h_tangent: Tensor
    h_gradient: Tensor
    dh0: Tensor


def _run(arrays: _Arrays) -> None:
    """Run a pass of the compiled code, which expects steps and sequences on one axis."""
    _, steps, batch, _ = arrays.h.shape
    packed = {name: t.flatten(1, 2) for name, t in arrays.tensors().items() if t.dim() == 4}
    compiled_passes.run(compiled_passes.MINIMAL, [batch] * steps, replace(arrays, **packed))


class _Minimal(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, h0: Tensor) -> Tensor:
        h = a.new_empty(*a.shape[:-1], h0.shape[-1])
        _run(_ForwardArrays(a=a, h0=h0, h=h))
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
        _run(_AdjointArrays(a=a, h0=h0, h=h, lam=lam, da=da, dh0=dh0))
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
        arrays = _TangentArrays(
            a=a,
            h0=h0,
            h=h,
            lam=lam,
            a_tangent=v,
            h0_tangent=vh0,
            a_gradient=torch.empty_like(a),
            h_tangent=torch.empty_like(h),
            h_gradient=torch.zeros_like(h),
            dh0=torch.zeros_like(h0),
        )
        _run(arrays)
        return arrays.h_tangent, arrays.a_gradient, arrays.dh0, arrays.h_gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise DerivativeError(
            "min_recurrence: a third derivative was requested, but compiled code has only the "
            "first two; compute it in float64, or call backward() without create_graph"
        )
