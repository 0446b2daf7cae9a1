import sys

import numpy as np
import pytest
import torch

from l2l_rnn.data import GroupedDataset, SequenceDataset, channel_moments, from_arrays
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    L2LRNNError,
    ShapeError,
    UnknownNameError,
)
from l2l_rnn.models import SequenceClassifier

LENGTHS = (4, 2, 5, 3)
Y = ["walk", "run", "walk", "run"]
NAN = float("nan")


def value(case, channel, step):
    """Encode the position of a value: case 2, channel 1, step 3 is 213."""
    return 100 * case + 10 * channel + step


CASES = [
    np.array([[value(i, c, s) for s in range(length)] for c in range(2)], dtype=float)
    for i, length in enumerate(LENGTHS)
]


def padded():
    """(cases, channels, timepoints), padded with NaN."""
    array = np.full((4, 2, 5), NAN)
    for row, case in zip(array, CASES, strict=True):
        row[:, : case.shape[1]] = case
    return array


FORMS = {
    "list": lambda: {"X": CASES},
    "tuple of tensors": lambda: {"X": tuple(map(torch.tensor, CASES))},
    "list of lists": lambda: {"X": [case.tolist() for case in CASES]},
    "list, channels last": lambda: {"X": [c.T for c in CASES], "layout": "channels_last"},
    "array": lambda: {"X": padded()},
    "tensor": lambda: {"X": torch.tensor(padded(), dtype=torch.float64, requires_grad=True)},
    "tslearn": lambda: {"X": padded().transpose(0, 2, 1), "layout": "channels_last"},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_all_formats_give_the_same_dataset(form):
    dataset = from_arrays(**{"y": Y, **form()})
    assert type(dataset) is SequenceDataset
    assert dataset.sequences.shape == (4, 5, 2)
    assert dataset.sequences.dtype == torch.float32
    for i, length in enumerate(LENGTHS):
        for step in range(5):
            for channel in range(2):
                came = float(dataset.sequences[i, step, channel])
                assert came == value(i, channel, step) if step < length else came != came
    assert dataset.classes == ("run", "walk")
    assert dataset.labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "X",
    [
        np.arange(12).reshape(4, 3),
        [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]],
        [torch.arange(3 * i, 3 * i + 3, dtype=torch.bfloat16) for i in range(4)],
        np.arange(12).reshape(4, 1, 3).astype(np.float16),
    ],
)
def test_arrays_of_one_channel(X):
    assert from_arrays(X, Y).sequences.squeeze(-1).tolist() == np.arange(12).reshape(4, 3).tolist()


def test_the_default_layout_is_channels_first():
    X = np.arange(24.0).reshape(4, 2, 3)
    assert from_arrays(X, Y).sequences.shape == (4, 3, 2)
    assert from_arrays(X, Y, layout="channels_last").sequences.shape == (4, 2, 3)
    assert from_arrays(X, Y).sequences[1, 2, 0] == X[1, 0, 2]


def test_common_padding_is_removed():
    X = np.full((4, 1, 9), NAN)
    X[:, :, :3] = 1
    assert from_arrays(X, Y).sequences.shape == (4, 3, 1)


def test_groups():
    dataset = from_arrays(CASES, Y, groups=["Bo", "Bo", "Al", "Al"])
    assert type(dataset) is GroupedDataset
    assert dataset.group_names == ("Al", "Bo")
    assert dataset.groups.tolist() == [1, 1, 0, 0]
    assert dataset.targets.tolist() == [1, 0, 1, 0]
    assert dataset.inputs.shape == (4, 5, 2)


def test_standardize_with_given_moments():
    X = np.random.default_rng(0).normal(3, 7, (30, 2, 50))
    X[::3, :, 40:] = NAN
    moments = channel_moments(from_arrays(X, np.arange(30) % 3).sequences)
    flat = X.transpose(1, 0, 2).reshape(2, -1)
    np.testing.assert_allclose(moments[0], np.nanmean(flat, 1), rtol=1e-5)
    np.testing.assert_allclose(moments[1], np.nanstd(flat, 1), rtol=1e-5)
    dataset = from_arrays(X, np.arange(30) % 3, standardize=moments)
    torch.testing.assert_close(channel_moments(dataset.sequences), (torch.zeros(2), torch.ones(2)))
    other = from_arrays(X[:4] + 7, Y, standardize=moments).sequences
    torch.testing.assert_close(
        other[1, 0], (torch.tensor(X[1, :, 0]).float() + 7 - moments[0]) / moments[1]
    )


def test_standardize_with_numbers():
    dataset = from_arrays(CASES, Y, standardize=(10, 2))
    assert dataset.sequences[2, 3].tolist() == [(203 - 10) / 2, (213 - 10) / 2]


