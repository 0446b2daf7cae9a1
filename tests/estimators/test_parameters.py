"""Parameters are checked by `fit`, and not by `__init__`."""

import numpy as np
import pytest

from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators import FewShotClassifier, UserStore
from tests.estimators.models import make_model, texts


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("steps", -1, "steps must be a positive integer, got -1; use None"),
        ("steps", "x", "steps must be a positive integer, got 'x'"),
        ("steps", 1.5, "steps must be a positive integer, got 1.5"),
        ("unknown_above", 5, "unknown_above must be a number of at least 0 and of at most 1, got"),
        ("unknown_above", "x", "unknown_above must be a number .*, got 'x'; use None"),
        ("unknown_above", np.nan, "unknown_above must be a number .*, got nan"),
        ("unknown_label", ["?"], "unknown_label must be a str or a number, got list"),
        ("unknown_label", "ann", "unknown_label must differ from all class names, got 'ann'"),
        ("keep_examples", "no", "keep_examples must be True or False, got 'no'"),
    ],
)
def test_invalid_parameters(name, value, match, tmp_path):
    model = make_model("protonet")
    for call in (FewShotClassifier.fit, FewShotClassifier.partial_fit):
        classifier = FewShotClassifier(model, **{name: value})
        with pytest.raises(ArgumentError, match=f"^FewShotClassifier.{call.__name__}: {match}"):
            call(classifier, *texts())
        assert not hasattr(classifier, "classes_")
    classifier = FewShotClassifier(model).fit(*texts()).set_params(**{name: value})
    with pytest.raises(ArgumentError, match=name):
        classifier.partial_fit(*texts())
    with pytest.raises(ArgumentError, match=name):
        UserStore(tmp_path / "users.db", model, **{name: value}).partial_fit("a", *texts())


def test_valid_parameters():
    options = {
        "steps": np.int64(2),
        "unknown_above": np.float32(0.5),
        "unknown_label": np.str_("?"),
    }
    model = make_model("protonet")
    classifier = FewShotClassifier(model, keep_examples=np.True_, **options).fit(*texts())
    assert classifier.predict(["日本"]).tolist() == ["?"]
    classifier.set_params(unknown_label="bob")
    with pytest.raises(ArgumentError, match="unknown_label must differ"):
        classifier.predict(["日本"])


def test_an_unknown_label_among_classes_without_examples():
    classifier = FewShotClassifier(make_model("protonet"), unknown_label="?")
    with pytest.raises(ArgumentError, match=r"unknown_label must differ from .* got '\?'"):
        classifier.partial_fit(["abc"], ["ann"], classes=["ann", "?"])
