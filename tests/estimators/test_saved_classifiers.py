"""Fitted classifiers that are pickled, copied and saved answer as before, to the last bit."""

import copy
import io
import json
import pickle
import warnings

import joblib
import numpy as np
import pytest
import torch

from l2l_rnn.errors import ArgumentError, DataError, L2LRNNError
from l2l_rnn.estimators import FewShotClassifier
from tests.estimators.models import (
    LEARNERS,
    TorchClassifier,
    make_model,
    make_series_model,
    series,
    texts,
)

pytestmark = pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning")
kinds = pytest.mark.parametrize("kind", LEARNERS)


def dumped(classifier):
    file = io.BytesIO()
    joblib.dump(classifier, file)
    file.seek(0)
    return joblib.load(file)


def check_same(one, other, queries, more, labels):
    for call in ("predict", "predict_proba", "decision_function", "unknown_score"):
        np.testing.assert_array_equal(getattr(one, call)(queries), getattr(other, call)(queries))
    assert one.classes_.dtype == other.classes_.dtype
    assert one.counts_.tolist() == other.counts_.tolist()
    for a, b in zip(one.explain(queries), other.explain(queries), strict=True):
        assert [(x.number, x.label, x.weight) for x in a] == [
            (x.number, x.label, x.weight) for x in b
        ]
    for classifier in (one, other):
        classifier.partial_fit(more, labels)
    np.testing.assert_array_equal(one.predict_proba(queries), other.predict_proba(queries))


def test_folders_of_models_and_of_classifiers_are_distinguished(tmp_path):
    model = make_model("protonet")
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(DataError, match=r"got a model .* use FewShotClassifier.from_pretrained"):
        FewShotClassifier.load(tmp_path / "model")
    FewShotClassifier(model).fit(["a", "b"], [0, 1]).save(tmp_path / "classifier")
    with pytest.raises(DataError, match=r"a classifier .* use FewShotClassifier.load"):
        FewShotClassifier.from_pretrained(tmp_path / "classifier")
    with pytest.raises(DataError, match=r"classifier\.json"):
        FewShotClassifier.load(tmp_path)


