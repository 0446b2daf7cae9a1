"""ALPaCAMixture: its components, their weights, and what it shares with ALPaCA."""

import copy
import pickle

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import ALPaCA, ALPaCAMixture
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.training import Pretrained, adapted
from l2l_rnn.training.user_state import load_users, save_users

TASKS, COMPONENTS, SIZE, OUTPUTS, STEPS = 3, 4, 3, 2, 4
FEW, MANY = 2, 7  # rows of a support set: fewer and more than features


class Steps(nn.Module):
    """An encoder with a vector for each step."""

    output_size = COMPONENTS * SIZE

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, COMPONENTS * SIZE)

    def forward(self, x):
        return self.layer(x).tanh()


def make(per_step=False, seed=0, **options):
    """Return a learner with priors that are not the initial ones."""
    torch.manual_seed(seed)
    hidden = {"input_size": 2, "hidden_size": COMPONENTS * SIZE}
    encoder = Steps() if per_step else SequenceEncoder(**hidden, cell="gru")
    learner = ALPaCAMixture(encoder, OUTPUTS, COMPONENTS, per_step=per_step, **options).double()
    with torch.no_grad():
        for parameter in learner.parameters(recurse=False):
            parameter += 0.3 * torch.randn_like(parameter)
    return learner


def data(rows, *lead, per_step=False, seed=1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead, rows, STEPS, 2, generator=draw, dtype=torch.float64)
    steps = (STEPS,) if per_step else ()
    return x, torch.randn(*lead, rows, *steps, OUTPUTS, generator=draw, dtype=torch.float64)


def written(learner, x, y, mask=None):
    clone = learner.clone()
    clone.write(x, y, mask=mask)
    return clone


def predictions(learner, x):
    found = learner.predictive(x)
    torch.testing.assert_close(learner(x), found.mean)
    return torch.cat([found.mean, found.stddev], -1)


@pytest.mark.parametrize("rows", [0, FEW, MANY])
def test_it_is_a_mixture_of_learners_weighted_by_their_predictions_of_the_support_set(rows):
    """The evidence is the product of the densities of each target, given those before it."""
    mixture, (x, y), query = make(), data(rows), data(4, seed=2)[0]
    vectors, queries = mixture.module(x), mixture.module(query)
    scores, parts = [], []
    for k, weight in enumerate(mixture.log_weights):
        one = ALPaCA(nn.Identity(), OUTPUTS, features=SIZE).double()
        scales = mixture.log_scales[k]
        one.load_state_dict(
            {
                "prior_mean": mixture.prior_mean[k] * scales.exp().unsqueeze(-1),
                "prior_factor": torch.diag(mixture.log_noise.mean() / 2 - scales),
                "log_noise": mixture.log_noise,
            }
        )
        own = slice(k * SIZE, (k + 1) * SIZE)
        for row in range(rows):
            at = vectors[row : row + 1, own].detach()
            weight = weight + one.predictive(at).log_prob(y[row : row + 1]).sum()
            one.write(at, y[row : row + 1])
        scores.append(weight)
        parts.append(one.predictive(queries[:, own]))
    weights = torch.stack(scores).softmax(0)
    learner = written(mixture, x, y)
    torch.testing.assert_close(learner.posterior.log_weights.exp(), weights)
    target = data(4, seed=2)[1]
    mean = sum(w * part.mean for w, part in zip(weights, parts, strict=True))
    density = sum(w * part.log_prob(target).exp() for w, part in zip(weights, parts, strict=True))
    torch.testing.assert_close(learner(query), mean)
    torch.testing.assert_close(learner.predictive(query).log_prob(target).exp(), density)


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("rows", [FEW, MANY])
def test_many_tasks_equal_a_loop_with_padding_left_out(rows, per_step):
    one, (x, y) = make(per_step), data(rows, TASKS, per_step=per_step)
    many, query = copy.deepcopy(one), data(4, TASKS, seed=2)[0]
    mask = torch.rand(y.shape[:-1], generator=torch.Generator().manual_seed(0)) < 0.7
    y = y.masked_fill(~mask.unsqueeze(-1), torch.nan)
    learner = many.clone(tasks=TASKS)
    learner.write(x, y, mask=mask)
    got = predictions(learner, query)
    expected = []
    for n in range(TASKS):
        alone = one.clone()
        for b in range(rows):  # row by row
            known = mask[n, b] if per_step else slice(None) if mask[n, b] else slice(0, 0)
            part = slice(b, b + 1)
            if per_step:
                alone.write(x[n, part, known], y[n, part, known])
            else:
                alone.write(x[n, part][known], y[n, part][known])
        expected.append(predictions(alone, query[n]))
    torch.testing.assert_close(got, torch.stack(expected))
    got.sin().sum().backward()
    torch.stack(expected).sin().sum().backward()
    for parameter, other in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-8, atol=1e-10)
        assert other.grad.any()


