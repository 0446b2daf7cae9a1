"""Models of estimators: opened by name, or made of a learner."""

from __future__ import annotations

import copy
import os
from typing import Any

from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators.learner_kinds import kind_of
from l2l_rnn.training import Pretrained


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
