"""Learners that keep what they need of an encoded support set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

import torch
from learn2learn.algorithms.base_learner import BaseLearner
from torch import Tensor, nn

from l2l_rnn.algorithms.encoded import clone_encoder
from l2l_rnn.algorithms.inner_loop.changes import attribute_changes, make_changes
from l2l_rnn.algorithms.inner_loop.checks import check_tasks, non_finite_tasks, unchanged_error
from l2l_rnn.algorithms.inner_loop.task_axis import TaskCalls, check_layers
from l2l_rnn.algorithms.saving import SavedLearner, outside_inference_mode, usable
from l2l_rnn.errors import ArgumentError, ShapeError

Self = TypeVar("Self", bound="SupportHolder")

_UNSOLVED: tuple[list[tuple[Tensor, int]], Any] = ([], None)


class SupportHolder(SavedLearner, BaseLearner):
    """A learner that is a function of its encoded support set. Not for direct use.

    `SupportLearner` adds labels of classes, and `ALPaCA` adds targets that are numbers.

    Args:
        model: the encoder.
    """

    # Names of the tensors kept of a support set, and how messages describe them with their shapes.
    # The attribute of a name begins with an underscore; all are None before the first sequence.
    kept: ClassVar[tuple[str, ...]]
    described: ClassVar[str]

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.tasks: int | None = None
        self._task_calls = TaskCalls(type(self).__name__)
        self.reset()

    def reset(self) -> None:
        """Forget all support sequences."""
        for name in self.kept:
            setattr(self, f"_{name}", None)
        self._last: tuple[Tensor, Tensor] | None = None  # vectors and outputs of the last forward
        self._solution = _UNSOLVED  # the solution without gradients, and what it depends on

    def clone(self: Self, *, tasks: int | None = None) -> Self:
        """Return a learner without a support set; it backpropagates to this learner's parameters.

        Args:
            tasks: `N`, the number of tasks to learn at once. An encoder that takes any leading axes
                does not need it: then the inputs determine the task axis.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or the learner already holds tasks.
            ArgumentTypeError: the encoder has a recurrent layer of torch.
        """
        who = f"{type(self).__name__}.clone"
        if tasks is not None:
            tasks = check_tasks(who, tasks, self.tasks)
            check_layers(who, self.module)
        learner = self.__class__.__new__(self.__class__)
        learner.__dict__ = {**self.__dict__, "_modules": {**self._modules}}
        with outside_inference_mode():
            learner._modules["module"] = clone_encoder(self.module)
            own = self._parameters.items()
            learner.__dict__["_parameters"] = {n: p if p is None else p.clone() for n, p in own}
        learner.reset()
        learner.tasks = self.tasks if tasks is None else tasks
        return learner

    def encoded(self, x: Tensor) -> Tensor:
        """Return the vectors of sequences: x `(…, B, …)` -> `(…, B, E)`."""
        return self._task_calls.call_module(self.module, x, self.tasks)

    def _learn(self, name: str, start: Tensor) -> None:
        """Add a learned tensor, also if the encoder has an attribute of the same name."""
        self._parameters[name] = nn.Parameter(start)

    def _solved_once(self, held: Iterable[Tensor], solve: Callable[[], Any]) -> Any:
        """Return a solution; without gradients, solve only if what it depends on has changed.

        Args:
            held: the tensors of the support set that it depends on, besides the parameters of the
                learner itself.
            solve: computes the solution.
        """
        if torch.is_grad_enabled():
            return solve()
        inputs = [*held, *self.parameters(recurse=False)]
        now = [(t, 0 if t.is_inference() else t._version) for t in inputs]
        before, solution = self._solution
        same = len(now) == len(before) and all(
            t is u and v == w for (t, v), (u, w) in zip(now, before, strict=True)
        )
        if solution is None or not same:
            solution = solve()
            self._solution = now, solution
        return solution

    def _hold(self, new: dict[str, Tensor]) -> None:
        """Keep tensors of the support set, by name."""
        held = {f"_{name}": usable(new[name]) if name in new else None for name in self.kept}
        make_changes(attribute_changes(self, **held, _last=None))

    def _check_finite(self, who: str, what: str, rows: Tensor) -> None:
        """Check that rows `(…, B, E)` are finite, and name the tasks where they are not."""
        where = non_finite_tasks([rows], len(rows) if rows.dim() == 3 else None)
        if where is not None:
            raise unchanged_error(who, f"the {what}{where} are NaN or infinite; check the inputs")

    def _check_axes(self, who: str, vectors: Tensor, held: dict[str, Tensor]) -> None:
        lead = next(iter(held.values())).shape[:-2]
        if lead != vectors.shape[:-2]:
            raise ShapeError(
                f"{who}: x must have the leading axes of the support set, {tuple(lead)}, got "
                f"{tuple(vectors.shape[:-2])}; add the task axis"
            )
        size = held["vectors"].shape[-1] if "vectors" in held else vectors.shape[-1]
        if vectors.is_floating_point() and vectors.shape[-1] != size:
            raise ShapeError(
                f"{who}: x must give vectors of {size} numbers, as the support set did, got "
                f"{vectors.shape[-1]}; pass inputs with as many channels"
            )

    def _adaptation(self) -> dict[str, Tensor]:
        held = {name: getattr(self, f"_{name}") for name in self.kept}
        return {name: value for name, value in held.items() if value is not None}

    def _check_kind(self, who: str, saved: dict[str, Tensor], fits: bool) -> None:
        """Raise an error if saved tensors are not those of such a learner."""
        if not fits:
            raise ArgumentError(
                f"{who}: expected {self.described}, got "
                f"{', '.join(f'{n} {tuple(t.shape)}' for n, t in saved.items())}; load the state "
                f"of a {type(self).__name__}"
            )

    def _take(self, saved: dict[str, Tensor]) -> None:
        """Keep saved tensors, which were checked before."""
        first = next(iter(saved.values()))
        like = next((p for p in self.module.parameters() if p.is_floating_point()), first)
        for name in self.kept:
            value = saved.get(name)
            setattr(self, f"_{name}", None if value is None else value.to(like.device, like.dtype))
        self.tasks = len(first) if first.dim() == 3 else None  # those of the saved learner
        self._last = None

    def __getstate__(self) -> dict[str, Any]:
        # The last outputs and the solution are not state.
        return {**super().__getstate__(), "_last": None, "_solution": _UNSOLVED}
