"""The arrays that each pass over a packed recurrence reads and writes.

Shapes, with A parameter sets, P packed steps, K columns of W, H hidden units and U pre-activations
per hidden unit: weight `(A, UH, K)`; z, dz `(A, P, K)`; gates `(A, P, kept H)`; da, da_given,
a_tangent `(A, P, UH)`; outside `(A, P, 1)`; lam, mu and arrays named after h or c `(A, P, H)`, or
`(A, B, H)` if the name has a 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import Tensor


@dataclass
class PassArrays:
    """Base class of the arrays of one pass; `kind` names the pass."""

    kind: ClassVar[str]

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name, without those that are None."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def real(self) -> Iterator[Tensor]:
        """Iterate over the real-valued tensors: all but the mask `outside`."""
        return (tensor for name, tensor in self.tensors().items() if name != "outside")


@dataclass(kw_only=True)
class PackedArrays(PassArrays):
    """Base class of the arrays of a packed recurrence.

    Attributes:
        weight: `W = [W_ih b W_hh]`.
        h0, c0: the initial state.
        z: `z_t = [x_t 1 h_{t-1}]`.
        gates: the values that the cell keeps of each step; if no derivative will be taken, one
            block of rows that every step reuses.
        h, c: the state after each step.
    """

    weight: Tensor
    h0: Tensor
    c0: Tensor
    z: Tensor
    gates: Tensor
    h: Tensor
    c: Tensor


@dataclass(kw_only=True)
class ForwardArrays(PackedArrays):
    """The forward pass writes h, c, the gates, and the state's columns of z.

    Attributes:
        outside: True where h is held at 0, or None.
    """

    kind: ClassVar[str] = "forward"

    outside: Tensor | None


@dataclass(kw_only=True)
class AdjointArrays(PackedArrays):
    """The adjoint pass completes lam, mu, dh0 and dc0, and writes da.

    Attributes:
        lam, mu: the gradients with respect to h and c; they start as the cotangents dh and dc.
        dh0, dc0: the gradients with respect to the initial state; they start at 0.
        da: the gradient with respect to the pre-activations.
        da_given: a cotangent of the pre-activations, added to da, or None.
    """

    kind: ClassVar[str] = "adjoint"

    lam: Tensor
    mu: Tensor
    dh0: Tensor
    dc0: Tensor
    da: Tensor
    da_given: Tensor | None


@dataclass(kw_only=True)
class TangentArrays(PackedArrays):
    """The tangent pass writes h', c' and the state's columns of z', and completes the gradients.

    Attributes:
        z: here `z'_t = [x'_t 0 h'_{t-1}]`.
        first_column: the first column of z' that is not 0.
        lam, mu, da: as the adjoint pass left them.
        h_tangent, c_tangent: h' and c'.
        h0_tangent, c0_tangent: h' and c' before the first step.
        a_tangent: starts as `V z_t`, the part of a' that comes from the weight's cotangent V;
            becomes a', and is finally overwritten by the gradient with respect to a.
        dz: the gradient with respect to z, `V^T da_t`.
        h_gradient, c_gradient: the gradients with respect to h and c; they start at 0.
        dh0, dc0: the gradients with respect to h0 and c0; they start at 0.
    """

    kind: ClassVar[str] = "tangent"

    first_column: int
    lam: Tensor
    mu: Tensor
    da: Tensor
    h_tangent: Tensor
    c_tangent: Tensor
    h0_tangent: Tensor
    c0_tangent: Tensor
    a_tangent: Tensor
    dz: Tensor
    h_gradient: Tensor
    c_gradient: Tensor
    dh0: Tensor
    dc0: Tensor


class Known(NamedTuple):
    """The inputs and results of the forward pass that the derivatives read.

    Attributes:
        x: the packed steps.
        stand_in: stands in for the pre-activations in the graph; it holds no values.
        weight, h0, c0, h, c, z, gates: as in `PackedArrays`.
    """

    x: Tensor
    weight: Tensor
    h0: Tensor
    c0: Tensor
    h: Tensor
    c: Tensor
    stand_in: Tensor
    z: Tensor
    gates: Tensor

    def read(self) -> dict[str, Tensor]:
        """Return the arrays that every pass reads, by name."""
        names = ("weight", "h0", "c0", "gates", "h", "c")
        return {name: getattr(self, name) for name in names}
