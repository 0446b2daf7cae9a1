"""How learners of each kind take examples of a user, take more of them, and score new inputs."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from learn2learn.utils import detach_module
from torch import Tensor

from l2l_rnn.algorithms import MAML, FixedClassifier, MemoryLearner, ProtoMAML, ProtoNet
from l2l_rnn.algorithms.distances import mean_distance, squared_distances
from l2l_rnn.algorithms.labels import mask_absent
from l2l_rnn.algorithms.saving import SavedLearner
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.training import adapted
from l2l_rnn.training.adaptation import default_loss, own_steps
from l2l_rnn.training.per_task import Loss
from l2l_rnn.training.saved.learner_tensors import digest_of_base


class Reading(NamedTuple):
    """What an adapted learner says about inputs.

    Attributes:
        scores: the scores of the classes, `(…, B, C)`. Their softmax are the probabilities.
        unusual: how much each input differs from the examples of all classes, `(…, B)`.
    """

    scores: Tensor
    unusual: Tensor


class LearnerKind(ABC):
    """A base learner, and how it adapts to the examples of a user. Abstract base class.

    The learners that its methods return never change: each method returns another one.

    Args:
        learner: the base learner.
        steps: gradient steps or writes; None for the learner's own number.
        loss: the loss of gradient steps; None for the cross-entropy.

    Attributes:
        refits: whether the learner must adapt to all examples again when there are more.
        digest: the digest of the base learner, which must stay the same.
        classes: the only classes of the learner, if it has a `FixedClassifier`; otherwise None.
    """

    refits: ClassVar[bool]

    def __init__(self, learner: Any, steps: int | None, loss: Loss | None) -> None:
        self.learner, self.steps, self.loss = learner, steps, loss
        self.digest = digest_of_base(learner, frozenset())
        fixed = (one.classes for one in learner.modules() if isinstance(one, FixedClassifier))
        self.classes: list[Any] | None = next(fixed, None)

    @property
    def settings(self) -> dict[str, str]:
        """What the state of a user depends on besides the learner: the steps and their loss."""
        steps = own_steps(self.learner) if self.steps is None else self.steps
        loss = getattr(self.loss, "__name__", "cross_entropy")
        return {"steps": str(steps), **({"loss": loss} if self.refits else {})}

    def check_unchanged(self, who: str) -> None:
        """Check that nobody has trained the base learner further.

        Raises:
            ArgumentError: its tensors have changed, or it is in training mode.
        """
        if digest_of_base(self.learner, frozenset()) != self.digest:
            raise ArgumentError(
                f"{who}: the learner must have the weights that it had when the examples were "
                "added, got others; call fit again, or train a copy.deepcopy of the learner"
            )
        if any(module.training for module in self.learner.modules()):
            raise ArgumentError(
                f"{who}: the learner must be in evaluation mode, as when the examples were added, "
                "got one in training mode; call eval() on it, or train a copy.deepcopy of it"
            )

    @abstractmethod
    def fitted(self, who: str, x: Tensor, y: Tensor, ways: int) -> Any:
        """Return a learner of `ways` classes that has adapted to examples.

        Raises:
            ArgumentError: the learner cannot have as many classes.
        """

    def extended(self, who: str, before: Any, x: Tensor, y: Tensor, ways: int) -> Any:
        """Return an adapted learner that has adapted to further examples, if it need not refit."""
        raise NotImplementedError

    @abstractmethod
    def read(self, learner: Any, x: Tensor, present: Tensor) -> Reading:
        """Score inputs with an adapted learner.

        Args:
            learner: a learner that this object returned, or one of N users.
            x: the inputs.
            present: which classes have examples.

        Shapes:
            x `(…, B, …)`, present `(…, C)` bool.
        """

    def unknown(self, unusual: Tensor) -> Tensor:
        """Return an unknown score from 0 to 1, for a model without calibration."""
        return unusual.clamp(0, 1)

    def shared(self, learner: Any) -> Any:
        """Return an adapted learner that shares the memory of the parameters it has not changed."""
        return learner

    def distances(self, learner: Any, x: Tensor, support: Tensor) -> Tensor:
        """Return how different inputs are from examples: `(B, …)`, `(E, …)` -> `(B, E)`."""
        return squared_distances(self.vectors(learner, x), self.vectors(learner, support))

    def vectors(self, learner: Any, x: Tensor) -> Tensor:
        """Return vectors whose distances say how similar the learner finds inputs, `(…, B, E)`."""
        encoder = getattr(learner.module, "encoder", None)
        with torch.no_grad():
            return learner(x) if encoder is None else encoder(x)


class SupportKind(LearnerKind):
    """What a learner keeps of support sets, which further examples add to."""

    refits = False

    @property
    def settings(self) -> dict[str, str]:
        return {}  # it takes no steps

    def fitted(self, who: str, x: Tensor, y: Tensor, ways: int) -> Any:
        return self.extended(who, None, x, y, ways)

    def extended(self, who: str, before: Any, x: Tensor, y: Tensor, ways: int) -> Any:
        with torch.no_grad():
            learner = self.shared(self.learner.continued(before, ways))
            learner.write(x, y)
        return learner

    def read(self, learner: Any, x: Tensor, present: Tensor) -> Reading:
        with torch.no_grad():
            return probable(learner(x), present)

    def shared(self, learner: Any) -> Any:
        if learner.tasks is None:
            learner.module = self.learner.module
        return learner

    def vectors(self, learner: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            return learner.encoded(x)


class ProtoNetKind(SupportKind):
    """Prototypes: sums and numbers of the vectors of each class."""

    def read(self, learner: ProtoNet, x: Tensor, present: Tensor) -> Reading:
        sums: Any = learner._sums
        counts: Any = learner._counts
        vectors = self.vectors(learner, x)
        with torch.no_grad():
            scores = self.scores(vectors, sums, counts, present)
            if learner.prior is None:
                apart = mean_distance(sums / counts.clamp_min(1), present).unsqueeze(-1)
                unusual = -scores.amax(-1) / apart.clamp_min(torch.finfo(scores.dtype).tiny)
            else:
                nothing = torch.zeros_like(sums[..., :1, :])
                moved = self.learner.centered(vectors, sums, counts)[0]
                new = learner.prior(moved, nothing, nothing[..., :1]).squeeze(-1)
                unusual = new - scores.logsumexp(-1)
        return Reading(scores, unusual)

    def scores(self, vectors: Tensor, sums: Tensor, counts: Tensor, present: Tensor) -> Tensor:
        """Return the scores of classes from sums of vectors, as the learner does.

        Shapes:
            vectors `(…, B, E)`, sums `(…, C, E)`, counts `(…, C, 1)`, present `(…, C)` bool ->
            `(…, B, C)`.
        """
        with torch.no_grad():
            if self.learner.prior is not None:
                vectors, sums = self.learner.centered(vectors, sums, counts)
                return mask_absent(self.learner.prior(vectors, sums, counts), present)
            return mask_absent(-squared_distances(vectors, sums / counts.clamp_min(1)), present)

    def unknown(self, unusual: Tensor) -> Tensor:
        return unusual / (1 + unusual) if self.learner.prior is None else unusual.sigmoid()


class MemoryKind(LearnerKind):
    """A memory, which further examples are written to."""

    @property
    def refits(self) -> bool:  # type: ignore[override]
        """Whether the learner also takes gradient steps."""
        return self.learner.lr is not None

    def fitted(self, who: str, x: Tensor, y: Tensor, ways: int) -> MemoryLearner:
        self._check_ways(who, ways)
        if not self.refits:
            with torch.no_grad():
                return self.extended(who, self.learner.clone(), x, y, ways)
        learner = _adapted(self, x, y)
        learner.detach()
        return _without_graph(learner)

    def extended(self, who: str, before: Any, x: Tensor, y: Tensor, ways: int) -> MemoryLearner:
        self._check_ways(who, ways)
        with torch.no_grad():
            learner = self.shared(self.learner.clone())
            learner.state = before.state
            learner.write(x, y, own_steps(self.learner) if self.steps is None else self.steps)
        return learner

    def read(self, learner: MemoryLearner, x: Tensor, present: Tensor) -> Reading:
        with torch.no_grad():
            return probable(learner(x), present)

    def shared(self, learner: MemoryLearner) -> MemoryLearner:
        if learner.tasks is None and not self.refits:
            learner.module = self.learner.module
        return learner

    def _check_ways(self, who: str, ways: int) -> None:
        size = self.learner.module.store.value_size
        if ways > size:
            raise _too_many_classes(who, ways, size, "the value_size of its memory")


class GradientKind(LearnerKind):
    """Parameters that gradient steps change, from the start whenever there are more examples."""

    refits = True

    def fitted(self, who: str, x: Tensor, y: Tensor, ways: int) -> Any:
        if isinstance(self.learner, ProtoMAML):
            return _without_graph(self._from_prototypes(x, y, ways))
        with torch.no_grad():
            outputs = self.learner.clone()(x[:1])
        if outputs.dim() != 2:
            raise ArgumentTypeError(
                f"{who}: the learner must return one score for each class (B, C), got shape "
                f"{tuple(outputs.shape)}; use a classifier"
            )
        if ways > outputs.shape[-1]:
            raise _too_many_classes(who, ways, outputs.shape[-1], "the size of its head")
        return _without_graph(_adapted(self, x, y))

    def read(self, learner: Any, x: Tensor, present: Tensor) -> Reading:
        with torch.no_grad():
            return probable(learner(x), present)

    def _from_prototypes(self, x: Tensor, y: Tensor, ways: int) -> ProtoMAML:
        loss = default_loss(y) if self.loss is None else self.loss
        with torch.inference_mode(False), torch.enable_grad():
            learner: ProtoMAML = self.learner.clone(first_order=True)
            learner.write(x, y, ways)
            for _ in range(own_steps(self.learner) if self.steps is None else self.steps):
                learner.adapt(loss(learner(x), y))
        return learner


def _adapted(kind: LearnerKind, x: Tensor, y: Tensor) -> Any:
    options: dict[str, Any] = {"first_order": True} if isinstance(kind.learner, MAML) else {}
    with torch.inference_mode(False), torch.enable_grad():
        return adapted(kind.learner, x, y, steps=kind.steps, loss=kind.loss, **options)


def _without_graph(learner: Any) -> Any:
    """Return an adapted learner without the graph of its gradient steps."""
    if isinstance(learner, SavedLearner):
        return copy.deepcopy(learner)
    detach_module(learner, keep_requires_grad=True)
    return learner


def probable(outputs: Tensor, present: Tensor) -> Reading:
    """Return the scores of a learner without distances: no large probability is unusual."""
    scores = mask_absent(outputs[..., : present.shape[-1]], present)
    number = present.sum(-1, keepdim=True).to(scores.dtype)
    largest = scores.softmax(-1).amax(-1)
    return Reading(scores, (1 - largest) * number / (number - 1).clamp_min(1))


def _too_many_classes(who: str, ways: int, most: int, what: str) -> ArgumentError:
    return ArgumentError(
        f"{who}: the model can learn at most {most} classes, {what}, got {ways}; pass fewer "
        "classes, or use a ProtoNet, which takes any number"
    )
