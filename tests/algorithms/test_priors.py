"""The Gaussian prior over classes against Gaussians with known parameters."""

import copy

import pytest
import torch
from torch.distributions import MultivariateNormal

from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.errors import ArgumentError, ShapeError

SIZE, CLASSES, EACH = 3, 400, 30
WITHIN = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.8, 0.1], [0.0, 0.1, 0.3]], dtype=torch.float64)
BETWEEN = torch.tensor([[0.5, -0.3, 0.1], [-0.3, 2.0, 0.0], [0.1, 0.0, 0.2]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def draw(classes, each, seed=0):
    """Draw vectors of classes from the known Gaussians: `(C, K, E)`."""
    generator = torch.Generator().manual_seed(seed)

    def gaussian(covariance, *axes):
        noise = torch.randn(*axes, SIZE, generator=generator, dtype=torch.float64)
        return noise @ torch.linalg.cholesky(covariance).mT

    return MEAN + gaussian(BETWEEN, classes, 1) + gaussian(WITHIN, classes, each)


@pytest.fixture
def fitted():
    vectors = draw(CLASSES, EACH)
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    return GaussianPrior(SIZE, shrinkage=1e-6).double().fit(vectors.flatten(0, 1), labels)


def test_fit_finds_the_covariances(fitted):
    inverse = torch.linalg.inv(fitted.transform)
    torch.testing.assert_close(fitted.mean, MEAN, rtol=0.1, atol=0.1)
    torch.testing.assert_close(inverse @ inverse.mT, WITHIN, rtol=0.1, atol=0.05)
    between = inverse @ fitted.variances.diag() @ inverse.mT
    torch.testing.assert_close(between, BETWEEN, rtol=0.2, atol=0.1)


@pytest.mark.parametrize("known", [0, 1, 4])
def test_scores_are_posterior_predictive_densities(fitted, known):
    """The reference conditions the joint Gaussian of the support vectors and the query."""
    inverse = torch.linalg.inv(fitted.transform)
    within, between = inverse @ inverse.mT, inverse @ fitted.variances.diag() @ inverse.mT
    vectors = draw(2, known + 1, seed=5)[:, : known + 1]
    support, query = vectors[:, :known], vectors[0, known:]
    scores = fitted(query, support.sum(1), torch.full((2, 1), float(known)).double())
    expected = []
    for c in range(2):
        ones = torch.ones(known + 1, known + 1, dtype=torch.float64)
        joint = torch.kron(ones, between) + torch.kron(torch.eye(known + 1).double(), within)
        mean = fitted.mean.repeat(known + 1)
        together = torch.cat([support[c].flatten(), query.flatten()])
        density = MultivariateNormal(mean, joint).log_prob(together)
        if known:
            some = slice(0, known * SIZE)
            density = density - MultivariateNormal(mean[some], joint[some, some]).log_prob(
                together[some]
            )
        expected.append(density)
    ours, theirs = scores[0], torch.stack(expected)
    torch.testing.assert_close(ours - ours[0], theirs - theirs[0], rtol=1e-8, atol=1e-8)


def test_it_beats_the_nearest_mean_if_the_prior_is_right(fitted):
    vectors = draw(5 * 200, 6, seed=9).unflatten(0, (200, 5))
    support, query = vectors[:, :, :1].flatten(1, 2), vectors[:, :, 1:].flatten(1, 2)
    labels = torch.arange(5).repeat_interleave(5)
    accuracy = []
    for prior in (None, fitted):
        learner = ProtoNet(torch.nn.Identity(), 5, prior).clone()
        learner.write(support, torch.arange(5).expand(200, 5))
        accuracy.append((learner(query).argmax(-1) == labels).double().mean())
    assert accuracy[1] > accuracy[0] + 0.05


def test_support_vectors_add_up_over_calls(fitted):
    x, query = draw(4, 3, seed=2).unsqueeze(0)[:, :, :2], draw(4, 1, seed=3)[None, :, 0]
    y = torch.arange(4).expand(1, 4)
    whole, sliced = (ProtoNet(torch.nn.Identity(), 4, fitted).clone() for _ in range(2))
    whole.write(x.flatten(1, 2), y.repeat_interleave(2, 1))
    for k in range(2):
        sliced.write(x[:, :, k], y)
    torch.testing.assert_close(whole(query), sliced(query))


def test_before_fit_all_classes_have_the_same_score():
    scores = GaussianPrior(SIZE)(torch.randn(2, SIZE), torch.randn(4, SIZE), torch.ones(4, 1))
    assert torch.equal(scores, scores[:, :1].expand(2, 4))


def test_fewer_vectors_than_features():
    """Shrinkage makes singular covariances invertible."""
    vectors = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    prior = GaussianPrior(50).fit(vectors, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert prior(vectors, vectors, torch.ones(6, 1)).isfinite().all()


def test_equal_vectors_of_a_class():
    vectors = torch.eye(4).repeat_interleave(3, 0)
    prior = GaussianPrior(4).fit(vectors, torch.arange(4).repeat_interleave(3))
    scores = prior(torch.eye(4), torch.eye(4), torch.ones(4, 1))
    assert scores.argmax(-1).tolist() == [0, 1, 2, 3]


def test_clones_share_the_prior_and_copies_keep_it(fitted):
    learner = ProtoNet(torch.nn.Identity(), 4, fitted)
    assert learner.clone().prior is fitted
    other = ProtoNet(torch.nn.Identity(), 4, GaussianPrior(SIZE).double())
    other.load_state_dict(learner.state_dict())
    for twin in (other, copy.deepcopy(learner)):
        assert all(
            torch.equal(a, b) for a, b in zip(twin.prior.buffers(), fitted.buffers(), strict=True)
        )


def test_gradients_reach_the_encoder(fitted):
    encoder = torch.nn.Linear(2, SIZE).double()
    learner = ProtoNet(encoder, 2, fitted).clone()
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    learner.write(x, torch.tensor([0, 1, 0, 1]))
    learner(x)[:, 0].sum().backward()
    assert encoder.weight.grad.abs().min() > 0


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("size", [0, -1, 2.0, None, True])
def test_bad_size(size):
    with pytest.raises(ArgumentError, match="size must be a positive integer"):
        GaussianPrior(size)


@pytest.mark.parametrize("shrinkage", [0, -0.1, 1.1, float("nan")])
def test_bad_shrinkage(shrinkage):
    with pytest.raises(
        ArgumentError, match="shrinkage must be a number above 0 and of at most 1, got"
    ):
        GaussianPrior(2, shrinkage)


@pytest.mark.parametrize(
    ("vectors", "labels", "error", "message"),
    [
        (torch.zeros(4, 2), torch.zeros(4), ShapeError, "E=3"),
        (torch.zeros(4, 3), torch.zeros(3), ShapeError, r"labels \(B,\)"),
        (torch.full((4, 3), torch.nan), torch.arange(4) // 2, ArgumentError, "NaN"),
        (torch.zeros(4, 3), torch.zeros(4), ArgumentError, "at least two classes"),
        (torch.zeros(4, 3), torch.arange(4), ArgumentError, "more vectors than classes"),
    ],
)
def test_bad_fits_change_nothing(fitted, vectors, labels, error, message):
    before = [b.clone() for b in fitted.buffers()]
    with pytest.raises(error, match=message):
        fitted.fit(vectors, labels)
    assert all(torch.equal(a, b) for a, b in zip(before, fitted.buffers(), strict=True))
