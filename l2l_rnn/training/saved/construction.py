"""Construction of a saved learner, and what can be saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.saving import PREFIX
from l2l_rnn.configuration import (
    build,
    configuration_of,
    unknown_parts,
)
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    L2LRNNError,
    MissingExtraError,
    UnknownNameError,
)
from l2l_rnn.training.saved.differences import configuration_differences, refuse, tensor_differences
from l2l_rnn.training.saved.limits import limited_parameters


def weights_of(learner: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a learner by name, and for other names of tied ones the kept name."""
    kept: dict[int, str] = {}
    tensors: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    for name, tensor in learner.state_dict(keep_vars=True).items():
        if id(tensor) in kept:
            tied[name] = kept[id(tensor)]
        else:
            kept[id(tensor)] = name
            tensors[name] = tensor.detach()
    return tensors, tied


def built(
    who: str,
    configuration: dict[str, Any],
    tensors: Mapping[str, Tensor],
    model: Any,
    version: str,
) -> Any:
    """Construct the saved learner, without a change to torch's random state.

    Args:
        who: begins the error message.
        configuration: that of the saved learner.
        tensors: its tensors.
        model: an instance for a part that is not configurable, for the whole model, or for the
            whole learner; None to construct everything.
        version: the version of this package that saved the learner.

    Raises:
        ArgumentError: `model` is needed and not given, or differs from the saved one.
        DataError: the configuration cannot be constructed.
    """
    if model is not None and hasattr(model, "clone") and hasattr(model, "adapt"):
        found = configuration_differences(configuration, configuration_of(model))
        refuse(who, found + tensor_differences(model.state_dict(), tensors))
        return model
    unknown = sorted({name.rpartition(".")[2] for name in unknown_parts(configuration)})
    if (unknown and model is None) or len(unknown) > 1:
        raise ArgumentError(
            f"{who}: the saved learner has parts that cannot be constructed here "
            f"({', '.join(unknown)}); pass an instance as model=, or decorate the class with "
            "l2l_rnn.configuration.configurable before saving"
        )
    if model is not None:
        configuration = _with_model(who, configuration, tensors, model, unknown)
    try:
        with torch.random.fork_rng(devices=[]), limited_parameters("build", tensors):
            return build(configuration, model)
    except UnknownNameError as error:
        raise ArgumentError(
            f"{who}: every class of the saved learner must be known ({error}); it was saved by "
            f"l2l_rnn {version}: import the module that defines the class, or install that version"
        ) from error
    except (
        DataError,
        MissingExtraError,
    ) as error:  # of a part that reads files, as a frozen encoder
        raise DataError(f"{who}: a part of the saved learner cannot be loaded: {error}") from error
    except Exception as error:  # a constructor may raise anything at arguments made to mislead it
        shown = str(error) if isinstance(error, L2LRNNError) else repr(error)
        raise DataError(
            f"{who}: the configuration must be that of a learner, got one that cannot be "
            f"constructed ({shown[:300]}); it was saved by l2l_rnn {version}"
        ) from error


def _with_model(
    who: str,
    configuration: dict[str, Any],
    tensors: Mapping[str, Tensor],
    model: Any,
    unknown: list[str],
) -> dict[str, Any]:
    """Return the configuration in which the user's model is an unknown part."""
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(
            f"{who}: model must be a torch.nn.Module, got {type(model).__name__}; pass an instance"
        )
    name = type(model).__name__
    if unknown:
        refuse(who, [] if unknown[0] == name else [f"class: {unknown[0]}, {name}"])
        return configuration
    arguments = configuration.get("arguments", {})
    found = configuration_differences(arguments.get("model"), configuration_of(model))
    begin = "module."
    own = {n.removeprefix(begin): t for n, t in tensors.items() if n.startswith(begin)}
    refuse(who, found + tensor_differences(model.state_dict(), own))
    return {**configuration, "arguments": {**arguments, "model": {"unknown": name}}}


def check_savable(who: str, learner: Any) -> None:
    """Check that a learner has not adapted, is in float32, and can be constructed again.

    Raises:
        ArgumentError: it holds tasks, has adapted, has other floating-point numbers, or its
            arguments do not describe it.
    """
    if getattr(learner, "tasks", None) is not None:
        raise ArgumentError(
            f"{who}: the learner must have no task axis, got N={learner.tasks} tasks; pass the "
            "learner that was cloned"
        )
    state = learner.state_dict(keep_vars=True)
    if any(name.startswith(PREFIX) for name in state):
        raise ArgumentError(
            f"{who}: the learner must not have adapted, got a clone with an adapted state; pass "
            "the learner that was cloned, and save the clone with save_user"
        )
    for name, tensor in state.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and tensor.dtype != torch.float32:
            raise ArgumentError(
                f"{who}: the learner must be float32, got {tensor.dtype} in {name}; convert it "
                "with learner.float()"
            )
    _check_description(who, learner)


def _check_description(who: str, learner: nn.Module) -> None:
    """Check that the configuration of a learner gives its tensors, so that it can be loaded."""
    configuration = configuration_of(learner)
    unknown = {name.rpartition(".")[2] for name in unknown_parts(configuration)}
    wrong = sorted(unknown - {type(module).__name__ for module in learner.modules()})
    if wrong or len(unknown) > 1:
        raise ArgumentError(
            f"{who}: at most one part of the learner may be of a class that is not configurable, "
            f"and it must be a module, got {', '.join(sorted(unknown))}; decorate the classes with "
            "l2l_rnn.configuration.configurable, and pass numbers instead of tensors"
        )
    if unknown:
        return  # the user passes an instance
    with torch.random.fork_rng(devices=[]):
        found = tensor_differences(build(configuration).state_dict(), learner.state_dict())
    if found:
        raise ArgumentError(
            f"{who}: the learner must have the tensors that its arguments give, but these differ "
            f"(learner, arguments): {'; '.join(found[:10])}; construct it with its final parts"
        )
