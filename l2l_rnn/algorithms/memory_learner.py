"""Learning a task by writing to a memory, behind `clone()` and `adapt()`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import torch
from learn2learn.algorithms.base_learner import BaseLearner
from learn2learn.utils import clone_module
from torch import Tensor

from l2l_rnn.algorithms.encodings import LastEncoding
from l2l_rnn.algorithms.inner_loop.steps import (
    adapted_names,
    check_finite_loss,
    check_loss,
    not_finite,
    stepped,
    unchanged,
)
from l2l_rnn.algorithms.labels import check_tensors, members_of
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.models import MemoryModel
from l2l_rnn.models.memory_model import Look


class MemoryLearner(BaseLearner):
    """Adapt to a task by writing to a memory, `M <- write(M, k(x), -dL/dy)`.

    A `clone()` starts with a blank memory and shares the model's parameters, the slow weights:
    `backward()` reaches them. `forward(x)` reads the memory with the vectors of x as keys and never
    changes it. `adapt(loss)` writes: keys are those of the last call's inputs, and what is written
    is made of the gradient of the loss with respect to that call's outputs, so any loss of them
    will do. With cross-entropy it is label minus prediction; with a squared error, how far off an
    output is. Several `adapt` calls add up, each writing what is still wrong; where nothing has
    changed that the vectors of x are made of, a clone encodes it once for all of them. `write(x,
    y)` does the same for given labels.

    With `lr` it is a hybrid: `adapt` takes a step of MAML on named parameters as well; its gradient
    goes through what they have written too.

    Args:
        model: a `models.MemoryModel`: encoder, memory, and the outputs made of what is read.
        reduction: whether a task's loss is the `"mean"` over its sequences, torch's default, or
            their `"sum"`; so that what is written does not depend on how many there are.
        first_order: whether to leave out how the gradients that are written, or stepped along,
            depend on the parameters.
        lr: step size of the hybrid; None takes no gradient steps.
        adapts: names of the parameters that the hybrid steps on, or of modules that hold them; None
            for all.

    Attributes:
        state: what the memory holds, an immutable NamedTuple of tensors. Set it, from such or from
            a mapping with the same names, to go on with a memory that was kept. Where the memory
            has slots, it counts what was overwritten for want of them.
        tasks: `N`, or None without a task axis.

    Shapes:
        forward: x `(B, …)` -> `(B, V)`; after `clone(tasks=N)`, x `(N, B, …)` -> `(N, B, V)`.
        adapt: a scalar loss, or `(N,)`, one for each task; a scalar counts as the sum over tasks.

    Raises:
        ArgumentTypeError: the model is no `MemoryModel`, or labels or a state are of another type.
        ArgumentError: `reduction`, `lr`, `adapts` or `tasks` is not as above, or a label is not
            among the outputs.
        ShapeError: x, y or a state does not fit.
        AdaptationError: `adapt` has no outputs to learn from, or the loss is not of the last ones,
            has no graph or is not finite. The memory is then as it was.

    Example:
        >>> from l2l_rnn.functional import cross_entropy
        >>> from l2l_rnn.memory import DeltaFastWeights
        >>> from l2l_rnn.models import SequenceEncoder
        >>> encoder = SequenceEncoder(input_size=3, hidden_size=8)
        >>> memory = DeltaFastWeights(key_size=8, value_size=2, features="unit")
        >>> learner = MemoryLearner(MemoryModel(encoder, memory)).clone()
        >>> x, y = torch.randn(4, 7, 3), torch.tensor([0, 1, 0, 1])
        >>> learner.adapt(cross_entropy(learner(x), y))
        >>> learner(x).shape, learner.state.weights.shape
        (torch.Size([4, 2]), torch.Size([2, 8]))

    Source: T. Munkhdalai and H. Yu, 2017, Meta Networks, and T. Munkhdalai et al., 2018, Rapid
    Adaptation with Conditionally Shifted Neurons, where the loss gradient at a network's outputs is
    what a memory is written for a key. What is written and read here is in the outputs' space.
    """

    module: MemoryModel

    def __init__(
        self,
        model: MemoryModel,
        *,
        reduction: str = "mean",
        first_order: bool = False,
        lr: float | None = None,
        adapts: str | Iterable[str] | None = None,
    ) -> None:
        super().__init__(model)
        if not isinstance(model, MemoryModel):
            raise ArgumentTypeError(
                f"MemoryLearner: model must be a models.MemoryModel, got {type(model).__name__}"
            )
        if reduction not in ("mean", "sum"):
            raise ArgumentError(
                f"MemoryLearner: reduction must be 'mean' or 'sum', got {reduction!r}"
            )
        if lr is not None and not (isinstance(lr, Real) and math.isfinite(lr)):
            raise ArgumentError(f"MemoryLearner: lr must be a finite number or None, got {lr!r}")
        if lr is None and adapts is not None:
            raise ArgumentError("MemoryLearner: adapts= names what gradient steps move; give lr=")
        self.reduction, self.first_order, self.lr = reduction, first_order, lr
        self.adapted = adapted_names("MemoryLearner", model, adapts) if lr is not None else None
        self.tasks: int | None = None
        self._encoding = LastEncoding(keeps=False)  # clones keep one: their parameters stay
        self.reset()

    def reset(self) -> None:
        """Blank the memory. What gradient steps moved stays."""
        self._state: Any = None  # None: blank
        self._last: Look | None = None
        self._encoding.forget()

    def detach(self) -> None:
        """Keep what the memory holds, and forget how it was computed."""
        if self._state is not None:
            self._state = type(self._state)(*(part.detach() for part in self._state))
        self._last = None
        self._encoding.forget()

    @property
    def state(self) -> Any:
        """What the memory holds."""
        return self._blank() if self._state is None else self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._state, self._last = self.module.store.take_state(state, *self._batch()), None
        self._encoding.forget()

    def clone(self, *, tasks: int | None = None) -> MemoryLearner:
        """Return a learner with a blank memory whose parameters backpropagate to this one's.

        Args:
            tasks: `N`, how many tasks the clone learns at once, each with a memory of its own; None
                for one, without a task axis.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or this learner has tasks already.
            ArgumentTypeError: a hybrid's model has layers that know no task axis.
        """
        if tasks is not None:
            if isinstance(tasks, bool) or not isinstance(tasks, int) or tasks < 1:
                raise ArgumentError(
                    f"MemoryLearner.clone: tasks must be a positive integer, got {tasks!r}"
                )
            if self.tasks is not None:
                raise ArgumentError(
                    f"MemoryLearner.clone: this learner holds {self.tasks} tasks already; call "
                    "clone(tasks=…) on the learner that holds the initialisation"
                )
            if self.adapted is not None and not knows_tasks(self.module):
                raise ArgumentTypeError(
                    "MemoryLearner.clone: the model has layers that know no task axis, whose "
                    "parameters cannot differ by task; take them from l2l_rnn.nn, or clone() for "
                    "one task at a time"
                )
        learner = self.__class__.__new__(self.__class__)
        learner.__dict__ = {**self.__dict__, "_modules": {**self._modules}}
        learner._modules["module"] = clone_module(self.module)
        learner._encoding = LastEncoding()
        learner.reset()
        if tasks is not None:
            learner.tasks = tasks
            if self.adapted is not None:
                expand_parameters(learner.module, tasks, self.adapted)
        return learner

    def __getstate__(self) -> dict[str, Any]:
        kept = self._state
        if kept is not None:
            kept = type(kept)(*(part.detach() for part in kept))
        fresh = {"_state": kept, "_last": None, "_encoding": LastEncoding(keeps=False)}
        return {**super().__getstate__(), **fresh}

    def forward(self, x: Tensor) -> Tensor:
        self._last = None
        look = self.module.look(self._vectors("MemoryLearner", x), self.state)
        # The loss must be of this very tensor, not of one that the caller has changed since.
        look = look._replace(outputs=look.outputs.clone())
        self._last = look if torch.is_grad_enabled() else None
        return look.outputs

    def write(self, x: Tensor, y: Tensor, times: int = 1) -> None:
        """Write labelled sequences, as `adapt` does with cross-entropy or the mean squared error.

        Args:
            x: sequences; none at all change nothing.
            y: their classes, integers in `0 … V - 1`, or in regression the right outputs.
            times: how often, each time what is still wrong; the sequences are encoded once.

        Shapes:
            x `(…, B, …)`, y `(…, B)` or, in regression, `(…, B, V)`.
        """
        who = "MemoryLearner.write"
        check_tensors(who, y=y)
        if self._is_empty(x):
            return
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ArgumentError(f"{who}: times must be a positive integer, got {times!r}")
        vectors, state = self._vectors(who, x), self.state
        members = None
        if not self.module.regression:
            members = members_of(who, y, vectors, self.module.store.value_size)
        keys = self.module.keys(vectors)
        for _ in range(times):
            look = self.module.look(vectors, state, keys)
            if members is not None:
                errors = members - look.outputs.softmax(-1)
            elif y.shape == look.outputs.shape:
                errors = (y - look.outputs) * (2 / y.shape[-1])
            else:
                raise ShapeError(
                    f"{who}: y must have shape {tuple(look.outputs.shape)}, as the outputs, got "
                    f"{tuple(y.shape)}"
                )
            state = self.module.bind(state, look, errors.detach() if self.first_order else errors)
        self._check_state(who, state)
        self._state, self._last = state, None

    def adapt(self, loss: Tensor) -> None:
        """Write what the loss says of the last outputs; a hybrid takes its gradient step too.

        Args:
            loss: of the last call's outputs, a scalar or, for N tasks, `(N,)`; if that call had no
                sequences, any at all, which changes nothing.
        """
        who = "MemoryLearner.adapt"
        if self._last is None:
            raise unchanged(
                who,
                "no outputs to learn from; call the learner on the support set first, with "
                "gradients on",
            )
        if self._last.outputs.numel() == 0:  # of no sequences: there is nothing to write
            self._last = None
            return
        check_finite_loss(who, loss, self._last.outputs, self.tasks)
        check_loss(who, loss, self.tasks)
        (gradient,) = torch.autograd.grad(
            loss.sum(),
            self._last.outputs,
            create_graph=not self.first_order,
            retain_graph=True,
            allow_unused=True,
        )
        if gradient is None:
            what = "the loss does not depend on the learner's last outputs; compute it from them"
            raise unchanged(who, what)
        errors = -gradient
        if self.reduction == "mean":
            errors = errors * errors.shape[-2]
        state = self.module.bind(self.state, self._last, errors)
        self._check_state(who, state)
        if self.lr is not None:
            self.module = stepped(
                who, self.module, loss, self.adapted or (), self.lr, self.first_order, self.tasks
            )
            self._encoding.forget()
        self._state, self._last = state, None

    def _vectors(self, who: str, x: Tensor) -> Tensor:
        if self._is_empty(x):
            size: Any = self.module.encoder.output_size
            return self.module.log_lr.new_zeros(*self._batch(), 0, size)
        vectors = self._encoding.vectors(self.module.encoder, x)
        if vectors.shape[:-2] != self._batch():
            axes = "(B, …)" if self.tasks is None else f"(N, B, …) with N={self.tasks} tasks first"
            raise ShapeError(
                f"{who}: x must be {axes}, got shape {tuple(x.shape)}; see clone(tasks=…)"
            )
        return vectors

    def _is_empty(self, x: Any) -> bool:
        """Tell whether there are no sequences, which is legal."""
        none = (*self._batch(), 0)
        return isinstance(x, Tensor) and x.shape[: len(none)] == none

    def _batch(self) -> tuple[int, ...]:
        return () if self.tasks is None else (self.tasks,)

    def _blank(self) -> Any:
        return self.module.store.blank(*self._batch())

    def _check_state(self, who: str, state: Any) -> None:
        """Tell a state that is not finite, and of which tasks."""
        of = not_finite([part for part in state if part.is_floating_point()], self.tasks)
        if of is not None:
            raise unchanged(
                who, f"what would be written{of} is NaN or infinite; look at the inputs"
            )
