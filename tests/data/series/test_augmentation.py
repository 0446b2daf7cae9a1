from functools import partial

import pytest
import torch

from l2l_rnn.data import TaskBatch, augment_support, jitter, scale, time_warp, window_slice
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import step_lengths
from l2l_rnn.tasksets import Sinusoids

NAN = float("nan")
LENGTHS = torch.tensor([[9, 1, 5], [2, 9, 3]])
AUGMENTATIONS = [jitter, scale, time_warp, window_slice]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def ramps(lengths=LENGTHS, steps=9):
    """Channel 0 counts up from 0, channel 1 counts down from 100."""
    count = torch.arange(steps, dtype=torch.float64).expand(*lengths.shape, steps)
    x = torch.stack([count, 100 - count], -1)
    return x.where((count < lengths.unsqueeze(-1)).unsqueeze(-1), NAN)


def batch(x=None):
    x = torch.randn(2, 3, 9, 2, generator=seeded(5)).double() + 0 * ramps() if x is None else x
    y = torch.arange(3).expand(2, -1)
    return TaskBatch(x, y, x.clone(), y)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_shape_dtype_padding_and_input_are_kept(augment):
    x = ramps()
    before = x.clone()
    changed = augment(x, generator=seeded())
    assert changed.dtype == x.dtype
    assert torch.equal(changed.isnan(), x.isnan())
    assert not torch.equal(changed.nan_to_num(), x.nan_to_num())
    assert torch.equal(x.nan_to_num(), before.nan_to_num())


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_draws_are_reproducible(augment):
    x = ramps().nan_to_num()
    first, second = (augment(x, generator=seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, augment(x, generator=seeded(4)))


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(6, 2), (3, 1, 1), (2, 3, 4, 5), (0, 4, 2)])
def test_any_number_of_axes(augment, shape):
    assert augment(torch.randn(shape)).shape == shape


@pytest.mark.parametrize("augment", [partial(time_warp, std=0), partial(window_slice, ratio=1)])
def test_long_series_in_half_precision(augment):
    x = (torch.arange(5001) % 7).to(torch.float16).view(-1, 1)
    changed = augment(x)
    assert changed.dtype == torch.float16
    assert (changed - x).abs().max() < 0.05


@pytest.mark.parametrize(
    "augment",
    [
        partial(jitter, std=0),
        partial(scale, std=0),
        partial(time_warp, std=0),
        partial(window_slice, ratio=1),
    ],
)
def test_zero_strength_changes_nothing(augment):
    torch.testing.assert_close(augment(ramps()), ramps(), equal_nan=True)


def test_jitter_adds_noise_with_the_given_std():
    noise = jitter(torch.full((100, 200, 2), 3.0), 0.5, generator=seeded()) - 3
    assert noise.mean().abs() < 0.01
    assert noise.std() == pytest.approx(0.5, rel=0.02)


def test_scale_has_one_factor_per_series_and_channel():
    x = torch.rand(500, 7, 3, generator=seeded()) + 1
    factors = scale(x, 0.2, generator=seeded()) / x
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert factors[:, 0].std() == pytest.approx(0.2, rel=0.1)
    assert factors[:, 0].mean() == pytest.approx(1, rel=0.02)
    assert (factors[:, 0, 0] != factors[:, 0, 1]).all()


@pytest.mark.parametrize("std", [0.2, 3.0])
def test_time_warp_is_monotonic_between_fixed_ends(std):
    warped = time_warp(ramps(), std, generator=seeded())
    torch.testing.assert_close(
        warped.sum(-1).nan_to_num(100.0), torch.full((2, 3, 9), 100.0).double()
    )
    for series, length in zip(warped.flatten(0, 1), LENGTHS.flatten(), strict=True):
        assert series[0, 0] == 0
        torch.testing.assert_close(series[length - 1, 0], length.double() - 1)
        assert (series[:length, 0].diff() > 0).all()


