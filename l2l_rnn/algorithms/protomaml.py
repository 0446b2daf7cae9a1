"""ProtoMAML: gradient steps that start from the classifier of a prototypical network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.steps import unchanged
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.labels import members_of, read_labels
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.axes import replace_parameters
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError


class ProtoMAML(MAML):
    """MAML whose linear head starts at the class means of the support set.

    With `p_c` the mean of the encoder's vectors `f(x)` over the support sequences of class c, the
    head starts as `W_c = 2 p_c`, `b_c = -|p_c|^2`: its scores are `-|f(x) - p_c|^2` but for a term
    that all classes share. The head and the encoder then take MAML's gradient steps, as parameters
    apart; `backward()` reaches the encoder's initialisation through the class means too.

    `write(x, y)` sets the head. In an unchanged learn2learn loop the first `adapt(loss)` does,
    reading the labels of its support outputs off the loss gradient; each later one takes a gradient
    step.

    Args:
        model: a module with an `encoder` and a linear `head` on its vectors, such as
            `models.SequenceClassifier`. The head's own parameters only say how many classes there
            are; the outputs before the head is set are not to be used.
        lr, first_order, allow_unused, allow_nograd: as in `MAML`.

    Shapes:
        As `MAML`; the outputs are `(…, B, C)`.

    Raises:
        As `MAML`; ArgumentTypeError if the model has no encoder or no linear head with a bias,
        AdaptationError if there is nothing to read labels from or the learner is not a clone,
        ArgumentError if a class has no support sequence.

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
    from Few Examples, section 3. Reading labels off the loss gradient is this package's.
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
                    f"{type(model).__name__}; use models.SequenceClassifier, or name its parts so"
                )
        if model.head.bias is None:
            raise ArgumentTypeError("ProtoMAML: the model's head must have a bias")
        self.has_prototypes = False
        self._last: tuple[Tensor, Tensor] | None = None

    def clone(self, *args: Any, **options: Any) -> ProtoMAML:
        """Return a learner whose head is to be set; as `MAML.clone`."""
        learner = super().clone(*args, **options)
        learner._last = None
        return learner

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_last": None}  # outputs of a call are no state

    def forward(self, x: Tensor) -> Tensor:
        vectors = self._call(self.module.encoder, x)
        scores = self._call(self.module.head, vectors)
        if not self.has_prototypes:
            self._last = (vectors, scores) if torch.is_grad_enabled() else None
        return scores

    def write(self, x: Tensor, y: Tensor, ways: int | None = None) -> None:
        """Set the head to the class means of labelled sequences.

        Args:
            x: support sequences, `(…, B, …)`.
            y: their labels, `(…, B)`, classes `0 … C - 1`.
            ways: `C`; None for as many as the model's head has.
        """
        self._check_is_clone()
        vectors = self._call(self.module.encoder, x)
        ways = self.module.head.weight.shape[-2] if ways is None else ways
        self._set_head(vectors, members_of("ProtoMAML.write", y, vectors, ways))

    def adapt(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Set the head if it is not set, from the last outputs; take a gradient step if it is.

        Args and errors are those of `MAML.adapt`.
        """
        self._check_is_clone()
        if self.has_prototypes:
            super().adapt(loss, *args, **kwargs)
            return
        if self._last is None:
            raise AdaptationError(
                "ProtoMAML.adapt: no outputs to learn from; call the learner on the support set "
                "first, with gradients on"
            )
        vectors, scores = self._last
        labels, _ = read_labels("ProtoMAML.adapt", loss, scores)
        self._set_head(vectors, members_of("ProtoMAML.adapt", labels, vectors, scores.shape[-1]))

    def accumulate(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """As `MAML.accumulate`, once the head is set: its class means are of all slices together.

        Raises:
            AdaptationError: the head is not set.
        """
        if not self.has_prototypes:
            what = "the head is not set; call write(x, y) on the whole support set first"
            raise unchanged("ProtoMAML.accumulate", what)
        super().accumulate(loss, *args, **kwargs)

    def _set_head(self, vectors: Tensor, members: Tensor) -> None:
        """Put the class means of vectors `(…, B, E)` in the head; members `(…, B, C)`."""
        counts = members.sum(-2)
        if (counts == 0).any():
            missing = int((counts == 0).nonzero()[0, -1])
            raise ArgumentError(
                f"ProtoMAML: class {missing} has no support sequence; give each class at least one"
            )
        prototypes = members.mT @ vectors / counts.unsqueeze(-1)
        # The steps to come hold the encoder and the head apart: the head was made of these
        # parameters, not of the copies that they will differentiate.
        replace_parameters(self.module.encoder, torch.clone)
        start = {"weight": 2 * prototypes, "bias": -prototypes.square().sum(-1)}
        for name, value in start.items():  # of a frozen encoder it has no graph, but must adapt
            value = value if value.requires_grad else value.requires_grad_()
            self.module.head._parameters[name] = value
        self._start = dict(self.module.named_parameters())
        self.has_prototypes, self._last, self._pending = True, None, {}
