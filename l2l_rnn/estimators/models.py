"""Models of estimators: opened by name, or made of a learner."""

from __future__ import annotations

import copy
import os
from typing import Any

from torch import nn

from l2l_rnn.algorithms import (
    MemoryLearner,
    PairMemoryLearner,
    ProtoNet,
    StackedLearner,
    TfIdfLearner,
)
from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.estimators.learner_kinds import (
    GradientKind,
    LearnerKind,
    MemoryKind,
    ProtoNetKind,
    SupportKind,
)
from l2l_rnn.estimators.stacked_kinds import StackedKind, TfIdfKind
from l2l_rnn.training import Pretrained
from l2l_rnn.training.per_task import Loss


def opened(who: str, model: Any, inputs: Any = None) -> Pretrained:
    """Return the model of an estimator's parameters.

    Args:
        who: begins the error message.
        model: a name, a folder, a `Pretrained` or a learner.
        inputs: what turns raw inputs into tensors, only for a learner.

    Raises:
        ArgumentTypeError: `model` is something else.
        ArgumentError: the inputs are missing, or passed with another model.
        DataError: the name is unknown, or the folder holds no model.
    """
    if isinstance(model, (str, os.PathLike, Pretrained)):
        if inputs is not None:
            raise ArgumentError(
                f"{who}: inputs must be None for a model that has its own, got "
                f"{type(inputs).__name__}; omit it, or pass the learner of the model"
            )
        found = model if isinstance(model, Pretrained) else Pretrained.from_pretrained(model)
        if found.inputs is None:
            raise ArgumentError(
                f"{who}: the model must have inputs, which turn raw inputs into tensors, got None; "
                "pass its learner, with inputs=training.TextInputs(…) or SeriesInputs(…)"
            )
        return found
    kind_of(who, model, None, None)
    if inputs is None:
        raise ArgumentError(
            f"{who}: a learner needs inputs, which turn raw inputs into tensors, got None; pass "
            "inputs=training.TextInputs(…) or SeriesInputs(…), or a training.Pretrained"
        )
    return Pretrained(model, inputs)


def ready(model: Pretrained) -> Pretrained:
    """Return a model in evaluation mode: the model itself, or one with a copy of its learner."""
    if not any(module.training for module in model.learner.modules()):
        return model
    found = copy.copy(model)
    found.learner = copy.deepcopy(model.learner).eval()
    return found


def kind_of(who: str, learner: Any, steps: int | None, loss: Loss | None) -> LearnerKind:
    """Return how a learner adapts to the examples of a user.

    Raises:
        ArgumentTypeError: it is not a learner of classes.
        ArgumentError: it holds tasks.
    """
    if not (
        isinstance(learner, nn.Module) and hasattr(learner, "clone") and hasattr(learner, "adapt")
    ):
        raise ArgumentTypeError(
            f"{who}: model must be a name, a folder, a training.Pretrained or a learner with "
            f"clone() and adapt(), got {type(learner).__name__}; wrap a network in one, such as "
            "algorithms.ProtoNet"
        )
    if getattr(learner, "tasks", None) is not None:
        raise ArgumentError(
            f"{who}: the learner must not hold tasks, got a clone of {learner.tasks}; pass the "
            "learner that it is a clone of"
        )
    if isinstance(learner, PairMemoryLearner):
        raise ArgumentTypeError(
            f"{who}: the learner must predict classes, got a PairMemoryLearner, which translates; "
            "use estimators.FewShotTranslator"
        )
    if isinstance(learner, MemoryLearner):
        if learner.module.regression:
            raise ArgumentTypeError(
                f"{who}: the learner must predict classes, got a MemoryLearner with "
                "regression=True; use the learner itself"
            )
        return MemoryKind(learner, steps, loss)
    kinds: dict[type, type[LearnerKind]] = {
        ProtoNet: ProtoNetKind,
        StackedLearner: StackedKind,
        TfIdfLearner: TfIdfKind,
        SupportLearner: SupportKind,
        nn.Module: GradientKind,
    }
    kind = next(kind for cls, kind in kinds.items() if isinstance(learner, cls))
    return kind(learner, steps, loss)
