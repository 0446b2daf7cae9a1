"""Several learners as one: a weighted pool whose weights depend on shots and ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from learn2learn.utils import clone_module
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.algorithms.inner_loop.changes import attribute_changes, make_changes
from l2l_rnn.algorithms.inner_loop.checks import no_outputs_error
from l2l_rnn.algorithms.labels import mask_absent, one_hot, read_labels
from l2l_rnn.algorithms.saving import outside_inference_mode, usable
from l2l_rnn.algorithms.stacking.pool import LogLinearPool, PoolInputs
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError


@configurable
class StackedLearner(SupportLearner):
    """Combine learners of the same support set by a weighted sum of their log probabilities.

    `score_c = sum_m w_m(k, C) log softmax(s_m)_c + w_0(k, C) log(n_c / n)`, where `s_m` are the
    scores of member m, `n_c` of the n support examples belong to class c, and the weights are
    functions of the number of examples per class k and of the number of classes C:
    `w = softplus(v . (1, log k, log C, (log k)^2))`. `fit_weights` learns v on tasks of classes
    that the members were not trained on. So a member that is good at few examples, such as a
    meta-learned `ProtoNet`, can lead there, and a `TfIdfLearner` where there are many. At the start
    all members have the same weight.

    The encoder is called once. `vector_learners` get its vectors, `input_learners` the inputs
    themselves. `write(x, y)`, `adapt(loss)`, `clone()` and `clone(tasks=N)` are those of a
    `ProtoNet`. The learner keeps the support set: its vectors and, if there are `input_learners`,
    its inputs. `backward()` reaches the encoder, the members' parameters and the weights, but not
    through a `TfIdfLearner`.

    Args:
        encoder: `f`, an encoder of sequences, such as `models.SequenceEncoder` or, for several,
            `models.EncoderEnsemble`.
        ways: `C`, the number of classes.
        vector_learners: at least one learner of vectors, such as `ProtoNet(nn.Identity(), ways)`.
        input_learners: learners of token ids, such as `TfIdfLearner(ways)`.

    Attributes:
        pool: the weights, a `LogLinearPool`; `pool.weights(counts)` returns their values.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis.

    Raises:
        ArgumentError: `ways` is not a positive integer.
        ArgumentTypeError: a member is not a `ProtoNet`, `TfIdfLearner` or another learner that
            keeps a support set; or there is no vector learner.

    Example:
        >>> from l2l_rnn.algorithms import ProtoNet, TfIdfLearner
        >>> encoder = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(-2))
        >>> members = [ProtoNet(nn.Identity(), 2)], [TfIdfLearner(2, (1, 1))]
        >>> learner = StackedLearner(encoder, 2, *members).clone()
        >>> x = torch.tensor([[2, 3], [4, 5]])
        >>> learner.write(x, torch.tensor([0, 1]))
        >>> learner(x).argmax(-1)
        tensor([0, 1])

    Source: D. Wolpert, 1992, Stacked Generalization; C. Genest and J. Zidek, 1986, Combining
    Probability Distributions, section 3, for the logarithmic pool. Weights that depend on the size
    of the task are new here.
    """

    kept: ClassVar[tuple[str, ...]] = ("vectors", "inputs", "members")
    described: ClassVar[str] = (
        "vectors (…, B, E), inputs (…, B, …) and one-hot rows (…, B, C) of a support set"
    )

    _vectors: Tensor | None
    _inputs: Tensor | None  # without columns if there are no input learners
    _members: Tensor | None
    _adapted: tuple[SupportLearner, ...]  # the members with the support set
    _without_graph: bool  # whether these were made without gradients
    _last_inputs: Tensor | None

    def __init__(
        self,
        encoder: nn.Module,
        ways: int,
        vector_learners: Sequence[SupportLearner],
        input_learners: Sequence[SupportLearner] = (),
    ) -> None:
        super().__init__(encoder, ways)
        every = [*vector_learners, *input_learners]
        if not vector_learners or not all(isinstance(one, SupportLearner) for one in every):
            raise ArgumentTypeError(
                "StackedLearner: members must be learners that keep a support set, at least one of "
                f"them of vectors, got {[type(one).__name__ for one in every]}; pass learners such "
                "as ProtoNet(nn.Identity(), ways) and TfIdfLearner(ways)"
            )
        self.vector_learners: Any = nn.ModuleList(vector_learners)
        self.input_learners: Any = nn.ModuleList(input_learners)
        self.pool = LogLinearPool(len(every))

    @property
    def encoder(self) -> nn.Module:
        """The encoder."""
        return self.module

    def adapted_members(self) -> tuple[SupportLearner, ...]:
        """Return the members with the support set, in order; none before the first example."""
        held = self._adaptation()
        # Those made without gradients cannot backpropagate to the members' parameters.
        if held and (not self._adapted or (self._without_graph and torch.is_grad_enabled())):
            self._adapted = self._written(held)
            self._without_graph = not torch.is_grad_enabled()
        return self._adapted

    def clone(self, *, tasks: int | None = None) -> StackedLearner:
        learner = super().clone(tasks=tasks)
        with outside_inference_mode():
            for name in ("vector_learners", "input_learners", "pool"):
                learner._modules[name] = clone_module(self._modules[name])
                for module in learner._modules[name].modules():  # type: ignore[union-attr]
                    buffers = module._buffers
                    buffers |= {n: b if b is None else usable(b) for n, b in buffers.items()}
        return learner

    def reset(self) -> None:
        super().reset()
        self._adapted, self._without_graph, self._last_inputs = (), False, None

    def forward(self, x: Tensor) -> Tensor:
        vectors = self.encoded(x)
        scores = self.scored(vectors, x)
        keep = torch.is_grad_enabled()
        self._last = (vectors, scores) if keep else None
        self._last_inputs = x if keep else None
        return scores

    def scored(self, vectors: Tensor, x: Tensor) -> Tensor:
        """Score inputs that were encoded before: vectors `(…, B, E)`, x -> `(…, B, C)`."""
        held = self._adaptation()
        if held:
            self._check_axes("StackedLearner", vectors, held)
            inputs = self._pool_inputs(vectors, x)
            return mask_absent(self.pool(inputs), inputs.counts > 0)
        # Zeros that depend on the vectors, so that a loss computed from them has a graph.
        return (0 * vectors.sum(-1, keepdim=True)).expand(*vectors.shape[:-1], self.ways).clone()

    def write(self, x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> None:
        who = "StackedLearner.write"
        vectors = self.encoded(x)
        members = one_hot(who, y, vectors, self.ways, "set ways", mask)
        self._keep(who, vectors, x, members)

    def adapt(self, loss: Tensor, *, mask: Tensor | None = None) -> None:
        who = "StackedLearner.adapt"
        if self._last is None or self._last_inputs is None:
            raise no_outputs_error(who)
        vectors, scores = self._last
        labels, labeled = read_labels(who, loss, scores)
        members = one_hot(who, labels, vectors, self.ways, "set ways", mask)
        if not self._adaptation():  # all scores are 0, so a zero gradient is a skipped row
            members = members * labeled.unsqueeze(-1)
        self._keep(who, vectors, self._last_inputs, members)

    def fit_weights(
        self,
        batches: TaskBatch | Iterable[TaskBatch],
        *,
        learners: Iterable[StackedLearner] | None = None,
        penalty: float = 1e-3,
        steps: int = 200,
    ) -> list[float]:
        """Learn the weights of the members on tasks of classes that they were not trained on.

        The members' log probabilities are computed once. Then L-BFGS minimizes the cross-entropy of
        the queries. All batches count the same, so give each number of shots and ways as many.

        Args:
            batches: tasks, at the shots and ways of later use. Between these the weights are
                interpolated, and beyond them they stay constant.
            learners: for cross-fitting, a learner for each batch: one with the same members that
                was not trained on the classes of the batch. None uses this learner.
            penalty: strength of the L2 penalty on the change of the coefficients.
            steps: the largest number of steps of L-BFGS.

        Returns:
            The cross-entropy after each evaluation.

        Raises:
            DataError: there are no batches.
            ArgumentError: there are not as many `learners` as batches, or one has other members.
        """
        batches = [batches] if isinstance(batches, TaskBatch) else list(batches)
        learners = self._checked(learners, len(batches))
        inputs = [one._pool_inputs_of(b) for one, b in zip(learners, batches, strict=True)]
        labels, masks = [b.query_y for b in batches], [b.query_mask for b in batches]
        if not inputs:
            raise DataError(
                "StackedLearner.fit_weights: expected at least one batch of tasks, got none; pass "
                "a list of TaskBatch"
            )
        with torch.enable_grad():
            penalty = check_number("StackedLearner.fit_weights", "penalty", penalty, least=0)
            steps = check_int("StackedLearner.fit_weights", "steps", steps)
            return self.pool.fit(inputs, labels, masks, penalty=penalty, steps=steps)

    def _checked(self, learners: Iterable[Any] | None, count: int) -> Sequence[StackedLearner]:
        """Return a learner for each batch, all with as many members as this one."""
        found = [self] * count if learners is None else list(learners)

        def kinds(one: Any) -> list[type]:
            return [type(member) for member in (*one.vector_learners, *one.input_learners)]

        alike = [isinstance(one, StackedLearner) and kinds(one) == kinds(self) for one in found]
        if len(found) != count or not all(alike):
            names = [type(one).__name__ for one in found]
            raise ArgumentError(
                "StackedLearner.fit_weights: learners must be one StackedLearner with the same "
                f"members for each of {count} batches, got {names}; build all of them alike"
            )
        return found

    def _pool_inputs_of(self, batch: TaskBatch) -> PoolInputs:
        """Return what the members say about the queries of tasks, in evaluation mode."""
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            with torch.no_grad():
                learner = self.clone(tasks=len(batch))
                y, rows = batch.support_y, batch.support_mask
                learner.ways = 1 + int((y if rows is None else y[rows]).max())
                learner.write(batch.support_x, y, mask=rows)
                return learner._pool_inputs(learner.encoded(batch.query_x), batch.query_x)
        finally:
            for module in training:
                module.training = True

    def _pool_inputs(self, vectors: Tensor, x: Tensor) -> PoolInputs:
        members: Any = self._members
        number = len(self.vector_learners)
        adapted = self.adapted_members()
        scores = [one(vectors if n < number else x) for n, one in enumerate(adapted)]
        for one in adapted:
            one._last = None  # only this learner reads labels from a loss
        logs = [score.to(vectors.dtype).log_softmax(-1) for score in scores]
        return PoolInputs(logs, members.sum(-2))

    def _keep(self, who: str, vectors: Tensor, x: Tensor, members: Tensor) -> None:
        """Add examples, after all members have taken them without an error."""
        held = self._adaptation()
        if held:
            self._check_axes(who, vectors, held)
        if self.input_learners and x.is_floating_point():
            raise ArgumentTypeError(
                f"{who}: the inputs of input_learners must be token ids, got {x.dtype}; use only "
                "vector_learners for series, and several encoders as models.EncoderEnsemble"
            )
        inputs = x if self.input_learners else members[..., :0]
        new = {"vectors": vectors, "inputs": inputs, "members": members}
        if held:
            new = {name: _joined(held[name], part) for name, part in new.items()}
        new = {name: usable(part) for name, part in new.items()}
        state: dict[str, Any] = {f"_{name}": part for name, part in new.items()}
        state |= {"_adapted": self._written(new), "_without_graph": not torch.is_grad_enabled()}
        make_changes(attribute_changes(self, **state, _last=None, _last_inputs=None))

    def _written(self, held: dict[str, Tensor]) -> tuple[SupportLearner, ...]:
        """Return members that have taken a support set."""
        members = held["members"].detach()
        y, rows = members.argmax(-1), members.sum(-1) > 0
        found: list[SupportLearner] = []
        for one in (*self.vector_learners, *self.input_learners):
            learner = one.clone(tasks=self.tasks)
            learner.ways = self.ways
            of_vectors = len(found) < len(self.vector_learners)
            learner.write(held["vectors" if of_vectors else "inputs"], y, mask=rows)
            found.append(learner)
        return tuple(found)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_adapted": (), "_last_inputs": None}

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        super()._restore(who, saved)
        if saved:
            self._inputs = saved["inputs"].to(self._vectors.device)  # type: ignore[union-attr]
            # The members take the support set when they are called, with their loaded parameters.
            self._adapted, self._last_inputs = (), None

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError  # _keep takes its place, which also has the inputs

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError  # forward computes them

    @staticmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        axes = saved["vectors"].dim() - 1
        return len({value.shape[:axes] for value in saved.values()}) == 1

    @staticmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        return saved["members"].shape[-1]

    @staticmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        members = saved["members"]
        return {**saved, "members": F.pad(members, (0, ways - members.shape[-1]))}


def _joined(one: Tensor, other: Tensor) -> Tensor:
    """Join rows `(…, B, S)`, the shorter ones padded with 0."""
    steps = max(one.shape[-1], other.shape[-1])
    return torch.cat([F.pad(part, (0, steps - part.shape[-1])) for part in (one, other)], -2)
