"""What a cell, the pointwise part of a recurrence, is given at a step and must leave.

A new cell is a `PackedCell` in `cells`, a function in `recurrences` that runs it, a layer in
`l2l_rnn.nn` that holds its parameters, and a name for models in `models.encoder`.

Shapes: every tensor is a view of one step's block of rows, `(A, n, H)` or `(A, n, UH)`; primes are
tangents, so `h'` is the tangent of h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor

Views = tuple[Tensor, ...]


class Step(NamedTuple):
    """One step of a recurrence.

    Attributes:
        units: what the cell keeps of the step, in its own parts.
        before: `h_{t-1}`.
        cell_before: `c_{t-1}`; an empty block if the recurrence has no c.
        h: the output.
        cell: `c_t`.
    """

    units: Views
    before: Tensor
    cell_before: Tensor
    h: Tensor
    cell: Tensor


class Cotangents(NamedTuple):
    """Gradients of a step.

    Attributes:
        lam: `lambda_t`, in h_t.
        mu: in c_t.
        da: in a_t.
        before, cell_before: to which is added what h_{t-1} and c_{t-1} receive other than through
            the product with W.
    """

    lam: Tensor
    mu: Tensor
    da: Views
    before: Tensor
    cell_before: Tensor


class Tangents(NamedTuple):
    """Tangents of a step.

    Attributes:
        before, cell_before: `h'_{t-1}` and `c'_{t-1}`.
        a: `a'_t`.
        h, cell: where `h'_t` and `c'_t` go.
    """

    before: Tensor
    cell_before: Tensor
    a: Views
    h: Tensor
    cell: Tensor


class PackedCell(ABC):
    """The pointwise part of a recurrence and its derivatives, one step at a time, in place.

    Attributes:
        stacked: `U`, pre-activations for each hidden unit.
        kept: values for each hidden unit that the derivatives read, beside h and c.
        has_cell: whether there is a cell state c beside h.
        scratch: values for each hidden unit that a step of a derivative needs as workspace.
    """

    stacked: ClassVar[int]
    kept: ClassVar[int]
    has_cell: ClassVar[bool] = False
    scratch: ClassVar[int]

    def parts(self, x: Tensor, size: int) -> Views:
        """Views of stacked values `(…, UH)`, in the parts that the methods below take them in."""
        return x.split(size, -1)

    def scratch_parts(self, x: Tensor, size: int) -> Views:
        """Views of the workspace, in the parts that the methods below take it in."""
        return x.split(size, -1)

    @abstractmethod
    def forward(self, step: Step, a: Views) -> None:
        """Make h (and c) of the pre-activations a, which may be overwritten, and the units."""

    @abstractmethod
    def adjoint(self, step: Step, cotangents: Cotangents, scratch: Views) -> None:
        """Make `da_t` of `lambda_t` and `mu_t`.

        Args:
            step: as `forward` left it.
            cotangents: `lam` complete, `mu` but for what c_t gives to h_t, which is to be added;
                `da` to be written.
            scratch: workspace.
        """

    @abstractmethod
    def tangent(
        self,
        step: Step,
        cotangents: Cotangents,
        tangents: Tangents,
        in_cell: Tensor,
        scratch: Views,
    ) -> None:
        """Make the tangents `h'_t` and `c'_t`, and the gradients of the adjoint's step.

        The gradients are those of `lambda_t h'_t + mu_t c'_t` in what the step read, `lambda`,
        `mu` and the tangents held fixed, but for what goes through z.

        Args:
            step: as `forward` left it.
            cotangents: `lam`, `mu` and `da` as `adjoint` left them; the gradients in h_{t-1} and
                c_{t-1} are added to `before` and `cell_before`.
            tangents: over `a'_t` goes the gradient in a_t.
            in_cell: to which the gradient in c_t is added.
            scratch: workspace.
        """
