import itertools
import random

import numpy as np
import pytest
import torch

from l2l_rnn.data import ForecastingDataset, SourceTaskset, split_series
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError

NAN = float("nan")


def clocks(*lengths, channels=1):
    """Values encode series and time: series 2 at time 37 is 2037, and -2037 in channel 1."""
    series = [1000.0 * i + torch.arange(n) for i, n in enumerate(lengths)]
    return [torch.stack([s, -s][:channels], -1) for s in series]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_windows_are_disjoint_and_targets_follow():
    dataset = ForecastingDataset(clocks(30, 17, channels=2), 5, 3, normalize=False)
    assert dataset.inputs.shape == (5, 5, 2)
    assert dataset.targets.shape == (5, 6)
    assert dataset.inputs[:, 0, 0].tolist() == [0, 8, 16, 1000, 1008]
    assert dataset.starts.tolist() == [0, 8, 16, 0, 8]
    assert dataset.groups.tolist() == [0, 0, 0, 1, 1]
    assert dataset.inputs[1, :, 1].tolist() == [-8, -9, -10, -11, -12]
    assert dataset.targets[1].tolist() == [13, -13, 14, -14, 15, -15]


def test_targets_with_axes_for_steps_and_channels():
    options = {"context": 5, "horizon": 3}
    flat = ForecastingDataset(clocks(30, 17, channels=2), **options)
    deep = ForecastingDataset(clocks(30, 17, channels=2), **options, flat_targets=False)
    assert deep.targets.shape == (5, 3, 2)
    assert torch.equal(deep.targets.flatten(1), flat.targets)
    assert torch.equal(deep.inputs, flat.inputs)
    assert deep.draw(3, 1, 1, seeded()).query_y.shape == (3, 1, 3, 2)


@pytest.mark.parametrize(
    "series",
    [
        [np.arange(20), list(range(12))],
        torch.stack([torch.arange(20.0), torch.arange(20.0).where(torch.arange(20) < 12, NAN)])[
            ..., None
        ],
    ],
)
def test_formats_of_series(series):
    dataset = ForecastingDataset(series, 3, 1, normalize=False, names=("a", "b"))
    assert dataset.group_names == ("a", "b")
    assert dataset.targets.flatten().tolist() == [3, 7, 11, 15, 19, 3, 7, 11]


