"""The baselines on pretrained sentence encoders."""

import dataclasses

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from benchmarks.few_shot.methods.baselines import setfit
from benchmarks.few_shot.methods.baselines.sentence_vectors import (
    CLASSIFIERS,
    SentenceVectors,
    is_available,
    why_unavailable,
)
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.errors import MissingExtraError, UnknownNameError
from tests.models.frozen.tiny import NAME, weights


@pytest.fixture(scope="module")
def problem():
    spec = dataclasses.replace(SPECS["languages"], taskset="intents")
    return ClassificationProblem(spec, seed=0, device=torch.device("cpu"), test_tasks=4)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_accuracies_are_those_of_the_classifier_on_each_task(problem, tmp_path, classifier):
    options = {"source": NAME, "cache": tmp_path, "max_length": 30}
    method = SentenceVectors(problem, "it", classifier=classifier, **options)
    tasks = problem.evaluation_tasks("test", 5, 4)
    scores = method.accuracies(tasks)
    assert scores.shape == (4,)
    vectors = method.vectors(tasks)
    assert vectors.shape == (len(problem.test), method.encoder.output_size)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors)))
    index = tasks.index
    for n, score in enumerate(scores):
        x, y = vectors[index.support_x[n].flatten()], index.support_y[n]
        query = vectors[index.query_x[n].flatten()]
        if classifier == "class means":
            means = torch.stack([x[y == label].mean(0) for label in range(5)])
            predicted = ((query.unsqueeze(1) - means) ** 2).sum(-1).argmin(-1)
        else:
            model = LogisticRegression(max_iter=1000).fit(x.numpy(), y.numpy())
            predicted = torch.from_numpy(model.predict(query.numpy()))
        assert score == (predicted == index.query_y[n]).double().mean()


def test_availability_depends_on_the_encoder_or_the_cache(problem, tmp_path):
    options = {"source": NAME, "cache": tmp_path / "cache", "max_length": 29}
    assert is_available(problem.test.texts, **options)
    with weights(None):
        assert "not on this machine" in why_unavailable(**options)
    SentenceVectors(problem, "it", **options).evaluate(problem.columns[0])
    with weights(None):
        assert is_available(**options)
        assert is_available(problem.test.texts, **options)
        assert not is_available(["the cat sat"], **options)
        assert "1 of 1 rows are not in the cache" in why_unavailable(["the cat sat"], **options)


def test_an_unknown_classifier(problem, tmp_path):
    with pytest.raises(UnknownNameError, match="unknown classifier 'mean'"):
        SentenceVectors(problem, "it", classifier="mean", source=NAME, cache=tmp_path)


@pytest.mark.skipif(setfit.is_available(), reason="SetFit is installed")
def test_setfit_says_what_it_needs(problem):
    with pytest.raises(
        MissingExtraError, match=r"the baseline SetFit needs .*pip install"
    ) as error:
        setfit.SetFit(problem, "it")
    assert setfit.why_unavailable() == str(error.value)


@pytest.mark.slow
@pytest.mark.skipif(not setfit.is_available(), reason="needs SetFit and torch 2.6")
def test_setfit_learns_a_task_and_starts_each_from_the_same_encoder(problem, capsys):
    tasks = problem.evaluation_tasks("test", 5, 2)
    method = setfit.SetFit(problem, "it", tasks=1, max_steps=2)
    scores = method.accuracies(tasks)
    assert scores.shape == (1,)
    assert scores[0] > 0.5
    before = {name: value.clone() for name, value in method.body.state_dict().items()}
    torch.testing.assert_close(method.accuracies(tasks), scores)
    assert all(torch.equal(before[name], p) for name, p in method.body.state_dict().items())
    assert "it/s" not in capsys.readouterr().err
