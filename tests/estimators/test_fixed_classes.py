"""Models with a member that knows its classes: their names, their order, and other names."""

import numpy as np
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import FixedClassifier, ProtoNet, StackedLearner
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators import FewShotClassifier, UserStore
from l2l_rnn.training import Pretrained, SeriesInputs

KNOWN = ["walk", "rest", "jump"]
pytestmark = pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning")


class Scores(nn.Module):
    """Scores of `KNOWN`: the mean of each of three channels."""

    input_size, output_size = 3, 3

    def forward(self, x):
        return 5 * x.nanmean(-2)


def make_model(classes=KNOWN, stacked=True):
    if stacked:
        members = [FixedClassifier(nn.Identity(), 3, classes), ProtoNet(nn.Identity(), 3)]
        learner = StackedLearner(Scores(), 3, members)
    else:
        learner = FixedClassifier(Scores(), 3, classes)
    return Pretrained(learner.eval(), SeriesInputs(3, mean=0.0, std=1.0))


def series(*names, seed=0):
    """Return series with one large channel, that of their class."""
    draw = np.random.default_rng(seed)
    found = draw.normal(0, 0.3, (len(names), 3, 20))
    for one, name in zip(found, names, strict=True):
        one[KNOWN.index(name)] += 1
    return list(found)


@pytest.mark.parametrize("stacked", [True, False])
def test_classes_are_numbered_as_in_training(stacked):
    names = ["rest", "jump", "walk", "jump"]
    classifier = FewShotClassifier(make_model(stacked=stacked)).fit(series(*names), names)
    assert classifier.classes_.tolist() == sorted(KNOWN)
    assert classifier.counts_.tolist() == [2, 1, 1]
    assert classifier.predict(series(*names, seed=1)).tolist() == names


def test_a_class_without_examples_is_predicted_once_it_has_some():
    model, names = make_model(), ["walk", "jump"]
    classifier = FewShotClassifier(model).fit(series(*names), names)
    queries = series("rest", "walk", seed=1)
    assert classifier.predict(queries)[1] == "walk"
    assert classifier.predict_proba(queries)[:, sorted(KNOWN).index("rest")].tolist() == [0, 0]
    classifier.partial_fit(series("rest", seed=2), ["rest"])
    assert classifier.predict(queries).tolist() == ["rest", "walk"]
    every = [*names, "rest"]
    whole = FewShotClassifier(model).fit(series(*names) + series("rest", seed=2), every)
    np.testing.assert_allclose(
        classifier.predict_proba(queries), whole.predict_proba(queries), atol=1e-6
    )


@pytest.mark.parametrize("names", [["walk", "swim"], [0, 1], [True, False]])
def test_other_classes_are_refused(names):
    rows = series("walk", "jump")
    classifier = FewShotClassifier(make_model())
    with pytest.raises(ArgumentError, match=r"trained on, 'walk', 'rest', 'jump', got .*rename"):
        classifier.fit(rows, names)
    classifier.fit(rows, ["walk", "jump"])
    with pytest.raises(ArgumentError, match="rename your classes"):
        classifier.partial_fit(rows, names)
    with pytest.raises(ArgumentError, match="rename your classes"):
        classifier.partial_fit(rows[:1], ["walk"], classes=["walk", "swim"])
    assert classifier.predict(series("jump", seed=1)).tolist() == ["jump"]


def test_without_names_the_classes_are_integers():
    classifier = FewShotClassifier(make_model(None)).fit(series("walk", "jump"), [0, 2])
    assert classifier.classes_.tolist() == [0, 1, 2]
    assert classifier.predict(series("jump", seed=1)).tolist() == [2]
    with pytest.raises(ArgumentError, match="trained on, 0, 1, 2, got 'jump'"):
        classifier.fit(series("walk", "jump"), ["walk", "jump"])


def test_a_store_of_users_and_a_saved_model(tmp_path):
    model, names = make_model(), ["jump", "walk"]
    rows, queries = series(*names), series("walk", "jump", "walk", seed=1)
    classifier = FewShotClassifier(model).fit(rows, names)
    with UserStore(tmp_path / "users.db", model) as store:
        store.partial_fit("ann", rows, names)
        found = store.predict_proba("ann", queries)
        np.testing.assert_array_equal(found, classifier.predict_proba(queries))
        with pytest.raises(ArgumentError, match="rename your classes"):
            store.partial_fit("bob", rows, ["jump", "swim"])
    model.save_pretrained(tmp_path / "model")
    again = FewShotClassifier(Pretrained.from_pretrained(tmp_path / "model", model=Scores()))
    assert again.fit(rows, names).predict(queries).tolist() == ["walk", "jump", "walk"]


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "a"], [0, 1, 2, 3]])
def test_bad_names(classes):
    with pytest.raises(ArgumentError, match="classes must be 3 different names"):
        FixedClassifier(nn.Identity(), 3, classes)


def test_names_survive_clones_and_copies():
    learner = FixedClassifier(nn.Identity(), 3, tuple(KNOWN))
    assert learner.clone().classes == KNOWN
    learner = learner.clone()
    learner.write(torch.eye(3), torch.arange(3))
    assert learner(torch.eye(3)).argmax(-1).tolist() == [0, 1, 2]
