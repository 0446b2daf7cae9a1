"""The forecaster and its encoder: values, derivatives, the task axis, gaps, and bad input."""

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn.algorithms import ANIL, MAML, ALPaCA, fit_linear_prior
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError, UnknownNameError
from l2l_rnn.functional import pinball_loss
from l2l_rnn.models import ForecastEncoder, Forecaster, SeriesScale
from l2l_rnn.nn import CELLS

NAN = float("nan")
TASKS, BATCH, STEPS, HORIZON = 3, 4, 11, 3
OPTIONS = [
    {},
    {"quantiles": (0.1, 0.5, 0.9)},
    {"seasonal": True, "normalization": "last"},
    {"seasonal": True, "input_size": 2, "quantiles": (0.2, 0.8)},
]


def make(dtype=torch.float64, **options):
    torch.manual_seed(0)
    model = Forecaster(HORIZON, **{"hidden_size": 4, "lags": 5, **options})
    with torch.no_grad():  # the head is 0 at first
        model.head.weight.normal_(0, 0.3)
    return model.to(dtype)


def data(tasks=TASKS, steps=STEPS, **options):
    generator = torch.Generator().manual_seed(1)
    shape = (tasks, BATCH, steps, options.get("input_size", 1))
    x = torch.randn(shape, generator=generator, dtype=torch.float64).cumsum(-2)
    if options.get("seasonal"):
        season = torch.tensor([1.0, 3.0, 4.0, 20.0], dtype=torch.float64)
        x = torch.cat([x, season[:, None, None].expand(tasks, BATCH, steps, 1)], -1)
    return x


@pytest.fixture(params=OPTIONS, ids=str)
def options(request):
    return request.param


def test_forecasts_have_the_units_of_the_series(options):
    model, x = make(**options), data(**options)
    size = HORIZON * options.get("input_size", 1)
    outputs = model(x)
    quantiles = len(options.get("quantiles", ()))
    assert outputs.shape == (TASKS, BATCH, size, *[quantiles] * bool(quantiles))
    moved = x.clone()
    moved[..., : options.get("input_size", 1)] *= 100
    moved[..., : options.get("input_size", 1)] += 5e4
    torch.testing.assert_close(model(moved), 100 * outputs + 5e4, rtol=1e-9, atol=1e-7)
    if quantiles:
        assert (outputs.diff(dim=-1) >= 0).all()


def test_first_and_second_derivatives(options):
    model, x = make(**{**options, "hidden_size": 2, "lags": 2}), data(tasks=1, **options)[0, :2]
    values, season = x.tensor_split([options.get("input_size", 1)], -1)
    names, tensors = zip(*model.named_parameters(), strict=True)

    def call(values, *tensors):
        inputs = torch.cat([values, season], -1)
        return torch.func.functional_call(model, dict(zip(names, tensors, strict=True)), inputs)

    inputs = (values.requires_grad_(), *(t.detach().requires_grad_() for t in tensors))
    assert gradcheck(call, inputs, fast_mode=True)
    assert gradgradcheck(call, inputs, fast_mode=True)


def test_parameters_for_each_task_equal_a_loop(options):
    model, x = make(**options), data(**options)
    singles = [copy.deepcopy(model) for _ in range(TASKS)]
    for single in singles:
        for p in single.parameters():
            p.data += 0.3 * torch.randn(p.shape, dtype=p.dtype)
    assert knows_tasks(model)
    expand_parameters(model, TASKS)
    state = [dict(single.named_parameters()) for single in singles]
    for module_name, module in model.named_modules():
        for name, p in module._parameters.items():
            if p is not None:
                key = f"{module_name}.{name}".lstrip(".")
                stacked = torch.stack([one[key].detach() for one in state])
                module._parameters[name] = stacked.requires_grad_()
    outputs = model(x)
    apart = torch.stack([single(x[n]) for n, single in enumerate(singles)])
    torch.testing.assert_close(outputs, apart, rtol=1e-10, atol=1e-12)
    outputs.sin().sum().backward()
    apart.sin().sum().backward()
    for name, p in model.named_parameters():
        wanted = torch.stack([one[name].grad for one in state])
        torch.testing.assert_close(p.grad, wanted, rtol=1e-8, atol=1e-10, msg=name)


