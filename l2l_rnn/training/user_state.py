"""The adapted state of a learner, as bytes: what one user's data have changed, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.algorithms.saving import SavedLearner, outside_inference_mode
from l2l_rnn.axes import mark_task_axis
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, L2LRNNError, ShapeError
from l2l_rnn.training.saved.learner_tensors import (
    adapted_tensors,
    check_learner,
    digest_of_base,
    own_tensors,
    task_axis_names,
)
from l2l_rnn.training.saved.stacking import COMMON, stacked
from l2l_rnn.training.saved.user_bytes import UserState, read_user


def save_user(learner: nn.Module, base: nn.Module | None = None) -> bytes:
    """Return what a learner has adapted, as bytes.

    These are the prototypes of a `ProtoNet`, the support vectors of `R2D2` and `LRD2`, the memory
    of a `MemoryLearner`, and the parameters that gradient steps have changed, with their velocity.
    What all users share is not saved. `load_user` gives a learner with the same outputs, to the
    last bit, also in another process.

    Save and load learners in evaluation mode if the model has running statistics, which change in
    training mode.

    The bytes are safetensors with a digest of the base learner, so that a state is never loaded
    into another model. Attributes that a model assigns in a call, such as hidden states, are not
    saved, unless they are buffers.

    Args:
        learner: an adapted learner, from `clone()` or `clone(tasks=N)`.
        base: the learner that it is a clone of. Pass it if the model has buffers that change, such
            as running statistics, so that they are saved too. It is also faster with `base`.

    Raises:
        ArgumentTypeError: `learner` is not a learner.
        ArgumentError: `learner` is not a clone of `base`.

    Example:
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> base = ProtoNet(nn.Identity(), ways=2)
        >>> learner = base.clone()
        >>> learner.write(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
        >>> data = save_user(learner)
        >>> load_user(base, data)(torch.tensor([[1.0]]))
        tensor([[-1., -9.]])
    """
    return _state_of("save_user", learner, base).to_bytes()


def save_users(learner: nn.Module, base: nn.Module | None = None) -> list[bytes]:
    """Return what a learner has adapted for each of its N tasks, as bytes of one task each.

    Args:
        learner: an adapted learner from `clone(tasks=N)`.
        base: as in `save_user`.

    Raises:
        ArgumentTypeError: `learner` is not a learner.
        ArgumentError: the learner has no task axis, or is not a clone of `base`.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> base = MAML(nn.Linear(3, 2), lr=0.1)
        >>> len(save_users(base.clone(tasks=4)))
        4
    """
    who = "save_users"
    every = _state_of(who, learner, base)
    if every.tasks is None:
        raise ArgumentError(
            f"{who}: the learner must hold several tasks, got one; use save_user, or clone(tasks=N)"
        )
    axis = task_axis_names(learner)
    return [
        every._replace(
            tasks=None,
            state={k: t if k in COMMON else t[n] for k, t in every.state.items()},
            tensors={k: t[n] if k in axis else t for k, t in every.tensors.items()},
        ).to_bytes()
        for n in range(every.tasks)
    ]


def load_user(base: Any, data: bytes) -> Any:
    """Return a clone of a learner with an adapted state.

    The clone continues where the saved learner was: it predicts, adapts further, and is saved
    again. Its gradients do not reach the parameters that were adapted before.

    Args:
        base: the learner that the saved one was a clone of, or one that `from_pretrained` loaded
            from the same files.
        data: the result of `save_user`.

    Returns:
        A clone, with a task axis if the saved learner had one. A `ProtoNet`,
        `R2D2` or `LRD2` takes its number of classes from the state.

    Raises:
        ArgumentTypeError: `data` is not bytes, or `base` is not a learner.
        ArgumentError: the state belongs to another model, or `base` holds tasks.
        DataError: the bytes are damaged, of another kind, or of a newer version.
    """
    who = "load_user"
    check_learner(who, base)
    with outside_inference_mode(), torch.enable_grad():  # so that it can adapt later, outside
        saved = read_user(who, data)
        _check_base(who, base, [saved])
        return _loaded(who, base, saved)


def load_users(base: Any, users: Iterable[bytes]) -> Any:
    """Return a clone of a learner that holds the adapted states of N users on its task axis.

    Args:
        base: as in `load_user`.
        users: results of `save_user` of one task each.

    Returns:
        The learner `clone(tasks=N)`. If the users of a `ProtoNet`, `R2D2` or `LRD2` have different
        numbers of classes, it has the largest one, and the additional classes of a user are never
        predicted.

    Raises:
        ArgumentTypeError, DataError: as in `load_user`.
        ArgumentError: as in `load_user`; also if there is no user, or a state holds several tasks.
        ShapeError: the states have different shapes, and the learner does not keep support sets.
            Users of a `ProtoMAML` must have the same number of classes.

    Example:
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> base, users = ProtoNet(nn.Identity(), ways=2), []
        >>> for value in (0.0, 1.0):
        ...     learner = base.clone()
        ...     learner.write(torch.tensor([[value], [4.0]]), torch.tensor([0, 1]))
        ...     users.append(save_user(learner, base))
        >>> load_users(base, users)(torch.tensor([[[1.0]], [[1.0]]])).argmax(-1)
        tensor([[0],
                [0]])
    """
    who = "load_users"
    check_learner(who, base)
    if isinstance(users, (bytes, bytearray, memoryview)):
        raise ArgumentTypeError(f"{who}: users must be a list of bytes, got one; pass [data]")
    with outside_inference_mode(), torch.enable_grad():
        return _loaded(who, base, _together(who, base, users))


def _together(who: str, base: Any, users: Iterable[bytes]) -> UserState:
    """Read the states of users, and put them on a task axis."""
    states = [read_user(who, data, f"user {n}") for n, data in enumerate(users)]
    if not states:
        raise ArgumentError(f"{who}: expected the state of at least one user, got none; pass some")
    for n, one in enumerate(states):
        if one.tasks is not None:
            raise ArgumentError(
                f"{who}: user {n} must be the state of one task, got {one.tasks} tasks; save each "
                "one with save_users"
            )
    _check_base(who, base, states)
    return stacked(who, base, states)


def _state_of(who: str, learner: nn.Module, base: nn.Module | None) -> UserState:
    check_learner(who, learner)
    if base is not None:
        check_learner(who, base)
    tensors, unknown, of_base = adapted_tensors(who, learner, base)
    state: dict[str, Tensor] = {}
    if isinstance(learner, SavedLearner):
        held = learner._adaptation()
        # The initialization is that of the base.
        state = {name: t for name, t in held.items() if not name.startswith("start.")}
    tasks: Any = getattr(learner, "tasks", None)
    if isinstance(learner, SupportHolder) and tasks is None and state:
        kept = next(iter(state.values()))  # it takes any leading axis as that of tasks
        tasks = len(kept) if kept.dim() == 3 else None
    return UserState(type(learner).__name__, of_base, unknown, tasks, state, tensors)


def _check_base(who: str, base: Any, states: Sequence[UserState]) -> None:
    if getattr(base, "tasks", None) is not None:
        raise ArgumentError(f"{who}: base must not hold tasks, got a clone; pass the base learner")
    for n, one in enumerate(states):
        if one.kind != type(base).__name__:
            raise ArgumentError(
                f"{who}: user {n} must be a state of a {type(base).__name__}, got one of a "
                f"{one.kind}; pass the learner that it was saved for"
            )
        if one.base != digest_of_base(base, one.unknown):
            raise ArgumentError(
                f"{who}: user {n} must be a state of this model, got one of a {one.kind} with "
                "other weights, settings or buffers; load the model that the user adapted, or, if "
                "buffers of the model change, save with save_user(learner, base)"
            )


def _loaded(who: str, base: Any, saved: UserState) -> Any:
    try:
        learner = base.clone() if saved.tasks is None else base.clone(tasks=saved.tasks)
        start = getattr(learner, "_start", None)
        if isinstance(learner, SupportLearner) and saved.state:
            learner.ways = learner.ways_of(saved.state)
        _replace(who, learner, saved)
        if isinstance(learner, SavedLearner):
            learner._restore(who, {name: t.clone() for name, t in saved.state.items()})
        if isinstance(learner, MAML) and start is not None:
            learner._start = start
    except L2LRNNError:
        raise
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        shown = " ".join(str(error).split())[:200]
        raise DataError(f"{who}: data must fit the learner, got other tensors ({shown})") from error
    return learner


def _replace(who: str, learner: nn.Module, saved: UserState) -> None:
    """Replace parameters and buffers of a clone by adapted ones."""
    own = own_tensors(learner)
    new: dict[Tensor, Tensor] = {}
    for name, value in saved.tensors.items():
        before = own.get(name)
        resizable = name.startswith("module.head.") and "present" in saved.state
        axis = () if saved.tasks is None else (saved.tasks,)
        if before is None or (
            value.shape not in (before.shape, (*axis, *before.shape)) and not resizable
        ):
            shape = None if before is None else tuple(before.shape)
            raise ShapeError(
                f"{who}: {name} must have shape {shape}, got {tuple(value.shape)}; pass the "
                "learner that the state was saved for"
            )
        moved = value.to(before.device, before.dtype)
        new[before] = moved.requires_grad_() if before.requires_grad else moved
    for child in learner.modules():
        for places in (child._parameters, child._buffers):
            for name, tensor in places.items():
                if tensor is not None and tensor in new:
                    places[name] = new[tensor]  # type: ignore[assignment]
                    if saved.tasks is not None and new[tensor].dim() > tensor.dim():
                        mark_task_axis(child, {name})
        if isinstance(child, nn.RNNBase):  # it also lists its parameters
            child._flat_weights = [getattr(child, name) for name in child._flat_weights_names]
