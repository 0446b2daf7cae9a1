"""The method that joins a trained encoder with TF-IDF."""

import numpy as np
import pytest
import torch

from benchmarks.few_shot.methods.baselines.tfidf import NgramRegression
from benchmarks.few_shot.methods.closed_form import ClosedFormMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.stacked import BASES, StackedMethod
from benchmarks.few_shot.methods.transfer import PretrainedPrior
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.algorithms import ProtoNet, StackedLearner
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.functional import accuracy
from l2l_rnn.training import Pretrained

CPU = torch.device("cpu")
MODEL = {"embedding_size": 8, "hidden_size": 8}
TRAINING = Training(
    steps=4, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=2, validation_tasks=4
)
PROTOTYPES = {"model": MODEL, "training": TRAINING, "shrinkage": 0.6}
PRETRAINING = {"pretraining": {"training": TRAINING, "batch_size": 10}}
SMALL = {"heads": {}, "shots": (1, 5), "validation_tasks": 12, "ngrams": (1, 2)}


@pytest.fixture(scope="module")
def problem():
    return ClassificationProblem(SPECS["languages"], seed=3, device=CPU, test_tasks=30)


@pytest.fixture(scope="module")
def method(problem):
    method = StackedMethod(problem, "stacked", base="prototypes", options=PROTOTYPES, **SMALL)
    method.train()
    return method


def test_it_shares_the_training_of_its_base(problem, method):
    base = ProtoNetMethod(problem, "prior", **PROTOTYPES)
    base.train()
    assert method.learner.module is base.encoders[0]
    assert isinstance(method.learner.vector_learners[0], ProtoNet)
    assert isinstance(base.learner.module, type(base.encoders[0]))  # the base keeps its encoder
    options = {"base": "prototypes", "options": PROTOTYPES}
    assert StackedMethod.trainings(options) == ProtoNetMethod.trainings(PROTOTYPES)


def test_accuracies_are_those_of_the_predictions(problem, method):
    tasks = problem.evaluation_tasks("test", 5, 30)
    expected = torch.cat([accuracy(method.predict(b), b.query_y) for b in tasks.batches(30, CPU)])
    torch.testing.assert_close(method.accuracies(tasks), expected)
    assert isinstance(method.learner, StackedLearner)


def test_it_is_not_worse_than_its_parts(problem, method):
    """The small encoder is hardly trained, so most of the accuracy is that of TF-IDF."""
    tasks = problem.evaluation_tasks("test", 5, 30)
    base = ProtoNetMethod(problem, "prior", **PROTOTYPES)
    base.train()
    baseline = NgramRegression(problem, "TF-IDF", longest=2)
    joined, words, vectors = (
        one.accuracies(tasks).double().mean() for one in (method, baseline, base)
    )
    assert joined > max(words, vectors) - 0.01
    start, weights = 0.5, method.learner.pool.weights(torch.full((5,), 5))
    assert (weights[:2] - start).abs().max() > 0.1


@pytest.mark.parametrize(
    ("base", "options"),
    [
        ("pretrained", {"model": MODEL, **PRETRAINING, "shrinkage": 0.6, "members": 2}),
        ("closed form", {"model": MODEL, "training": TRAINING}),
    ],
)
def test_other_bases_and_heads(problem, base, options):
    heads = {"ridge": {}, "logistic": {"regularization": 0.1}}
    method = StackedMethod(
        problem, "stacked", base=base, options=options, **{**SMALL, "heads": heads}
    )
    method.train()
    assert len(method.learner.vector_learners) == 3
    assert method.accuracies(problem.evaluation_tasks("test", 1, 10)).shape == (10,)
    assert {PretrainedPrior, ClosedFormMethod} < set(BASES.values())


def test_the_saved_learner_serves_a_classifier(small, problem, tmp_path):
    options = {"base": "prototypes", "options": PROTOTYPES, "validation_tasks": 12}
    options["shots"] = (1, 5)
    entry = Entry("stacked", "meta-learned", StackedMethod, options)
    result = small.run(tmp_path, (entry,), seed=3, save=tmp_path / "model")
    assert result["methods"][0]["scores"]["5 ways, 5 shots"]["mean"] > 0.25
    learner = Pretrained.from_pretrained(tmp_path / "model").learner
    assert learner.input_learners[0].background_documents == len(problem.train)
    classifier = FewShotClassifier.from_pretrained(tmp_path / "model", unknown_above=None)
    texts, names = [], []
    for label in range(3):
        items = (problem.test.labels == label).nonzero().flatten()[:8].tolist()
        texts += [problem.test.texts[item] for item in items]
        names += [problem.test.classes[label]] * len(items)
    classifier.fit(texts[::2], names[::2])
    expected = learner.clone()
    expected.ways = 3
    expected.write(problem.inputs(texts[::2]), torch.arange(3).repeat_interleave(4))
    scores = expected(problem.inputs(texts[1::2])).softmax(-1).detach().numpy()
    order = np.argsort(problem.test.classes[:3])
    np.testing.assert_allclose(
        classifier.predict_proba(texts[1::2]), scores[:, order], rtol=1e-4, atol=1e-6
    )
    assert len(classifier.explain(texts[:1])[0]) == 3
    assert ((classifier.unknown_score(texts) >= 0) & (classifier.unknown_score(texts) <= 1)).all()