@kinds
@pytest.mark.parametrize("again", [dumped, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies(kind, again):
    X, y = texts()
    classifier = FewShotClassifier(make_model(kind), unknown_label="?").fit(X, y)
    check_same(classifier, again(classifier), ["abcd", "efgh", "xyz!"], ["aaaa"], ["ann"])


def test_a_pickle_holds_the_model_once():
    model = make_model("ensemble")
    one = FewShotClassifier(model).fit(*texts())
    assert len(pickle.dumps(one)) < len(pickle.dumps(model)) + 12_000


def test_a_classifier_that_was_not_fitted_is_pickled():
    classifier = FewShotClassifier(make_model("protonet"), steps=2)
    assert dumped(classifier).steps == 2


@kinds
def test_folders(kind, tmp_path):
    X, y = texts()
    model = make_model(kind, settings={"unknown_quantiles": [-1.0, 0.0, 2.0]})
    options = {"unknown_label": "?", "unknown_above": 0.9, "steps": 2}
    classifier = FewShotClassifier(model, **options).fit(X, y).partial_fit(["mnop"], ["dan"])
    classifier.save(tmp_path / "saved")
    if kind == "learn2learn":  # its model is not configurable
        with pytest.raises(L2LRNNError, match=r"model="):
            FewShotClassifier.load(tmp_path / "saved")
        loaded = FewShotClassifier.load(tmp_path / "saved", model=make_model(kind).learner)
    else:
        loaded = FewShotClassifier.load(tmp_path / "saved")
    assert {n: v for n, v in loaded.get_params().items() if n in options} == options
    check_same(classifier, loaded, ["abcd", "efgh", "xyz!"], ["aaaa"], ["ann"])
    assert loaded.explain(["abcd"])[0][0].example in [*X, "mnop", "aaaa"]


def test_series_come_back_as_arrays(tmp_path):
    X, y = series()
    classifier = FewShotClassifier(make_series_model()).fit(X, y)
    classifier.save(tmp_path)
    loaded = FewShotClassifier.load(tmp_path)
    shown = loaded.explain(X[:1])[0][0]
    np.testing.assert_allclose(shown.example.ravel(), X[shown.number], rtol=1e-6)
    check_same(classifier, loaded, X, X[:1], y[:1])


def test_columns_are_saved(tmp_path):
    X = np.random.default_rng(0).normal(size=(6, 4))
    FewShotClassifier(make_series_model()).fit(X, [0, 1] * 3).save(tmp_path)
    loaded = FewShotClassifier.load(tmp_path)
    assert loaded.n_features_in_ == 4
    with pytest.raises(ValueError, match="expecting 4 features"):
        loaded.predict(X[:, :2])


def test_without_examples(tmp_path):
    FewShotClassifier(make_model("prior"), keep_examples=False).fit(*texts()).save(tmp_path)
    assert b"abc" not in b"".join(p.read_bytes() for p in tmp_path.glob("*.*"))
    loaded = FewShotClassifier.load(tmp_path)
    with pytest.raises(L2LRNNError, match="were not kept"):
        loaded.explain(["abc"])


def test_saving_again_replaces_the_files(tmp_path):
    classifier = FewShotClassifier(make_model("prior")).fit(*texts())
    classifier.save(tmp_path)
    first = {path.name for path in tmp_path.iterdir()}
    classifier.partial_fit(["mnop"], ["dan"]).save(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(first)
    assert FewShotClassifier.load(tmp_path).classes_.tolist() == ["ann", "bob", "cid", "dan"]


def test_a_failed_save_keeps_the_earlier_one(tmp_path, monkeypatch):
    classifier = FewShotClassifier(make_model("prior")).fit(*texts())
    classifier.save(tmp_path)
    expected = classifier.predict_proba(["abc"])

    def full(*args, **options):
        raise OSError("no space left")

    monkeypatch.setattr("l2l_rnn.estimators.folders.write_json", full)
    with pytest.raises(OSError, match="no space left"):
        classifier.partial_fit(["mnop"], ["dan"]).save(tmp_path)
    monkeypatch.undo()
    np.testing.assert_array_equal(FewShotClassifier.load(tmp_path).predict_proba(["abc"]), expected)


def test_what_cannot_be_saved(tmp_path):
    classifier = FewShotClassifier(make_model("prior"), unknown_label=("a", "b"))
    with pytest.raises(L2LRNNError, match="unknown_label must be"):
        classifier.fit(*texts()).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_bad_folders(tmp_path):
    with pytest.raises(DataError, match=r"classifier\.json"):
        FewShotClassifier.load(tmp_path)
    FewShotClassifier(make_model("prior")).fit(*texts()).save(tmp_path)
    path = tmp_path / "classifier.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "version": 2}))
    with pytest.raises(DataError, match=r"version 1, got .* version 2"):
        FewShotClassifier.load(tmp_path)
    path.write_text(json.dumps({**content, "files": {"user": "../user-1.safetensors"}}))
    with pytest.raises(DataError, match="everything that save"):
        FewShotClassifier.load(tmp_path)


@pytest.mark.parametrize("pattern", ["classifier.json", "user-*", "examples-*"])
def test_damaged_files_are_refused(tmp_path, pattern):
    classifier = FewShotClassifier(make_model("prior")).fit(*texts())
    classifier.save(tmp_path)
    (path,) = tmp_path.glob(pattern)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    expected = classifier.predict_proba(["abc"])
    for _ in range(60):
        bad = bytearray(good)
        at = int(rng.integers(len(bad)))
        bad[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad) if rng.random() < 0.7 else good[:at])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = FewShotClassifier.load(tmp_path)
        except L2LRNNError:
            continue
        assert pattern == "classifier.json"  # names and parameters have no checksum
        assert np.shape(loaded.predict_proba(["abc"])) == expected.shape


def test_nothing_is_unpickled(tmp_path):
    FewShotClassifier(make_model("prior")).fit(*texts()).save(tmp_path)
    (path,) = tmp_path.glob("user-*")
    path.write_bytes(pickle.dumps(TorchClassifier()))
    with pytest.raises(DataError):
        FewShotClassifier.load(tmp_path)


def trained_on(learner):
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.1)


@pytest.mark.parametrize("kind", ["prior", "slots", "maml"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_learner_in_training_mode_may_be_trained_on(kind, whole, tmp_path):
    model = make_model(kind)
    model.learner.train()
    options = {"model": model} if whole else {"model": model.learner, "inputs": model.inputs}
    classifier = FewShotClassifier(**options).fit(*texts())
    expected = classifier.predict_proba(["abcd", "efgh"])
    trained_on(model.learner)
    classifier.save(tmp_path)
    loaded = (FewShotClassifier.load(tmp_path), pickle.loads(pickle.dumps(classifier)))
    for one in (classifier, *loaded):
        np.testing.assert_array_equal(one.predict_proba(["abcd", "efgh"]), expected)
    for one in (classifier, *loaded):
        assert one.partial_fit(["aaaa"], ["ann"]).counts_.sum() == 13


@pytest.mark.parametrize("kind", ["prior", "slots", "maml"])
def test_a_learner_in_evaluation_mode_must_not_be_trained_on(kind, tmp_path):
    model = make_model(kind)
    classifier = FewShotClassifier(model).fit(*texts())
    calls = (
        lambda: classifier.predict(["abcd"]),
        lambda: classifier.partial_fit(["abcd"], ["ann"]),
        lambda: classifier.explain(["abcd"]),
        lambda: classifier.save(tmp_path / "saved"),
        lambda: pickle.dumps(classifier),
    )
    model.learner.train()
    for call in calls:
        with pytest.raises(ArgumentError, match=r"evaluation mode.*call eval\(\)"):
            call()
    trained_on(model.learner.eval())
    for call in calls:
        with pytest.raises(ArgumentError, match=r"weights.*call fit again"):
            call()
    assert not (tmp_path / "saved").exists()
    assert classifier.fit(*texts()).predict(["abcd"]).shape == (1,)


def test_a_learner_with_the_same_weights_again_is_unchanged():
    model = make_model("prior")
    classifier = FewShotClassifier(model).fit(*texts())
    expected = classifier.predict_proba(["abcd"])
    model.learner.load_state_dict(copy.deepcopy(model.learner.state_dict()))
    np.testing.assert_array_equal(classifier.predict_proba(["abcd"]), expected)
