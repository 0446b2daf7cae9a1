"""scikit-learn's own checks of estimators, with models of series on two-dimensional arrays."""

import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from l2l_rnn.algorithms import MemoryLearner, ProtoNet
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.memory import KeyValueMemory
from l2l_rnn.models import MemoryModel, SequenceEncoder
from l2l_rnn.training import SeriesInputs

EXPECTED = {
    "check_estimators_overwrite_params": (
        "joblib.hash of a torch tensor differs between a tensor and its copy; "
        "test_the_model_is_shared_and_unchanged checks the same"
    ),
}


def make(name):
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=1, hidden_size=64, bidirectional=True, pooling="last")
    with torch.no_grad():  # an untrained encoder hardly reacts to its input
        for parameter in encoder.recurrence.parameters():
            parameter *= 2
    if name == "protonet":
        learner = ProtoNet(encoder, ways=3)
    else:
        learner = MemoryLearner(
            MemoryModel(encoder, KeyValueMemory(128, 8, slots=2000, similarity="distance"))
        )
    return FewShotClassifier(learner.eval(), inputs=SeriesInputs(1, 0.0, 1.0))


# The encoder is not trained, so that some inputs are unlike all classes.
@pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning")
@parametrize_with_checks(
    [make("protonet"), make("slots")], expected_failed_checks=lambda estimator: EXPECTED
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
