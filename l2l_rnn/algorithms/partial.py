"""MAML that adapts only a part of the model: the head (ANIL) or the body (BOIL)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.selection import adapted_names
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError


def _check_options(who: str, options: dict[str, Any]) -> None:
    """Refuse options that the learner sets itself."""
    if "adapts" in options:
        raise ArgumentError(
            f"{who}: adapts is not an option, because head determines what is adapted, got "
            f"{options['adapts']!r}; set head, or use MAML(model, lr, adapts=…)"
        )


@configurable
class ANIL(MAML):
    """MAML that adapts only the head in the inner loop ("almost no inner loop").

    `min over theta of sum_i L_i(theta_body, theta_head - alpha grad_head L_i(theta))`

    The outer loop trains the body, which all tasks share. A step therefore costs little more than a
    forward pass. With `clone(tasks=N)` and layers of this package, the body gets no task axis.

    Args:
        model: the model to meta-learn.
        lr: as in `MAML`.
        head: name of the module in `model` to adapt.
        options: the other arguments of `MAML`, except `adapts`.

    Raises:
        ArgumentTypeError, ArgumentError: as in `MAML`.

    Example:
        >>> from l2l_rnn.models import SequenceClassifier
        >>> sorted(ANIL(SequenceClassifier(5, input_size=3), lr=0.1).adapted)
        ['head.bias', 'head.weight']

    Source: A. Raghu, M. Raghu, S. Bengio and O. Vinyals, 2020, Rapid Learning or Feature Reuse?
    Towards Understanding the Effectiveness of MAML, section 4.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor | GradientTransform,
        *,
        head: str = "head",
        **options: Any,
    ) -> None:
        self._check_model(model)
        _check_options("ANIL", options)
        super().__init__(model, lr, adapts=head, **options)


@configurable
class BOIL(MAML):
    """MAML that adapts everything but the head ("body only update in inner loop").

    `min over theta of sum_i L_i(theta_body - alpha grad_body L_i(theta), theta_head)`

    Args:
        model: the model to meta-learn.
        lr: as in `MAML`.
        head: name of the module in `model` that the inner loop does not adapt.
        options: the other arguments of `MAML`, except `adapts`.

    Raises:
        ArgumentTypeError: as in `MAML`.
        ArgumentError: as in `MAML`; also if the model has no parameters outside the head.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        >>> sorted(BOIL(model, lr=0.1, head="1").adapted)
        ['0.bias', '0.weight']

    Source: J. Oh, H. Yoo, C. Kim and S. Yun, 2021, BOIL: Towards Representation Change for Few-shot
    Learning, section 3.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor | GradientTransform,
        *,
        head: str = "head",
        **options: Any,
    ) -> None:
        self._check_model(model)
        who = type(self).__name__
        _check_options("BOIL", options)
        body = adapted_names(who, model, None) - adapted_names(who, model, head)
        if not body:
            raise ArgumentError(
                f"{who}: the model has no parameters outside {head!r}; set head to the name of its "
                "output layer"
            )
        super().__init__(model, lr, adapts=body, **options)
