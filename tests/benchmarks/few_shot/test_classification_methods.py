"""Methods of few-shot classification, with small networks."""

import dataclasses
import math

import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from benchmarks.few_shot.methods.baselines.tfidf import NgramRegression
from benchmarks.few_shot.methods.closed_form import HEADS, ClosedFormMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod, prototype_learner
from benchmarks.few_shot.methods.transfer import FineTuned, LinearProbe, PretrainedPrior
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.shared_trainings import SharedTrainings
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.errors import ArgumentError

CPU = torch.device("cpu")
SPEC = SPECS["languages"]
MODEL = {"embedding_size": 8, "hidden_size": 8}
TRAINING = Training(
    steps=4, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=2, validation_tasks=4
)


@pytest.fixture(scope="module")
def problem():
    return ClassificationProblem(SPEC, seed=3, device=CPU, test_tasks=6)


def test_training_tasks_are_reproducible_and_cycle_through_the_shots(problem):
    first, again, other = (problem.training_tasks(TRAINING, seed) for seed in (0, 0, 1))
    for step, shots in enumerate((1, 2, 1)):
        batch, _ = first.batch(step, 0.0)
        assert batch.support_y.shape == (TRAINING.tasks, TRAINING.ways * shots)
        assert batch.query_y.shape == (TRAINING.tasks, TRAINING.ways * TRAINING.queries)
        assert torch.equal(batch.query_x, again.batch(step, 0.0)[0].query_x)
        assert not torch.equal(batch.query_x, other.batch(step, 0.0)[0].query_x)


def test_training_stops_at_its_time_limit(problem):
    training = dataclasses.replace(TRAINING, steps=10**6, minutes=0.05)
    seed_everything(0)
    history = ProtoNetMethod(problem, "metric", model=MODEL, training=training).train()
    assert history.ended_early
    assert history.paced_by_clock
    assert 0 < history.steps < training.steps
    assert history.points[-1]["step"] == history.steps


def test_training_keeps_the_parameters_with_the_best_validation_score(problem):
    seed_everything(0)
    method = ProtoNetMethod(problem, "metric", model=MODEL, training=TRAINING)
    history = method.train()
    assert history.best == max(point["validation"] for point in history.points)
    assert method.validation_score(TRAINING.validation_tasks) == pytest.approx(history.best)


def test_entries_with_the_same_training_share_the_encoder_but_not_the_prior():
    problem = ClassificationProblem(SPEC, seed=4, device=CPU, test_tasks=6)
    seed_everything(0)
    plain = ProtoNetMethod(problem, "plain", model=MODEL, training=TRAINING)
    prior = ProtoNetMethod(problem, "prior", model=MODEL, training=TRAINING, shrinkage=0.5)
    assert plain.train() == prior.train()
    assert prior.encoders[0] is plain.encoders[0]
    assert plain.learner.prior is None
    assert prior.learner.prior.variances.max() > 0
    (batch,) = problem.evaluation_tasks("test", 5, 6).batches(6, CPU)
    scores = prior.predict(batch)
    assert scores.shape == (*batch.query_y.shape, 5)
    assert not torch.equal(scores, plain.predict(batch))


def test_the_scores_of_an_ensemble_are_summed(problem):
    options = {"model": MODEL, "training": TRAINING, "shrinkage": 0.5}
    one = ProtoNetMethod(problem, "one", **options)
    two = ProtoNetMethod(problem, "two", **options, members=2)
    seconds = [one.train().seconds, two.train().seconds]
    assert seconds[1] > seconds[0]
    first, second = two.encoders
    assert first is one.encoders[0]
    assert not torch.equal(first.embedding.weight, second.embedding.weight)
    (batch,) = problem.evaluation_tasks("test", 5, 6).batches(6, CPU)
    alone = ProtoNetMethod(problem, "alone", **options)
    alone.learner = prototype_learner([second], two.learner.prior.priors[1:], SPEC.ways)
    torch.testing.assert_close(two.predict(batch), one.predict(batch) + alone.predict(batch))


def test_the_second_loss_classifies_all_training_classes(problem):
    batch, classes = problem.training_tasks(TRAINING, 0).batch(0, 0.0)
    assert torch.equal(batch.support_x, classes.support_x)
    for own, among_all in zip(batch.query_y, classes.query_y, strict=True):
        pairs = set(zip(own.tolist(), among_all.tolist(), strict=True))
        assert len(pairs) == TRAINING.ways  # one training class for each class of the task
    assert classes.query_y.max() >= TRAINING.ways
    losses = []
    for weight in (0.0, 1.0):
        method = ProtoNetMethod(problem, "m", model=MODEL, training=TRAINING, class_weight=weight)
        losses.append(method.train().points[-1]["loss"])
    assert losses[1] == pytest.approx(losses[0] + math.log(len(problem.train.classes)), rel=0.1)


def test_a_pretrained_encoder_with_a_prior_predicts(problem):
    pretraining = {"training": TRAINING, "batch_size": 20}
    method = PretrainedPrior(problem, "p", model=MODEL, pretraining=pretraining, shrinkage=0.5)
    method.train()
    (batch,) = problem.evaluation_tasks("test", 1, 6).batches(6, CPU)
    assert method.predict(batch).shape == (*batch.query_y.shape, 5)