def test_speeds_of_time_warp_follow_the_documented_formula():
    """With two knots, the speed changes linearly from the first to the second."""
    x = torch.arange(2001.0, dtype=torch.float64).view(-1, 1)
    speeds = time_warp(x, 0.5, knots=2, generator=seeded()).squeeze().diff()
    knots = (0.5 * torch.randn(2, 1, generator=seeded(), dtype=torch.float64)).exp()
    expected = torch.lerp(knots[0], knots[1], (torch.arange(2000) + 0.5).double() / 2000)
    torch.testing.assert_close(speeds, expected / expected.mean())


def test_window_slice_stretches_a_random_slice():
    x = ramps(torch.full((400,), 11), 11)
    sliced = window_slice(x, 0.4, generator=seeded())[..., 0]
    steps = sliced.diff(dim=-1)
    torch.testing.assert_close(steps, torch.full_like(steps, 0.4), atol=1e-5, rtol=0)
    assert (sliced.min(), sliced.max()) >= (0, 0)
    assert sliced.max() <= 10
    assert sliced[:, 0].min() < 0.1
    assert sliced[:, 0].max() > 5.9


def test_only_the_support_set_is_augmented():
    given = batch()
    changed = augment_support(given, jitter, partial(time_warp, std=0.5), generator=seeded())
    assert changed.query_x is given.query_x
    assert changed.support_y is given.support_y
    assert changed.query_y is given.query_y
    assert not torch.equal(changed.support_x.nan_to_num(), given.support_x.nan_to_num())
    assert torch.equal(step_lengths(changed.support_x), LENGTHS)
    generator = seeded()
    by_hand = time_warp(jitter(given.support_x, generator=generator), 0.5, generator=generator)
    torch.testing.assert_close(changed.support_x, by_hand, equal_nan=True)


def test_no_augmentations_change_nothing():
    given = batch()
    assert augment_support(given).support_x is given.support_x


@pytest.mark.parametrize(
    ("augmentation", "name"),
    [
        (lambda x, generator: x[..., :-1, :], "<lambda>"),
        (lambda x, generator: x.nan_to_num(), "<lambda>"),
        (partial(lambda x, generator, by: x * by, by=NAN), "partial"),
    ],
)
def test_augmentations_must_keep_shape_and_padding(augmentation, name):
    with pytest.raises(ShapeError, match=f"augment_support: {name} must keep the shape"):
        augment_support(batch(), augmentation)


@pytest.mark.parametrize("augment", [*AUGMENTATIONS, lambda x: augment_support(batch(x), jitter)])
def test_token_ids_are_rejected(augment):
    with pytest.raises(
        ArgumentTypeError, match=r"x must be a tensor of real-valued steps, got torch.int64"
    ):
        augment(torch.ones(2, 3, 9, dtype=torch.int64))


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("shape", [(3,), (2, 0, 1)])
def test_inputs_without_steps_are_rejected(augment, shape):
    with pytest.raises(ShapeError, match=r"x must be \(…, S, F\) with at least one step, got"):
        augment(torch.ones(shape))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_tasks_without_steps_are_rejected(augmentation):
    waves = Sinusoids().draw(2, 5, 5)  # (N, B, 1)
    message = r"augment_support: support_x must be \(N, B, S, F\), got shape \(2, 5, 1\); use"
    with pytest.raises(ShapeError, match=message):
        augment_support(waves, augmentation)


@pytest.mark.parametrize(
    ("augment", "options", "message"),
    [
        (jitter, {"std": -1}, "jitter: std must be a number of at least 0, got -1"),
        (scale, {"std": NAN}, "scale: std must be.*got nan"),
        (time_warp, {"std": "1"}, "time_warp: std must be.*got '1'"),
        (time_warp, {"knots": 1}, "time_warp: knots must be an integer of at least 2, got 1"),
        (time_warp, {"knots": 2.0}, "knots must be"),
        (
            window_slice,
            {"ratio": 0},
            "window_slice: ratio must be .* of at most 1, got 0",
        ),
        (window_slice, {"ratio": 1.1}, "ratio must be"),
        (window_slice, {"ratio": True}, "ratio must be"),
    ],
)
def test_bad_strengths_are_rejected(augment, options, message):
    with pytest.raises(ArgumentError, match=message):
        augment(ramps(), **options)
