"""Recommendation: tasks, measures, and baselines compared with plain loops."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.few_shot.methods.recommendation.factorization import Factorization, solved
from benchmarks.few_shot.methods.recommendation.neighbors import ItemNeighbors
from benchmarks.few_shot.methods.recommendation.popularity import ItemMeans, Popularity
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import RecommendationSpec
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.data import write_ratings
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets import TasteWorld

CPU = torch.device("cpu")
NAMES = [name for name, spec in SPECS.items() if isinstance(spec, RecommendationSpec)]
SMALL = {"users": 160, "fractions": (100, 30, 30), "least": 45, "items": 120}


def small(name="recommendation", **changes):
    seed_everything(0)
    spec = dataclasses.replace(SPECS[name], **{"taskset_options": SMALL, **changes})
    return spec.problem(spec, seed=3, device=CPU, test_tasks=20)


@pytest.fixture(scope="module")
def ratings():
    return small()


@pytest.fixture(scope="module")
def rankings():
    return small("recommendation_ranking")


def test_test_users_are_the_same_for_every_number_of_ratings(ratings):
    users = ratings.evaluation_tasks("test", 20)
    assert torch.equal(users.x, ratings.evaluation_tasks("test", 20).x)
    assert len(users) == 20
    few, many = users.tasks(5, 20), users.tasks(20, 20)
    assert torch.equal(few.support_x, many.support_x[:, :5])
    assert torch.equal(few.query_x[:, 15:], many.query_x[:, :5])
    assert few.query_mask.all()
    rows = ratings.test.inputs.flatten()
    starts = rows[ratings.test.grouping.starts]
    assert set(users.x[:, 0, 0].tolist()) <= set(starts.tolist())
    assert len(ratings.evaluation_tasks("test", 10**6)) == 30


def test_training_windows_are_successive_ratings_and_padded(tmp_path):
    path = tmp_path / "ratings.csv"
    table = TasteWorld(items=60).draw(60, fewest=26, most=45)
    write_ratings(path, table)
    problem = small("recommendation_file", root=str(path))
    windows = problem.training_tasks(dataclasses.replace(training(), tasks=64), 1).batch(0, 0.0)
    assert windows.x.shape == (64, 40, 1)
    assert not windows.mask.all()
    assert windows.mask[:, :26].all()
    assert torch.equal(
        windows.x[~windows.mask], windows.x[:, :1].expand_as(windows.x)[~windows.mask]
    )
    source = problem.train
    orders = {tuple(part.flatten().tolist()) for part in source.inputs.split(1)}
    assert {(item,) for item in windows.x.flatten().tolist()} <= orders
    whole = source.inputs.flatten().tolist()
    for row, mask in zip(windows.x[:5], windows.mask[:5], strict=True):
        part = row[mask].flatten().tolist()
        assert any(whole[i : i + len(part)] == part for i in range(len(whole)))
    assert problem.description()["origin"] == "the user's file"
    assert str(tmp_path) not in repr(problem.description())


def training():
    return SPECS["recommendation"].entries["quick"][-1].options["training"]


def test_a_file_without_times_is_refused(tmp_path):
    path = tmp_path / "u.data"
    table = TasteWorld(items=60).draw(60, fewest=40, most=45)
    write_ratings(path, dataclasses.replace(table, times=None), format="ml-100k")
    with pytest.raises(DataError, match="next items need the times of the ratings"):
        small("recommendation_file", root=str(path))


def test_measures_equal_loops(ratings, rankings):
    method = ItemMeans(ratings, "means")
    tasks = ratings.evaluation_tasks("test", 6).tasks(10, 20)
    tasks = dataclasses.replace(tasks, query_mask=torch.rand(6, 20) < 0.5)
    outputs = 5 * torch.rand(6, 20).double()
    for n in range(6):
        errors = [
            min(5, max(1, o)) - y
            for o, y, m in zip(
                outputs[n].tolist(),
                tasks.query_y[n].flatten().tolist(),
                tasks.query_mask[n],
                strict=True,
            )
            if m
        ]
        rmse = np.sqrt(np.mean(np.square(errors)))
        assert method.measure("RMSE", outputs, tasks)[n].item() == pytest.approx(rmse)
        assert method.measure("MAE", outputs, tasks)[n].item() == pytest.approx(
            np.mean(np.abs(errors))
        )
    method = Popularity(rankings, "popularity")
    tasks = rankings.evaluation_tasks("test", 6).tasks(10, 20)
    scores = torch.rand(6, 122).double()
    gains, hits = (
        method.measure(f"{m}@10 of next item", scores, tasks) for m in ("NDCG", "recall")
    )
    liked = method.measure("NDCG@10 of liked items", scores, tasks)
    for n in range(6):
        seen = set(tasks.support_x[n].flatten().tolist()) | {0, 1}
        ranking = [i for i in scores[n].argsort(descending=True).tolist() if i not in seen][:10]
        target = tasks.query_x[n, 0, 0].item()
        assert hits[n] == float(target in ranking)
        gain = 1 / np.log2(ranking.index(target) + 2) if target in ranking else 0
        assert gains[n].item() == pytest.approx(gain)
        good = [
            x
            for x, y in zip(tasks.query_x[n, :, 0].tolist(), tasks.query_y[n, :, 0], strict=True)
            if y >= 4
        ]
        gain = sum(1 / np.log2(r + 2) for r, i in enumerate(ranking) if i in good)
        best = sum(1 / np.log2(r + 2) for r in range(min(10, len(good))))
        assert liked[n].item() == pytest.approx(gain / best)


def test_popularity_counts_the_training_users(rankings):
    scores = Popularity(rankings, "popularity").predict(
        rankings.evaluation_tasks("test", 2).tasks(5, 20)
    )
    counts = np.bincount(rankings.train.inputs.flatten().numpy(), minlength=122)
    assert scores[1].tolist() == counts.tolist()


def test_fold_in_is_weighted_ridge_regression(ratings):
    """A new user's factors minimize the penalized squared error, as scikit-learn's Ridge finds."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    method = Factorization(ratings, "fold-in")
    method.train()
    assert set(method.settings) == {"rank", "strength", "weight", "fold_in", "discount"}
    method.settings = {**method.settings, "discount": 0.9}
    batch = ratings.evaluation_tasks("test", 3).tasks(10, 20)
    found = method.predict(batch)
    means, items = method.deviations, method.item_factors.double()
    for n in range(3):
        ids, query = batch.support_x[n, :, 0], batch.query_x[n, :, 0]
        # The penalty of the offset becomes that of the factors by scaling its feature.
        scale = (method.settings["fold_in"] / means.strength) ** 0.5
        phi, psi = (torch.cat([items[i], torch.full((len(i), 1), scale)], 1) for i in (ids, query))
        rest = batch.support_y[n, :, 0].double() - means.mean - means.item[ids]
        ridge = linear_model.Ridge(method.settings["fold_in"], fit_intercept=False)
        ridge.fit(phi, rest, sample_weight=0.9 ** np.arange(9, -1, -1))
        expected = (means.mean + means.item[query]).numpy() + ridge.predict(psi)
        np.testing.assert_allclose(found[n], expected, rtol=1e-6)