def test_windows_are_normalized_by_their_context():
    rng = np.random.default_rng(0)
    one = rng.normal(5, 3, (60, 2))
    two = one.copy()
    two[8:10] += 1e3  # the targets of the first window
    first, second = (ForecastingDataset([series], 8, 2) for series in (one, two))
    assert torch.equal(first.inputs[0], second.inputs[0])
    torch.testing.assert_close(first.inputs.mean(1), torch.zeros(6, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(first.inputs.std(1, unbiased=False), torch.ones(6, 2))
    expected = (one[8:10] - one[:8].mean(0)) / one[:8].std(0)
    torch.testing.assert_close(first.targets[0], torch.tensor(expected).float().flatten())
    back = first.targets.unflatten(-1, (2, 2)) * first.std + first.mean
    torch.testing.assert_close(back[0], torch.tensor(one[8:10]).float())


def test_a_constant_context_is_only_centered():
    dataset = ForecastingDataset([[0.1] * 4 + [5.0]], 4, 1)
    assert dataset.inputs.flatten().tolist() == pytest.approx([0] * 4)
    assert dataset.targets.item() == pytest.approx(4.9)


WALKS = [
    1000 + np.random.default_rng(i).normal(size=(40 + i, 3)).cumsum(0) * (1, 30, 0.01)
    for i in range(4)
]


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("lead", [(), (5,), (2, 5), (4, 1, 5)])
def test_targets_return_to_their_units(lead, normalize, flat):
    options = {"context": 4, "horizon": 2, "flat_targets": flat}
    dataset = ForecastingDataset(WALKS, **options, normalize=normalize)
    raw = ForecastingDataset(WALKS, **options, normalize=False).targets.reshape(-1, 2, 3)
    indices = torch.randint(len(dataset), lead, generator=seeded())
    came = dataset.to_units(dataset.targets[indices], indices)
    assert came.shape == (*lead, 2, 3)
    assert came.dtype == torch.float32
    torch.testing.assert_close(came, raw[indices], rtol=2e-7, atol=0)
    constant = ForecastingDataset([[0.1] * 4 + [5.0, 7.0]], 4, 2)
    torch.testing.assert_close(
        constant.to_units(constant.targets, torch.tensor([0])).flatten(), torch.tensor([5.0, 7.0])
    )


def test_forecasts_return_to_units_as_a_loop_would():
    """Each forecast is scaled by its own context, also with other axes in front and gradients."""
    dataset = ForecastingDataset(WALKS, 4, 2)
    indices = torch.tensor([[0, 7, 3], [9, 9, 21]], dtype=torch.int32)
    samples = torch.randn(8, 2, 3, 6, dtype=torch.float64, requires_grad=True)
    came = dataset.to_units(samples, indices)
    assert came.dtype == torch.float64
    for sample, task, row in itertools.product(range(8), range(2), range(3)):
        i = int(indices[task, row])
        start, group = int(dataset.starts[i]), int(dataset.groups[i])
        context = torch.tensor(WALKS[group][start : start + 4]).float()
        mean, std = context.mean(0), context.std(0, unbiased=False)
        expected = samples[sample, task, row].view(2, 3) * std + mean
        torch.testing.assert_close(came[sample, task, row], expected, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(came.sum(), samples)
    torch.testing.assert_close(
        gradient.view(8, 2, 3, 2, 3), dataset.std[indices.long()].double().expand(8, 2, 3, 2, 3)
    )


@pytest.mark.parametrize(
    ("forecast", "indices", "error", "message"),
    [
        ([[1.0] * 6], torch.tensor([0]), ArgumentTypeError, "forecast must be a tensor, got list"),
        (torch.ones(1, 6), [0], ArgumentTypeError, "indices must be a tensor, got list; pass"),
        (torch.ones(1, 6), None, ArgumentTypeError, "NoneType; pass those of a batch"),
        (torch.ones(1, 6).long(), torch.tensor([0]), ArgumentTypeError, "real numbers, got torch"),
        (torch.ones(1, 6), torch.tensor([0.0]), ArgumentTypeError, "integers, got torch.float32"),
        (torch.ones(1, 6), torch.tensor([True]), ArgumentTypeError, "integers, got torch.bool"),
        (torch.ones(1, 6), torch.tensor([99]), ArgumentError, r"in 0 \.\. 25, got 99 \.\. 99"),
        (torch.ones(1, 6), torch.tensor([-1]), ArgumentError, r"got -1 \.\. -1; pass the indices"),
        (torch.ones(2, 6), torch.tensor([0]), ShapeError, r"\(1, 2, 3\) or \(1, 6\), .*got \(2, 6"),
        (torch.ones(1, 3), torch.tensor([0]), ShapeError, r"got \(1, 3\)"),
        (torch.ones(1, 3, 2), torch.tensor([0]), ShapeError, r"got \(1, 3, 2\)"),
        (torch.ones(6), torch.tensor([0]), ShapeError, r"got \(6,\)"),
    ],
)  # fmt: skip
def test_bad_forecasts_are_rejected(forecast, indices, error, message):
    with pytest.raises(error, match=message) as caught:
        ForecastingDataset(WALKS, 4, 2).to_units(forecast, indices)
    assert str(caught.value).startswith("ForecastingDataset.to_units: ")


@pytest.mark.parametrize("chronological", [False, True])
@pytest.mark.parametrize("way", ["draw", "taskset"])
def test_query_targets_are_in_no_support_example(chronological, way):
    dataset = ForecastingDataset(
        clocks(60, 90, 75), 5, 2, chronological=chronological, normalize=False
    )
    random.seed(0)
    if way == "draw":
        drawn = dataset.draw(60, 3, 4, seeded())
        tasks = list(
            zip(drawn.support_x, drawn.support_y, drawn.query_x, drawn.query_y, strict=True)
        )
    else:
        taskset = SourceTaskset(dataset, ways=5, samples=7)
        samples = [taskset.sample() for _ in range(60)]
        tasks = [(x[:3], y[:3], x[3:], y[3:]) for x, y in samples]
    owners, backwards = set(), 0
    for support_x, support_y, query_x, query_y in tasks:
        assert support_x.shape == (3, 5, 1)
        assert query_y.shape == (4, 2)
        shown = {*support_x.flatten().tolist(), *support_y.flatten().tolist()}
        asked = query_y.flatten().tolist()
        assert len(set(asked)) == 8
        assert not shown & set(asked)
        owner = {int(v // 1000) for v in shown | set(asked)}
        assert len(owner) == 1
        owners |= owner
        backwards += query_x[:, 0].min() < support_x[:, 0].max()
        if not chronological:
            assert not shown & set(query_x.flatten().tolist())
    assert owners == {0, 1, 2}
    assert (backwards == 0) if chronological else (backwards > 30)


def test_chronological_windows_overlap_in_their_contexts():
    dataset = ForecastingDataset(clocks(20), 5, 2, chronological=True, normalize=False)
    assert dataset.inputs[:, 0, 0].tolist() == [0, 2, 4, 6, 8, 10, 12]


def test_chronological_support_sets_are_random():
    """The support set is neither always the first windows nor always neighboring ones."""
    dataset = ForecastingDataset(clocks(40), 2, 1, chronological=True, normalize=False)
    starts = dataset.draw(200, 2, 1, seeded()).support_x[..., 0, 0]
    assert len({tuple(pair) for pair in starts.tolist()}) > 100
    assert (starts[:, 0] < starts[:, 1]).all()


def test_draws_are_reproducible():
    dataset = ForecastingDataset(clocks(60, 70), 5, 2, normalize=False)
    first, second, other = (dataset.draw(9, 2, 2, seeded(s)).query_y for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"context": 0}, ArgumentError, "context must be a positive integer, got 0"),
        ({"horizon": 1.5}, ArgumentError, "horizon must be a positive integer, got 1.5"),
        ({"stride": True}, ArgumentError, "stride must be an integer of at least 7, got True"),
        ({"stride": 6}, ArgumentError, "stride .* of at least 7, .*chronological=True"),
        (
            {"stride": 1, "chronological": True},
            ArgumentError,
            "stride must be an integer of at least 2, got 1; raise it$",
        ),
        ({"context": 29}, DataError, r"series 1 .* context \+ horizon = 31 steps, got 30"),
        ({"context": 29, "names": "ab"}, DataError, "series 'b' must have .* got 30"),
        ({"names": ("a",)}, ShapeError, "expected 2 names, one for each series, got 1; name"),
        ({"series": []}, DataError, "at least one series, got none"),
        (
            {"series": [[1.0, NAN, 3.0] * 9]},
            DataError,
            "case 0 .* got one at step 1",
        ),
        (
            {"series": clocks(40) + clocks(40, channels=2)},
            ShapeError,
            "case 1 must have 1 chan.* got 2",
        ),
        (
            {"series": [["a"] * 40]},
            ArgumentTypeError,
            "case 0 must be .* array of <U1",
        ),
    ],
)
def test_bad_input_is_rejected(options, error, message):
    with pytest.raises(error, match=message) as caught:
        ForecastingDataset(**{"series": clocks(40, 30), "context": 5, "horizon": 2, **options})
    assert str(caught.value).startswith("ForecastingDataset: ")


def test_too_many_windows_are_rejected():
    with pytest.raises(DataError, match="at least 9 examples"):
        ForecastingDataset(clocks(40), 3, 2).draw(2, 5, 4)


@pytest.mark.parametrize(
    ("count", "fractions", "sizes"),
    [
        (10, (0.6, 0.2, 0.2), [6, 2, 2]),
        (10, (3, 1, 1), [6, 2, 2]),
        (3, (0.98, 0.01, 0.01), [1, 1, 1]),
        (5, (0.01, 0.01, 0.98), [1, 1, 3]),
        (7, (1, 1), [4, 3]),
        (4, (1,), [4]),
    ],
)
def test_splits_share_no_series(count, fractions, sizes):
    series = clocks(*[5] * count)
    parts = split_series(series, fractions, seeded())
    assert [len(part) for part in parts] == sizes
    found = [int(s[0, 0]) for part in parts for s in part]
    assert sorted(found) == [1000 * i for i in range(count)]


def test_identical_series_stay_together():
    series = [torch.full((4,), float(i % 6)) for i in range(24)]
    parts = split_series(series, generator=seeded())
    for one, other in itertools.combinations(parts, 2):
        assert not {float(s[0]) for s in one} & {float(s[0]) for s in other}
    assert sum(map(len, parts)) == 24


def test_splits_are_reproducible():
    def split(seed):
        parts = split_series(clocks(*[5] * 30), generator=seeded(seed))
        return [[int(s[0, 0]) for s in part] for part in parts]

    assert split(1) == split(1) != split(2)


@pytest.mark.parametrize(
    ("count", "fractions", "error", "message"),
    [
        (2, (1, 1, 1), DataError, "expected at least 3 distinct series, got 2"),
        (9, (1, 0), ArgumentError, "a fraction must be a number above 0, got 0"),
        (9, (), ArgumentError, r"must have one number for each set, got \(\); pass"),
        (9, 0.5, ArgumentError, "fractions must have one number for each set, got 0.5"),
        (9, (1, NAN), ArgumentError, "a fraction must be .* got nan"),
        (9, (1, float("inf")), ArgumentError, "a fraction must be .* got inf"),
    ],
)
def test_bad_fractions_are_rejected(count, fractions, error, message):
    with pytest.raises(error, match=message):
        split_series(clocks(*[5] * count), fractions)


@pytest.mark.parametrize(("stride", "queries"), [(None, 1), (1, 2), (2, 3), (4, 1)])
def test_the_last_steps_are_the_queries(stride, queries):
    lengths = (61, 90, 74)
    dataset = ForecastingDataset(
        clocks(*lengths), 5, 4, last_steps=True, stride=stride, normalize=False
    )
    drawn = dataset.draw(60, 6, queries, seeded())
    owners, starts = set(), set()
    for support_x, support_y, query_y in zip(
        drawn.support_x, drawn.support_y, drawn.query_y, strict=True
    ):
        owner = int(query_y[0, 0] // 1000)
        owners.add(owner)
        asked = (query_y - 1000 * owner).flatten().tolist()
        assert asked == list(range(lengths[owner] - 4 * queries, lengths[owner]))
        shown = torch.cat([support_x[..., 0], support_y], -1) - 1000 * owner
        assert shown.max() < asked[0]
        assert (shown[:, 0].diff() > 0).all()
        starts |= {(owner, *shown[:, 0].tolist())}
    assert owners == {0, 1, 2}
    assert len(starts) > 40
    random.seed(0)
    _, y = SourceTaskset(dataset, ways=1, samples=5).sample()
    owner = int(y[-1, 0] // 1000)
    assert y[-1].tolist() == [1000 * owner + lengths[owner] - 4 + i for i in range(4)]
    assert y[:-1].max() < y[-1, 0]


def test_periods_are_the_last_channel():
    dataset = ForecastingDataset(WALKS, 4, 2, periods=(12, 1, 7, 4), last_steps=True)
    assert dataset.inputs.shape[1:] == (4, 4)
    assert dataset.input_size == 4
    assert dataset.targets.shape[1] == 6
    expected = torch.tensor([12.0, 1.0, 7.0, 4.0])[dataset.groups]
    assert torch.equal(dataset.inputs[..., -1], expected.unsqueeze(1).expand(-1, 4))
    raw = ForecastingDataset(WALKS, 4, 2, normalize=False, last_steps=True)
    indices = torch.tensor([0, 9])
    came = dataset.to_units(dataset.targets[indices], indices)
    torch.testing.assert_close(came.flatten(1), raw.targets[indices])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"chronological": True}, ArgumentError, "must not both be set"),
        ({"stride": 2}, ArgumentError, "stride must divide horizon=3, got 2; set it to 1"),
        ({"stride": 9}, ArgumentError, "stride must be an integer from 1 to 3, got 9"),
        ({"periods": (1,)}, ShapeError, "expected 2 periods, one for each series, got 1; use 1"),
        ({"periods": (1, 0)}, ArgumentError, "a period must be a positive integer, got 0"),
    ],
)
def test_bad_options_of_the_last_steps_are_rejected(options, error, message):
    with pytest.raises(error, match=message):
        ForecastingDataset(clocks(40, 30), 5, 3, last_steps=True, **options)


def test_too_short_series_for_the_last_steps_are_rejected():
    dataset = ForecastingDataset(clocks(20, 14), 5, 3, last_steps=True)
    with pytest.raises(DataError, match="30 windows before the last 3 steps, got at most 10"):
        dataset.draw(2, 30, 1)