@pytest.mark.parametrize("cell", CELLS)
def test_padding_changes_nothing_and_rows_are_independent(cell):
    given = {"seasonal": True, "cell": cell}
    model, x = make(**given), data(tasks=1, **given)[0]
    lengths = [11, 2, 7, 9]
    ragged = x.clone()
    for row, length in zip(ragged, lengths, strict=True):
        row[length:] = NAN
    longer = torch.cat([ragged, torch.full_like(ragged[:, :4], NAN)], 1)
    apart = torch.cat([model(x[b : b + 1, :n]) for b, n in enumerate(lengths)])
    torch.testing.assert_close(model(ragged), apart, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(model(longer), apart, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(model)(ragged[None]), apart[None])


def test_missing_values_are_the_last_value_before_them():
    encoder = ForecastEncoder(2, hidden_size=1, lags=6)
    x = torch.tensor([NAN, 2.0, NAN, 5.0, NAN, NAN, 8.0]).reshape(1, 7, 1)
    lags = encoder(x)[0, 1:7] * encoder.scale(x).spread + encoder.scale(x).center
    assert lags[0].tolist() == pytest.approx([8, 5, 5, 5, 2, 2])
    torch.testing.assert_close(encoder.scale(x).center, torch.tensor([[5.0]]))  # of 2, 5 and 8
    filled = x.nan_to_num(3.0)
    assert not torch.equal(encoder(filled)[..., -1], encoder(x)[..., -1])


def test_seasonal_features_are_those_of_a_decomposition():
    """A line plus a season of 4: its last season, profile, level and slope are exact."""
    season = torch.tensor([3.0, -1.0, -1.5, -0.5])
    steps = torch.arange(24.0)
    y = 0.1 * steps + season.repeat(6)
    x = torch.stack([y, torch.full((24,), 4.0)], -1).unsqueeze(0)
    encoder = ForecastEncoder(6, hidden_size=1, lags=2, seasonal=True)
    center, spread = (part.item() for part in encoder.scale(x))
    features = encoder(x)[0].detach()
    ago, profile, level, slope = features[3:-1].split((6, 6, 1, 1))
    torch.testing.assert_close(ago * spread + center, y[[20, 21, 22, 23, 20, 21]])
    expected = season.repeat(2)[:6] - 0.1 / 2  # a season of even length has no middle step
    torch.testing.assert_close(profile * spread, expected, rtol=1e-4, atol=1e-4)
    assert level.item() * spread + center == pytest.approx(y[-4:].mean().item(), abs=1e-4)
    assert slope.item() * spread == pytest.approx(0.1, abs=1e-4)


def test_constant_series_and_one_step():
    model = make(torch.float32, seasonal=True)
    for x in (torch.full((2, 5, 2), 3.0), torch.tensor([[[7.0, 1.0]]])):
        x = x.requires_grad_()
        outputs = model(x)
        assert outputs.isfinite().all()
        (gradient,) = torch.autograd.grad(outputs.square().sum(), x)
        assert gradient.isfinite().all()
    assert model(torch.empty(0, 5, 2)).shape == (0, HORIZON)


def test_copies_give_the_same_forecasts(options):
    model, x = make(torch.float32, **options), data(**options).float()
    with torch.no_grad():
        outputs = model(x)
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model)), make(**options).float()
    copies[2].load_state_dict(model.state_dict())
    for other in copies:
        assert torch.equal(other(x), outputs)
    torch.testing.assert_close(make(**options)(x.double()).float(), outputs, rtol=1e-3, atol=1e-3)


