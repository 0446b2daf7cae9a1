"""The examples that an answer is explained by."""

import numpy as np
import pytest
import torch

from l2l_rnn.analysis import ranked_support
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators import FewShotClassifier, SupportExample
from tests.estimators.models import LEARNERS, make_model, texts

pytestmark = pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning")


def log_odds(classifier, text, label):
    scores = classifier.decision_function([text]).astype(float)[0]
    chosen = classifier.classes_.tolist().index(label)
    others = np.delete(scores, chosen)
    return scores[chosen] - np.logaddexp.reduce(others)


@pytest.mark.parametrize("kind", ["protonet", "prior", "ensemble"])
def test_weights_are_what_the_answer_loses_without_the_example(kind):
    X, y = texts()
    model = make_model(kind)
    classifier = FewShotClassifier(model).fit(X, y)
    for text in ("abca", "efij", "lkij"):
        label = classifier.predict([text])[0]
        (shown,) = classifier.explain([text], count=len(X))
        before = log_odds(classifier, text, label)
        assert sorted(one.number for one in shown) == list(range(len(X)))
        weights = [one.weight for one in shown]
        assert weights == sorted(weights, reverse=True)
        for number, example, name, weight in shown:
            assert (example, name) == (X[number], y[number])
            kept = [n for n in range(len(X)) if n != number]
            without = FewShotClassifier(model).fit([X[n] for n in kept], [y[n] for n in kept])
            assert weight == pytest.approx(before - log_odds(without, text, label), abs=2e-3)


@pytest.mark.parametrize("kind", ["protonet", "prior"])
def test_the_only_example_of_a_class(kind):
    classifier = FewShotClassifier(make_model(kind)).fit(["abcd", "efgh"], ["ann", "bob"])
    (shown,) = classifier.explain(["abcd"])
    assert [one.number for one in shown] == [0, 1]
    assert np.isfinite([one.weight for one in shown]).all()
    assert shown[0].weight > 0


@pytest.mark.parametrize("kind", ["slots", "fast weights"])
def test_weights_are_those_of_the_memory(kind):
    X, y = texts()
    model = make_model(kind)
    classifier = FewShotClassifier(model).fit(X, y)
    labels = torch.tensor([["ann", "bob", "cid"].index(name) for name in y])
    expected = ranked_support(
        classifier.learner_, model.inputs(["abcd", "ijkl"]), model.inputs(X), labels, 4
    )
    for shown, read in zip(classifier.explain(["abcd", "ijkl"], 4), expected, strict=True):
        assert [(one.number, one.weight) for one in shown] == [(r.number, r.weight) for r in read]
        assert [one.label for one in shown] == [y[r.number] for r in read]


def test_memory_of_several_calls():
    X, y = texts()
    model = make_model("slots")
    classifier = FewShotClassifier(model).partial_fit(X[:5], y[:5]).partial_fit(X[5:], y[5:])
    (shown,) = classifier.explain([X[7]], len(X))
    assert sorted(one.number for one in shown) == list(range(len(X)))
    assert all(one.example == X[one.number] for one in shown)
    assert shown[0].example == X[7]
    assert sum(one.weight for one in shown) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", ["maml", "protomaml", "hybrid", "learn2learn"])
def test_similar_examples_of_gradient_learners(kind):
    X, y = texts()
    classifier = FewShotClassifier(make_model(kind)).fit(X, y)
    for number in range(3):
        (shown,) = classifier.explain([X[number]], len(X))
        assert shown[0] == SupportExample(number, X[number], y[number], shown[0].weight)
        assert sum(one.weight for one in shown) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_number_of_examples(kind):
    classifier = FewShotClassifier(make_model(kind)).fit(*texts())
    assert [len(shown) for shown in classifier.explain(["ab", "ef"])] == [3, 3]
    assert [len(shown) for shown in classifier.explain(["ab"], 100)] == [12]
    with pytest.raises(ArgumentError, match="count"):
        classifier.explain(["ab"], 0)


def test_examples_that_were_not_kept():
    classifier = FewShotClassifier(make_model("prior"), keep_examples=False).fit(*texts())
    with pytest.raises(ArgumentError, match="keep_examples=True"):
        classifier.explain(["abc"])
