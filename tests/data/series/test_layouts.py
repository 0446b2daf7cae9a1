"""Flat and padded arrays with lengths, and the warning about swapped axes."""

import warnings

import numpy as np
import pytest
import torch

from l2l_rnn.data import from_arrays
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    L2LRNNError,
    ShapeError,
    UnknownNameError,
)

LENGTHS = (4, 2, 5, 3)
Y = ["walk", "run", "walk", "run"]
CASES = [
    np.array([[100 * i + 10 * c + s for s in range(length)] for c in range(2)], dtype=float)
    for i, length in enumerate(LENGTHS)
]
FLAT = np.concatenate([case.T for case in CASES])  # (total, channels)


def zero_padded():
    """(cases, channels, timepoints), padded with zeros."""
    array = np.zeros((4, 2, 5))
    for row, case in zip(array, CASES, strict=True):
        row[:, : case.shape[1]] = case
    return array


def frame():
    return pytest.importorskip("pandas").DataFrame(FLAT, columns=["x", "y"])


FORMS = {
    "array": lambda: {"X": FLAT},
    "list of lists": lambda: {"X": FLAT.tolist()},
    "tensor": lambda: {"X": torch.tensor(FLAT, dtype=torch.float16, requires_grad=True)},
    "frame": lambda: {"X": frame()},
    "channels last": lambda: {"X": FLAT, "layout": "channels_last"},
    "channels first": lambda: {"X": FLAT.T, "layout": "channels_first"},
    "padded": lambda: {"X": zero_padded()},
    "padded, channels last": lambda: {
        "X": zero_padded().transpose(0, 2, 1), "layout": "channels_last"
    },
}  # fmt: skip
COUNTS = {
    "tuple": LENGTHS,
    "array": np.array(LENGTHS, dtype=np.uint8),
    "tensor": torch.tensor(LENGTHS),
    "numpy integers": [np.int32(n) for n in LENGTHS],
}


@pytest.mark.parametrize("lengths", COUNTS.values(), ids=COUNTS)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_arrays_with_lengths(form, lengths):
    dataset = from_arrays(y=Y, lengths=lengths, **form())
    expected = from_arrays(CASES, Y).sequences
    torch.testing.assert_close(dataset.sequences, expected, rtol=0, atol=0, equal_nan=True)
    assert dataset.labels.tolist() == [1, 0, 1, 0]


def test_flat_series_of_one_channel():
    for X in (FLAT[:, 0], FLAT[:, 0].tolist(), torch.tensor(FLAT[:, 0])):
        sequences = from_arrays(X, Y, lengths=LENGTHS).sequences
        assert sequences.shape == (4, 5, 1)
        assert sequences[2, :, 0].tolist() == [200, 201, 202, 203, 204]
    series = pytest.importorskip("pandas").Series(FLAT[:, 0])
    assert from_arrays(series, Y, lengths=LENGTHS).sequences.shape == (4, 5, 1)


def test_flat_series_with_groups_and_given_moments():
    dataset = from_arrays(
        FLAT, Y, lengths=LENGTHS, groups=["Bo", "Bo", "Al", "Al"], standardize=(1, 2)
    )
    assert dataset.inputs[3, 2].tolist() == [(302 - 1) / 2, (312 - 1) / 2]
    assert dataset.groups.tolist() == [1, 1, 0, 0]


def list_of_frames():
    return [frame(), frame()]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lengths": (4, 2, 5, 2)}, ShapeError, "add up to the 14 steps of X, got 13 in 4 series"),
        ({"lengths": (4, 6, 11, 14)}, ShapeError, r"pass numpy\.diff\(ends, prepend=0\)"),
        ({"lengths": (0, 4, 6, 11)}, DataError, "case 0 must have at least one step, got 0 in"),
        ({"lengths": (4, 2, 9, -1)}, DataError, "case 3 must have at least one step, got -1 in"),
        ({"lengths": [4.0, 2.0, 5.0, 3.0]}, ArgumentTypeError, "integers, got float64 of shape"),
        ({"lengths": [True] * 14}, ArgumentTypeError, "integers, got bool"),
        ({"lengths": [LENGTHS]}, ArgumentTypeError, r"integers, got int64 of shape \(1, 4\)"),
        ({"lengths": 14}, ArgumentTypeError, r"integers, got int64 of shape \(\)"),
        ({"lengths": "4253"}, ArgumentTypeError, "lengths must be numbers, got an array of <U4"),
        ({"lengths": [2**62] * 4}, ShapeError, "got 18446744073709551616 in 4 series"),
        ({"lengths": [10**30] * 4}, ArgumentTypeError, "lengths must be numbers"),
        ({"lengths": []}, DataError, "at least one series, got no lengths"),
        ({"lengths": (7, 7)}, ShapeError, "y must have 2 labels, one for each series, got 4"),
        ({"X": FLAT.T}, ShapeError, "got 14 in 4 series; transpose X"),
        ({"X": zero_padded()[:, 0]}, ShapeError, r"padded series, pass X\[:, None, :\]"),
        ({"X": zero_padded(), "lengths": (4, 2, 6, 3)}, ShapeError, "at most 5, one for each of 4"),
        ({"X": zero_padded(), "lengths": (4, 2, 5)}, ShapeError, "got 3 of at most 5"),
        ({"X": np.zeros((1, 2, 3, 4))}, ShapeError, r"got shape \(1, 2, 3, 4\)"),
        ({"X": np.float64(3)}, ShapeError, r"X must be \(total,\), .*got shape \(\)"),
        ({"X": CASES}, ArgumentTypeError, "X must be numbers, got values that cannot form"),
        ({"X": ["a"] * 14}, ArgumentTypeError, "X must be numbers, got an array of <U1"),
        ({"X": None}, ArgumentTypeError, "X must be numbers, got an array of object"),
        ({"X": np.full(14, np.nan)}, DataError, "case 0 must have at least one step"),
        ({"layout": "NTC"}, UnknownNameError, "unknown layout 'NTC'"),
        ({"case": "who"}, ArgumentError, "require a long data frame, got ndarray"),
        ({"X": frame, "case": "x"}, ArgumentError, "require a long data frame, got a flat frame"),
        ({"X": list_of_frames}, ArgumentError, "lengths require one flat or padded array, got a l"),
    ],
)  # fmt: skip
def test_bad_lengths_are_rejected(options, error, message):
    given = {"X": FLAT, "y": Y, "lengths": LENGTHS, **options}
    given["X"] = given["X"]() if callable(given["X"]) else given["X"]
    with pytest.raises(error, match=message) as caught:
        from_arrays(**given)
    assert isinstance(caught.value, L2LRNNError)
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)


