"""Checks of the parameters of a classifier, which scikit-learn asks for in `fit`."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np

from l2l_rnn.checks import check_int, check_number, shown
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators.labels import Labels


def check_parameters(who: str, parameters: Any) -> None:
    """Check parameters that do not depend on the examples.

    Args:
        who: begins the error message.
        parameters: an object with `steps`, `unknown_label`, `unknown_above` and `keep_examples`.

    Raises:
        ArgumentError: one is invalid.
    """
    if parameters.steps is not None:
        fix = "use None for the model's number"
        check_int(who, "steps", parameters.steps, fix=fix)
    if parameters.unknown_above is not None:
        fix = "use None to treat all inputs as known"
        check_number(who, "unknown_above", parameters.unknown_above, least=0, most=1, fix=fix)
    label, keep = parameters.unknown_label, parameters.keep_examples
    if label is not None and not isinstance(label, (str, Number, np.bool_)):
        raise ArgumentError(
            f"{who}: unknown_label must be a str or a number, got {type(label).__name__}; use None "
            "to warn of unknown inputs instead"
        )
    if not isinstance(keep, (bool, np.bool_)):
        raise ArgumentError(
            f"{who}: keep_examples must be True or False, got {shown(keep)}; pass one of these"
        )


def check_unknown_label(who: str, label: Any, names: Labels) -> None:
    """Check that the label of unknown inputs is none of the class names.

    Raises:
        ArgumentError: it is one.
    """
    if label is not None and any(name == label for name in names.tolist()):
        raise ArgumentError(
            f"{who}: unknown_label must differ from all class names, got {shown(label)}, which is "
            "one of them; choose another one, or None to warn of unknown inputs"
        )
