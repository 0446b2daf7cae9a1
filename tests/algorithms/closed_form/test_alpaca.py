"""ALPaCA: its posterior, what it keeps, and its errors."""

import copy
import pickle

import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import ALPaCA, ProtoNet
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.training import Pretrained, adapted
from l2l_rnn.training.user_state import load_users, save_user, save_users

TASKS, SIZE, OUTPUTS, STEPS = 3, 5, 2, 4
FEW, MANY = 3, 9  # rows of a support set: fewer and more than features


class Steps(nn.Module):
    """An encoder with a vector for each step."""

    output_size = SIZE

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, SIZE)

    def forward(self, x):
        return self.layer(x).tanh()


def make(per_step=False, seed=0, **options):
    """Return a learner with a prior that is not the initial one."""
    torch.manual_seed(seed)
    encoder = Steps() if per_step else SequenceEncoder(input_size=2, hidden_size=SIZE, cell="gru")
    learner = ALPaCA(encoder, OUTPUTS, per_step=per_step, **options).double()
    with torch.no_grad():
        for parameter in learner.parameters(recurse=False):
            parameter += 0.3 * torch.randn_like(parameter)
    return learner


def data(rows, *lead, per_step=False, seed=1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead, rows, STEPS, 2, generator=draw, dtype=torch.float64)
    steps = (STEPS,) if per_step else ()
    return x, torch.randn(*lead, rows, *steps, OUTPUTS, generator=draw, dtype=torch.float64)


def written(learner, *parts, mask=None):
    clone = learner.clone()
    for x, y in parts:
        clone.write(x, y, mask=mask)
    return clone


def predictions(learner, x):
    found = learner.predictive(x)
    torch.testing.assert_close(learner(x), found.mean)
    return torch.cat([found.mean, found.stddev], -1)


@pytest.mark.parametrize("rows", [FEW, MANY])
def test_predictions_are_those_of_a_gaussian_process_of_scikit_learn(rows):
    precision, noise = 0.7, 0.2
    draw = torch.Generator().manual_seed(0)
    x, query = (torch.randn(n, SIZE, generator=draw, dtype=torch.float64) for n in (rows, 4))
    y = torch.randn(rows, 1, generator=draw, dtype=torch.float64)
    options = {"features": SIZE, "regularization": precision, "noise": noise}
    learner = ALPaCA(nn.Identity(), 1, **options).double()
    with torch.no_grad():
        learner.prior_mean += 0.4
    found = written(learner, (x, y)).predictive(query)
    shift = [0.4 * part.sum(-1) for part in (x, query)]
    process = GaussianProcessRegressor(DotProduct(0, "fixed"), alpha=precision, optimizer=None)
    mean, std = process.fit(x, y[:, 0] - shift[0]).predict(query, return_std=True)
    mean = torch.from_numpy(mean) + shift[1]
    torch.testing.assert_close(found.mean[:, 0], mean, rtol=1e-5, atol=1e-7)
    variance = noise * (1 + torch.from_numpy(std) ** 2 / precision)
    torch.testing.assert_close(found.variance[:, 0], variance, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("discount", [1.0, 0.8])
@pytest.mark.parametrize("sizes", [[1] * 9, [4, 5], [7, 1, 1], [2, 0, 6, 1]])
def test_writes_row_by_row_equal_one_write(sizes, discount):
    base, (x, y), query = make(discount=discount), data(MANY, TASKS), data(4, TASKS, seed=2)[0]
    parts = zip(x.split(sizes, 1), y.split(sizes, 1), strict=True)
    torch.testing.assert_close(
        predictions(written(base, *parts), query), predictions(written(base, (x, y)), query)
    )


def test_what_it_keeps_does_not_grow_and_the_order_does_not_matter():
    base, (x, y), query = make(), data(60), data(4, seed=2)[0]
    learner, order = written(base, *zip(x.split(3), y.split(3), strict=True)), torch.randperm(60)
    assert sum(value.numel() for value in learner._adaptation().values()) == SIZE * (SIZE + OUTPUTS)
    torch.testing.assert_close(
        predictions(learner, query), predictions(written(base, (x[order], y[order])), query)
    )


@pytest.mark.parametrize("rows", [FEW, MANY])
def test_older_rows_count_less(rows):
    """A weight w has the effect of a row times sqrt(w)."""
    draw = torch.Generator().manual_seed(0)
    x, query = (torch.randn(n, SIZE, generator=draw, dtype=torch.float64) for n in (rows, 4))
    y = torch.randn(rows, 1, generator=draw, dtype=torch.float64)
    whole, faded = (ALPaCA(nn.Identity(), 1, features=SIZE, discount=d).double() for d in (1, 0.7))
    mask = torch.ones(rows).bool()
    mask[1] = False  # padding is no row, so it does not age the others
    root = 0.7 ** (torch.arange(rows - 1).flip(0).unsqueeze(-1) / 2)
    torch.testing.assert_close(
        predictions(written(faded, (x, y), mask=mask), query),
        predictions(written(whole, (root * x[mask], root * y[mask])), query),
    )


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("rows", [1, FEW, MANY])
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
        if per_step:  # row by row, as tasks have steps of their own
            for b, known in enumerate(mask[n]):
                alone.write(x[n, b : b + 1, known], y[n, b : b + 1, known])
        else:
            alone.write(x[n][mask[n]], y[n][mask[n]])
        expected.append(predictions(alone, query[n]))
    torch.testing.assert_close(got, torch.stack(expected))
    got.sin().sum().backward()
    torch.stack(expected).sin().sum().backward()
    for parameter, other in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-8, atol=1e-10)
        assert other.grad.any()


