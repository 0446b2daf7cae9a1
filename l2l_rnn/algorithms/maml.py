"""Model-agnostic meta-learning, one task at a time or many at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import learn2learn as l2l
import torch
from learn2learn.algorithms.maml import maml_update
from learn2learn.utils import clone_module
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from l2l_rnn.algorithms.inner_loop.regularizers import LearnedPull
from l2l_rnn.algorithms.inner_loop.steps import (
    adapted_names,
    added,
    check_finite,
    check_loss,
    clipped,
    gradients_of,
    unchanged,
)
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError


class MAML(l2l.algorithms.MAML):
    """Learn an initialisation `theta` from which a few gradient steps solve a task.

    `min over theta of sum_i L_i(theta - alpha grad L_i(theta))`: `alpha` is `lr`, a `clone()` holds
    the parameters of one task, `adapt(loss)` takes the inner step, and `backward()` of the adapted
    clone's loss reaches `theta`, through the step unless `first_order`.

    It is a `learn2learn.algorithms.MAML` and gives the same gradients, with these differences.
    `clone(tasks=N)` makes one learner for N tasks: its inputs and losses have the leading axis `N`,
    and each task has parameters of its own. `clone()` keeps the class. `adapt` says what is wrong
    and leaves the learner as it was where learn2learn prints, or carries on with NaN.

    Args:
        model: the module to meta-learn. With `clone(tasks=N)`, a model of other layers than this
            package's runs through `torch.func.vmap`.
        lr: `alpha`, the step size of the inner loop: a number, or a `GradientTransform` that is
            meta-learned with `theta`: `Rates` learns step sizes, `MetaCurvature` matrices.
        first_order: whether to leave out the second derivative.
        allow_unused: whether a parameter may play no part in the loss; it then stays as it is. None
            means as `allow_nograd`.
        allow_nograd: whether parameters may have `requires_grad=False`; they stay as they are.
        adapts: names of the parameters that the inner loop adapts, or of modules that hold them;
            the others serve all tasks as they are. None for all but those of modules that leave
            theirs to the outer loop (`inner_loop = False` in their class), as `nn.LearnedDropout`.
        max_grad_norm: largest norm of an inner gradient, each task's over all parameters; longer
            ones are scaled down to it. None for no bound.
        momentum: `mu` of the inner loop's velocity `v <- mu v + grad`, which starts at 0 and takes
            the gradient's place.
        pull: a learned regulariser, which adds to each inner gradient a pull back to where the
            first clone started; None for none.

    Shapes:
        forward: as the model; after `clone(tasks=N)` every tensor is `(N, …)`, in and out.
        adapt: a scalar loss, or `(N,)`, one for each task. A scalar counts as the sum over tasks.

    Raises:
        ArgumentTypeError: the model is not a module.
        ArgumentError: `lr` is not a finite number, `tasks` not a positive integer, `adapts` names
            nothing in the model, `max_grad_norm` is not positive or `momentum` not in [0, 1).
        AdaptationError: the loss or a gradient is NaN or infinite, the loss has no graph, or does
            not depend on a parameter; see `adapt`.

    Example:
        >>> maml = MAML(nn.Linear(4, 2), lr=0.1)
        >>> learner = maml.clone(tasks=3)
        >>> x = torch.randn(3, 5, 4)
        >>> learner.adapt(learner(x).square().mean((1, 2)))
        >>> learner(x).square().mean((1, 2)).sum().backward()
        >>> maml.module.weight.grad.shape
        torch.Size([2, 4])

    Source: C. Finn, P. Abbeel and S. Levine, 2017, Model-Agnostic Meta-Learning for Fast Adaptation
    of Deep Networks, eq. 1; the interface of learn2learn's `MAML`.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor | GradientTransform,
        first_order: bool = False,
        allow_unused: bool | None = None,
        allow_nograd: bool = False,
        *,
        adapts: str | Iterable[str] | None = None,
        max_grad_norm: float | None = None,
        momentum: float = 0.0,
        pull: LearnedPull | None = None,
    ) -> None:
        self._check_model(model)
        number = isinstance(lr, Real) and math.isfinite(lr)
        if not number and not isinstance(lr, (Tensor, GradientTransform)):
            raise ArgumentError(
                f"{type(self).__name__}: lr must be a finite number or a GradientTransform, such "
                f"as PerTensorRates or MetaCurvature, got {lr!r}"
            )
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ArgumentError(
                f"{type(self).__name__}: max_grad_norm must be positive, got {max_grad_norm!r}"
            )
        if not 0 <= momentum < 1:
            raise ArgumentError(
                f"{type(self).__name__}: momentum must lie in [0, 1), got {momentum!r}"
            )
        super().__init__(model, lr, first_order, allow_unused, allow_nograd)
        self.module: nn.Module
        names = adapted_names(type(self).__name__, model, adapts)
        every = adapts is None and len(names) == len(list(model.parameters()))
        self.adapted = None if every else names
        self.max_grad_norm, self.momentum, self.pull = max_grad_norm, momentum, pull
        self.tasks: int | None = None
        self.steps_taken = 0
        self._velocity: dict[str, Tensor] = {}
        self._pending: dict[str, Tensor] = {}  # gradients to add to the next step's
        self._start: dict[str, Tensor] = {}  # a clone's parameters before any step

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # A learner of a recurrent layer has its flatten_parameters, by which learn2learn chooses
        # whom to apply the identity to; torch would warn of the gradients of non-leaf parameters.
        with torch.no_grad():
            if all(fn(tensor) is tensor for tensor in (*self.parameters(), *self.buffers())):
                return self
        return super()._apply(fn, recurse)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self.module, *args, **kwargs)

    def _call(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Call a part of the adapted module, with the task axis if this learner has it."""
        if self.tasks is None or knows_tasks(module):
            return module(*args, **kwargs)

        def one_task(parameters: dict[str, Tensor], args: Any, kwargs: Any) -> Any:
            return functional_call(module, parameters, args, kwargs)

        axes = tree_map(lambda given: 0 if isinstance(given, Tensor) else None, (args, kwargs))
        mapped = vmap(one_task, in_dims=(0, *axes), randomness="different")
        return mapped(dict(module.named_parameters()), args, kwargs)

    def clone(
        self,
        first_order: bool | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool | None = None,
        *,
        tasks: int | None = None,
    ) -> MAML:
        """Return a learner whose parameters are copies that backpropagate to this one's.

        A clone of a clone goes on where that one is: its start, velocity, number of steps and what
        it accumulated too.

        Args:
            first_order, allow_unused, allow_nograd: override this learner's; None keeps them.
            tasks: `N`, how many tasks the clone learns at once; None for one, without a task axis.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or this learner has tasks already.
        """
        if tasks is not None:
            if isinstance(tasks, bool) or not isinstance(tasks, int) or tasks < 1:
                raise ArgumentError(
                    f"{type(self).__name__}.clone: tasks must be a positive integer, got {tasks!r}"
                )
            if self.tasks is not None:
                raise ArgumentError(
                    f"{type(self).__name__}.clone: this learner holds {self.tasks} tasks already; "
                    "call clone(tasks=…) on the learner that holds the initialisation"
                )
        learner: MAML = clone_module(self)  # all of it: a subclass may have parameters of its own
        for name, flag in {
            "first_order": first_order,
            "allow_unused": allow_unused,
            "allow_nograd": allow_nograd,
        }.items():
            if flag is not None:
                setattr(learner, name, flag)
        if tasks is not None:
            # Where the model knows the task axis, layers that do not adapt do without it.
            some = self.adapted if knows_tasks(learner.module) else None
            expand_parameters(learner.module, tasks, some)
            learner.tasks = tasks
            for kept in ("_velocity", "_pending"):
                each = {n: g.expand(tasks, *g.shape) for n, g in getattr(self, kept).items()}
                setattr(learner, kept, each)
        learner._start = self._start or dict(self.module.named_parameters())
        return learner

    def adapt(
        self,
        loss: Tensor,
        first_order: bool | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool | None = None,
    ) -> None:
        """Take the step `theta <- theta - alpha grad L(theta)`, each task its own.

        `L` is the loss and those that were given to `accumulate` since the last step.

        Args:
            loss: a scalar or, for N tasks, `(N,)`. Never averaged over tasks, so that a task's step
                does not depend on how many there are.
            first_order, allow_unused, allow_nograd: override this learner's; None keeps them.

        Raises:
            AdaptationError: gradients are off, the loss or a gradient is not finite, the loss has
                no graph, or a parameter is frozen or unused without leave. The learner is then
                unchanged.
            ShapeError: the loss is neither a scalar nor `(N,)`.
        """
        who = f"{type(self).__name__}.adapt"
        gradients = self._gradients(who, loss, first_order, allow_unused, allow_nograd)
        if self.pull is not None:
            self._check_is_clone()
            gradients = self.pull(gradients, dict(self.module.named_parameters()), self._start)
        check_finite(who, gradients, self.tasks)
        if self.max_grad_norm is not None:
            gradients = clipped(gradients, self.max_grad_norm, self.tasks)
        if self.momentum:
            gradients = {
                name: g + self.momentum * self._velocity[name] if name in self._velocity else g
                for name, g in gradients.items()
            }
        lr, steps = self.lr, gradients
        if isinstance(self.lr, GradientTransform):
            lr, steps = 1.0, self.lr(self.steps_taken, gradients)
        names = [name for name, _ in self.module.named_parameters()]
        self.module = maml_update(self.module, lr, [steps.get(name) for name in names])
        if self.momentum:
            self._velocity = gradients
        self._pending = {}
        self.steps_taken += 1

    def accumulate(
        self,
        loss: Tensor,
        first_order: bool | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool | None = None,
    ) -> None:
        """Add the gradient of one slice's loss to what the next `adapt` steps along.

        A support set too large for the memory goes in slices: `accumulate` takes the losses of all
        but the last, `adapt` the last one's, and the step is that of their sum. Clipping, momentum,
        pull and step sizes see the sum alone. The parameters stay as they are until then. Of first
        order each slice's graph is freed at once; the second derivative needs all of them until
        `backward()`.

        Args:
            loss: as in `adapt`: the slice's part of the whole loss, so of a mean over B sequences
                the sum over the slice's, divided by B.
            first_order, allow_unused, allow_nograd: override this learner's; None keeps them.

        Raises:
            As `adapt`. What was added before is kept.
        """
        who = f"{type(self).__name__}.accumulate"
        gradients = self._gradients(who, loss, first_order, allow_unused, allow_nograd)
        check_finite(who, gradients, self.tasks)
        self._pending = gradients

    def _gradients(
        self,
        who: str,
        loss: Tensor,
        first_order: bool | None,
        allow_unused: bool | None,
        allow_nograd: bool | None,
    ) -> dict[str, Tensor]:
        """The gradients of a loss and what is pending, by name, of every parameter that moves."""
        check_loss(who, loss, self.tasks)
        first_order = self.first_order if first_order is None else first_order
        gradients = gradients_of(
            who,
            loss,
            {
                name: p
                for name, p in self.module.named_parameters()
                if self.adapted is None or name in self.adapted
            },
            second_order=not first_order,
            allow_unused=self.allow_unused if allow_unused is None else allow_unused,
            allow_nograd=self.allow_nograd if allow_nograd is None else allow_nograd,
        )
        return added(self._pending, gradients)

    def _check_is_clone(self) -> None:
        if not self._start:
            what = "it needs a start to measure from; call clone() first"
            raise unchanged(f"{type(self).__name__}.adapt", what)

    @classmethod
    def _check_model(cls, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentTypeError(
                f"{cls.__name__}: model must be a torch.nn.Module, got {type(model).__name__}"
            )
