"""The tensors of a learner by name, and which of them it has adapted."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms import MAML, MemoryLearner, ProtoMAML
from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.saving import PREFIX, SavedLearner
from l2l_rnn.axes import names_with_task_axis
from l2l_rnn.configuration import configuration_of
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.training.saved.tensors import digest

_DIGESTS: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()


def own_tensors(learner: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and saved buffers by name, tied ones once, without adapted state.

    Of learners that are not of this package, only the model's.
    """
    found: dict[str, Tensor] = {}
    begin = "" if isinstance(learner, SavedLearner) else "module."
    seen: set[int] = set()
    for name, tensor in learner.state_dict(keep_vars=True).items():
        if name.startswith(begin) and not name.startswith(PREFIX) and id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor
    return found


def adaptable_names(learner: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that gradient steps of a learner may change."""
    if isinstance(learner, SupportHolder):
        return frozenset()
    module: Any = learner.module
    if isinstance(learner, (MAML, MemoryLearner)):
        names = learner.adapted
        if names is None and isinstance(learner, MemoryLearner):
            return frozenset()
    else:
        names = None
    return frozenset(
        f"module.{name}" for name, _ in module.named_parameters() if names is None or name in names
    )


def head_names(learner: nn.Module) -> frozenset[str]:
    """Return the names of the parameters that a learner replaces before its first step."""
    if isinstance(learner, ProtoMAML) and learner.has_prototypes:
        return frozenset({"module.head.weight", "module.head.bias"})
    return frozenset()


def task_axis_names(learner: nn.Module) -> frozenset[str]:
    """Return the names of the parameters and buffers with a task axis."""
    return frozenset(
        f"{path}.{name}" if path else name
        for path, child in learner.named_modules()
        for name in names_with_task_axis(child)
    )


_OF_CLONES = {"first_order", "allow_unused", "allow_nograd"}  # options of `MAML.clone`


def description(learner: nn.Module) -> dict[str, Any]:
    """Return the configuration that the user states of a learner depend on.

    The number of classes of a learner of support sets, such as a `ProtoNet`, is left out, because
    it is that of the user, and so are the arguments that `clone` overrides. A class that is not
    configurable is described by its name, wherever it was defined.
    """
    found = _shortened(configuration_of(learner))
    left_out = {"ways"} if isinstance(learner, SupportHolder) else _OF_CLONES
    for name in left_out:
        found.get("arguments", {}).pop(name, None)
    return {"class": type(learner).__name__, "configuration": found}


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"unknown"}:
            return {"unknown": str(value["unknown"]).rpartition(".")[2]}
        return {key: _shortened(one) for key, one in value.items()}
    return [_shortened(one) for one in value] if isinstance(value, list) else value


def digest_of_base(base: nn.Module, without: frozenset[str]) -> str:
    """Return the digest of a base learner, computed again only after its tensors have changed.

    Args:
        base: the learner.
        without: names of tensors that are left out.
    """
    own = own_tensors(base)
    now = [(t, 0 if t.is_inference() else t._version, t.data_ptr()) for t in own.values()]
    held, digests = _DIGESTS.get(base, ([], {}))
    same = len(held) == len(now) and all(
        a[0] is b[0] and a[1:] == b[1:] for a, b in zip(held, now, strict=True)
    )
    if not same:
        digests = {}
        _DIGESTS[base] = now, digests
    if without not in digests:
        kept = {name: tensor for name, tensor in own.items() if name not in without}
        digests[without] = digest(description(base), kept)
    return str(digests[without])


def adapted_tensors(
    who: str, learner: nn.Module, base: nn.Module | None
) -> tuple[dict[str, Tensor], frozenset[str], str]:
    """Return the tensors that a learner has adapted, those without a known initial value, a digest.

    Args:
        who: begins the error message.
        learner: an adapted learner.
        base: the learner that it is a clone of, or None if it is not at hand.

    Returns:
        The adapted parameters and buffers by name; the names among them whose initial value is not
        known; and the digest of the base without those.

    Raises:
        ArgumentError: the learner is not a clone of `base`.
    """
    own, axis = own_tensors(learner), task_axis_names(learner)
    adaptable, head = adaptable_names(learner), head_names(learner)
    if base is not None:
        check_same_kind(who, learner, base)
        of_base = own_tensors(base)
        other = sorted(set(own) ^ set(of_base))
        if other:
            raise ArgumentError(
                f"{who}: the learner must be a clone of base, but only one of them has "
                f"{', '.join(other[:5])}; pass the learner whose clone() it is"
            )
        changed = {n for n, t in own.items() if n in head or _differ(t, of_base[n], n in axis)}
        buffers = {f"module.{n}" for n, _ in learner.module.named_buffers()}
        wrong = sorted(changed - adaptable - buffers)
        if wrong:
            raise ArgumentError(
                f"{who}: the learner must be a clone of base, but {len(wrong)} tensors that it "
                f"does not adapt differ, such as {wrong[0]}; pass the learner whose clone() it is"
            )
        return {n: own[n] for n in sorted(changed)}, frozenset(), digest_of_base(base, frozenset())
    start: Mapping[str, Tensor] = getattr(learner, "_start", {})
    known = {f"module.{n}": t for n, t in start.items() if f"module.{n}" not in head}
    unknown: set[str] = set()
    if not isinstance(learner, SupportHolder):
        unknown |= {n for n in own if n in adaptable and n not in known}
        parameters = {f"module.{n}" for n, _ in learner.module.named_parameters()}
        unknown |= {n for n in own if n in axis and n not in parameters}  # buffers of each task
    changed = set(unknown)
    verified: dict[str, Tensor] = {}
    for name, tensor in own.items():
        if name in unknown:
            continue
        before = known.get(name, tensor)
        if _differ(tensor, before, name in axis):
            changed.add(name)
        one_task = name in axis and before.dim() == tensor.dim()
        verified[name] = before[0] if one_task else before
    found = {n: own[n] for n in sorted(changed)}
    return found, frozenset(unknown), digest(description(learner), verified)


def check_same_kind(who: str, learner: nn.Module, base: nn.Module) -> None:
    """Check that two learners have the same class and configuration.

    Raises:
        ArgumentError: they have not.
    """
    one, other = description(learner), description(base)
    if one != other:
        raise ArgumentError(
            f"{who}: the learner must be a clone of base, a {other['class']}, got a "
            f"{one['class']} with other arguments; pass the learner whose clone() it is"
        )


def check_learner(who: str, learner: Any) -> None:
    """Check that an object is a learner.

    Raises:
        ArgumentTypeError: it is not.
    """
    if not (
        isinstance(learner, nn.Module)
        and hasattr(learner, "clone")
        and hasattr(learner, "adapt")
        and isinstance(learner._modules.get("module"), nn.Module)
    ):
        raise ArgumentTypeError(
            f"{who}: learner must be a learner with clone() and adapt(), got "
            f"{type(learner).__name__}; pass one of l2l_rnn.algorithms"
        )


def _differ(tensor: Tensor, before: Tensor, has_axis: bool) -> bool:
    """Return whether a tensor differs from the one before; for some task, if it has the axis."""
    like = before.expand_as(tensor) if has_axis and tensor.dim() > before.dim() else before
    if tensor is before:
        return False
    if tensor.shape != like.shape or tensor.dtype != like.dtype:
        return True
    return not torch.equal(tensor.detach(), like.detach())
