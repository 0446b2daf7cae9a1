"""The interface of a packed cell, the pointwise part of a recurrence with hand-written derivatives.

A packed cell is an optional fast implementation of a recurrence. The plain step function in
`reference` defines the result, and the cell is tested against it.

Shapes: every tensor is a view of one step's block of rows, `(A, n, H)` or `(A, n, UH)`. A prime
marks a tangent: `h'` is the tangent of h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

Views = tuple[Tensor, ...]


class Step(NamedTuple):
    """One step of a recurrence.

    Attributes:
        gates: the values that the cell keeps of the step, split by `PackedCell.parts`.
        h_before: `h_{t-1}`.
        c_before: `c_{t-1}`; empty if the recurrence has no c.
        h: `h_t`.
        c: `c_t`.
    """

    gates: Views
    h_before: Tensor
    c_before: Tensor
    h: Tensor
    c: Tensor


class Cotangents(NamedTuple):
    """The gradients at a step.

    Attributes:
        lam: `lambda_t`, the gradient w.r.t. h_t.
        mu: `mu_t`, the gradient w.r.t. c_t.
        da: the gradient w.r.t. a_t, split by `PackedCell.parts`.
        h_before, c_before: accumulate the gradients w.r.t. h_{t-1} and c_{t-1}, except for the
            part that goes through the product with W.
    """

    lam: Tensor
    mu: Tensor
    da: Views
    h_before: Tensor
    c_before: Tensor


class Tangents(NamedTuple):
    """The tangents at a step.

    Attributes:
        h_before, c_before: `h'_{t-1}` and `c'_{t-1}`.
        a: `a'_t`, split by `PackedCell.parts`.
        h, c: receive `h'_t` and `c'_t`.
    """

    h_before: Tensor
    c_before: Tensor
    a: Views
    h: Tensor
    c: Tensor


class PackedCell(ABC):
    """The pointwise part of a recurrence and its derivatives, one step at a time, in place.

    Attributes:
        stacked: `U`, pre-activations per hidden unit.
        kept: values per hidden unit that the derivatives read in addition to h and c.
        has_cell: whether the state has a cell c in addition to h.
        scratch: workspace per hidden unit that one step of a derivative needs.
    """

    stacked: ClassVar[int]
    kept: ClassVar[int]
    has_cell: ClassVar[bool] = False
    scratch: ClassVar[int]

    def parts(self, x: Tensor, size: int) -> Views:
        """Split stacked values `(…, UH)` into the views that the methods below take."""
        return x.split(size, -1)

    def scratch_parts(self, x: Tensor, size: int) -> Views:
        """Split the workspace into the views that the methods below take."""
        return x.split(size, -1)

    @abstractmethod
    def forward(self, step: Step, a: Views) -> None:
        """Compute the gates, h and c from the pre-activations a, which may be overwritten."""

    @abstractmethod
    def adjoint(self, step: Step, cotangents: Cotangents, scratch: Views) -> None:
        """Compute `da_t` from `lambda_t` and `mu_t`.

        Args:
            step: as `forward` left it.
            cotangents: `lam` is complete. `mu` lacks the part that comes from h_t, which this
                method adds. `da` receives the result.
            scratch: workspace.
        """

    @abstractmethod
    def tangent(
        self, step: Step, cotangents: Cotangents, tangents: Tangents, dc: Tensor, scratch: Views
    ) -> None:
        """Compute the tangents `h'_t` and `c'_t`, and the gradients of the adjoint's step.

        These are the gradients of `lambda_t h'_t + mu_t c'_t` w.r.t. the inputs of the step, with
        `lambda`, `mu` and the tangents held fixed and without the part that goes through z.

        Args:
            step: as `forward` left it.
            cotangents: `lam`, `mu` and `da` as `adjoint` left them; `h_before` and `c_before`
                accumulate the gradients w.r.t. h_{t-1} and c_{t-1}.
            tangents: the gradient w.r.t. a_t overwrites `a'_t`.
            dc: accumulates the gradient w.r.t. c_t.
            scratch: workspace.
        """
