"""Choice of methods by `--only`."""

import pytest

from benchmarks.few_shot.selection import selected
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.errors import UnknownNameError

LANGUAGES = SPECS["languages"].entries["full"]
LAGS = SPECS["lags"].entries["default"]


@pytest.mark.parametrize(
    ("only", "labels"),
    [
        ("LSTM ProtoNet", ["LSTM ProtoNet"]),
        ("lstm protonet , LSTM from scratch", ["LSTM from scratch", "LSTM ProtoNet"]),
        ("LSTM pre-trained, fine-tuned", ["LSTM pre-trained, fine-tuned"]),
        (
            "LSTM ProtoNet,LSTM pre-trained, linear probe,TF-IDF*",
            [
                "TF-IDF n-grams, logistic regression",
                "LSTM pre-trained, linear probe",
                "LSTM ProtoNet",
            ],
        ),
        (
            "*protonet*",
            [
                "LSTM ProtoNet",
                "3 x LSTM ProtoNet, Gaussian prior",
                "3 x LSTM ProtoNet, Gaussian prior, joined with TF-IDF",
            ],
        ),
        ("*", [entry.label for entry in LANGUAGES]),
    ],
)
def test_labels_may_have_commas_and_patterns(only, labels):
    assert [entry.label for entry in selected(LANGUAGES, only)] == labels


def test_a_name_stands_for_all_its_variants():
    labels = [entry.label for entry in selected(LAGS, "MAML,adding, GRU: Meta-SGD")]
    variants = ("recall, RNN", "recall, GRU", "adding, RNN", "adding, GRU")
    assert labels == [*(f"{v}: MAML" for v in variants), "adding, GRU: Meta-SGD"]


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("LSTM protnet", "unknown method 'LSTM protnet'; did you mean 'LSTM ProtoNet'"),
        ("LSTM ProtoNet, GRU", r"unknown method 'GRU'\. Known:\n  TF-IDF n-grams, logistic"),
        ("", "unknown method ''"),
    ],
)
def test_an_unknown_method_is_named_with_similar_ones(only, message):
    with pytest.raises(UnknownNameError, match=message):
        selected(LANGUAGES, only)
