"""Learners that can be saved, copied and moved after they adapted."""

from __future__ import annotations

import contextlib
import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from l2l_rnn.algorithms.inner_loop.regularizers import ProximalRegularizer
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.axes import mark_task_axis
from l2l_rnn.errors import ArgumentError, ShapeError

# Begins the names in a state dict of what a learner adapted besides its parameters.
PREFIX = "adaptation."


class SavedLearner(nn.Module):
    """A learner with more adapted state than its parameters. Not for direct use.

    `state_dict()` also holds that state, as tensors with names that begin with `adaptation.`. A
    learner that has not adapted has none, so its names are those of its modules. All tensors of
    the state are contiguous and own their storage. `load_state_dict` restores the state; with
    `strict=True`, a dict without it leaves the learner not adapted. After an error, the learner is
    unchanged.

    A deep copy or an unpickled learner has the same values without their graph: `backward()` stops
    at the copy. `clone()` keeps the graph.
    """

    @abstractmethod
    def _adaptation(self) -> dict[str, Tensor]:
        """Return the adapted state by name; empty if the learner has not adapted."""

    @abstractmethod
    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        """Replace the adapted state by a saved one, or raise an error and change nothing."""

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load the parameters, buffers and adapted state that `state_dict()` returned.

        Args:
            state_dict: a state dict of a learner of the same kind.
            strict: whether the names must be those of this learner.
            assign: as in `torch.nn.Module.load_state_dict`.

        Raises:
            ShapeError: the saved learner has another number of tasks or classes.
            ArgumentError: the saved learner is of another kind.
            RuntimeError: other names or shapes differ, as in `torch.nn.Module`.
        """
        before = {name: value.clone() for name, value in self.state_dict().items()}
        held = [(module._parameters, dict(module._parameters)) for module in self.modules()]
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except BaseException:
            for parameters, own in held:
                parameters.update(own)
            super().load_state_dict(before)
            raise

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, value in self._adaptation().items():
            if not keep_vars:
                value = value.detach().clone(memory_format=torch.contiguous_format)
            destination[f"{prefix}{PREFIX}{name}"] = value

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        who, own = f"{type(self).__name__}.load_state_dict", prefix + PREFIX
        expand_buffers(self, getattr(self, "tasks", None), state_dict, prefix)
        for name, value in self.state_dict(keep_vars=True).items():
            given = state_dict.get(prefix + name)
            if isinstance(given, Tensor) and not name.startswith(PREFIX):
                check_saved_tasks(who, given.shape, value.shape, getattr(self, "tasks", None))
        saved = {key: state_dict[key] for key in state_dict if key.startswith(own)}
        if saved or strict:
            copies = {key.removeprefix(own): value.clone() for key, value in saved.items()}
            self._restore(who, copies)
        unexpected: list[str] = []
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected, error_msgs
        )
        unexpected_keys += [key for key in unexpected if key not in saved]

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # torch moves parameters by assigning to .data, which would leave the graph of adapted ones
        # with the old dtype and device. They are moved here, with their graph.
        held, modules = self._adaptation(), list(self.modules()) if recurse else [self]
        adapted = [
            (module._parameters, name, parameter)
            for module in modules
            for name, parameter in module._parameters.items()
            if parameter is not None and not parameter.is_leaf
        ]
        moved = {id(parameter): parameter for _, _, parameter in adapted}
        moved = {key: fn(parameter) for key, parameter in moved.items()}
        for parameters, name, _ in adapted:
            parameters[name] = None
        try:
            super()._apply(fn, recurse)
        finally:
            for parameters, name, parameter in adapted:
                parameters[name] = moved[id(parameter)]
        for module in modules:
            if adapted and isinstance(module, nn.RNNBase):  # it also lists its parameters
                module._flat_weights = [getattr(module, n) for n in module._flat_weights_names]
        if held:
            self._restore(type(self).__name__, {name: fn(value) for name, value in held.items()})
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        # torch refuses to copy tensors that have a graph. Copies without it take their place.
        state: Any = self.__getstate__()
        every = [state, *(vars(module) for module in self.modules() if module is not self)]
        for tensor in tree_leaves(every):
            if isinstance(tensor, Tensor) and not tensor.is_leaf and id(tensor) not in memo:
                memo[id(tensor)] = tensor.detach().clone().requires_grad_()
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(state, memo))
        return twin


class SavedInnerLoop(SavedLearner):
    """A learner that saves what its next gradient step needs. Not for direct use.

    This is the velocity of the momentum, the accumulated gradients, the initialization where a
    regularizer or `distance()` uses it, and the number of steps where any of these or a learned
    learning rate may depend on it. A plain MAML learner has only its parameters, as in learn2learn.
    """

    keeps_start: ClassVar[bool] = False  # whether the learner needs the initialization

    module: nn.Module
    lr: Any
    regularizer: ProximalRegularizer | None
    steps_taken: int
    _velocity: dict[str, Tensor]
    _pending: dict[str, Tensor]
    _start: dict[str, Tensor]

    def _select(self, task: int) -> None:
        """Select what one of N tasks has adapted; the parameters are already those of the task."""
        self._velocity = {name: velocity[task] for name, velocity in self._velocity.items()}
        self._pending = {name: gradient[task] for name, gradient in self._pending.items()}
        own = dict(self.module.named_parameters())
        self._start = {
            name: start[task] if name in own and start.dim() > own[name].dim() else start
            for name, start in self._start.items()
        }

    def _adaptation(self) -> dict[str, Tensor]:
        groups = {"velocity": self._velocity, "pending": self._pending}
        adapted = self.steps_taken or self._pending
        if adapted and (self.keeps_start or self.regularizer is not None):
            groups["start"] = self._start
        held = {f"{g}.{name}": t for g, group in groups.items() for name, t in group.items()}
        if self.steps_taken and (held or isinstance(self.lr, GradientTransform)):
            held["steps_taken"] = torch.tensor(self.steps_taken)
        return held

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        parameters: dict[str, Tensor] = dict(self.module.named_parameters())
        groups: dict[str, dict[str, Tensor]] = {"velocity": {}, "pending": {}, "start": {}}
        for key, value in saved.items():
            group, _, name = key.partition(".")
            if key == "steps_taken":
                continue
            if group not in groups or name not in parameters:
                raise ArgumentError(
                    f"{who}: expected the state of a {type(self).__name__} of the same model, got "
                    f"{PREFIX}{key}; load it into a learner that is made like the saved one"
                )
            like = parameters[name]
            if group != "start":
                check_saved_tasks(who, value.shape, like.shape, getattr(self, "tasks", None))
            groups[group][name] = value.to(like.device, like.dtype)
        self._velocity, self._pending = groups["velocity"], groups["pending"]
        # Without a saved initialization, the loaded parameters are copied into this one's tensors.
        self._start = groups["start"] or (parameters if self._start else {})
        self.steps_taken = int(saved.get("steps_taken", 0))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        start = self._start
        super()._apply(fn, recurse)
        self._start = {name: fn(value) for name, value in start.items()}
        return self


def check_saved_tasks(who: str, saved: torch.Size, own: torch.Size, tasks: int | None) -> None:
    """Check that a saved tensor belongs to a learner with as many tasks as this one.

    Args:
        who: begins the error message.
        saved: the shape of the saved tensor.
        own: the shape that this learner needs.
        tasks: `N` of this learner, or None.

    Raises:
        ShapeError: the shapes differ only in the task axis.
    """
    held = "one task" if tasks is None else f"N={tasks} tasks"
    if len(saved) == len(own) + 1 or (tasks and len(saved) == len(own) and saved[1:] == own[1:]):
        if saved != own:
            raise ShapeError(
                f"{who}: the saved learner holds N={saved[0]} tasks, this learner holds {held}; "
                f"load it into clone(tasks={saved[0]})"
            )
    elif tasks and len(saved) == len(own) - 1:
        raise ShapeError(
            f"{who}: the saved learner holds one task, this learner holds {held}; load it into "
            "clone()"
        )


@contextlib.contextmanager
def outside_inference_mode() -> Iterator[None]:
    """Compute as outside `torch.inference_mode()`, whose tensors autograd never accepts.

    What a learner keeps is computed in here, so that it can adapt later, outside inference mode.
    """
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False):
            yield
    else:
        yield


def usable(tensor: Tensor) -> Tensor:
    """Return a tensor that autograd accepts: a copy of one from inference mode, or itself."""
    if not tensor.is_inference():
        return tensor
    with outside_inference_mode():
        return tensor.clone()


def expand_buffers(
    module: nn.Module, tasks: int | None, saved: Mapping[str, Any], prefix: str
) -> None:
    """Add the task axis to buffers that have it in a state dict, because a model assigned them.

    Args:
        module: a learner.
        tasks: `N`, or None for a learner without a task axis.
        saved: the state dict.
        prefix: begins the names of the learner's tensors in it.
    """
    for path, child in module.named_modules() if tasks is not None else ():
        for name, buffer in child._buffers.items():
            given = saved.get(f"{prefix}{path}.{name}" if path else f"{prefix}{name}")
            if (
                buffer is not None
                and isinstance(given, Tensor)
                and given.shape == (tasks, *buffer.shape)
            ):
                child._buffers[name] = buffer.expand_as(given).clone()
                mark_task_axis(child, {name})
