"""Lists of data frames, and all panel formats of sktime against its own examples."""

import warnings

import numpy as np
import pytest
import torch

from l2l_rnn.data import from_arrays
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    UnknownNameError,
)

pandas = pytest.importorskip("pandas")

LENGTHS = (4, 2, 5, 3)
Y = ["walk", "run", "walk", "run"]
CASES = [
    np.array([[100 * i + 10 * c + s for s in range(length)] for c in range(2)], dtype=float)
    for i, length in enumerate(LENGTHS)
]
STAMPS = pandas.date_range("2024-01-30", periods=5, freq="12h")


def frames():
    """A row is a time point, as in sktime."""
    return [pandas.DataFrame(case.T, columns=["x", "y"]) for case in CASES]


def equal(X, y=Y, **options):
    found = from_arrays(X, y, **options).sequences
    torch.testing.assert_close(found, from_arrays(CASES, Y).sequences, equal_nan=True)


def shuffled(frame):
    return frame.iloc[np.random.default_rng(0).permutation(len(frame))]


FORMS = {
    "sktime": frames,
    "tuple": lambda: tuple(frames()),
    "dates": lambda: [frame.set_axis(STAMPS[: len(frame)]) for frame in frames()],
    "any order of time": lambda: [shuffled(frame) for frame in frames()],
    "own times": lambda: [frame.set_axis(np.arange(len(frame)) + 7) for frame in frames()],
    "figures as text": lambda: [frame.set_axis(map(str, 8 + frame.index)) for frame in frames()],
    "numbers as text": lambda: [frame.astype(str) for frame in frames()],
    "single precision": lambda: [frame.astype("float32") for frame in frames()],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_rows_of_a_list_of_frames_are_time_points(form):
    equal(form())
    equal(form(), layout="channels_last")


def test_channels_are_matched_by_name():
    backwards = [frame[["y", "x"]] if i else frame for i, frame in enumerate(frames())]
    equal(backwards)


def test_rows_are_channels_with_the_layout_of_aeon():
    equal([pandas.DataFrame(case) for case in CASES], layout="channels_first")
    with pytest.raises(ShapeError, match=r"case 1 .* 4 channels .*layout='channels_first'"):
        from_arrays([pandas.DataFrame(case) for case in CASES], Y)
    wide = np.random.default_rng(0).normal(size=(4, 3, 50))
    with pytest.warns(UserWarning, match=r"50 channels and 3 steps .* layout='channels_first' if"):
        from_arrays(list(map(pandas.DataFrame, wide)), Y)
    few = [pandas.DataFrame(case.T) for case in wide]
    assert from_arrays(few, Y).sequences.shape == (4, 50, 3)


def test_labels_of_a_list_of_frames():
    equal([frame.assign(label=y) for frame, y in zip(frames(), Y, strict=True)], "label")
    equal(frames(), dict(enumerate(Y)))
    equal(frames(), pandas.Series(Y))
    grouped = from_arrays(frames(), Y, groups=["Bo", "Bo", "Al", "Al"])
    assert grouped.groups.tolist() == [1, 1, 0, 0]
    sources = from_arrays(frames() * 6, list("abcdef") * 4, splits=(1, 1, 1))
    assert sum(map(len, sources)) == 24


def test_a_list_of_pandas_series_has_one_channel():
    columns = [frame["x"] for frame in frames()]
    assert torch.equal(
        from_arrays(columns, Y).sequences.nan_to_num(-1),
        from_arrays([case[0] for case in CASES], Y).sequences.nan_to_num(-1),
    )


def changed(case, change):
    made = frames()
    made[case] = change(made[case])
    return made


@pytest.mark.parametrize(
    ("X", "options", "error", "message"),
    [
        (changed(2, lambda f: f.to_numpy()), {}, ArgumentTypeError, "got ndarray for case 2"),
        (changed(2, lambda f: None), {}, ArgumentTypeError, "got NoneType for case 2"),
        (changed(1, lambda f: f[:0]), {}, DataError, "case 1 must have at least one step"),
        (changed(1, lambda f: f[[]]), {}, DataError, "case 1 must have at least one step"),
        (changed(1, lambda f: f[["x"]]), {}, ShapeError, "case 1 .* 'x', 'y', got 'x'; rename"),
        (changed(1, lambda f: f.assign(z=1)), {}, ShapeError, "case 1 .* got 'x', 'y', 'z'"),
        (changed(0, lambda f: f[["x", "x"]]), {}, ShapeError, "case 0 must have 2 channels"),
        (changed(3, lambda f: f.set_axis([0, 1, 1])), {}, DataError, "two of case 3 for time 1"),
        (changed(3, lambda f: f.set_axis(list("abc"))), {}, ArgumentTypeError, "numbers or dates"),
        (changed(3, lambda f: f.set_index("x", append=True)), {}, ShapeError, "case 3 .* 2 levels"),
        (changed(3, lambda f: f.astype(object).replace(302, "?")), {}, ArgumentTypeError, "num"),
        (changed(3, lambda f: f.replace(301, np.nan)), {}, DataError, "case 3 must have NaN only"),
        (changed(3, lambda f: f.replace(301, np.inf)), {}, DataError, "case 3 must be finite"),
        (frames(), {"case": "x"}, ArgumentError, "require a long data frame, got list"),
        (frames(), {"layout": "NTC"}, UnknownNameError, "unknown layout 'NTC'"),
        (frames(), {"y": "lable"}, UnknownNameError, "unknown column 'lable'"),
        (frames(), {"y": "x"}, DataError, "y must be constant within a case"),
        (frames(), {"y": Y[:3]}, ShapeError, "y must have 4 labels"),
        (frames(), {"y": {0: "a"}}, DataError, "y must have a label for every case"),
    ],
)  # fmt: skip
def test_bad_lists_of_frames_are_rejected(X, options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)


LONG = {"case": "instances", "time": "timepoints", "channel": "variable"}
# Formats of sktime, and the options they need.
MTYPES = {
    "numpy3D": {},
    "numpyflat": {},
    "df-list": {},
    "nested_univ": {},
    "pd-multiindex": {},
    "pd-long": LONG,
}


def made_by_sktime(mtype):
    """Return sktime's examples in a format, by number, converted where it has none."""
    datatypes = pytest.importorskip("sktime.datatypes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        examples = datatypes.get_examples(mtype, "Panel")
        if not examples:
            examples = {
                number: datatypes.convert_to(example, mtype, "Panel")
                for number, example in datatypes.get_examples("pd-multiindex", "Panel").items()
                if number != 3  # the same as 0
            }
    return {number: example for number, example in examples.items() if example is not None}


@pytest.mark.parametrize("mtype", MTYPES)
def test_the_examples_of_sktime(mtype):
    reference = made_by_sktime("numpy3D")
    found = made_by_sktime(mtype)
    assert found.keys() & reference.keys()
    for number in found.keys() & reference.keys():
        expected = torch.tensor(reference[number]).float().transpose(1, 2)
        y = ["a"] * len(expected)
        sequences = from_arrays(found[number], y, min_items=1, **MTYPES[mtype]).sequences
        assert torch.equal(sequences, expected), number


@pytest.mark.parametrize("mtype", ["df-list", "nested_univ", "pd-multiindex", "pd-long"])
def test_series_of_different_lengths_from_sktime(mtype):
    datatypes = pytest.importorskip("sktime.datatypes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        panel = datatypes.convert_to(frames(), mtype, "Panel")
    equal(panel, **MTYPES[mtype])