@pytest.mark.parametrize("weight", [None, 5.0])
def test_one_side_of_a_factorization(weight):
    torch.manual_seed(0)
    fixed, rated = torch.randn(7, 3), (torch.rand(4, 7) < 0.5).float()
    values = rated * torch.randn(4, 7) if weight is None else rated
    found = solved(fixed, rated, values, 0.7, weight).requires_grad_()
    confidence = rated if weight is None else 1 + (weight - 1) * rated
    loss = (confidence * (values - found @ fixed.T).square()).sum() + 0.7 * found.square().sum()
    loss.backward()
    torch.testing.assert_close(found.grad, torch.zeros(4, 3), atol=1e-4, rtol=0)


def test_neighbors_are_those_of_a_loop(ratings):
    method = ItemNeighbors(ratings, "neighbors")
    method.train()
    method.settings = {"neighbors": 5, "shrinkage": 10.0, "damping": 1.0}
    batch = ratings.evaluation_tasks("test", 2).tasks(10, 20)
    found = method.predict(batch)
    source, means = ratings.train, method.deviations
    rest = {}
    for user, item, value in zip(
        source.groups.tolist(),
        source.inputs.flatten().tolist(),
        means.residuals.tolist(),
        strict=True,
    ):
        rest.setdefault(item, {})[user] = value

    def similarity(i, j):
        both = rest[i].keys() & rest[j].keys()
        a, b = (np.array([rest[k][u] for u in both]) for k in (i, j))
        if not both:
            return 0.0
        return a @ b / np.sqrt(a @ a * (b @ b)) * len(both) / (len(both) + 10)

    offset, left = means.support(batch)
    rated = batch.support_x[1, :, 0].tolist()
    for b in range(3):
        item = batch.query_x[1, b, 0].item()
        near = sorted(zip([similarity(item, j) for j in rated], left[1].tolist(), strict=True))[-5:]
        weights = np.array([max(0, s) for s, _ in near])
        extra = weights @ [r for _, r in near] / (1 + weights.sum())
        expected = means.mean + means.item[item] + offset[1, 0] + extra
        assert found[1, b].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("name", ["recommendation", "recommendation_ranking"])
def test_every_learner_fits_a_batch(name, ratings, rankings):
    problem = ratings if name == "recommendation" else rankings
    for entry in SPECS[name].entries["default"]:
        if "training" not in entry.options:
            continue
        seed_everything(0)
        method = entry.method(problem, entry.label, **entry.options)
        windows = problem.training_tasks(training(), 0).batch(0, 0.0)
        optimizer = torch.optim.Adam(method.learner.parameters(), 0.01)
        losses = []
        for _ in range(5):
            losses.append(method.loss(windows, 1))
            optimizer.zero_grad()
            losses[-1].backward()
            optimizer.step()
        assert losses[-1] < losses[0], entry.label
        embeddings = method.model.encoder.embedding.weight.grad
        assert embeddings[windows.x[0, 0, 0]].any()
        users = problem.evaluation_tasks("test", 4)
        shape = (4, 20) if name == "recommendation" else (4, 122)
        assert method.outputs(users, 5).shape == shape


def test_root_is_for_files_alone():
    from benchmarks.command_line import main

    for name in NAMES:
        if not SPECS[name].from_file:
            with pytest.raises(SystemExit):
                main(["run", name, "--quick", "--root", "x"])
    spec = dataclasses.replace(SPECS["recommendation_file"], root="/nonexistent/ratings.csv")
    with pytest.raises(ArgumentError, match="must be a readable file"):
        spec.problem(spec, seed=3, device=CPU, test_tasks=20)
