"""Few-shot classifiers and translators with scikit-learn's interface, and stores of many users."""

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