@pytest.mark.parametrize(("rows", "discount"), [(0, 1), (1, 1), (3, 0.9), (4, 0.9)])
def test_derivatives(rows, discount):
    """First and second ones, of the mean and the variance, by everything that is learned."""
    base = ALPaCA(nn.Identity(), 1, features=3, discount=discount).double()
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, rows, 3), (2, rows, 1), (2, 1, 3), *(p.shape for p in base.parameters())]
    inputs = [0.5 * torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]
    support = inputs[:2]

    def predict(query, *others):
        learner = base.clone()
        learner._parameters.update(zip(learner._parameters, others[:3], strict=True))
        learner.write(*(others[3:] or support))
        found = learner.predictive(query)
        return found.mean, found.variance

    used = [*inputs[2:], *(support if rows else ())]
    used = [value.requires_grad_() for value in used]
    assert torch.autograd.gradcheck(predict, used)
    assert torch.autograd.gradgradcheck(predict, used)


LOSSES = {
    "torch": F.mse_loss,
    "torch, sum": lambda outputs, y: F.mse_loss(outputs, y, reduction="sum"),
    "ours": mean_squared_error,
    "weighted": lambda outputs, y: ((outputs - y).square() * torch.tensor([1.0, 7.0])).sum(),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_adapt_reads_the_targets_from_the_loss(loss, tasks):
    lead = () if tasks is None else (tasks,)
    base, (x, y), query = make(), data(MANY, *lead), data(4, *lead, seed=2)[0]
    learner = base.clone(tasks=tasks)
    for rows in (slice(0, 2), slice(2, 9)):
        part = x[..., rows, :, :]
        learner.adapt(LOSSES[loss](learner(part), y[..., rows, :]))
    torch.testing.assert_close(
        predictions(learner, query), predictions(written(base, (x, y)), query)
    )


def test_rows_that_do_not_enter_the_loss_are_padding():
    base, (x, y), query = make(), data(MANY, TASKS), data(4, TASKS, seed=2)[0]
    mask = torch.arange(MANY) < torch.tensor([[2], [9], [5]])
    learner = base.clone(tasks=TASKS)
    learner.adapt(mean_squared_error(learner(x), y, mask))
    torch.testing.assert_close(
        predictions(learner, query), predictions(written(base, (x, y), mask=mask), query)
    )


@pytest.mark.parametrize("kind", [F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.gaussian_nll_loss])
def test_other_losses_are_refused(kind):
    learner, (x, y) = make().clone(), data(MANY)
    more = (torch.ones_like(y),) if kind is F.gaussian_nll_loss else ()
    before = learner(x)
    if kind is F.gaussian_nll_loss:  # with a fixed variance, it is a squared error
        learner.adapt(kind(learner(x), y, *more))
        torch.testing.assert_close(learner(x), written(make(), (x, y))(x))
        return
    with pytest.raises(AdaptationError, match=r"^ALPaCA\.adapt: the loss must be a squared error"):
        learner.adapt(kind(learner(x), 3 * y, *more))
    assert torch.equal(learner(x), before)
    with pytest.raises(AdaptationError, match="does not depend on the learner's last outputs"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))
    with torch.no_grad():
        learner(x)
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))


