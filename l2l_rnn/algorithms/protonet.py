"""Prototypical networks behind `clone()` and `adapt()`."""

from __future__ import annotations

from typing import Any

import torch
from learn2learn.algorithms.base_learner import BaseLearner
from learn2learn.utils import clone_module
from torch import Tensor, nn

from l2l_rnn.algorithms.distances import squared_distances
from l2l_rnn.algorithms.inner_loop.changes import attribute_changes, make_changes
from l2l_rnn.algorithms.inner_loop.checks import check_tasks, no_outputs_error
from l2l_rnn.algorithms.inner_loop.task_axis import TaskCalls, check_layers
from l2l_rnn.algorithms.labels import mask_absent, one_hot, read_labels
from l2l_rnn.algorithms.priors import GaussianPrior
from l2l_rnn.algorithms.saving import SavedLearner, outside_inference_mode, usable
from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ShapeError


@configurable
class ProtoNet(SavedLearner, BaseLearner):
    """Classify by the nearest class mean in a learned space.

    `score_c = -|f(x) - p_c|^2`, where `f` is the encoder and the prototype `p_c` is the mean of `f`
    over the support sequences of class c.

    `clone()` returns a learner without prototypes, which gives every class the score 0.
    `write(x, y)` adds labeled sequences to the class means. `adapt(loss)` does the same in an
    unchanged learn2learn script: it reads the labels from the gradient of the loss, which is
    negative only with respect to the label's score. Neither changes the encoder. `backward()`
    reaches the encoder through both the support and the query set.

    Args:
        model: `f`, an encoder of sequences, such as `models.SequenceEncoder`.
        ways: `C`, the number of classes.
        prior: a `GaussianPrior` over classes, fitted to the vectors of the trained encoder. It
            computes the scores and shrinks class means toward the training average. None uses the
            plain class means.

    Attributes:
        prototypes: `p`, `(C, E)` or `(N, C, E)`; None before the first support sequence. A class
            without support sequences has zeros.

    A class without support sequences, of this task if there are several, is never predicted. Its
    score is finite and below those of all other classes, so a query with this label has a large but
    finite loss, about 100 or more.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis: each task has
            its own prototypes, and all tasks share the encoder.

    Raises:
        ArgumentError: `ways` is not a positive integer.

    Example:
        >>> learner = ProtoNet(nn.Identity(), ways=2).clone()
        >>> learner.write(torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([0, 0, 1]))
        >>> learner(torch.tensor([[1.5]]))
        tensor([[-1.0000, -6.2500]])

    Source: J. Snell, K. Swersky and R. Zemel, 2017, Prototypical Networks for Few-shot Learning,
    eq. 1-2. Reading labels from the loss gradient is new here; it makes learn2learn's loop work.
    """

    def __init__(self, model: nn.Module, ways: int, prior: GaussianPrior | None = None) -> None:
        super().__init__(model)
        self.ways = check_int("ProtoNet", "ways", ways)
        self.prior = prior
        self.tasks: int | None = None
        self._task_calls = TaskCalls("ProtoNet")
        self.reset()

    def reset(self) -> None:
        """Forget all support sequences."""
        self._sums: Tensor | None = None  # (…, C, E), sum of the support vectors of each class
        self._counts: Tensor | None = None  # (…, C, 1), number of support vectors of each class
        self._last: tuple[Tensor, Tensor] | None = None  # vectors and scores of the last forward

    @property
    def prototypes(self) -> Tensor | None:
        """The class means `p`, or None before the first support sequence."""
        if self._sums is None or self._counts is None:
            return None
        return self._sums / self._counts.clamp_min(1)

    def clone(self, *, tasks: int | None = None) -> ProtoNet:
        """Return a learner without prototypes; its encoder backpropagates to this learner's.

        Args:
            tasks: `N`, the number of tasks to learn at once. An encoder that takes any leading axes
                does not need it: then the inputs determine the task axis.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or the learner already holds tasks.
            ArgumentTypeError: the encoder has a recurrent layer of torch.
        """
        if tasks is not None:
            tasks = check_tasks("ProtoNet.clone", tasks, self.tasks)
            check_layers("ProtoNet.clone", self.module)
        learner = self.__class__.__new__(self.__class__)
        learner.__dict__ = {**self.__dict__, "_modules": {**self._modules}}
        with outside_inference_mode():
            learner._modules["module"] = clone_module(self.module)
        learner.reset()
        learner.tasks = self.tasks if tasks is None else tasks
        return learner

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_last": None}  # the last outputs are not state

    def forward(self, x: Tensor) -> Tensor:
        vectors = self._task_calls.call_module(self.module, x, self.tasks)
        prototypes = self.prototypes
        if prototypes is None:
            # Zeros that depend on the vectors, so that a loss computed from them has a graph.
            scores = (0 * vectors.sum(-1, keepdim=True)).expand(*vectors.shape[:-1], self.ways)
        else:
            if prototypes.shape[:-2] != vectors.shape[:-2]:
                raise ShapeError(
                    f"ProtoNet: x must have the leading axes of the support set, "
                    f"{tuple(prototypes.shape[:-2])}, got {tuple(vectors.shape[:-2])}; add the "
                    "task axis"
                )
            if self.prior is None:
                scores = -squared_distances(vectors, prototypes)
            else:
                scores = self.prior(vectors, self._sums, self._counts)
            if self._counts is not None:
                scores = mask_absent(scores, self._counts.squeeze(-1) > 0)
        scores = scores.clone()
        self._last = (vectors, scores) if torch.is_grad_enabled() else None
        return scores

    def write(self, x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> None:
        """Add labeled sequences to the class means.

        Args:
            x: support sequences.
            y: their labels, integers from 0 to `C - 1`.
            mask: False where a row is padding, which is left out, whatever its label; None if there
                is no padding. Padding of x must be valid sequences, such as repeated ones.

        Shapes:
            x `(…, B, …)`, y and mask `(…, B)`.

        Raises:
            ArgumentTypeError: the labels are not integers, or the mask is not a bool tensor.
            ShapeError: the number of labels or of values of the mask is not that of sequences.
            ArgumentError: a label is out of range.
        """
        vectors = self._task_calls.call_module(self.module, x, self.tasks)
        members = one_hot("ProtoNet.write", y, vectors, self.ways, "set ways", mask)
        self._bind(vectors, members)

    def adapt(self, loss: Tensor, *, mask: Tensor | None = None) -> None:
        """Add the sequences of the last forward call to the class means.

        Args:
            loss: a classification loss of the last outputs, which reveals their labels: a scalar or
                `(N,)`, summed or averaged over sequences.
            mask: as in `write`. A masked loss alone cannot tell padding from a sequence whose loss
                is already minimal.

        Raises:
            ArgumentTypeError: the loss is not a tensor.
            AdaptationError: the learner was not called since the last write, or the loss does not
                depend on its outputs, is not finite, or rewards several classes of one sequence.
        """
        if self._last is None:
            raise no_outputs_error("ProtoNet.adapt")
        vectors, scores = self._last
        labels, labeled = read_labels("ProtoNet.adapt", loss, scores)
        members = one_hot("ProtoNet.adapt", labels, vectors, self.ways, "set ways", mask)
        if self._sums is None:  # all scores are 0, so a zero gradient is a skipped row
            members = members * labeled.unsqueeze(-1)
        self._bind(vectors, members)

    def _bind(self, vectors: Tensor, members: Tensor) -> None:
        """Add vectors `(…, B, E)` to the classes given by one-hot rows `(…, B, C)`."""
        sums, counts = members.mT @ vectors, members.sum(-2).unsqueeze(-1)
        if self._sums is not None and self._counts is not None:
            sums, counts = self._sums + sums, self._counts + counts
        state = {"_sums": usable(sums), "_counts": usable(counts), "_last": None}
        make_changes(attribute_changes(self, **state))

    def _adaptation(self) -> dict[str, Tensor]:
        if self._sums is None or self._counts is None:
            return {}
        return {"sums": self._sums, "counts": self._counts}

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        if not saved:
            self.reset()
            return
        names = {"sums", "counts"}
        if set(saved) != names or saved["counts"].shape != (*saved["sums"].shape[:-1], 1):
            raise ArgumentError(
                f"{who}: expected sums (…, C, E) and counts (…, C, 1) of prototypes, got "
                f"{', '.join(f'{n} {tuple(t.shape)}' for n, t in saved.items())}; load the state "
                "of a ProtoNet"
            )
        ways = saved["sums"].shape[-2]
        if ways != self.ways:
            raise ShapeError(
                f"{who}: the saved learner has prototypes of {ways} classes, this learner has "
                f"ways={self.ways}; create it with ways={ways}"
            )
        floats = (p for p in self.module.parameters() if p.is_floating_point())
        like = next(floats, saved["sums"])
        self._sums, self._counts = (
            saved[n].to(like.device, like.dtype) for n in ("sums", "counts")
        )
        held = self._sums.shape[:-2]
        self.tasks = held[0] if len(held) == 1 else None  # those of the saved learner
        self._last = None
