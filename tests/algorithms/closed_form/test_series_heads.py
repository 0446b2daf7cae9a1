"""Nearest neighbors, cross-validated ridge regression and fixed classifiers of vectors."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from l2l_rnn.algorithms import FixedClassifier, NearestNeighbor, ProtoNet, RidgeCV
from l2l_rnn.algorithms.priors import GaussianPrior
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional import dtw

WAYS = 3


def data(each, size, *, seed=0, tasks=None):
    draw = torch.Generator().manual_seed(seed)
    lead = () if tasks is None else (tasks,)
    y = torch.arange(WAYS).repeat_interleave(each)
    means = 0.5 * torch.randn(*lead, WAYS, size, generator=draw)
    x, queries = (
        means[..., y, :] + torch.randn(*lead, len(y), size, generator=draw) for _ in range(2)
    )
    return x, y.expand(*lead, -1), queries


@pytest.mark.parametrize(("each", "size"), [(1, 30), (5, 40), (20, 12)])
def test_ridge_is_the_pipeline_of_scikit_learn(each, size):
    x, y, queries = data(each, size)
    x[:, 0] = 2.0  # a constant feature is not scaled
    learner = RidgeCV(nn.Identity(), WAYS, scale=1.0).clone()
    learner.write(x, y)
    scaler = StandardScaler(with_mean=False)
    theirs = make_pipeline(scaler, RidgeClassifierCV(alphas=np.logspace(-3, 3, 10)))
    theirs.fit(x.double().numpy(), y.numpy())
    expected = torch.from_numpy(theirs.decision_function(queries.double().numpy()))
    torch.testing.assert_close(2 * learner(queries).double() - 1, expected, atol=1e-4, rtol=1e-4)


def test_ridge_chooses_the_strength_of_each_task_and_ignores_padding():
    x, y, queries = data(4, 10, tasks=5)
    x[3:] *= torch.linspace(0.1, 3, 10)
    learner = RidgeCV(nn.Identity(), WAYS)
    many = learner.clone(tasks=5)
    mask = torch.ones(5, 12, dtype=torch.bool)
    mask[1, ::4] = False
    many.write(x, y, mask=mask)
    for n in range(5):
        one = learner.clone()
        one.write(x[n][mask[n]], y[n][mask[n]])
        torch.testing.assert_close(many(queries)[n], one(queries[n]), atol=1e-4, rtol=1e-4)
    with pytest.raises(ArgumentError, match="alphas must have at least one value"):
        RidgeCV(nn.Identity(), WAYS, alphas=())


def test_neighbors_are_those_of_scikit_learn():
    x, y, queries = data(4, 6)
    learner = NearestNeighbor(nn.Identity(), WAYS).clone()
    learner.write(x[:5], y[:5])
    learner.write(x[5:], y[5:])
    theirs = KNeighborsClassifier(1).fit(x.numpy(), y.numpy())
    assert learner(queries).argmax(-1).tolist() == theirs.predict(queries.numpy()).tolist()
    distances = torch.cdist(queries, x).unflatten(-1, (WAYS, 4)).amin(-1)
    got, wanted = learner(queries).softmax(-1), (1 / distances) / (1 / distances).sum(-1, True)
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-3)


def test_neighbors_by_warping():
    x, y, queries = data(2, 15)
    learner = NearestNeighbor(nn.Identity(), WAYS, window=0.2).clone()
    learner.write(x, y)
    pairs = torch.cartesian_prod(torch.arange(6), torch.arange(6))
    distances = dtw(queries[pairs[:, 0], :, None], x[pairs[:, 1], :, None], 0.2).view(6, 6)
    assert torch.equal(learner(queries).argmax(-1), y[distances.argmin(-1)])
    assert learner(x).argmax(-1).tolist() == y.tolist()
    with pytest.raises(ArgumentError, match="window must be"):
        NearestNeighbor(nn.Identity(), WAYS, window=1.5)
    learner = NearestNeighbor(nn.Identity(), WAYS).clone()
    learner.write(torch.randn(4, 6), torch.tensor([0, 1, 2, 0]))
    for call in (learner, lambda x: learner.write(x, torch.tensor([1]))):
        with pytest.raises(ShapeError, match="vectors of 6 numbers"):
            call(torch.randn(1, 4))


def test_a_fixed_classifier_ignores_the_support_set_but_for_its_classes():
    scores = torch.randn(4, WAYS)
    learner = FixedClassifier(nn.Identity(), WAYS).clone()
    learner.write(scores[:2], torch.tensor([0, 2]))
    found = learner(scores)
    assert torch.equal(found[:, [0, 2]], scores[:, [0, 2]])
    assert (found[:, 1] < scores.min()).all()
    with pytest.raises(ShapeError, match="scores of 3 classes, got 5"):
        learner(torch.randn(2, 5))


def test_a_centered_prior_does_not_depend_on_the_mean_of_a_task():
    x, y, queries = data(3, 4)
    prior = GaussianPrior(4).fit(*data(10, 4, seed=2)[:2])
    centered, plain = (ProtoNet(nn.Identity(), WAYS, prior, center) for center in (True, False))
    found = []
    for learner, offset in ((centered, 0.0), (centered, 5.0), (plain, 0.0), (plain, 5.0)):
        adapted = learner.clone()
        adapted.write(x + offset, y)
        found.append(adapted(queries + offset).log_softmax(-1))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found[2], found[3], atol=0.1)
