"""MAML that adapts a part of the model: the head alone, or all but the head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.steps import adapted_names
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.errors import ArgumentError


class ANIL(MAML):
    """MAML whose inner loop adapts the head alone ("almost no inner loop").

    The body is meta-learned and serves every task as it is, so a step costs hardly more than a
    forward call. With `clone(tasks=N)` and layers that know the task axis, its parameters get none.

    Args:
        model: the module to meta-learn.
        lr: as in `MAML`.
        head: name of the module in `model` that adapts.
        options: the other arguments of `MAML`, but `adapts`.

    Raises:
        As `MAML`.

    Example:
        >>> from l2l_rnn.models import SequenceClassifier
        >>> sorted(ANIL(SequenceClassifier(5, input_size=3), lr=0.1).adapted)
        ['head.bias', 'head.weight']

    Source: A. Raghu et al., 2020, Rapid Learning or Feature Reuse? Towards Understanding the
    Effectiveness of MAML, section 4.
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
        super().__init__(model, lr, adapts=head, **options)


class BOIL(MAML):
    """MAML whose inner loop adapts all but the head ("body only update in inner loop").

    Args:
        model, lr, head, options: as in `ANIL`; the head is what does not adapt.

    Raises:
        As `MAML`; ArgumentError if there is nothing but the head.

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
        body = adapted_names(who, model, None) - adapted_names(who, model, head)
        if not body:
            raise ArgumentError(f"BOIL: the model has no parameter but those under {head!r}")
        super().__init__(model, lr, adapts=body, **options)