@pytest.mark.parametrize("rows", [1, 2])
def test_derivatives(rows):
    """First and second ones, of the mean and the variance, by everything that is learned."""
    base = ALPaCAMixture(nn.Identity(), 1, 2, features=2).double()
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, 1, 4), *(p.shape for p in base.parameters()), (2, rows, 4), (2, rows, 1)]
    inputs = [
        (0.5 * torch.randn(shape, generator=draw, dtype=torch.float64)).requires_grad_()
        for shape in shapes
    ]

    def predict(query, *others):
        learner = base.clone()
        learner._parameters.update(zip(learner._parameters, others[:-2], strict=True))
        learner.write(*others[-2:])
        found = learner.predictive(query)
        return found.mean, found.variance

    assert torch.autograd.gradcheck(predict, inputs)
    assert torch.autograd.gradgradcheck(predict, inputs)


def test_it_finds_an_unknown_frequency():
    """Three points of a wave of frequency 1, 2 or 3 determine it; one regression needs seven."""

    class Waves(nn.Module):
        def forward(self, x):
            angles = x * torch.tensor([1.0, 2.0, 3.0])
            return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)

    draw = torch.Generator().manual_seed(0)
    frequency = torch.randint(1, 4, (50, 1, 1), generator=draw)
    phase = 6.28 * torch.rand(50, 1, 1, generator=draw)
    x = 6 * torch.rand(50, 13, 1, generator=draw)
    y = (frequency * x + phase).sin()
    errors = []
    for learner in (
        ALPaCAMixture(Waves(), 1, 3, features=2, noise=1e-4, regularization=1e-4),
        ALPaCA(Waves(), 1, features=6, noise=1e-4, regularization=1e-4),
    ):
        clone = learner.clone(tasks=50)
        clone.write(x[:, :3], y[:, :3])
        errors.append(mean_squared_error(clone(x[:, 3:]), y[:, 3:]).median())
    assert errors[0] < 0.01 < 0.1 < errors[1]


@pytest.mark.parametrize("per_step", [False, True])
def test_copies_and_saved_learners_continue(per_step):
    base, parts = make(per_step), [data(FEW, TASKS, per_step=per_step, seed=s) for s in (1, 3)]
    learner, query = base.clone(tasks=TASKS), data(4, TASKS, seed=2)[0]
    x, y = parts[0]
    learner.adapt(mean_squared_error(learner(x), y).sum())
    torch.testing.assert_close(predictions(learner, query), predictions(written(base, x, y), query))
    loaded = make(per_step, seed=5).clone(tasks=TASKS)
    loaded.load_state_dict({n: v.clone() for n, v in learner.state_dict().items()})
    twins = [copy.deepcopy(learner), pickle.loads(pickle.dumps(learner)), loaded]
    learner.write(*parts[1])
    for twin in twins:
        twin.write(*parts[1])
        assert torch.equal(predictions(twin, query), predictions(learner, query))
    with torch.inference_mode():
        clone = base.clone(tasks=TASKS)
        clone.write(x, y)
    clone.write(*parts[1])
    torch.testing.assert_close(predictions(clone, query), predictions(learner, query))
    predictions(learner, query).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in base.parameters())
    single = predictions(learner.float(), query.float())
    torch.testing.assert_close(single.double(), predictions(twins[0], query), rtol=1e-3, atol=1e-3)


def test_a_pretrained_learner_and_its_users(tmp_path):
    base = make().float()
    Pretrained(base).save_pretrained(tmp_path / "saved")
    loaded = Pretrained.from_pretrained(tmp_path / "saved").learner
    assert "mixture" in (tmp_path / "saved" / "README.md").read_text()
    (x, y), (query, _) = data(MANY, TASKS), data(4, TASKS, seed=2)
    x, y, query = x.float(), y.float(), query.float()
    learner = adapted(loaded, x, y, tasks=TASKS)
    expected = predictions(written(base, x, y), query)
    assert torch.equal(predictions(learner, query), expected)
    users = load_users(loaded, save_users(learner, loaded))
    assert torch.equal(predictions(users, query), expected)


def test_bad_arguments():
    with pytest.raises(ArgumentError, match=r"^ALPaCAMixture: components must be a positive int"):
        ALPaCAMixture(nn.Identity(), 1, 0, features=2)
    with pytest.raises(ArgumentError, match=r"^ALPaCAMixture: features must be a positive integer"):
        ALPaCAMixture(nn.Identity(), 1, 2)
    with pytest.raises(ShapeError, match=r"^ALPaCAMixture\.write: the model must return vectors"):
        ALPaCAMixture(nn.Identity(), 1, 2, features=2).write(torch.zeros(3, 2), torch.zeros(3, 1))
