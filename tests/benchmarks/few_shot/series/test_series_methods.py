"""The methods for series, and the cross-validation over persons."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.few_shot import saving
from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.methods.persons.population import PopulationModel
from benchmarks.few_shot.methods.persons.rotated import Rotated
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.series.joined import JoinedSeries
from benchmarks.few_shot.methods.series.neighbors import MeanSeries, NearestSeries
from benchmarks.few_shot.methods.series.rocket import RocketRidge
from benchmarks.few_shot.problems.persons_problem import PersonsProblem
from benchmarks.few_shot.problems.series_problem import SeriesProblem, centered_prior
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.algorithms import RidgeCV
from l2l_rnn.estimators import FewShotClassifier, calibrate_unknown
from l2l_rnn.functional import accuracy, dtw
from l2l_rnn.tasksets import Activity

CPU = torch.device("cpu")
MODEL = {"channels": (4, 4), "hidden_size": 4, "embedding_size": 6}
TRAINING = Training(
    steps=4, minutes=1, tasks=2, ways=3, shots=(1,), queries=2, validate_every=4, validation_tasks=3
)
PROTOTYPES = {"model": {**MODEL, "length": 48}, "training": TRAINING, "shrinkage": 0.6}
PRETRAINING = {"model": {**MODEL, "normalize": False}, "pretraining": {"batch_size": 20}}
PRETRAINING["pretraining"]["training"] = TRAINING


@pytest.fixture(scope="module")
def problem():
    return SeriesProblem(SPECS["series"], seed=3, device=CPU, test_tasks=4)


@pytest.fixture(scope="module")
def joined(problem):
    method = JoinedSeries(
        problem, "joined", options=PROTOTYPES, features=84, shots=(1, 5), validation_tasks=3
    )
    method.train()
    return method


def test_tasks_have_classes_of_one_dataset_and_training_tasks_are_mixed(problem):
    tasks = problem.evaluation_tasks("test", Shots(1, 3), 4)
    names = [problem.test.classes[n] for n in problem.test.labels[tasks.index.support_x[..., 0]][0]]
    assert len({name.split(":")[0] for name in names}) == 1
    stream = problem.training_tasks(TRAINING, seed=0)
    steps = [stream.batch(step, 0.0)[0].support_x for step in range(6)]
    drawn = [bool((x.std(2, correction=0) - 1).abs().max() < 1e-3) for x in steps]
    assert {x.shape[1] for x in steps} == {3}
    assert len(drawn) == 6


def test_rocket_is_the_pipeline_of_scikit_learn_and_the_head_of_the_package(problem):
    tasks = problem.evaluation_tasks("test", Shots(5, 3), 2)
    method = RocketRidge(problem, "rocket", features=168)
    found = method.accuracies(tasks)
    table = method._table(tasks.dataset)
    index = tasks.index
    support, query = table[index.support_x[0, :, 0]], table[index.query_x[0, :, 0]]
    scaler = StandardScaler(with_mean=False)
    theirs = make_pipeline(scaler, RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)))
    theirs.fit(support.double().numpy(), index.support_y[0].numpy())
    expected = theirs.score(query.double().numpy(), index.query_y[0].numpy())
    assert found[0].item() == pytest.approx(expected)
    learner = RidgeCV(torch.nn.Identity(), 3).clone()
    learner.write(support, index.support_y[0])
    same = (learner(query).argmax(-1) == torch.from_numpy(theirs.predict(query.numpy()))).float()
    assert same.mean() > 0.9  # up to ties


def test_neighbors_and_means(problem):
    tasks = problem.evaluation_tasks("test", Shots(2, 3), 3)
    method = NearestSeries(problem, "dtw", window=1.0)
    found, index = method.accuracies(tasks), tasks.index
    series = tasks.dataset.sequences
    expected = []
    for n in range(3):
        support, query = series[index.support_x[n, :, 0]], series[index.query_x[n, :, 0]]
        lengths = [(~part.isnan()).sum((1, 2)) for part in (support, query)]
        pairs = torch.cartesian_prod(torch.arange(len(query)), torch.arange(len(support)))
        i, j = pairs.unbind(1)
        distances = dtw(
            query.nan_to_num()[i], support.nan_to_num()[j], 1.0, lengths[1][i], lengths[0][j]
        )
        nearest = index.support_y[n][distances.view(len(query), -1).argmin(1)]
        expected.append((nearest == index.query_y[n]).float().mean())
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(method.accuracies(tasks), found)  # all distances are known now
    means = MeanSeries(problem, "means")
    for batch in tasks.batches(3, CPU):
        expected = accuracy(means.predict(batch), batch.query_y)
    torch.testing.assert_close(means.accuracies(tasks), expected)


def test_joined_predictions_are_those_of_its_learner(problem, joined):
    tasks = problem.evaluation_tasks("test", Shots(5, 3), 4)
    expected = torch.cat([accuracy(joined.predict(b), b.query_y) for b in tasks.batches(4, CPU)])
    torch.testing.assert_close(joined.accuracies(tasks), expected)
    assert JoinedSeries.trainings({"options": PROTOTYPES}) == ProtoNetMethod.trainings(PROTOTYPES)


def test_the_datasets_of_a_fold_are_left_out_of_its_training(problem):
    held = []
    for number in range(2):
        rest, out = problem.left_out(number, 2)
        names = {name.split("[")[0] for name in out.grouped.group_names}
        left = {name.split("[")[0] for name in rest.train.grouped.group_names}
        assert not names & left
        assert len(rest.train) + len(out) == len(problem.train)
        assert rest.validation is problem.validation
        tasks = rest.training_tasks(TRAINING, seed=0).batch(0, 0.0)[0]
        assert tasks.support_x.isfinite().any()
        labels = {out.classes[n].split(": ")[1] for n in out.labels.unique()}
        assert not labels & {one.split(": ")[1] for one in rest.train.classes}
        held.append(names)
    every = {name.split("[")[0] for name in problem.train.grouped.group_names}
    assert held[0] | held[1] == every
    assert not held[0] & held[1]


def test_cross_fitting_trains_the_members_again_without_the_datasets_of_each_fold(problem):
    options = {"options": PROTOTYPES, "features": 84, "shots": (1,), "validation_tasks": 2}
    keys = JoinedSeries.trainings({**options, "cross_fit": 2})
    folds = [key.split(":")[0] for key in keys if key.startswith("fold")]
    assert folds == ["fold 0", "fold 1"]
    shared = JoinedSeries.trainings({**options, "cross_fit": 2, "fold_trainings": False})
    assert shared == ProtoNetMethod.trainings(PROTOTYPES)
    method = JoinedSeries(problem, "crossed", cross_fit=2, **options)
    history = method.train()
    assert len(history.others) == 2
    once = JoinedSeries(problem, "once", cross_fit=2, fold_trainings=False, **options)
    assert not once.train().others
    plain = JoinedSeries(problem, "plain", **options)
    plain.train()
    for name, value in plain.learner.state_dict().items():
        same = torch.equal(value, method.learner.state_dict()[name])
        assert same == (not name.endswith("pool.coefficients")), name


def test_a_saved_joined_learner_takes_arrays_of_any_length_and_number_of_channels(
    problem, joined, tmp_path, monkeypatch
):
    monkeypatch.setattr(saving, "calibrate_unknown", partial(calibrate_unknown, tasks=4))
    entry = Entry("joined", "meta-learned", JoinedSeries, {})
    scores = {column.name: [0.5, 0.5] for column in problem.columns}
    intervals = {name: {"tasks": 2} for name in scores}
    row = {"scores": intervals, "task_scores": scores, "seconds_per_task": 0.1, "options": {}}
    saving.save_learner(joined, entry, row, "quick", tmp_path / "series")
    assert (tmp_path / "series" / "model.safetensors").stat().st_size < 2e6
    classifier = FewShotClassifier.from_pretrained(str(tmp_path / "series"))
    time = np.linspace(0, 1, 90)
    for channels, steps in ((1, 90), (3, 70)):
        waves = [np.sin(2 * math.pi * f * time[:steps]) for f in (2, 2.2, 9, 9.5)]
        x = np.stack([np.stack([wave * (c + 1) for c in range(channels)]) for wave in waves])
        fitted = classifier.fit(x, ["slow", "slow", "fast", "fast"])
        assert fitted.predict(x + 0.01).tolist() == ["slow", "slow", "fast", "fast"]
        assert fitted.predict_proba(x).shape == (4, 2)
    series = [np.sin(2 * math.pi * f * time[:n]) for f, n in ((2, 90), (9, 50))]
    assert classifier.fit(series, [0, 1]).predict(series).tolist() == [0, 1]


def test_a_centered_prior_does_not_depend_on_the_means_of_groups():
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(60, 3, generator=draw)
    labels, groups = torch.arange(60) // 5, torch.arange(60) // 20
    prior = centered_prior(vectors, labels, groups, 0.5)
    other = centered_prior(vectors + 10 * groups.unsqueeze(-1), labels, groups, 0.5)
    torch.testing.assert_close(prior.variances, other.variances, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def persons():
    return PersonsProblem(SPECS["activity"], seed=0, device=CPU, test_tasks=8)


def test_folds_test_on_every_person_once(persons):
    found = [persons.fold(number, 4) for number in range(5)]
    names = [name for fold in found for name in fold.test.grouped.group_names]
    assert sorted(names) == sorted(f"person {n}" for n in range(1, 11))
    for fold in found:
        parts = [
            getattr(fold, split).grouped.group_names for split in ("train", "validation", "test")
        ]
        assert len(set().union(*parts)) == 10
    moments = Activity(split="train", fold=2).inputs.flatten(0, 1)
    torch.testing.assert_close(moments.std(0), torch.ones(6), atol=1e-2, rtol=0)


def test_a_score_is_the_mean_of_a_person(persons):
    options = {"method": "MeanSeries", "options": {"moments": True}, "folds": (1, 4)}
    method = Rotated(persons, "moments", **options)
    assert method.train() is None
    scores = method.evaluate(Shots(1))
    assert scores.shape == (4,)
    fold = persons.fold(1, 4)
    tasks = fold.evaluation_tasks("test", Shots(1), 4)
    each = MeanSeries(fold, "moments", moments=True).accuracies(tasks)
    owners = fold.test.grouped.groups[tasks.index.support_x[:, 0, 0]]
    torch.testing.assert_close(scores[0].float(), each[owners == owners.min()].mean())


def test_the_model_of_the_population_keeps_the_numbers_of_the_classes(persons):
    options = {"method": "PopulationModel", "options": PRETRAINING, "folds": (0, 4)}
    assert len(Rotated.trainings(options)) == 2
    fold = persons.fold(4, 4)
    method = PopulationModel(fold, "population", **PRETRAINING)
    method.train()
    tasks = fold.evaluation_tasks("test", Shots(1), 4)
    items = tasks.index.query_x[..., 0]
    assert torch.equal(fold.test.labels[items], tasks.index.query_y)
    with torch.no_grad():
        expected = method.classifier(fold.test.sequences[items]).argmax(-1)
    for batch in tasks.batches(4, CPU):
        assert torch.equal(method.predict(batch).argmax(-1), expected)
    method.steps = 5
    for batch in tasks.batches(4, CPU):
        assert not torch.equal(method.predict(batch).argmax(-1), expected)
