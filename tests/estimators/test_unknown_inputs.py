"""Scores of inputs that are like none of the classes."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators import FewShotClassifier, UnknownInputWarning, calibrate_unknown
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import Pretrained, SeriesInputs
from tests.estimators.models import LEARNERS, make_model, make_series_model, texts


class LastStep(nn.Module):
    """The last two steps of a series as its vector, which makes densities easy to compute."""

    output_size = 2

    def forward(self, x):
        return x[..., -2:, 0]


def plane(prior=None):
    """Return a model whose vectors are the points of the plane that it is called with."""
    return Pretrained(ProtoNet(LastStep(), 2, prior).eval(), SeriesInputs(1, 0.0, 1.0))


POINTS = [[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 2.0]]


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_text_without_a_known_character_has_the_score_1(kind):
    classifier = FewShotClassifier(make_model(kind)).fit(*texts())
    scores = classifier.unknown_score(["abc", "日本", "😀", "ab日本日本", "123"])
    assert scores[[1, 2, 4]].tolist() == [1, 1, 1]
    assert scores[0] < 1
    assert scores[3] >= 2 / 3
    assert ((scores >= 0) & (scores <= 1)).all()


def test_distances_of_plain_prototypes():
    classifier = FewShotClassifier(plane()).fit(POINTS, ["left", "left", "right", "right"])
    # The class means are (0, 1) and (10, 1), at a squared distance of 100.
    scores = classifier.unknown_score([[0.0, 1.0], [5.0, 1.0], [0.0, 11.0], [0.0, 101.0]])
    np.testing.assert_allclose(scores, [0, 25 / 125, 100 / 200, 10_000 / 10_100], rtol=1e-5)


def test_probability_of_a_new_class_under_a_prior():
    prior = GaussianPrior(2)
    prior.mean.copy_(torch.tensor([5.0, 0.0]))
    prior.variances.copy_(torch.tensor([9.0, 4.0]))
    classifier = FewShotClassifier(plane(prior)).fit(POINTS, ["left", "left", "right", "right"])
    x = np.array([[0.0, 1.0], [5.0, 1.0], [5.0, 9.0]])

    def density(mean, variance):
        square = ((x - mean) ** 2 / variance).sum(-1) + np.log(variance).sum()
        return np.exp(-square / 2) / (2 * np.pi)

    known = 0
    for left in (0.0, 10.0):
        # The posterior of a class mean, from two points with the average (left, 1).
        weight = 2 * np.array([9.0, 4.0]) / (2 * np.array([9.0, 4.0]) + 1)
        mean = np.array([5.0, 0.0]) + weight * (np.array([left, 1.0]) - np.array([5.0, 0.0]))
        known = known + density(mean, 1 + weight / 2)
    new = density(np.array([5.0, 0.0]), 1 + np.array([9.0, 4.0]))
    np.testing.assert_allclose(classifier.unknown_score(x), new / (new + known), rtol=1e-4)


def test_equal_probabilities_have_the_score_1():
    classifier = FewShotClassifier(make_model("slots"))
    classifier.fit(["ab", "ab", "ab"], ["ann", "bob", "cid"])
    np.testing.assert_allclose(classifier.unknown_score(["ab"]), [1], atol=1e-6)


@pytest.mark.parametrize("kind", ["protonet", "prior", "ensemble"])
def test_other_letters_score_higher(kind):
    classifier = FewShotClassifier(make_model(kind)).fit(*texts(("ann", "bob"), each=8))
    known, _ = texts(("ann", "bob"), each=20, seed=1)
    other, _ = texts(("eve", "dan"), each=20, seed=1)
    scores = classifier.unknown_score(known + other)
    assert roc_auc_score([0] * len(known) + [1] * len(other), scores) > 0.7


def test_predict_warns_or_marks():
    model = make_model("protonet")
    classifier = FewShotClassifier(model, unknown_above=1.0).fit(*texts())
    with pytest.warns(UnknownInputWarning, match=r"2 of 3 inputs .* \(rows 1, 2\)") as found:
        labels = classifier.predict(["abc", "日本", "123"])
    assert found[0].filename == __file__
    assert set(labels) <= {"ann", "bob", "cid"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classifier.predict(["abc"]).tolist() == ["ann"]
        classifier.set_params(unknown_label="?")
        assert classifier.predict(["abc", "日本"]).tolist() == ["ann", "?"]
        classifier.set_params(unknown_above=None)
        assert set(classifier.predict(["日本", "abc"])) <= {"ann", "bob", "cid"}
    classifier.set_params(unknown_above=0.0)
    assert classifier.predict(["abc"]).tolist() == ["?"]
    classifier.set_params(unknown_above=2)
    with pytest.raises(ArgumentError, match="unknown_above"):
        classifier.predict(["abc"])


def test_a_label_of_another_type():
    classifier = FewShotClassifier(make_model("protonet"), unknown_label=-1, unknown_above=1.0)
    assert classifier.fit(["ab", "ef"], [1, 2]).predict(["ab", "日"]).tolist() == [1, -1]
    assert classifier.predict(["ab", "日"]).dtype.kind == "i"
    classifier.set_params(unknown_label="no idea")
    assert classifier.predict(["ab", "日"]).tolist() == [1, "no idea"]


@pytest.mark.parametrize("kind", ["prior", "maml"])
def test_calibrated_scores_are_fractions_of_known_inputs(kind):
    tasksets = get_tasksets("languages", test_ways=3, test_samples=14)
    from l2l_rnn.training import TextInputs
    from tests.estimators import models

    vocabulary = tasksets.train.source.vocabulary
    size = dict(models.SIZE)
    models.SIZE["vocab_size"] = len(vocabulary)
    try:
        learner = models.make_learner(kind)
    finally:
        models.SIZE.update(size)
    model = Pretrained(learner, TextInputs(vocabulary, max_length=40))
    quantiles = calibrate_unknown(model, tasksets.validation, shots=4, tasks=40)
    assert model.settings["unknown_quantiles"] == quantiles
    assert quantiles == sorted(quantiles)
    assert len(quantiles) == 101
    source = tasksets.validation.source
    names, rng, scores = np.array(source.texts), np.random.default_rng(0), []
    labels = np.asarray(source.labels)
    for _ in range(30):
        chosen = rng.choice(np.unique(labels), 3, replace=False)
        rows = [rng.permutation(np.flatnonzero(labels == c))[:14] for c in chosen]
        support, queries = (
            np.concatenate([r[part] for r in rows]) for part in (slice(4), slice(4, None))
        )
        classifier = FewShotClassifier(model).fit(names[support], labels[support])
        scores.append(classifier.unknown_score(names[queries]))
    found = np.concatenate(scores)
    assert abs((found > 0.9).mean() - 0.1) < 0.04
    assert abs((found > 0.5).mean() - 0.5) < 0.06


def test_bad_calibration():
    model = make_series_model()
    with pytest.raises(ArgumentError, match="tasks"):
        calibrate_unknown(model, None, tasks=0)