def test_a_constant_channel_has_std_1():
    steps = torch.stack([torch.full((4, 6), 0.1), torch.arange(24.0).view(4, 6)], -1)
    mean, std = channel_moments(steps)
    assert mean.tolist() == pytest.approx([0.1, 11.5])
    assert std.tolist() == pytest.approx([1, np.arange(24).std()])


def test_a_model_reads_tasks_of_the_dataset():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(3, rng.integers(4, 9))) for _ in range(40)]
    dataset = from_arrays(X, np.arange(40) % 4)
    batch = dataset.draw(2, 3, 2, torch.Generator().manual_seed(0), ways=3)
    scores = SequenceClassifier(3, input_size=3, hidden_size=4)(batch.support_x)
    assert scores.shape == (2, 9, 3)
    assert scores.isfinite().all()


def test_inputs_are_not_modified():
    X = padded()
    before = X.copy()
    from_arrays(X, Y).sequences.zero_()
    np.testing.assert_array_equal(X, before)
    steps = torch.zeros(4, 3, 2)
    from_arrays(steps, Y, layout="channels_last").sequences.add_(1)
    assert not steps.any()


def test_arrays_do_not_require_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert len(from_arrays(CASES, Y)) == 4


OBJECTS = np.array([[1.0], [2.0, 3.0]], dtype=object)


def broken(case=2, channel=1, step=1, to=NAN):
    X = [case.copy() for case in CASES]
    X[case][channel, step] = to
    return X


def with_channels(*counts):
    return [np.zeros((c, 3)) for c in counts]


@pytest.mark.parametrize(
    ("X", "options", "error", "message"),
    [
        (broken(), {}, DataError, "case 2 .* at step 1 of channel 1, .* last step 4"),
        (broken(step=4), {}, DataError, "case 2 .* got one at step 4 of channel 1"),
        (broken(to=np.inf), {}, DataError, "case 2 must be finite.* step 1 of channel 1"),
        (broken(to=1e39), {}, DataError, "finite in float32"),
        (padded().transpose(0, 2, 1), {}, DataError, "NaN.*layout='channels_last'"),
        (with_channels(2, 2, 3, 2), {}, ShapeError, "case 2 must have 2 channels .* got 3"),
        ([c.T for c in CASES], {}, ShapeError, "case 1 .* got 2; .*layout='channels_last'"),
        ([np.zeros((2, n)) for n in (1, 1, 1, 0)], {}, DataError, "case 3 must have at least one"),
        ([np.full((2, 3), NAN), *CASES[1:]], {}, DataError, "case 0 must have at least one"),
        (np.zeros((4, 0)), {}, DataError, "case 0 must have at least one"),
        (np.zeros((4, 0, 3)), {}, DataError, "case 0 must have at least one"),
        ([], {}, DataError, "at least one series, got none"),
        (np.zeros((0, 1, 3)), {}, DataError, "at least one series, got none"),
        (np.zeros(4), {}, ShapeError, r"\(cases, channels, timepoints\).*got shape \(4,\)"),
        ([np.zeros((1, 1, 1))] * 4, {}, ShapeError, r"case 0 must be \(channels, timepoints\)"),
        ([1.0, 2.0, 3.0, 4.0], {}, ShapeError, "case 0 must be"),
        (OBJECTS, {}, ArgumentTypeError, "numbers, got an array of object.*list of num"),
        ([np.array(["1"])] * 4, {}, ArgumentTypeError, "case 0 must be .* array of <U1"),
        ([[[1, 2], [3]]] * 4, {}, ArgumentTypeError, "case 0 must be .* cannot form an array"),
        (np.ma.masked_invalid(padded()), {}, ArgumentTypeError, "masked array.*filled"),
        (np.zeros((4, 3), complex), {}, ArgumentTypeError, "array of complex128"),
        ("text", {}, ArgumentTypeError, "got str"),
        (iter(CASES), {}, ArgumentTypeError, "got list_iterator"),
        (CASES, {"layout": "NTC"}, UnknownNameError, "unknown layout 'NTC'. Known: channels_first"),
        (CASES, {"case": "who"}, ArgumentError, "channel require a long data frame, got list"),
        (CASES, {"standardize": 3}, ArgumentTypeError, "pair of mean and standard deviation"),
        (CASES, {"standardize": ([1, 2, 3], 1)}, ArgumentError, "number for each of 2 channels"),
        (CASES, {"standardize": (0, [1, 0])}, ArgumentError, "positive standard deviations"),
        (CASES, {"standardize": (NAN, 1)}, ArgumentError, "finite means"),
    ],
)  # fmt: skip
def test_bad_arrays_are_rejected(X, options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert isinstance(caught.value, L2LRNNError)
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("steps", [torch.zeros(2, 2, dtype=torch.int64), torch.zeros(3), [1.0]])
def test_moments_require_real_valued_steps(steps):
    with pytest.raises(ArgumentTypeError, match=r"channel_moments: expected real-valued steps"):
        channel_moments(steps)
