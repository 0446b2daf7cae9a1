"""Learned dropout: its masks, and the gradient of its rate."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.nn import LearnedDropout

MANY = 40_000


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_masks_are_nearly_0_or_1_and_drop_at_the_rate(rate):
    layer = LearnedDropout(rate)
    assert layer.rate.item() == pytest.approx(rate)
    with torch.no_grad():
        mask = layer(torch.ones(MANY)) * (1 - rate)
    assert (mask >= 0).all()
    assert (mask <= 1 + 1e-5).all()
    deviation = (rate * (1 - rate) / MANY) ** 0.5
    assert mask.mean().item() == pytest.approx(1 - rate, abs=4 * deviation + 0.002)
    assert (mask < 0.5).float().mean().item() == pytest.approx(rate, abs=4 * deviation)
    assert ((mask > 0.1) & (mask < 0.9)).float().mean() < 0.15


@pytest.mark.parametrize("temperature", [0.05, 0.1])
def test_the_expected_output_is_the_input(temperature):
    x = torch.randn(7)
    with torch.no_grad():
        mean = LearnedDropout(0.3, temperature)(x.expand(MANY, 7)).mean(0)
    torch.testing.assert_close(mean, x, rtol=0.02, atol=0)


def test_evaluation_is_the_identity():
    layer, x = LearnedDropout(0.5).eval(), torch.randn(3, 4)
    assert layer(x) is x
    assert not torch.equal(layer.train()(x), x)


@pytest.mark.parametrize("rate", [0.1, 0.4, 0.8])
def test_gradient_of_the_rate_equals_a_finite_difference(rate):
    """With the same noise, the output is a twice differentiable function of the rate."""
    layer, x = LearnedDropout(rate, temperature=0.5).double(), torch.randn(4, 3).double()
    weights = torch.randn(4, 3).double()

    def value(log_odds, x):
        torch.manual_seed(5)
        return (weights * functional_call(layer, {"log_odds": log_odds}, (x,))).sum()

    given = (layer.log_odds.detach().requires_grad_(), x.requires_grad_())
    assert torch.autograd.gradcheck(value, given)
    assert torch.autograd.gradgradcheck(value, given)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.7])
def test_mean_gradient_equals_the_gradient_of_the_mean_loss(rate):
    """The mean squared error of dropout on ones is `p / (1 - p)`, which grows with the rate."""
    layer = LearnedDropout(rate, temperature=0.02)
    (layer(torch.ones(4 * MANY)) - 1).square().mean().backward()
    # p / (1 - p) are the odds, which equal their derivative w.r.t. the log odds
    assert layer.log_odds.grad.item() == pytest.approx(rate / (1 - rate), rel=0.05)


def test_each_task_has_its_own_rate_and_masks():
    layer = LearnedDropout(0.5)
    parent = layer.log_odds
    expand_parameters(layer, 3)
    assert layer.log_odds.shape == (3,)
    with torch.no_grad():
        layer.log_odds.copy_(torch.tensor([0.1, 0.5, 0.9]).logit())
    outputs = layer(torch.ones(3, MANY // 4, 4))
    dropped = (outputs.detach() * (1 - layer.rate[:, None, None]) < 0.5).float().mean((1, 2))
    torch.testing.assert_close(dropped, torch.tensor([0.1, 0.5, 0.9]), rtol=0, atol=0.02)
    outputs.var((1, 2)).sum().backward()
    assert parent.grad.shape == ()


def test_tasks_do_not_share_masks():
    layer, x = LearnedDropout(0.5), torch.ones(2, 5, 20)
    direct = layer(x)
    expand_parameters(layer, 2)
    for outputs in (direct, layer(x)):
        assert not torch.equal(outputs[0], outputs[1])
    mapped = vmap(
        lambda log_odds, x: functional_call(layer, {"log_odds": log_odds}, (x,)),
        randomness="different",
    )(layer.log_odds, x)
    assert not torch.equal(mapped[0], mapped[1])


def test_dropout_knows_tasks():
    assert knows_tasks(nn.Sequential(LearnedDropout(0.5)))


@pytest.mark.parametrize("training", [True, False])
def test_rates_of_tasks_require_inputs_of_tasks(training):
    layer = LearnedDropout(0.5).train(training)
    expand_parameters(layer, 3)
    for shape in [(2, 3), ()]:
        with pytest.raises(ShapeError, match=r"with N=3 tasks, .* got shape"):
            layer(torch.ones(shape))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
def test_few_elements(shape):
    assert LearnedDropout(0.5)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    outputs = LearnedDropout(0.5)(torch.ones(500, dtype=dtype))
    assert outputs.dtype == dtype
    assert outputs.isfinite().all()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(copied):
    layer, other = LearnedDropout(0.3), LearnedDropout(0.6)
    assert list(layer.state_dict()) == ["log_odds"]
    other.load_state_dict(layer.state_dict())
    for twin in (copied(layer), other):
        torch.testing.assert_close(twin.rate, torch.tensor(0.3))


@pytest.mark.parametrize("rate", [0, 1, 0.0, 1.0, -0.1, 1.5, float("nan"), "0.5", None, True])
def test_bad_rates(rate):
    with pytest.raises(ArgumentError, match="rate must be a number above 0 and below 1"):
        LearnedDropout(rate)


@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan"), "1", None, True])
def test_bad_temperatures(temperature):
    with pytest.raises(ArgumentError, match="temperature must be a number above 0"):
        LearnedDropout(0.5, temperature)


def test_rates_close_to_the_bounds():
    for rate in (1e-300, 1 - 1e-16):
        layer = LearnedDropout(rate)
        assert layer(torch.ones(100)).isfinite().all()
        assert layer.log_odds.isfinite()


def test_a_small_rate_drops_in_half_precision_too():
    torch.manual_seed(0)
    outputs = LearnedDropout(0.004)(torch.ones(20_000, dtype=torch.bfloat16))
    assert outputs.dtype == torch.bfloat16
    assert (outputs < 0.5).float().mean().item() == pytest.approx(0.004, abs=0.002)
