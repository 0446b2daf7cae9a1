"""Learned learning rates of the inner loop, which learners accept as `lr`."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.checks import check_lr, listed
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.checks import check_int, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError


class LearnedLR(GradientTransform):
    """Scale gradients by learned learning rates: `step = alpha * grad`. Not for direct use.

    A subclass implements `lr_at`.

    Args:
        model: the model to adapt.
        lr: initial value of every learning rate.
    """

    @abstractmethod
    def lr_at(self, step: int, index: int) -> Tensor:
        """Return the learning rate of one parameter at one inner step.

        Args:
            step: number of the inner step, from 0.
            index: position of the parameter in `names`.
        """

    def transform(self, step: int, index: int, gradient: Tensor) -> Tensor:
        return self.lr_at(step, index) * gradient


@configurable
class PerTensorLR(LearnedLR):
    """One positive learning rate per parameter tensor and inner step.

    `step_{k, j} = exp(a_{k, j}) grad_j` at inner step k, for parameter tensor j.

    Args:
        model: the model to adapt.
        lr: initial value of every learning rate.
        steps: number of inner steps with their own learning rates; later steps use the last one.

    Attributes:
        steps: as given.
        log_lr: `a`, the logarithms of the learning rates, `(steps, tensors)`.

    Raises:
        ArgumentError: `lr` is not a positive finite number, or `steps` is not a positive integer.

    Example:
        >>> lr = PerTensorLR(nn.Linear(3, 2), 0.1, steps=2)
        >>> lr.log_lr.exp()
        tensor([[0.1000, 0.1000],
                [0.1000, 0.1000]], grad_fn=<ExpBackward0>)

    Source: A. Antoniou, H. Edwards and A. Storkey, 2019, How to Train Your MAML, section 4 (LSLR).
    There each layer has its own learning rates; here each tensor does, and the logarithm keeps them
    positive.
    """

    def __init__(self, model: nn.Module, lr: float, steps: int = 1) -> None:
        super().__init__(model, lr)
        self.steps = steps = check_int("PerTensorLR", "steps", steps)
        start = next(model.parameters()).new_full((steps, len(self.names)), math.log(float(lr)))
        self.log_lr = nn.Parameter(start)

    def lr_at(self, step: int, index: int) -> Tensor:
        return self.log_lr[min(step, len(self.log_lr) - 1), index].exp()


@configurable
class PerElementLR(LearnedLR):
    """One learning rate, of either sign, per element of each parameter, as in Meta-SGD.

    `step = alpha * grad`, elementwise.

    Args:
        model: the model to adapt.
        lr: initial value of every learning rate.
        lrs: the learning rates themselves, one tensor per parameter; None creates them from `lr`.

    Attributes:
        lrs: `alpha`, one tensor per parameter, of the parameter's shape.

    Raises:
        ArgumentError: `lr` is not a positive finite number, or `lrs` are not finite, do not fit the
            parameters or belong to a graph.
        ArgumentTypeError: `lrs` are not tensors.

    Example:
        >>> lr = PerElementLR(nn.Linear(3, 2), 0.1)
        >>> [tuple(alpha.shape) for alpha in lr.lrs]
        [(2, 3), (2,)]

    Source: Z. Li, F. Zhou, F. Chen and H. Li, 2017, Meta-SGD: Learning to Learn Quickly for
    Few-Shot Learning, eq. 2.
    """

    def __init__(
        self, model: nn.Module, lr: float = 1.0, lrs: Iterable[Tensor] | None = None
    ) -> None:
        super().__init__(model, lr)
        parameters = list(model.parameters())
        if lrs is None:
            lrs = [torch.full_like(p, float(lr)) for p in parameters]
        who, lrs = "PerElementLR", list(lrs)
        for alpha in lrs:
            check_tensor(who, "each of lrs", alpha)
            check_lr(who, alpha)
        shapes = [tuple(alpha.shape) for alpha in lrs]
        if shapes != [tuple(p.shape) for p in parameters]:
            raise ArgumentError(
                f"{who}: lrs must have the shapes of the model's parameters, "
                f"{listed([tuple(p.shape) for p in parameters])}, got {listed(shapes)}; pass one "
                "tensor for each of model.parameters()"
            )
        if not all(alpha.is_leaf for alpha in lrs):
            raise ArgumentError(
                f"{who}: lrs must not belong to a graph, got the result of an operation; pass "
                "parameters, not those of a clone"
            )
        self.lrs = nn.ParameterList(lrs)  # keeps parameters, and makes parameters of tensors

    def lr_at(self, step: int, index: int) -> Tensor:
        return self.lrs[index]
