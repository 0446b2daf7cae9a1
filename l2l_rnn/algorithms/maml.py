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

from l2l_rnn.algorithms.inner_loop import adapted_names
from l2l_rnn.algorithms.regularisers import LearnedPull
from l2l_rnn.algorithms.transforms import GradientTransform
from l2l_rnn.axes import expand_parameters, knows_tasks, readable_values
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError


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

        A clone of a clone goes on where that one is: its start, velocity and number of steps too.

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
        learner._velocity = dict(self._velocity)
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
        first_order = self.first_order if first_order is None else first_order
        allow_unused = self.allow_unused if allow_unused is None else allow_unused
        allow_nograd = self.allow_nograd if allow_nograd is None else allow_nograd
        self._check_loss(loss)

        gradients = self._gradients(loss, not first_order, allow_unused, allow_nograd)
        if self.pull is not None:
            self._check_is_clone()
            gradients = self.pull(gradients, dict(self.module.named_parameters()), self._start)
        self._check_gradients(gradients)
        if gradients and self.max_grad_norm is not None:
            gradients = self._clipped(gradients, self.max_grad_norm)
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
        self.steps_taken += 1

    def _gradients(
        self, loss: Tensor, second_order: bool, allow_unused: bool | None, allow_nograd: bool
    ) -> dict[str, Tensor]:
        """The gradients of the loss by name, of every parameter that moves."""
        named = {
            name: p
            for name, p in self.module.named_parameters()
            if self.adapted is None or name in self.adapted
        }
        frozen = [name for name, p in named.items() if not p.requires_grad]
        if frozen and not allow_nograd:
            raise self._error(
                f"parameter {_listed(frozen)} has requires_grad=False; pass allow_nograd=True to "
                "leave it as it is"
            )
        moving = {name: p for name, p in named.items() if p.requires_grad}
        found = torch.autograd.grad(
            loss.sum(),
            list(moving.values()),
            create_graph=second_order,
            retain_graph=second_order,
            allow_unused=True,
        )
        unused = [name for name, g in zip(moving, found, strict=True) if g is None]
        if unused and not allow_unused:
            raise self._error(
                f"parameter {_listed(unused)} plays no part in the loss; pass allow_unused=True to "
                "leave it as it is, and compute the loss from this learner's own outputs"
            )
        return {name: g for name, g in zip(moving, found, strict=True) if g is not None}

    def _check_gradients(self, gradients: dict[str, Tensor]) -> None:
        """Tell a task whose gradient is not finite."""
        with torch.no_grad():
            sums = [self._per_task(g).sum(-1) for g in gradients.values()]
            values = readable_values(torch.stack(sums).sum(0)) if sums else None
        if values is not None and not values.isfinite().all():
            which = (~values.isfinite()).nonzero().flatten().tolist()
            of = f" of task {_listed(which)}" if self.tasks is not None else ""
            raise self._error(
                f"the gradient{of} is NaN or infinite though its loss is finite; lower lr, or set "
                "max_grad_norm"
            )

    def _clipped(self, gradients: dict[str, Tensor], bound: float) -> dict[str, Tensor]:
        """Scale each task's gradient down to the bound, if it is longer."""
        squares = [self._per_task(g).square().sum(-1) for g in gradients.values()]
        length = torch.stack(squares).sum(0)
        scale = (bound / length.clamp_min(torch.finfo(length.dtype).tiny).sqrt()).clamp_max(1)
        return {
            name: g * (scale if self.tasks is None else scale.reshape(-1, *[1] * (g.dim() - 1)))
            for name, g in gradients.items()
        }

    def _per_task(self, gradient: Tensor) -> Tensor:
        """`(N, …)` -> `(N, values)`; without a task axis `(values,)`."""
        return gradient.flatten() if self.tasks is None else gradient.reshape(len(gradient), -1)

    def _check_is_clone(self) -> None:
        if not self._start:
            raise self._error("it needs a start to measure from; call clone() first")

    @classmethod
    def _check_model(cls, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentTypeError(
                f"{cls.__name__}: model must be a torch.nn.Module, got {type(model).__name__}"
            )

    def _check_loss(self, loss: Tensor) -> None:
        if not isinstance(loss, Tensor):
            raise ArgumentTypeError(
                f"{type(self).__name__}.adapt: loss must be a tensor, got {type(loss).__name__}"
            )
        if loss.dim() and loss.numel() != 1 and loss.shape != (self.tasks,):
            expected = "a scalar" if self.tasks is None else f"a scalar or ({self.tasks},)"
            raise ShapeError(
                f"{type(self).__name__}.adapt: loss must be {expected}, got shape "
                f"{tuple(loss.shape)}; average it within each task"
            )
        if not torch.is_grad_enabled():
            raise self._error(
                "gradients are off here; call the learner and adapt outside of torch.no_grad() and "
                "torch.inference_mode()"
            )
        if not loss.requires_grad:
            raise self._error(
                "the loss has no graph; compute it from the learner's outputs with gradients on"
            )
        values = readable_values(loss)
        if values is not None and not values.isfinite().all():
            raise self._error(
                f"the loss is {values.tolist()}; look for NaN in the inputs, or lower lr"
            )

    def _error(self, what: str) -> AdaptationError:
        return AdaptationError(f"{type(self).__name__}.adapt: {what}; the learner is unchanged")


def _listed(names: list[Any]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if names[3:] else "")