def test_without_a_support_set_it_predicts_by_the_prior():
    learner, (x, y) = make().clone(), data(MANY)
    vectors = learner.encoded(x)
    found = learner.predictive(x)
    torch.testing.assert_close(found.mean, vectors @ learner.prior_mean)
    spread = (vectors @ learner.prior_precision.inverse() * vectors).sum(-1, keepdim=True)
    torch.testing.assert_close(found.variance, learner.log_noise.exp() * (1 + spread))
    before = predictions(learner, x)
    learner.write(x[:0], y[:0])
    torch.testing.assert_close(predictions(learner, x), before)
    learner.write(x, y)
    learner.reset()
    assert torch.equal(predictions(learner, x), before)


def test_training_by_the_likelihood_recovers_the_prior_of_the_tasks():
    """The targets are drawn from a known prior, so its parameters are the best ones."""
    torch.manual_seed(0)
    mean, std, noise, size = torch.tensor([[1.0], [-1.0]]), torch.tensor([[0.5], [1.0]]), 0.3, 300
    learner = ALPaCA(nn.Identity(), 1, features=2, noise=1.0)
    optimizer = torch.optim.Adam(learner.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 150)
    for step in range(150):
        x = torch.randn(size, 10, 2)
        y = x @ (mean + std * torch.randn(size, 2, 1)) + noise * torch.randn(size, 10, 1)
        clone, shots = learner.clone(), step % 8
        clone.write(x[:, :shots], y[:, :shots])
        loss = -clone.predictive(x[:, 8:]).log_prob(y[:, 8:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    torch.testing.assert_close(learner.prior_mean.detach(), mean, rtol=0, atol=0.1)
    assert abs(learner.log_noise.exp().sqrt().item() / noise - 1) < 0.05
    covariance = learner.log_noise.exp() * learner.prior_precision.inverse()
    expected = torch.diag(std.square().flatten()).to(covariance)
    torch.testing.assert_close(covariance, expected, rtol=0.2, atol=0.1)
    inside = (clone.predictive(x[:, 8:]).cdf(y[:, 8:]) - 0.5).abs() < 0.45
    assert abs(inside.float().mean() - 0.9) < 0.03  # the 90% interval


@pytest.mark.parametrize("rows", [FEW, MANY])
@pytest.mark.parametrize("per_step", [False, True])
def test_copies_and_saved_learners_continue(rows, per_step, tmp_path):
    base, parts = make(per_step), [data(rows, TASKS, per_step=per_step, seed=s) for s in (1, 3)]
    learner, query = base.clone(tasks=TASKS), data(4, TASKS, seed=2)[0]
    learner.write(*parts[0])
    loaded = make(per_step, seed=5).clone(tasks=TASKS)
    loaded.load_state_dict({n: v.clone() for n, v in learner.state_dict().items()})
    twins = [copy.deepcopy(learner), pickle.loads(pickle.dumps(learner)), loaded]
    wanted = predictions(learner, query)
    learner.write(*parts[1])
    for twin in twins:
        assert torch.equal(predictions(twin, query), wanted)
        twin.write(*parts[1])
        assert torch.equal(predictions(twin, query), predictions(learner, query))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            clone = base.clone(tasks=TASKS)
            clone.write(*parts[0])
            torch.testing.assert_close(predictions(clone, query), wanted)
        clone.write(*parts[1])
        torch.testing.assert_close(predictions(clone, query), predictions(learner, query))
    predictions(learner, query).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in base.parameters())
    learner.float()
    single = predictions(learner, query.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), predictions(twins[0], query), rtol=1e-3, atol=1e-3)