def test_a_head_that_is_fitted_forecasts_like_a_regression():
    generator = torch.Generator().manual_seed(0)
    series = torch.randn(200, 3, generator=generator)
    series = torch.stack([a + b * torch.sin(torch.arange(16.0) + c) for a, b, c in series])
    x, y = series[:, :13, None], series[:, 13:]
    model = Forecaster(HORIZON, hidden_size=4, lags=6, quantiles=(0.05, 0.5, 0.95))
    before = (model(x)[..., 1] - y).abs().mean()
    model.fit_head(x, y, regularization=1e-2)
    found = model(x)
    assert (found[..., 1] - y).abs().mean() < 0.02 * before
    assert (found[..., 2] > found[..., 0]).all()
    learner = ALPaCA(ForecastEncoder(HORIZON, hidden_size=4, lags=6), HORIZON)
    scale = learner.module.scale(x)
    fit_linear_prior(learner, x, scale.normalize(y), regularization=1e-2)
    means = scale.invert(learner.clone()(x))
    torch.testing.assert_close(means, y, rtol=0, atol=0.1)


@pytest.mark.parametrize("kind", [MAML, ANIL])
def test_learners_adapt_it(kind):
    q = (0.1, 0.5, 0.9)
    learner, x = kind(make(quantiles=q, seasonal=True), lr=0.05), data(seasonal=True)
    y = x[:, :, -HORIZON:, 0]
    many = learner.clone(tasks=TASKS)
    many.adapt(pinball_loss(many(x), y, q))
    for task in range(TASKS):
        single = learner.clone()
        single.adapt(pinball_loss(single(x[task]), y[task], q))
        torch.testing.assert_close(many(x)[task], single(x[task]), rtol=1e-9, atol=1e-11)
    pinball_loss(many(x), y, q).sum().backward()
    assert all(p.grad is not None for p in learner.parameters())


@pytest.mark.parametrize(
    ("options", "x", "error", "message"),
    [
        ({"horizon": 0}, None, ArgumentError, "horizon must be a positive integer, got 0"),
        ({"lags": 0}, None, ArgumentError, "lags must be a positive integer"),
        ({"cell": "gruu"}, None, UnknownNameError, "did you mean 'gru'"),
        ({"normalization": "max"}, None, UnknownNameError, "Known: mean, last"),
        ({"quantiles": (0.5, 0.1)}, None, ArgumentError, "in ascending order, got"),
        ({"quantiles": (0.5, 1.0)}, None, ArgumentError, "a quantile must be a number above 0"),
        ({"quantiles": ()}, None, ArgumentError, "pass None for one forecast per step"),
        ({}, [[1.0]], ArgumentTypeError, "x must be a tensor, got list"),
        ({}, torch.ones(2, 5, 1).long(), ArgumentTypeError, "must be real numbers"),
        ({}, torch.ones(2, 5, 2), ShapeError, r"must be \(…, B, S, 1\), .* F=1 channels, got"),
        ({}, torch.ones(2, 0, 1), ShapeError, "at least one step"),
        ({"seasonal": True}, torch.ones(2, 5, 1), ShapeError, "steps in a season, got shape"),
        ({"seasonal": True}, torch.zeros(2, 5, 2), ArgumentError, "at least 1, got 0.0; use 1"),
        ({}, torch.full((2, 5, 1), NAN), ArgumentError, "got one that is all NaN; drop"),
    ],
)
def test_bad_input_is_rejected(options, x, error, message):
    with pytest.raises(error, match=message):
        Forecaster(**{"horizon": 2, "hidden_size": 4, **options})(x)


def test_bad_targets_are_rejected():
    model, x = make(torch.float32), torch.randn(3, 5, 1)
    with pytest.raises(ShapeError, match=r"y must have shape \(3, 3\)"):
        model.fit_head(x, torch.ones(3, 2))
    with pytest.raises(ArgumentError, match="y must be finite"):
        model.fit_head(x, torch.full((3, 3), NAN))
    with pytest.raises(ShapeError, match="a multiple of F=2 values, got 3"):
        SeriesScale(torch.zeros(1, 2), torch.ones(1, 2)).invert(torch.ones(1, 3))
    learner = ALPaCA(torch.nn.Identity(), 1, features=1)
    with pytest.raises(ArgumentError, match="vectors and targets must be finite"):
        fit_linear_prior(learner, torch.full((3, 1), NAN), torch.ones(3, 1))
