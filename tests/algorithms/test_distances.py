"""Squared distances of all sizes, compared with the sum of squares in float64."""

import pytest
import torch

from l2l_rnn.algorithms import GaussianPrior, ProtoNet, distances
from l2l_rnn.algorithms.distances import squared_distances


def naive(x, y, weights=None):
    squares = (x.double().unsqueeze(-2) - y.double().unsqueeze(-3)).square()
    return (squares if weights is None else squares * weights.double().unsqueeze(-3)).sum(-1)


@pytest.fixture
def large(monkeypatch):
    """Treat every problem as a large one, of two classes at a time."""
    monkeypatch.setattr(distances, "_MOST_DIFFERENCES", 0)
    monkeypatch.setattr(distances, "_PER_PART", 5 * 6 * 2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tasks", [(), (3,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_problems_are_exact_far_from_the_origin(weighted, tasks, dtype, large):
    x = 1000 + torch.randn(*tasks, 5, 6, dtype=dtype)
    y = 1000 + torch.randn(*tasks, 7, 6, dtype=dtype)
    y[..., 0, :] = x[..., 0, :]  # a distance of zero
    y[..., 1, :] = x[..., 0, :] + 0.001
    weights = torch.rand(*tasks, 7, 6, dtype=dtype) if weighted else None
    found, expected = squared_distances(x, y, weights), naive(x, y, weights)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=3e-7, atol=1e-13)
    assert (found >= 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_really_large_problem(weighted):
    x, y = torch.randn(40, 64), torch.randn(2000, 64)
    weights = torch.rand(2000, 64) if weighted else None
    assert x.numel() * len(y) > distances._MOST_DIFFERENCES
    found = squared_distances(x, y, weights)
    torch.testing.assert_close(found.double(), naive(x, y, weights), rtol=3e-7, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_large_problems(dtype, large):
    x, y, w = (torch.rand(n, 6, dtype=dtype, requires_grad=True) for n in (5, 7, 7))
    found = torch.autograd.grad(squared_distances(x, y, w).sin().sum(), (x, y, w))
    expected = torch.autograd.grad(naive(x, y, w).sin().sum(), (x, y, w))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    if dtype == torch.float64:
        assert torch.autograd.gradgradcheck(squared_distances, (x, y, w))


def test_second_derivatives_of_the_expansion():
    x, y, w = (torch.rand(n, 3, dtype=torch.float64, requires_grad=True) for n in (2, 4, 4))
    assert torch.autograd.gradcheck(distances._expanded, (x, y, w))
    assert torch.autograd.gradgradcheck(distances._expanded, (x, y, w))


@pytest.mark.parametrize("with_prior", [False, True])
def test_learners_score_many_classes_as_they_score_few(with_prior, large, monkeypatch):
    prior = None
    if with_prior:
        means = torch.randn(30, 1, 6)
        vectors = (means + 0.3 * torch.randn(30, 8, 6)).flatten(0, 1)
        prior = GaussianPrior(6).fit(vectors, torch.arange(240) // 8)
    learner = ProtoNet(torch.nn.Identity(), ways=9, prior=prior).clone()
    learner.write(torch.randn(20, 6), torch.arange(20) % 8)  # class 8 has no examples
    x = torch.randn(5, 6)
    found = learner(x)
    monkeypatch.undo()
    torch.testing.assert_close(found, learner(x), rtol=1e-5, atol=1e-5)


def test_mean_distance():
    prototypes = 100 + torch.randn(2, 5, 6)
    present = torch.tensor([[True] * 5, [True, False, True, True, False]])
    found = distances.mean_distance(prototypes, present)
    for one, rows, value in zip(prototypes, present, found, strict=True):
        kept = one[rows]
        expected = naive(kept, kept).sum() / (len(kept) * (len(kept) - 1))
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    assert distances.mean_distance(prototypes, present & False).tolist() == [0, 0]
