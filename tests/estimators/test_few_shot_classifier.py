"""Fitting and predicting, compared with the learners that do the work."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, L2LRNNError, ShapeError
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.training import Pretrained, TextInputs, adapted
from tests.estimators.models import (
    ALPHABETS,
    LEARNERS,
    REFITS,
    VOCABULARY,
    make_learner,
    make_model,
    make_series_model,
    series,
    texts,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::l2l_rnn.estimators.UnknownInputWarning"  # has tests of its own
)
# Kinds that keep what they need of the support set, for any number of classes.
WITH_SUPPORT = ("protonet", "prior", "ensemble", "ridge", "logistic", "signatures")
WITH_SUPPORT += ("tfidf", "stacked")
kinds = pytest.mark.parametrize("kind", LEARNERS)


def fitted(kind, **options):
    return FewShotClassifier(make_model(kind), **options).fit(*texts())


@kinds
def test_probabilities_are_those_of_the_learner(kind):
    model = make_model(kind)
    X, y = texts()
    classifier = FewShotClassifier(model).fit(X, y)
    learner = copy.deepcopy(model.learner)
    if kind in WITH_SUPPORT:
        learner.ways = 3
    support, labels = model.inputs(X), torch.tensor([["ann", "bob", "cid"].index(n) for n in y])
    if kind == "protomaml":  # it takes any number of classes, unlike `adapted`
        reference = learner.clone()
        reference.write(support, labels, 3)
        reference.adapt(torch.nn.functional.cross_entropy(reference(support), labels))
    else:
        reference = adapted(learner, support, labels)
    queries, _ = texts(seed=1)
    expected = reference(model.inputs(queries))[:, :3].detach().softmax(-1).numpy()
    np.testing.assert_allclose(classifier.predict_proba(queries), expected, atol=1e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize("kind", [*WITH_SUPPORT, "slots"])
def test_separate_classes_are_distinguished(kind):
    queries, labels = texts(each=10, seed=1)
    assert fitted(kind).score(queries, labels) > 0.8


@kinds
def test_the_model_is_shared_and_unchanged(kind):
    model = make_model(kind)
    before = {name: value.clone() for name, value in model.learner.state_dict().items()}
    one = FewShotClassifier(model).fit(*texts())
    first = one.predict_proba(["abc"])
    FewShotClassifier(model).fit(*texts(("dan", "eve"))).predict(["mno"])
    after = model.learner.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert before.keys() == after.keys()
    np.testing.assert_array_equal(one.predict_proba(["abc"]), first)


def test_users_of_a_protonet_share_the_memory_of_the_encoder():
    model = make_model("ensemble")
    one = FewShotClassifier(model).fit(*texts())
    assert one.learner_.module is model.learner.module


@kinds
def test_further_examples_and_classes(kind):
    X, y = texts(("bob", "dan", "eve"))
    more, labels = ["abcd", "aabb", "efgh"], ["ann", "ann", "bob"]
    queries, _ = texts(("ann", "bob", "dan"), seed=1)
    steps = FewShotClassifier(make_model(kind)).partial_fit(X, y).partial_fit(more, labels)
    assert steps.classes_.tolist() == ["ann", "bob", "dan", "eve"]
    assert steps.counts_.tolist() == [2, 5, 4, 4]
    once = FewShotClassifier(make_model(kind)).fit(X + more, y + labels)
    same = np.abs(steps.predict_proba(queries) - once.predict_proba(queries)).max() < 1e-5
    if kind in (
        "maml",
        "learn2learn",
    ):  # their outputs of new classes differ from those of old ones
        assert not same
    else:
        assert same == (kind in REFITS or kind in WITH_SUPPORT)


def test_a_memory_learner_writes_further_examples_after_earlier_ones():
    model = make_model("slots")
    X, y = texts(each=2)
    classifier = FewShotClassifier(model).partial_fit(X[:4], y[:4]).partial_fit(X[4:], y[4:])
    learner = model.learner.clone()
    labels = torch.tensor([["ann", "bob", "cid"].index(n) for n in y])
    learner.write(model.inputs(X[:4]), labels[:4])
    learner.write(model.inputs(X[4:]), labels[4:])
    expected = learner(model.inputs(["abc", "ijk"]))[:, :3].softmax(-1).detach()
    np.testing.assert_allclose(classifier.predict_proba(["abc", "ijk"]), expected, atol=1e-5)


@pytest.mark.parametrize(
    "kind", ["protonet", "ridge", "logistic", "signatures", "stacked", "slots", "maml"]
)
def test_classes_without_examples_are_not_predicted(kind):
    X, y = texts(("bob", "cid"))
    classifier = FewShotClassifier(make_model(kind))
    classifier.partial_fit(X, y, classes=["ann", "bob", "cid", "dan"])
    probabilities = classifier.predict_proba(["abcd", "efgh", "mnop"])
    assert classifier.counts_.tolist() == [0, 4, 4, 0]
    assert (probabilities[:, [0, 3]] < 1e-6).all()
    assert set(classifier.predict(["abcd", "efgh", "mnop"])) <= {"bob", "cid"}
    classifier.partial_fit(["abcd"], ["ann"])
    assert classifier.counts_.tolist() == [1, 4, 4, 0]
    assert (classifier.predict_proba(["abcd"])[:, 0] > 1e-6).all()


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        ([3, 1, 2], "int64"),
        (np.array([3, 1, 2], np.int8), "int8"),
        ([2.0, 0.0, 1.0], "float64"),
        (["c", "a", "bb"], "<U2"),
        (np.array(["c", "a", "bb"], object), "object"),
        (pd.Series(["c", "a", "bb"]), "object"),
        (torch.tensor([3, 1, 2]), "int64"),
    ],
)
def test_labels_come_back_as_they_were(labels, dtype):
    classifier = FewShotClassifier(make_model("protonet"))
    classifier.fit(["abcd", "efgh", "ijkl"], labels)
    predicted = classifier.predict(["abcd", "efgh", "ijkl"])
    assert classifier.classes_.dtype == dtype
    assert predicted.dtype == dtype
    assert list(predicted) == list(np.asarray(labels))
    assert list(classifier.classes_) == sorted(np.asarray(labels))


def test_two_classes_of_bool():
    classifier = FewShotClassifier(make_model("prior")).fit(["abcd", "efgh"], [True, False])
    assert classifier.predict(["dcba"]).tolist() == [True]
    assert classifier.decision_function(["dcba", "hgfe"]).shape == (2,)
    assert (classifier.decision_function(["dcba", "hgfe"]) > 0).tolist() == [True, False]


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        lambda X: np.array(X, object),
        lambda X: np.array(X).reshape(-1, 1),
        pd.Series,
        lambda X: pd.DataFrame({"text": X}),
        lambda X: pd.Series(X, index=range(100, 100 + len(X)), dtype="string"),
    ],
)
def test_formats_of_texts(make):
    X, y = texts()
    expected = fitted("ensemble").predict_proba(X)
    found = FewShotClassifier(make_model("ensemble")).fit(make(X), y)
    np.testing.assert_array_equal(found.predict_proba(make(X)), expected)
    assert [one[0].example for one in found.explain(make(X[:3]), 1)] == [
        one[0].example for one in fitted("ensemble").explain(X[:3], 1)
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda X: X,
        lambda X: [wave.reshape(1, -1) for wave in X],
        lambda X: [torch.tensor(wave) for wave in X],
        lambda X: [wave.tolist() for wave in X],
        lambda X: np.array([np.pad(w, (0, 20 - len(w)), constant_values=np.nan) for w in X]),
        lambda X: np.array(X, object),
        lambda X: pd.DataFrame({"wave": [pd.Series(wave) for wave in X]}),
        pd.Series,
    ],
)
def test_formats_of_series(make):
    X, y = series()
    expected = FewShotClassifier(make_series_model()).fit(X, y)
    found = FewShotClassifier(make_series_model()).fit(make(X), y)
    queries, labels = series(seed=1)
    np.testing.assert_allclose(
        found.predict_proba(make(queries)), expected.predict_proba(queries), atol=1e-6
    )
    assert expected.score(queries, labels) > 0.6


def test_a_long_frame_of_series_has_one_row_for_each_step():
    X, y = series(each=2)
    index = [(n, t) for n, wave in enumerate(X) for t in range(len(wave))]
    frame = pd.DataFrame(
        {"value": np.concatenate(X)}, index=pd.MultiIndex.from_tuples(index, names=["id", "t"])
    )
    found = FewShotClassifier(make_series_model()).fit(frame, y)
    expected = FewShotClassifier(make_series_model()).fit(X, y)
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=1e-6)
    shown = found.explain(X[:1])[0][0]
    np.testing.assert_allclose(shown.example.ravel(), X[shown.number], rtol=1e-6)


@pytest.mark.parametrize("kind", ["protonet", "prior", "slots"])
def test_support_order_changes_nothing(kind):
    X, y = texts()
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = FewShotClassifier(make_model(kind)).fit(np.array(X)[order], np.array(y)[order])
    expected = fitted(kind).predict_proba(X)
    np.testing.assert_allclose(shuffled.predict_proba(X), expected, atol=1e-5)


def test_many_inputs_are_scored_in_chunks():
    classifier = fitted("ensemble")
    X = texts(each=200)[0]
    whole = classifier.predict_proba(X)
    parts = np.concatenate([classifier.predict_proba(X[n : n + 100]) for n in range(0, 600, 100)])
    np.testing.assert_allclose(whole, parts, atol=1e-5)


def test_numbers_of_classes():
    X, y = texts(ALPHABETS)
    for kind in ("protonet", "ensemble", "protomaml", "slots", "maml"):  # up to five, or any number
        assert len(FewShotClassifier(make_model(kind)).fit(X, y).classes_) == 5
    X, y = [*X, "aaa"], [*y, "new"]
    for kind, what in {"slots": "value_size", "maml": "head", "learn2learn": "head"}.items():
        with pytest.raises(ArgumentError, match=f"at most 5 classes, .*{what}.*got 6"):
            FewShotClassifier(make_model(kind)).fit(X, y)
    assert len(FewShotClassifier(make_model("protonet")).fit(X, y).classes_) == 6


@kinds
def test_a_failed_call_changes_nothing(kind):
    classifier = fitted(kind, keep_examples=kind in REFITS)
    before = classifier.predict_proba(["abc", "efg"])
    state = dict(vars(classifier))
    many = [str(n) for n in range(6)]
    bad = [(["abc"], ["x", "y"]), ([""], ["ann"]), (["abc"], [3]), ([3.5], ["ann"])]
    if kind not in (
        "protonet",
        "prior",
        "ensemble",
        "ridge",
        "logistic",
        "tfidf",
        "stacked",
        "signatures",
        "protomaml",
    ):
        bad.append((["abc"] * 6, many))
    for X, y in bad:
        with pytest.raises(L2LRNNError):
            classifier.partial_fit(X, y)
        with pytest.raises(L2LRNNError):
            classifier.fit(X, y)
    assert vars(classifier) == state
    np.testing.assert_array_equal(classifier.predict_proba(["abc", "efg"]), before)


def test_gradient_learners_need_their_examples():
    classifier = FewShotClassifier(make_model("maml"), keep_examples=False).fit(*texts())
    with pytest.raises(ArgumentError, match="keep_examples=True"):
        classifier.partial_fit(["abc"], ["ann"])
    classifier = FewShotClassifier(make_model("slots"), keep_examples=False).fit(*texts())
    assert classifier.partial_fit(["abc"], ["ann"]).counts_.sum() == 13


def test_more_steps_adapt_further():
    one, five = (fitted("maml", steps=steps) for steps in (1, 5))
    X, y = texts()
    assert five.score(X, y) >= one.score(X, y)
    assert np.abs(five.predict_proba(X) - one.predict_proba(X)).max() > 1e-3
    model = make_model("maml", steps=5)
    np.testing.assert_array_equal(
        FewShotClassifier(model).fit(X, y).predict_proba(X), five.predict_proba(X)
    )


@pytest.mark.parametrize("kind", ["protonet", "maml"])
def test_a_learner_in_training_mode_predicts_without_dropout(kind):
    from l2l_rnn.algorithms import MAML, ProtoNet
    from l2l_rnn.models import SequenceClassifier, SequenceEncoder

    size = {"vocab_size": len(VOCABULARY), "num_layers": 2, "dropout": 0.5, "hidden_size": 8}
    torch.manual_seed(0)
    if kind == "maml":
        learner = MAML(SequenceClassifier(5, **size), lr=0.1)
    else:
        learner = ProtoNet(SequenceEncoder(**size), ways=2)
    learner.train()
    inputs = TextInputs(VOCABULARY, max_length=20)
    one, other = (FewShotClassifier(learner, inputs=inputs).fit(*texts()) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(["abc"]), other.predict_proba(["abc"]))
    assert all(module.training for module in learner.modules())


def test_calls_in_inference_mode_and_without_gradients():
    for kind in ("protonet", "maml", "slots"):
        model = make_model(kind)
        expected = FewShotClassifier(model).fit(*texts()).predict_proba(["abc"])
        for mode in (torch.inference_mode, torch.no_grad):
            with mode():
                classifier = FewShotClassifier(model).fit(*texts())
                np.testing.assert_allclose(classifier.predict_proba(["abc"]), expected, atol=1e-6)
            classifier.partial_fit(["abc"], ["ann"])


def test_clone_shares_the_model_and_nothing_else():
    classifier = fitted("protonet", steps=3, unknown_label="?")
    twin = clone(classifier)
    assert twin.get_params() == classifier.get_params()
    assert twin.model is classifier.model
    with pytest.raises(NotFittedError):
        twin.predict(["abc"])


def test_a_protonet_ignores_steps():
    expected = fitted("prior").predict_proba(["abc"])
    np.testing.assert_array_equal(fitted("prior", steps=7).predict_proba(["abc"]), expected)


@pytest.mark.parametrize("name", ["model", "inputs", "steps"])
def test_parameters_of_the_model_need_a_new_fit(name):
    model = make_model("slots")
    classifier = FewShotClassifier(model.learner, inputs=model.inputs).fit(*texts())
    other = {"model": make_learner("slots"), "inputs": make_model("slots").inputs, "steps": 3}
    expected = classifier.predict_proba(["abc"])
    classifier.set_params(**{name: other[name]})
    with pytest.raises(ArgumentError, match=f"{name} must be the one .*call fit again"):
        classifier.partial_fit(["abc"], ["ann"])
    np.testing.assert_array_equal(classifier.predict_proba(["abc"]), expected)
    assert classifier.fit(*texts()).partial_fit(["abc"], ["ann"]).counts_.sum() == 13


def test_search_and_cross_validation():
    X, y = texts(each=8)
    search = GridSearchCV(FewShotClassifier(make_model("slots")), {"steps": [1, 3]}, cv=2)
    search.fit(X, y)
    assert search.best_params_["steps"] in (1, 3)
    assert search.best_estimator_.predict(["abcd"]).shape == (1,)
    model = FewShotClassifier(make_model("ensemble"))
    assert cross_val_score(model, np.array(X), y, cv=4).mean() > 0.7
    waves, labels = series()
    assert len(cross_val_score(FewShotClassifier(make_series_model()), waves, labels, cv=2)) == 2


def test_pipelines():
    lower = FunctionTransformer(lambda X: [text.lower() for text in X])
    pipeline = make_pipeline(lower, FewShotClassifier(make_model("ensemble")))
    X, y = texts()
    pipeline.fit([text.upper() for text in X], y)
    np.testing.assert_array_equal(
        pipeline.predict_proba(["ABC"]), fitted("ensemble").predict_proba(["abc"])
    )
    pipeline.set_params(fewshotclassifier__steps=2)
    assert pipeline.get_params()["fewshotclassifier__steps"] == 2


@pytest.mark.parametrize(
    ("X", "y", "error", "match"),
    [
        (["abc", "abd"], ["ann", "ann"], ArgumentError, "at least two classes, got 1 class, 'ann'"),
        (["abc", ""], ["ann", "bob"], DataError, "row 1 must hold a text, got an empty one"),
        (["abc", " "], ["ann", "bob"], DataError, "row 1"),
        (["abc", None], ["ann", "bob"], DataError, "row 1 must hold a text, got None"),
        (["abc", np.nan], ["ann", "bob"], DataError, "row 1 must hold a text, got nan"),
        (["abc", 3], ["ann", "bob"], ArgumentTypeError, "this model reads texts"),
        (["abc", b"x"], ["ann", "bob"], ArgumentTypeError, "decode"),
        (np.ones((2, 3)), ["ann", "bob"], L2LRNNError, "this model reads texts"),
        ("abc", ["ann"], ArgumentTypeError, r"pass \[text\]"),
        ([], [], DataError, "at least one text"),
        (["abc", "efg"], ["ann"], ShapeError, "2 in all, got 1"),
        (["abc", "efg"], None, ArgumentError, "target y is None"),
        (["abc", "efg"], ["ann", 3], ArgumentTypeError, "all str, all int"),
        (["abc", "efg"], [0.5, 0.25], ValueError, "continuous"),
        (["abc", "efg"], [0.0, np.nan], DataError, "row 1 of y must hold a class name, got nan"),
        (["abc", "efg"], ["ann", None], DataError, "row 1 of y must hold .* got None .*drop the"),
        (["abc", "efg"], "es", ArgumentTypeError, r"y must be a list .* got str; .*\['es'\]"),
        ({"abc", "efg"}, ["ann", "bob"], ArgumentTypeError, r"got set, which .* sorted\(X\)"),
        (None, ["ann"], ArgumentTypeError, "NoneType"),
        (3, ["ann"], ArgumentTypeError, "got int"),
        ((text for text in ["abc", "efg"]), ["ann", "bob"], ArgumentTypeError, r"list\(X\)"),
    ],
)
def test_bad_examples(X, y, error, match):
    with pytest.raises(error, match=match):
        FewShotClassifier(make_model("protonet")).fit(X, y)


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        (["abc", "abd"], ArgumentTypeError, "model reads time series"),
        (np.ones(3), ShapeError, "Reshape your data"),
        (np.array([[1.0, np.nan, 2.0], [1.0, 1.0, 1.0]]), DataError, "NaN only at its end"),
        (np.array([[1.0, np.inf], [1.0, 1.0]]), DataError, "infinite"),
        ([np.ones(3), np.ones(0)], DataError, "at least one step"),
        (np.ones((2, 2, 3)), ShapeError, "F=1 channels, got 2"),
        (np.ones((2, 3), complex), ArgumentError, "Complex data not supported"),
    ],
)
def test_bad_series(X, error, match):
    with pytest.raises(error, match=match):
        FewShotClassifier(make_series_model()).fit(X, [0, 1])


def test_columns_must_be_those_of_fit():
    X = np.random.default_rng(0).normal(size=(6, 4))
    frame = pd.DataFrame(X, columns=list("abcd"))
    classifier = FewShotClassifier(make_series_model()).fit(frame, [0, 1] * 3)
    assert classifier.n_features_in_ == 4
    assert classifier.feature_names_in_.tolist() == list("abcd")
    assert classifier.predict(frame).shape == (6,)
    with pytest.raises(ArgumentError, match="feature names"):
        classifier.predict(frame.rename(columns={"a": "x"}))
    with (
        pytest.warns(UserWarning, match="does not have valid feature names"),
        pytest.raises(ArgumentError, match="3 features, but FewShotClassifier is expecting 4"),
    ):
        classifier.predict(X[:, :3])
    classifier.fit(X, [0, 1] * 3)
    assert classifier.predict(list(X[:, :3])).shape == (6,)  # a list has series of any length


@pytest.mark.parametrize("call", ["predict", "predict_proba", "explain", "unknown_score"])
def test_an_estimator_that_was_not_fitted(call):
    with pytest.raises(NotFittedError, match="call fit"):
        getattr(FewShotClassifier(make_model("protonet")), call)(["abc"])
    assert not hasattr(FewShotClassifier(make_model("protonet")), "classes_")


def test_one_class_so_far_cannot_be_predicted():
    classifier = FewShotClassifier(make_model("protonet")).partial_fit(["abc"], ["ann"])
    with pytest.raises(ArgumentError, match="at least two classes must have examples, got 1"):
        classifier.predict(["abc"])
    assert classifier.partial_fit(["efg"], ["bob"]).predict(["abc"]).tolist() == ["ann"]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"model": make_learner("protonet")}, ArgumentError, "needs inputs"),
        ({"model": torch.nn.Linear(2, 2)}, ArgumentTypeError, "got Linear"),
        ({"model": 3}, ArgumentTypeError, "got int"),
        ({"model": make_learner("protonet").clone(tasks=2)}, ArgumentError, "must not hold tasks"),
        ({"model": "no/such/model/here"}, L2LRNNError, "no/such/model/here"),
        (
            {"model": make_model("protonet"), "inputs": TextInputs(VOCABULARY, 5)},
            ArgumentError,
            "inputs must be None",
        ),
        ({"model": Pretrained(make_learner("protonet"))}, ArgumentError, "must have inputs"),
        ({"model": make_model("maml"), "steps": 0}, ArgumentError, "steps"),
    ],
)
def test_bad_parameters(options, error, match):
    with pytest.raises(error, match=match):
        FewShotClassifier(**options).fit(*texts())


def test_classes_must_hold_those_of_y():
    with pytest.raises(ArgumentError, match="got 'bob' in y only"):
        FewShotClassifier(make_model("protonet")).partial_fit(["efg"], ["bob"], classes=["ann"])