def test_a_pretrained_learner_and_its_users(tmp_path):
    base = make().float()
    Pretrained(base).save_pretrained(tmp_path / "saved")
    loaded = Pretrained.from_pretrained(tmp_path / "saved").learner
    assert "Bayesian regression" in (tmp_path / "saved" / "README.md").read_text()
    (x, y), (query, _) = data(MANY, TASKS), data(4, TASKS, seed=2)
    x, y, query = x.float(), y.float(), query.float()
    learner = adapted(loaded, x, y, tasks=TASKS)
    assert torch.equal(predictions(learner, query), predictions(written(base, (x, y)), query))
    few = written(loaded, (x[0, :FEW], y[0, :FEW]))
    users = load_users(loaded, [save_user(few, loaded), *save_users(learner, loaded)[1:]])
    alone = predictions(few, query[0]).unsqueeze(0)
    expected = torch.cat([alone, predictions(learner, query)[1:]])
    torch.testing.assert_close(predictions(users, query), expected)


def test_the_posterior_is_computed_once_without_gradients():
    learner = written(make(), data(MANY))
    with torch.no_grad():
        found = learner.posterior
        assert learner.posterior is found
        learner.prior_mean.add_(1)  # an optimizer changes parameters in place
        changed = learner.posterior
        assert not torch.equal(changed.mean, found.mean)
        learner.write(*data(MANY, seed=3))
        assert not torch.equal(learner.posterior.mean, changed.mean)
    assert learner.posterior.mean.requires_grad


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": 0}, "outputs must be a positive integer, got 0"),
        ({"features": None}, "features must be a positive integer, got None; pass the size"),
        ({"regularization": 0}, "regularization must be a number above 0, got 0"),
        ({"noise": -1.0}, r"noise must be a number above 0, got -1\.0"),
        ({"discount": 1.5}, r"discount must be a number above 0 and of at most 1, got 1\.5"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ArgumentError, match=f"^ALPaCA: {message}"):
        ALPaCA(nn.Identity(), **{"outputs": 1, "features": 2, **options})


def test_bad_support_sets_change_nothing():
    learner, (x, y), query = make().clone(tasks=TASKS), data(FEW, TASKS), data(4, TASKS, seed=2)[0]
    learner.write(x, y)
    before, who = learner(query), r"^ALPaCA\.write: "
    bad = y.clone()
    bad[2, 1] = torch.nan
    with pytest.raises(AdaptationError, match=who + "the targets of task 2 are NaN or infinite"):
        learner.write(x, bad)
    with pytest.raises(AdaptationError, match=who + "the support vectors of task 1 are NaN"):
        learner.write(x.index_fill(0, torch.tensor(1), torch.inf), y)
    with pytest.raises(ArgumentTypeError, match=who + "targets must be floating-point numbers"):
        learner.write(x, y.long())
    with pytest.raises(ShapeError, match=who + r"y must have shape \(3, 3, 2\), got \(3, 3, 1\)"):
        learner.write(x, y[..., :1])
    with pytest.raises(ShapeError, match=who + "mask must have shape"):
        learner.write(x, y, mask=torch.ones(TASKS, 2).bool())
    with pytest.raises(ShapeError, match="x must have the leading axes of the support set"):
        written(make(), data(FEW))(query)
    with pytest.raises(ShapeError, match=r"^ALPaCA: the model must return vectors \(…, B, S, E\)"):
        ALPaCA(nn.Identity(), 1, features=2, per_step=True)(torch.zeros(3, 2))
    assert torch.equal(learner(query), before)


def test_the_state_of_another_learner_is_refused():
    learner = written(make(), data(FEW))
    other = ProtoNet(learner.module, 2).clone()
    other.write(data(FEW)[0], torch.tensor([0, 1, 1]))
    saved = other.state_dict() | {
        n: v for n, v in learner.state_dict().items() if not n.startswith("adaptation")
    }
    before = learner(data(4)[0])
    with pytest.raises(ArgumentError, match=r"expected vectors .*load the state of a ALPaCA"):
        learner.load_state_dict(saved)
    assert torch.equal(learner(data(4)[0]), before)
