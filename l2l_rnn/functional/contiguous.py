"""Contiguous gradients of operations whose gradients are views, such as concatenation."""

from __future__ import annotations

import torch
from torch import Tensor


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
