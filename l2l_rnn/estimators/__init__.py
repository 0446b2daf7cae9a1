"""Few-shot classifiers and translators with scikit-learn's interface, and stores of many users.

`MetaForecaster` has sktime's interface and is imported at first use, since it needs sktime.
"""

from __future__ import annotations

from typing import Any

from l2l_rnn.estimators.explanation import SupportExample
from l2l_rnn.estimators.few_shot_classifier import FewShotClassifier
from l2l_rnn.estimators.few_shot_translator import FewShotTranslator
from l2l_rnn.estimators.unknown_inputs import UnknownInputWarning, calibrate_unknown
from l2l_rnn.estimators.users.store import UserStore

__all__ = [
    "FewShotClassifier",
    "FewShotTranslator",
    "SupportExample",
    "UnknownInputWarning",
    "UserStore",
    "calibrate_unknown",
]


def __getattr__(name: str) -> Any:
    if name == "MetaForecaster":
        from l2l_rnn.estimators.forecasting.meta_forecaster import MetaForecaster

        return MetaForecaster
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
