"""ProtoMAML: gradient steps that start from the classifier of a prototypical network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.changes import (
    attribute_changes,
    make_changes,
    parameter_changes,
)
from l2l_rnn.algorithms.inner_loop.checks import no_outputs_error, unchanged_error
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.labels import mask_absent, one_hot, read_labels
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.algorithms.saving import outside_inference_mode, usable
from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError


@configurable
class ProtoMAML(MAML):
    """MAML with a linear head that starts from the class means of the support set.

    `W_c = 2 p_c` and `b_c = -|p_c|^2`, where `p_c` is the mean of the encoder's vectors `f(x)` over
    the support sequences of class c.

    The scores then equal `-|f(x) - p_c|^2` up to a term that is the same for all classes. MAML's
    gradient steps then adapt encoder and head as separate parameters. `backward()` also reaches the
    encoder's initialization through the class means.

    `write(x, y)` sets the head. In an unchanged learn2learn loop, the first `adapt(loss)` sets it
    instead: it reads the labels of the support set from the gradient of the loss. Every later
    `adapt` takes a gradient step.

    A class without support sequences, of this task if there are several, is never predicted, as in
    `ProtoNet`. Gradient steps leave its part of the head unchanged.

    Args:
        model: a module with an `encoder` and a linear `head`, such as `models.SequenceClassifier`.
            The head only determines the number of classes; its weights are not used. Outputs
            computed before the head is set are meaningless.
        lr, first_order, allow_unused, allow_nograd: as in `MAML`.

    Attributes:
        has_prototypes: whether the head is set.

    Shapes:
        forward: as the model, to `(…, B, C)`; after `clone(tasks=N)` x is `(N, B, …)`.
        adapt: a scalar loss, or `(N,)` with one loss per task. A scalar is the sum over tasks.

    Raises:
        ArgumentTypeError: as in `MAML`; also if the model has no encoder or no linear head with a
            bias.
        ArgumentError: as in `MAML`.

    Example:
        >>> from l2l_rnn.models import SequenceClassifier
        >>> learner = ProtoMAML(SequenceClassifier(2, input_size=3), lr=0.1).clone(tasks=4)
        >>> x, y = torch.randn(4, 6, 7, 3), torch.tensor([0, 1] * 3).expand(4, 6)
        >>> learner.write(x, y)
        >>> losses = nn.functional.cross_entropy(learner(x).mT, y, reduction="none").mean(-1)
        >>> learner.adapt(losses)
        >>> learner(x).shape
        torch.Size([4, 6, 2])

    Source: E. Triantafillou et al., 2020, Meta-Dataset: A Dataset of Datasets for Learning to Learn
    from Few Examples, section 3. Reading labels from the loss gradient is new here.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor | GradientTransform,
        first_order: bool = False,
        allow_unused: bool | None = None,
        allow_nograd: bool = False,
    ) -> None:
        super().__init__(model, lr, first_order, allow_unused, allow_nograd)
        for name, kind in {"encoder": nn.Module, "head": nn.Linear}.items():
            if not isinstance(getattr(model, name, None), kind):
                raise ArgumentTypeError(
                    f"ProtoMAML: model must have {name!r}, a torch.nn.{kind.__name__}, got "
                    f"{type(model).__name__}; use models.SequenceClassifier, or rename its parts"
                )
        if model.head.bias is None:
            raise ArgumentTypeError(
                "ProtoMAML: the model's head must have a bias, got None; create it with bias=True"
            )
        self._present: Tensor | None = None  # (…, C), the classes with support sequences
        self._last: tuple[Tensor, Tensor] | None = None  # vectors and scores of the last forward

    @property
    def has_prototypes(self) -> bool:
        """Whether the head is set."""
        return self._present is not None

    def clone(self, *args: Any, **options: Any) -> ProtoMAML:
        """Return a learner, like `MAML.clone`. The head of a first clone is not set."""
        learner: Any = super().clone(*args, **options)
        learner._last = None
        return learner

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_last": None}  # the last outputs are not state

    def forward(self, x: Tensor) -> Tensor:
        vectors = self._call(self.module.encoder, x)
        scores = self._call(self.module.head, vectors)
        if self._present is not None:
            return mask_absent(scores, self._present)
        self._last = (vectors, scores) if torch.is_grad_enabled() else None
        return scores

    def write(
        self, x: Tensor, y: Tensor, ways: int | None = None, *, mask: Tensor | None = None
    ) -> None:
        """Set the head to the class means of labeled sequences.

        Args:
            x: support sequences.
            y: their labels, integers from 0 to `C - 1`.
            ways: `C`, the number of classes; None uses the number in the model's head.
            mask: False where a row is padding, which is left out, whatever its label; None if there
                is no padding. Padding of x must be valid sequences, such as repeated ones.

        Shapes:
            x `(…, B, …)`, y and mask `(…, B)`.

        Raises:
            AdaptationError: the learner is not a clone.
            ArgumentTypeError: the labels are not integers, or the mask is not a bool tensor.
            ShapeError: the number of labels or of values of the mask is not that of sequences.
            ArgumentError: `ways` is not a positive integer, or a label is out of range.
        """
        self._check_is_clone("write")
        vectors = self._call(self.module.encoder, x)
        if ways is None:
            ways = self.module.head.weight.shape[-2]
        ways = check_int("ProtoMAML.write", "ways", ways)
        self._set_head(vectors, one_hot("ProtoMAML.write", y, vectors, ways, "set ways", mask))

    def adapt(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Take a gradient step, or set the head if it is not set.

        Args:
            loss: as in `MAML.adapt`. To set the head, it must be a classification loss of the last
                outputs.
            args, kwargs: the other arguments of `MAML.adapt`.

        Raises:
            ArgumentTypeError, ShapeError: as in `MAML.adapt`.
            AdaptationError: as in `MAML.adapt`; also if the learner is not a clone, or if the head
                is not set and the loss does not reveal the labels of the last outputs.
        """
        self._check_is_clone("adapt")
        if self.has_prototypes:
            super().adapt(loss, *args, **kwargs)
        else:
            self._adapt_head(loss)

    def _adapt_head(self, loss: Tensor) -> None:
        """Set the head with the labels that a loss of the last outputs reveals."""
        if self._last is None:
            raise no_outputs_error("ProtoMAML.adapt")
        vectors, scores = self._last
        labels, _ = read_labels("ProtoMAML.adapt", loss, scores)
        members = one_hot("ProtoMAML.adapt", labels, vectors, scores.shape[-1], "check the head")
        self._set_head(vectors, members)

    def accumulate(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Add the gradient of a loss to the next inner step, as `MAML.accumulate` does.

        Set the head first, because the class means need the whole support set.

        Raises:
            ArgumentTypeError, ShapeError: as in `MAML.accumulate`.
            AdaptationError: as in `MAML.accumulate`; also if the head is not set.
        """
        if not self.has_prototypes:
            what = "the head is not set; call write(x, y) on the whole support set first"
            raise unchanged_error("ProtoMAML.accumulate", what)
        super().accumulate(loss, *args, **kwargs)

    def _set_head(self, vectors: Tensor, members: Tensor) -> None:
        """Set the head to class means, from vectors `(…, B, E)` and one-hot labels `(…, B, C)`."""
        counts = members.sum(-2)
        prototypes = members.mT @ vectors / counts.clamp_min(1).unsqueeze(-1)
        values = {"weight": 2 * prototypes, "bias": -prototypes.square().sum(-1)}
        # The head is a function of the encoder's parameters, but inner steps treat the two as
        # independent. They differentiate with respect to copies of the encoder's parameters, which
        # the head does not depend on.
        module = self.module
        with outside_inference_mode(), torch.enable_grad():
            copies: dict[Tensor, Tensor] = {p: p.clone() for p in module.encoder.parameters()}
        values = {name: usable(value.contiguous()) for name, value in values.items()}
        # With a frozen encoder, the head must still adapt.
        values = {n: v if v.requires_grad else v.requires_grad_() for n, v in values.items()}
        start = {name: copies.get(p, p) for name, p in module.named_parameters()}
        start |= {f"head.{name}": value for name, value in values.items()}
        state = {"_start": start, "_present": usable(counts > 0), "_last": None, "_pending": {}}
        make_changes(
            [
                *parameter_changes(module.encoder, copies),
                *((module.head._parameters, name, value) for name, value in values.items()),
                *attribute_changes(self, **state),
            ]
        )

    def _select(self, task: int) -> None:
        super()._select(task)
        self._present = None if self._present is None else self._present[task]
        self._last = None

    def _adaptation(self) -> dict[str, Tensor]:
        held = super()._adaptation()
        return held if self._present is None else {**held, "present": self._present}

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        present, head = saved.get("present"), self.module.head
        super()._restore(who, {name: t for name, t in saved.items() if name != "present"})
        ways = head.out_features if present is None else present.shape[-1]
        if ways != head.bias.shape[-1]:  # write(x, y, ways) changes the number of classes
            for name, parameter in list(head._parameters.items()):
                shape = [*head.bias.shape[:-1], ways, *parameter.shape[head.bias.dim() :]]
                head._parameters[name] = parameter.new_empty(shape).requires_grad_()
        self._present, self._last = None if present is None else present.bool(), None