@pytest.mark.parametrize("head", HEADS)
def test_a_linear_head_is_trained_with_more_ways_than_it_is_tested_with(
    problem, head, tmp_path, monkeypatch
):
    training = dataclasses.replace(TRAINING, ways=8)
    options = {"model": MODEL, "training": training, "class_weight": 1.0, "head": head}
    method = ClosedFormMethod(problem, "head", **options, head_options={"regularization": 0.5})
    other = ClosedFormMethod(problem, "same", **options, head_options={"regularization": 0.5})
    monkeypatch.setattr(problem, "shared", SharedTrainings(tmp_path))
    history = method.train()
    assert history.best == max(point["validation"] for point in history.points)
    assert method.validation_score(TRAINING.validation_tasks) == pytest.approx(history.best)
    (batch,) = problem.evaluation_tasks("test", 5, 6).batches(6, CPU)
    scores = method.predict(batch)
    assert scores.shape == (*batch.query_y.shape, 5)
    assert other.train() is history
    problem.shared = SharedTrainings(tmp_path)  # a resumed run reads the file
    assert other.train() == history
    assert other.learner is not method.learner
    assert torch.equal(other.predict(batch), scores)
    (key,) = ClosedFormMethod.trainings({**options, "head_options": {"regularization": 0.5}})
    (another,) = ClosedFormMethod.trainings(options)
    assert key != another


def test_evaluation_tasks_are_fixed_and_of_unseen_classes(problem):
    tasks = problem.evaluation_tasks("test", 2, 6)
    again = problem.evaluation_tasks("test", 2, 6)
    assert torch.equal(tasks.index.query_x, again.index.query_x)
    assert not torch.equal(
        tasks.index.query_x, problem.evaluation_tasks("test", 1, 6).index.query_x[:, : 6 * 10]
    )
    (batch,) = tasks.batches(6, CPU)
    assert batch.support_x.shape == (6, 10, 32)
    support, query = tasks.index.support_x[0].flatten(), tasks.index.query_x[0].flatten()
    assert not set(support.tolist()) & set(query.tolist())
    names = tasks.texts(tasks.index.support_x[0])
    encoded = [problem.test.vocabulary.encode(name) for name in names]
    assert [row[row != 0].tolist() for row in batch.support_x[0]] == encoded
    assert not {*problem.test.classes} & {*problem.train.classes, *problem.validation.classes}


def test_fine_tuning_with_no_steps_equals_the_linear_probe(problem):
    training = dataclasses.replace(TRAINING, steps=2)
    options = {"model": MODEL, "pretraining": {"training": training, "batch_size": 20}}
    probe = LinearProbe(problem, "probe", **options)
    tuned = FineTuned(problem, "tuned", steps=0, lr=0.1, **options)
    assert probe.train() is tuned.train()  # they share the pre-training
    (batch,) = problem.evaluation_tasks("test", 2, 6).batches(6, CPU)
    scores = tuned.predict(batch).log_softmax(-1).exp()
    torch.testing.assert_close(scores, probe.predict(batch).float(), rtol=1e-3, atol=1e-4)
    tuned.steps = 3
    assert not torch.allclose(tuned.predict(batch).softmax(-1), scores, atol=1e-3)


@pytest.mark.parametrize(("taskset", "texts"), [("intents", True), ("strokes", False)])
def test_every_task_set_of_classes_works(taskset, texts):
    spec = dataclasses.replace(SPEC, taskset=taskset)
    problem = ClassificationProblem(spec, seed=0, device=CPU, test_tasks=2)
    model = MODEL if texts else {"hidden_size": 8}
    methods = [ProtoNetMethod(problem, "metric", model=model, training=TRAINING)]
    if texts:
        methods.append(
            NgramRegression(problem, "n-grams", longest=2, lowercase=False, regularization=1.0)
        )
    for method in methods:
        seed_everything(0)
        method.train()
        scores = method.evaluate(problem.columns[0])
        assert scores.shape == (2,)
        assert ((scores >= 0) & (scores <= 1)).all()


def test_a_task_set_of_groups_is_refused():
    spec = dataclasses.replace(SPEC, taskset="activity")
    with pytest.raises(ArgumentError, match="'activity' must have classes, got Activity"):
        ClassificationProblem(spec, seed=0, device=CPU, test_tasks=2)


@pytest.mark.parametrize("sublinear", [False, True])
def test_training_idf_equals_scikit_learn_fitted_to_training_and_support(problem, sublinear):
    options = {"longest": 2, "sublinear": sublinear, "training_idf": True}
    method = NgramRegression(problem, "n-grams", **options)
    tasks = problem.evaluation_tasks("test", 2, 2)
    support = tasks.texts(tasks.index.support_x[0])
    query = tasks.texts(tasks.index.query_x[0])
    found = method._with_training_idf(support, query)
    own = CountVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False).fit(support)
    vectorizer = TfidfVectorizer(
        analyzer="char",
        ngram_range=(1, 2),
        lowercase=False,
        vocabulary=own.vocabulary_,
        sublinear_tf=sublinear,
    ).fit([*problem.train.texts, *support])
    for vectors, texts in zip(found, (support, query), strict=True):
        assert abs(vectors - vectorizer.transform(texts)).max() < 1e-9