class Odd:
    """An object without a value."""

    def __array__(self, dtype=None, copy=None):
        raise ValueError("no value")


TENSORS = {
    "sparse": lambda: torch.ones(4, 2, 3).to_sparse(),
    "csr": lambda: torch.ones(4, 3).to_sparse_csr(),
    "complex": lambda: torch.ones(4, 2, 3, dtype=torch.complex64),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(4, 3), 0.1, 0, torch.qint8),
    "meta": lambda: torch.ones(4, 3, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "object": lambda: Odd(),
    "objects": lambda: [Odd()] * 4,
    "strings": lambda: np.array([["1", "2"]] * 4),
    "bytes": lambda: np.array([[b"1", b"2"]] * 4),
    "dates": lambda: np.zeros((4, 3), "datetime64[s]"),
    "durations": lambda: np.zeros((4, 3), "timedelta64[s]"),
    "records": lambda: np.zeros((4, 3), [("x", float)]),
    "decimals": lambda: np.array([[None, 1]] * 4),
    "a set": lambda: {1.0, 2.0},
    "a dict": lambda: {"x": [1.0]},
    "a number": lambda: 3.0,
    "five axes": lambda: np.zeros((4, 1, 1, 1, 3)),
    "no axes": lambda: np.zeros(()),
    "cases of sets": lambda: [{1}, {2}, {3}, {4}],
    "None": lambda: None,
    "a generator": lambda: (case for case in CASES),
}


@pytest.mark.parametrize("lengths", [None, (4,)])
@pytest.mark.parametrize("X", TENSORS.values(), ids=TENSORS)
def test_every_other_type_is_rejected(X, lengths):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that some of these are prototypes
        made = X()
    with pytest.raises(L2LRNNError, match=r"^from_arrays: ") as caught:
        from_arrays(made, Y, lengths=lengths)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int64", "uint64", "float16", "float64", "longdouble"]
)
def test_every_type_of_number_is_accepted(dtype):
    X = np.arange(12).reshape(4, 3).astype(dtype)
    assert from_arrays(X, Y).sequences.squeeze(-1).tolist() == X.astype(float).tolist()
    assert from_arrays(X.flatten(), Y, lengths=[3] * 4).sequences[1, 0] == float(X[1, 0])


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def walks(*shape):
    """Random walks along the last axis, from starts that differ."""
    return 5 * noise(*shape[:-1], 1) + 0.3 * noise(*shape).cumsum(-1)


LABELS = np.arange(20) % 2
SWAPPED = {
    "noise": noise(20, 50, 3),
    "smooth": walks(20, 3, 50).swapaxes(1, 2),
    "one channel": walks(20, 1, 50).swapaxes(1, 2),
    "list": list(walks(20, 2, 30).swapaxes(1, 2)),
    "tensor": torch.tensor(noise(20, 50, 3)),
    "many cases": noise(3000, 9, 2),
}
RIGHT = {
    "noise": noise(20, 3, 50),
    "one channel": noise(20, 1, 50),
    "as many channels as steps": noise(20, 9, 9),
    "one step, one channel": noise(20, 1, 1),
    "more sensors than steps": walks(20, 100, 30),
    "different lengths": [noise(12, 4 + i % 5) for i in range(20)],
    "two axes": noise(20, 3),
}


@pytest.mark.parametrize("X", SWAPPED.values(), ids=SWAPPED)
def test_swapped_axes_are_warned_about_once(X):
    y = np.arange(len(X)) % 2
    shape = "[0-9]+ channels and [0-9]+ steps"
    message = f"from_arrays: X looks transposed, .* {shape} .* set layout='channels_last' if"
    with pytest.warns(UserWarning, match=message) as caught:
        from_arrays(X, y)
    assert [warning.filename for warning in caught] == [__file__]
    for layout in ("channels_first", "channels_last"):  # warnings are errors
        from_arrays(X, y, layout=layout)


@pytest.mark.parametrize("X", RIGHT.values(), ids=RIGHT)
def test_other_arrays_are_not_warned_about(X):
    from_arrays(X, LABELS)


def test_recorded_series_are_not_warned_about():
    datasets = pytest.importorskip("sktime.datasets")
    for name in ("BasicMotions", "ItalyPowerDemand", "GunPoint"):
        X, y = datasets.load_UCR_UEA_dataset(name, return_type="numpy3D")
        from_arrays(X, y)
        with pytest.warns(UserWarning, match="looks transposed"):
            from_arrays(X.transpose(0, 2, 1), y)
