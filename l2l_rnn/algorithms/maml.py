"""Model-agnostic meta-learning, for one task or for many at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import learn2learn as l2l
import torch
from learn2learn.utils import clone_module
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.changes import attribute_changes, make_changes, step_changes
from l2l_rnn.algorithms.inner_loop.checks import (
    check_gradients,
    check_loss,
    check_lr,
    check_tasks,
    unchanged_error,
)
from l2l_rnn.algorithms.inner_loop.gradients import add_gradients, clip_gradients, inner_gradients
from l2l_rnn.algorithms.inner_loop.hooks import rebind_hooks
from l2l_rnn.algorithms.inner_loop.regularizers import ProximalRegularizer
from l2l_rnn.algorithms.inner_loop.selection import adapted_names
from l2l_rnn.algorithms.inner_loop.task_axis import TaskCalls, check_layers, names_to_expand
from l2l_rnn.algorithms.inner_loop.task_view import view_for_tasks
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.saving import SavedInnerLoop, outside_inference_mode
from l2l_rnn.axes import expand_parameters
from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError


@configurable
class MAML(SavedInnerLoop, l2l.algorithms.MAML):
    """Learn an initialization `theta` from which a few gradient steps solve a task.

    `min over theta of sum_i L_i(theta - alpha grad L_i(theta))`

    `clone()` returns a learner for one task, `adapt(loss)` takes an inner step with learning rate
    `alpha`, and `backward()` of the adapted learner's loss reaches `theta`. With
    `first_order=True`, the gradient ignores how the inner step depends on `theta`.

    The class is a `learn2learn.algorithms.MAML` with the same gradients. It differs in three ways:

    - `clone(tasks=N)` returns one learner for N tasks. Each task has its own parameters; inputs and
      losses have a leading axis `N`.
    - `clone()` keeps the class of the learner.
    - Where learn2learn prints a message or continues with NaN, `adapt` raises an error and leaves
      the learner unchanged.

    Args:
        model: the model to meta-learn, any module. For `clone(tasks=N)`, convert its recurrent
            layers with `nn.convert`.
        lr: `alpha`, the learning rate of the inner loop, a number or a meta-learned
            `GradientTransform` such as `PerTensorLR` or `MetaCurvature`.
        first_order: whether to ignore second derivatives.
        allow_unused: whether the loss may be independent of a parameter, which then stays
            unchanged. None means the value of `allow_nograd`.
        allow_nograd: whether parameters may have `requires_grad=False`. They stay unchanged.
        adapts: names of the parameters to adapt in the inner loop, or of modules that hold them.
            All tasks share the other parameters. None adapts all parameters except in modules with
            a class attribute `inner_loop = False`, such as `nn.LearnedDropout`.
        max_grad_norm: largest norm of an inner gradient, over all parameters of a task. Longer
            gradients are scaled down to it. None does not clip.
        momentum: `mu` in `v <- mu v + grad`, where `v` is initially 0 and replaces the gradient in
            the step.
        regularizer: a learned penalty on the distance from the initialization, or None.

    Attributes:
        module: the model, with the parameters of this learner.
        adapted: names of the parameters that the inner loop adapts; None means all of them.
        tasks: `N`, or None without a task axis.
        steps_taken: number of inner steps since the initialization.

    Shapes:
        forward: as the model; after `clone(tasks=N)` each input and output tensor is `(N, …)`.
        adapt: a scalar loss, or `(N,)` with one loss per task. A scalar is the sum over tasks.

    Raises:
        ArgumentTypeError: the model is not a `torch.nn.Module`.
        ArgumentError: `lr`, `max_grad_norm` or `momentum` is out of range, or `adapts` selects no
            parameter.

    Example:
        >>> maml = MAML(nn.Linear(4, 2), lr=0.1)
        >>> learner = maml.clone(tasks=3)
        >>> x = torch.randn(3, 5, 4)
        >>> learner.adapt(learner(x).square().mean((1, 2)))
        >>> learner(x).square().mean((1, 2)).sum().backward()
        >>> maml.module.weight.grad.shape
        torch.Size([2, 4])

    Source: C. Finn, P. Abbeel and S. Levine, 2017, Model-Agnostic Meta-Learning for Fast Adaptation
    of Deep Networks, eq. 1; the interface is from learn2learn's `MAML`.
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
        regularizer: ProximalRegularizer | None = None,
    ) -> None:
        self._check_model(model)
        who = type(self).__name__
        if not isinstance(lr, GradientTransform):
            lr = check_lr(who, lr)
        if max_grad_norm is not None:
            max_grad_norm = check_number(who, "max_grad_norm", max_grad_norm, above=0)
        momentum = check_number(who, "momentum", momentum, least=0, below=1)
        super().__init__(model, lr, first_order, allow_unused, allow_nograd)
        self.module: nn.Module
        names = adapted_names(who, model, adapts)
        every = adapts is None and len(names) == len(list(model.parameters()))
        self.adapted = None if every else names
        self.max_grad_norm, self.momentum, self.regularizer = max_grad_norm, momentum, regularizer
        self.tasks: int | None = None
        self._task_calls = TaskCalls(who)
        self.steps_taken = 0
        self._velocity: dict[str, Tensor] = {}
        self._pending: dict[str, Tensor] = {}  # accumulated gradients, added to the next step's
        self._start: dict[str, Tensor] = {}  # parameters of a clone before its first step

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # learn2learn applies the identity to modules that have flatten_parameters, and a learner
        # has it if its model does. torch would then warn about .grad of non-leaf parameters.
        with torch.no_grad():
            if all(fn(tensor) is tensor for tensor in (*self.parameters(), *self.buffers())):
                return self
        return super()._apply(fn, recurse)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(self.module, *args, **kwargs)

    def _call(self, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        """Call the model or a part of it, with the task axis if the learner has one."""
        if self.tasks is None:
            return module(*args, **kwargs)
        return self._for_each_task(type(module).__call__, module, *args, **kwargs)

    def _for_each_task(self, function: Any, module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
        return self._task_calls.call(function, module, args, kwargs, self.tasks or 1)

    def __getattr__(self, name: str) -> Any:
        own = [self.__dict__.get(f"_{kind}", {}) for kind in ("parameters", "buffers", "modules")]
        if self.__dict__.get("tasks") is None or any(name in values for values in own):
            return super().__getattr__(name)  # learn2learn's: of the learner or its model
        return view_for_tasks(self._for_each_task, self.module, name)

    @outside_inference_mode()
    def clone(
        self,
        first_order: bool | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool | None = None,
        *,
        tasks: int | None = None,
    ) -> MAML:
        """Return a learner with copies of the parameters that backpropagate to the originals.

        A clone of an adapted clone continues from there: it keeps the initialization, the momentum,
        the number of steps and the accumulated gradients.

        Args:
            first_order, allow_unused, allow_nograd: override the learner's own; None keeps them.
            tasks: `N`, the number of tasks to learn at once; None for one task, without a task
                axis.

        Raises:
            ArgumentError: `tasks` is not a positive integer, or the learner already holds tasks.
        """
        if tasks is not None:
            tasks = check_tasks(f"{type(self).__name__}.clone", tasks, self.tasks)
            check_layers(f"{type(self).__name__}.clone", self.module)
        learner: MAML = clone_module(self)  # the whole learner: a subclass may own parameters
        rebind_hooks(self, learner)
        for name, flag in {
            "first_order": first_order,
            "allow_unused": allow_unused,
            "allow_nograd": allow_nograd,
        }.items():
            if flag is not None:
                setattr(learner, name, flag)
        if tasks is not None:
            expand_parameters(learner.module, tasks, names_to_expand(self.module, self.adapted))
            learner.tasks = tasks
            learner._velocity = _repeated(self._velocity, tasks)
            learner._pending = _repeated(self._pending, tasks)
        learner._start = self._start or dict(self.module.named_parameters())
        return learner

    def adapt(
        self,
        loss: Tensor,
        first_order: bool | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool | None = None,
    ) -> None:
        """Take one inner step, `theta <- theta - alpha grad L(theta)`, in each task separately.

        `L` is the loss plus the losses passed to `accumulate` since the last step.

        Args:
            loss: a scalar, or `(N,)` for N tasks. It is summed over tasks, not averaged, so that
                the step of a task does not depend on the number of tasks.
            first_order, allow_unused, allow_nograd: override the learner's own; None keeps them.

        Raises:
            ArgumentTypeError: the loss is not a tensor.
            ShapeError: the loss is neither a scalar nor `(N,)`.
            AdaptationError: gradients are disabled, the loss or a gradient is not finite, the loss
                has no graph, or a parameter is frozen or unused without permission. The learner is
                then unchanged.
        """
        who = f"{type(self).__name__}.adapt"
        gradients = self._gradients(who, loss, first_order, allow_unused, allow_nograd)
        if self.regularizer is not None:
            self._check_is_clone("adapt")
            now = dict(self.module.named_parameters())
            gradients = self.regularizer(gradients, now, self._start)
        check_gradients(who, gradients, self.tasks)
        if self.max_grad_norm is not None:
            gradients = clip_gradients(gradients, self.max_grad_norm, self.tasks)
        if self.momentum:
            gradients = {
                name: g + self.momentum * self._velocity[name] if name in self._velocity else g
                for name, g in gradients.items()
            }
        lr, steps = self.lr, gradients
        if isinstance(self.lr, GradientTransform):
            lr, steps = 1.0, self.lr(self.steps_taken, gradients)
        # Everything is computed now. An interrupt from here on finds all changes made, or none.
        counts = {"_pending": {}, "steps_taken": self.steps_taken + 1}
        velocity = {"_velocity": gradients} if self.momentum else {}
        changes = step_changes(self.module, lr, steps)
        make_changes([*changes, *attribute_changes(self, **counts, **velocity)])

    def accumulate(
        self,
        loss: Tensor,
        first_order: bool | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool | None = None,
    ) -> None:
        """Add the gradient of a loss to the next inner step.

        Use it for a support set that does not fit into memory. Call `accumulate` with the loss of
        each slice except the last, and `adapt` with the loss of the last slice. The step is the
        same as for the summed losses: regularizer, clipping, momentum and learning rates see only
        the summed gradient. The parameters do not change until `adapt`. With `first_order=True`,
        each slice's graph is freed immediately; second derivatives need all graphs until
        `backward()`.

        Args:
            loss: the slice's part of the total loss, with the shape that `adapt` takes. For a mean
                over B sequences, sum the losses of the slice and divide by B.
            first_order, allow_unused, allow_nograd: override the learner's own; None keeps them.

        Raises:
            ArgumentTypeError, ShapeError, AdaptationError: as in `adapt`. Previously accumulated
                gradients are kept.
        """
        who = f"{type(self).__name__}.accumulate"
        gradients = self._gradients(who, loss, first_order, allow_unused, allow_nograd)
        check_gradients(who, gradients, self.tasks)
        self._pending = gradients

    def _gradients(
        self,
        who: str,
        loss: Tensor,
        first_order: bool | None,
        allow_unused: bool | None,
        allow_nograd: bool | None,
    ) -> dict[str, Tensor]:
        """Return the gradients of a loss, plus the accumulated ones, by parameter name."""
        check_loss(who, loss, self.tasks)
        first_order = self.first_order if first_order is None else first_order
        gradients = inner_gradients(
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
        return add_gradients(self._pending, gradients)

    def _check_is_clone(self, method: str) -> None:
        if not self._start:
            what = "this learner holds the initialization; call clone() first"
            raise unchanged_error(f"{type(self).__name__}.{method}", what)

    @classmethod
    def _check_model(cls, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise ArgumentTypeError(
                f"{cls.__name__}: model must be a torch.nn.Module, got {type(model).__name__}; "
                "pass an instance"
            )


def _repeated(gradients: dict[str, Tensor], tasks: int) -> dict[str, Tensor]:
    """Repeat gradients for each task: `(…)` -> `(N, …)`."""
    return {name: g.expand(tasks, *g.shape) for name, g in gradients.items()}
