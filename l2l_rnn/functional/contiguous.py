"""Contiguous gradients of operations whose gradients are views, such as concatenation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.functional.compiled_code import operations_are_watched


def contiguous_gradients(result: Tensor) -> Tensor:
    """Return the result of an operation, after making its gradients contiguous.

    The gradients of a concatenation along the last axis, or of a transposition, are views with the
    strides of the result. Callers such as `torch.nn.utils.parameters_to_vector` reject them.

    Args:
        result: what an operation has just returned. The gradients with respect to the operation's
            inputs become contiguous, of every order.

    Example:
        >>> weight = torch.ones(2, 3, requires_grad=True)
        >>> y = contiguous_gradients(weight.mT) @ torch.ones(2, 1)
        >>> torch.autograd.grad(y.sum(), weight)[0].is_contiguous()
        True
    """
    # A compiler chooses the strides itself, and cannot trace the hook.
    if not torch.compiler.is_compiling() and result.grad_fn is not None:
        result.grad_fn.register_hook(_contiguous)
    return result


def _contiguous(
    gradients: tuple[Tensor | None, ...], _: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    return tuple(None if g is None else g.contiguous() for g in gradients)


def join_columns(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate along the last axis, with contiguous gradients of every order.

    Shapes:
        `(…, n_1)`, `(…, n_2)`, … -> `(…, n_1 + n_2 + …)`.
    """
    if torch.compiler.is_compiling() or operations_are_watched():
        return contiguous_gradients(torch.cat(tuple(parts), -1))
    joined: Tensor = _Join.apply(*parts)
    return joined


class _Join(Function):
    """Faster than autograd's concatenation, which differentiates each part's gradient by itself."""

    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        ctx.sizes = [part.shape[-1] for part in parts]
        return torch.cat(parts, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Split.apply(ctx.sizes, gradient)


class _Split(Function):
    @staticmethod
    def forward(ctx: Any, sizes: list[int], joined: Tensor) -> tuple[Tensor, ...]:
        parts = joined.split(sizes, -1)
        return tuple(part.clone(memory_format=torch.contiguous_format) for part in parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, _Join.apply(*gradients)
