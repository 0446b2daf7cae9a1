"""Model-agnostic meta-learning, one task at a time or many at once."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import learn2learn as l2l
import torch
from learn2learn.algorithms.maml import maml_update
from learn2learn.utils import clone_module
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from l2l_rnn.algorithms.rates import Rates
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
        lr: `alpha`, the step size of the inner loop: a number, or a `Rates` module, whose step
            sizes are meta-learned with `theta`.
        first_order: whether to leave out the second derivative.
        allow_unused: whether a parameter may play no part in the loss; it then stays as it is. None
            means as `allow_nograd`.
        allow_nograd: whether parameters may have `requires_grad=False`; they stay as they are.

    Shapes:
        forward: as the model; after `clone(tasks=N)` every tensor is `(N, …)`, in and out.
        adapt: a scalar loss, or `(N,)`, one for each task. A scalar counts as the sum over tasks.

    Raises:
        ArgumentTypeError: the model is not a module.
        ArgumentError: `lr` is not a finite number, or `tasks` not a positive integer.
        AdaptationError: the loss is NaN or infinite, has no graph, or does not depend on a
            parameter; see `adapt`.

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
        lr: float | Tensor | Rates,
        first_order: bool = False,
        allow_unused: bool | None = None,
        allow_nograd: bool = False,
    ) -> None:
        self._check_model(model)
        if not isinstance(lr, (Tensor, Rates)) and not (isinstance(lr, Real) and math.isfinite(lr)):
            raise ArgumentError(
                f"{type(self).__name__}: lr must be a finite number or Rates, got {lr!r}"
            )
        super().__init__(model, lr, first_order, allow_unused, allow_nograd)
        self.module: nn.Module
        self.tasks: int | None = None
        self.steps_taken = 0

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
            expand_parameters(learner.module, tasks)
            learner.tasks = tasks
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
            AdaptationError: gradients are off, the loss is not finite or has no graph, or a
                parameter is frozen or unused without leave. The learner is then unchanged.
            ShapeError: the loss is neither a scalar nor `(N,)`.
        """
        first_order = self.first_order if first_order is None else first_order
        allow_unused = self.allow_unused if allow_unused is None else allow_unused
        allow_nograd = self.allow_nograd if allow_nograd is None else allow_nograd
        self._check_loss(loss)

        named = dict(self.module.named_parameters())
        frozen = [name for name, p in named.items() if not p.requires_grad]
        if frozen and not allow_nograd:
            raise self._error(
                f"parameter {_listed(frozen)} has requires_grad=False; pass allow_nograd=True to "
                "leave it as it is"
            )
        moving = [p for p in named.values() if p.requires_grad]
        found = torch.autograd.grad(
            loss.sum(),
            moving,
            create_graph=not first_order,
            retain_graph=not first_order,
            allow_unused=True,
        )
        gradients = dict(zip((n for n, p in named.items() if p.requires_grad), found, strict=True))
        unused = [name for name, gradient in gradients.items() if gradient is None]
        if unused and not allow_unused:
            raise self._error(
                f"parameter {_listed(unused)} plays no part in the loss; pass allow_unused=True to "
                "leave it as it is, and compute the loss from this learner's own outputs"
            )
        lr = self.lr
        if isinstance(lr, Rates):
            gradients, lr = lr(self.steps_taken, gradients), 1.0
        self.module = maml_update(self.module, lr, [gradients.get(name) for name in named])
        self.steps_taken += 1

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


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if names[3:] else "")
