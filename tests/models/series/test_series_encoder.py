"""The series encoder: derivatives, the task axis, padding, channels, lengths and errors."""

import copy
import pickle

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SeriesClassifier, SeriesEncoder, StepConvolution

SMALL = {"channels": (3, 4), "kernel_size": 3, "hidden_size": 3, "embedding_size": 2}
KINDS = {
    "any channels": {},
    "together": {"input_size": 2, "dilations": (1, 2)},
    "resampled": {"length": 14, "cell": "mingru", "bidirectional": False},
    "not normalized": {"normalize": False, "cell": "lru", "strides": (1, 3)},
}


def make(kind="any channels", model=SeriesEncoder, **options):
    torch.manual_seed(0)
    return model(**{**SMALL, **KINDS[kind], **options}).double()


def data(*lead, steps=16, channels=2, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*lead, steps, channels, generator=draw, dtype=torch.float64)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_first_and_second_derivatives(kind):
    encoder, x = make(kind), data(2, steps=12).requires_grad_()

    def call(x, *parameters):
        named = dict(zip(dict(encoder.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(encoder, named, (x,))

    inputs = (x, *(p.detach().requires_grad_() for p in encoder.parameters()))
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


def test_parameters_for_each_task_equal_a_loop(kind):
    encoder, x = make(kind), data(3, 2)
    assert knows_tasks(encoder)
    singles = [make(kind) for _ in range(3)]
    many = copy.deepcopy(encoder)
    expand_parameters(many, 3)
    for n, single in enumerate(singles):
        parts = zip(many.modules(), single.modules(), strict=True)
        with torch.no_grad():
            for owner, alone in parts:
                for name, p in alone._parameters.items():
                    if p is not None:
                        p += 0.1 * n
                        owner._parameters[name][n] += 0.1 * n
    outputs, apart = many(x), torch.stack([s(x[n]) for n, s in enumerate(singles)])
    torch.testing.assert_close(outputs, apart)
    torch.testing.assert_close(encoder(x), torch.stack([encoder(one) for one in x]))


def test_padding_changes_nothing(kind):
    encoder, x = make(kind), data(3)
    x[1, 12:] = torch.nan
    expected = torch.cat([encoder(x[:1]), encoder(x[1:2, :12]), encoder(x[2:])])
    more = torch.cat([x, torch.full((3, 4, 2), torch.nan, dtype=x.dtype)], 1)
    for series in (x, more):
        torch.testing.assert_close(encoder(series), expected)


def test_any_number_of_channels_is_an_average():
    encoder, x = make(), data(2, channels=3)
    each = torch.stack([encoder(x[..., c : c + 1]) for c in range(3)])
    torch.testing.assert_close(encoder(x), each.mean(0))
    x[1, :, 2] = torch.nan  # a channel that a series does not have
    torch.testing.assert_close(encoder(x)[1], each[:2, 1].mean(0))


def test_scale_and_offset_of_a_channel_do_not_matter_if_series_are_normalized():
    encoder, x = make(), data(2)
    torch.testing.assert_close(encoder(3 * x + 5), encoder(x))
    assert not torch.allclose(make("not normalized")(3 * x + 5), make("not normalized")(x))
    assert torch.isfinite(encoder(torch.ones_like(x))).all()  # constant channels


def test_any_length_is_resampled():
    encoder = make("resampled")
    assert encoder(data(2, steps=1)).shape == encoder(data(2, steps=50)).shape == (2, 2)
    line = torch.linspace(0, 1, 14, dtype=torch.float64).reshape(1, 14, 1)
    plain = make("resampled", normalize=False)
    torch.testing.assert_close(plain(line[:, ::13]), plain(line))


def test_a_series_shorter_than_the_reach_is_rejected_with_the_minimum():
    encoder = make(strides=(2, 2))
    assert encoder.minimum_length == 7
    assert encoder(data(1, steps=7)).shape == (1, 2)
    with pytest.raises(ArgumentError, match=r"at least 7 steps, .* got one of 6; pass longer ones"):
        encoder(data(1, steps=6))
    x = data(2)
    x[1, 5:] = torch.nan
    with pytest.raises(ArgumentError, match=r"at least 7 steps, .* got one of 5"):
        encoder(x)
    with pytest.raises(ArgumentError, match=r"length must be at least 7, the reach"):
        make(length=6, strides=(2, 2))


def test_copies_and_dtypes_and_a_meta_step(kind):
    encoder, x = make(kind), data(2)
    for copied in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(copied(x), encoder(x))
    other = make(kind)
    other.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        assert torch.equal(other(x), encoder(x))
    assert encoder.float()(x.float()).dtype == torch.float32
    assert encoder(x[:0].float()).shape == (0, 2)


def test_second_order_maml_of_tasks_at_once_equals_a_loop():
    model = make(model=lambda **o: SeriesClassifier(3, **o))
    learner, x, y = MAML(model, 0.1), data(2, 6), torch.arange(6).remainder(3).expand(2, -1)

    def meta(learner, x, y):
        learner.adapt(cross_entropy(learner(x), y))
        return cross_entropy(learner(x.flip(1)), y.flip(1)).sum()

    at_once = torch.autograd.grad(meta(learner.clone(tasks=2), x, y), list(model.parameters()))
    loop = sum(meta(learner.clone(tasks=1), x[n : n + 1], y[n : n + 1]) for n in range(2))
    for a, b in zip(at_once, torch.autograd.grad(loop, list(model.parameters())), strict=True):
        torch.testing.assert_close(a, b)


def test_a_convolution_is_that_of_torch():
    torch.manual_seed(0)
    ours = StepConvolution(2, 3, kernel_size=3, stride=2, dilation=2).double()
    theirs = nn.Conv1d(2, 3, 3, stride=2, dilation=2).double()
    with torch.no_grad():
        theirs.weight.copy_(ours.weight.view(3, 3, 2).mT)
        theirs.bias.copy_(ours.bias)
    x = data(4)
    torch.testing.assert_close(ours(x), theirs(x.mT).mT)
    lengths = torch.tensor([16, 5, 4])
    assert ours.output_lengths(lengths).tolist() == [6, 1, 0]
    with pytest.raises(ShapeError, match="F=2 features and at least 5 steps, got shape"):
        ours(x[:, :4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": (3,)}, "must have one value for each convolution, got 1, 2 and 2"),
        ({"kernel_size": 0}, "kernel_size must be a positive integer"),
        ({"dropout": 1.0}, "dropout must be"),
    ],
)
def test_invalid_options_are_rejected(options, message):
    with pytest.raises(ArgumentError, match=message):
        make(**options)


def test_invalid_series_are_rejected():
    encoder, x = make(), data(2)
    with pytest.raises(ShapeError, match=r"F=2 channels, got shape \(2, 16, 3\)"):
        make("together")(data(2, channels=3))
    with pytest.raises(ArgumentTypeError, match="steps must be real-valued"):
        encoder(x.long())
    with pytest.raises(ShapeError, match="add an axis for the channels"):
        encoder(x[0])
    x[0, 3] = torch.nan
    with pytest.raises(ArgumentError, match="a step inside a sequence holds a NaN"):
        encoder(x)
    with pytest.raises(ArgumentError, match="sequence 1 is all padding"):
        encoder(torch.stack([data(), torch.full_like(x[0], torch.nan)]))
