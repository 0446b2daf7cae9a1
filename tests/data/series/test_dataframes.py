import datetime
import decimal

import numpy as np
import pytest
import torch

from l2l_rnn.data import GroupedDataset, SequenceDataset, from_arrays
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
NAN = float("nan")


def value(case, channel, step):
    """Encode the position of a value: case 2, channel 1, step 3 is 213."""
    return 100 * case + 10 * channel + step


CASES = [
    np.array([[value(i, c, s) for s in range(length)] for c in range(2)], dtype=float)
    for i, length in enumerate(LENGTHS)
]


def rows():
    """Rows of a long frame in random order."""
    table = [
        {"who": f"c{i}", "when": s, "x": value(i, 0, s), "y": value(i, 1, s), "label": Y[i]}
        for i, length in enumerate(LENGTHS)
        for s in range(length)
    ]
    first = [row for row in table if row["when"] == 0]  # keeps the order of the cases
    rest = [row for row in table if row["when"] != 0]
    return pandas.DataFrame(first + [rest[i] for i in np.random.default_rng(0).permutation(10)])


def nested():
    return pandas.DataFrame(
        {
            c: [pandas.Series(case[c], index=range(7, 7 + case.shape[1])) for case in CASES]
            for c in range(2)
        }
    )


def per_channel():
    return rows().melt(["who", "when", "label"], ["x", "y"], var_name="axis").drop(columns="label")


FORMS = {
    "nested frame": lambda: {"X": nested()},
    "two index levels": lambda: {"X": rows().drop(columns="label").set_index(["who", "when"])},
    "long frame": lambda: {"X": rows().drop(columns="label"), "case": "who", "time": "when"},
    "long frame, its own labels": lambda: {
        "X": rows(), "case": "who", "time": "when", "y": "label"
    },
    "a row a channel": lambda: {
        "X": per_channel(), "case": "who", "time": "when", "channel": "axis"
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_all_formats_give_the_same_dataset(form):
    dataset = from_arrays(**{"y": Y, **form()})
    expected = from_arrays(CASES, Y)
    assert type(dataset) is SequenceDataset
    assert dataset.sequences.dtype == torch.float32
    torch.testing.assert_close(
        dataset.sequences, expected.sequences, rtol=0, atol=0, equal_nan=True
    )
    assert dataset.classes == expected.classes
    assert torch.equal(dataset.labels, expected.labels)


def test_groups_by_position():
    frame = FORMS["two index levels"]()["X"]
    dataset = from_arrays(frame, Y, groups=["Bo", "Bo", "Al", "Al"])
    assert type(dataset) is GroupedDataset
    assert dataset.group_names == ("Al", "Bo")
    assert dataset.groups.tolist() == [1, 1, 0, 0]
    assert dataset.targets.tolist() == [1, 0, 1, 0]
    assert dataset.inputs.shape == (4, 5, 2)


@pytest.mark.parametrize(
    "y",
    [
        {"c3": "run", "c2": "walk", "c1": "run", "c0": "walk", "more": "run"},
        pandas.Series(["run", "walk", "run", "walk"], index=["c3", "c2", "c1", "c0"]),
    ],
)
def test_labels_by_case(y):
    frame = rows().drop(columns="label")
    assert from_arrays(frame, y, case="who", time="when").labels.tolist() == [1, 0, 1, 0]
    of_rows = nested().set_axis(["c0", "c1", "c2", "c3"])
    assert from_arrays(of_rows, y).labels.tolist() == [1, 0, 1, 0]


def test_groups_in_a_column():
    frame = rows().assign(person=rows()["who"].map({"c0": 7, "c1": 7, "c2": 3, "c3": 3}))
    dataset = from_arrays(frame, "label", groups="person", case="who", time="when")
    assert dataset.group_names == ("3", "7")
    assert dataset.inputs.shape == (4, 5, 2)


LONG = {"case": "who", "time": "when"}


STAMPS = pandas.date_range("2024-01-30", periods=5, freq="12h")
TIMES = {
    "figures as text": lambda s: str(8 + s),
    "decimal text": lambda s: f"{9.5 + s:g}",
    "mixed": lambda s: 8 + s if s % 2 else str(8 + s),
    "numbers": lambda s: 0.25 * s - 1,
    "objects": lambda s: decimal.Decimal(8 + s),
    "stamps": lambda s: STAMPS[s],
    "dates": lambda s: datetime.date(2024, 9, 28) + datetime.timedelta(s),
    "spans": lambda s: datetime.timedelta(hours=8 + s),
    "periods": lambda s: pandas.Period("2024-09", "M") + s,
}


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_steps_are_sorted_by_time(time, categorical):
    frame = rows()
    frame["when"] = [time(s) for s in frame["when"]]
    if categorical:
        frame["when"] = frame["when"].astype("category")
    for X, options in (
        (frame, {**LONG, "y": "label"}),
        (frame.drop(columns="label").set_index(["who", "when"]), {}),
        (
            frame.drop(columns="label").melt(["who", "when"], ["x", "y"], var_name="axis"),
            {**LONG, "channel": "axis"},
        ),
    ):
        came = from_arrays(**{"X": X, "y": Y, **options}).sequences
        torch.testing.assert_close(came, from_arrays(CASES, Y).sequences, equal_nan=True)


@pytest.mark.parametrize("last", ["noon", "2024-01-30", ""])
@pytest.mark.parametrize("kind", [object, "category"])
def test_times_that_are_text_are_rejected(last, kind):
    frame = rows()
    frame["when"] = [last if s == 4 else str(s) for s in frame["when"]]
    frame["when"] = frame["when"].astype(kind)
    message = f"times must be numbers or dates, got '{last}' among others; convert them with pandas"
    with pytest.raises(ArgumentTypeError, match=message) as caught:
        from_arrays(frame, "label", **LONG)
    assert str(caught.value).startswith("from_arrays: ")


def twice():
    frame = rows()
    frame.loc[frame.index[-1], "when"] = 0
    return frame


def ragged_channels():
    frame = nested()
    frame.at[2, 1] = frame.at[2, 1].iloc[:-1]
    return frame


@pytest.mark.parametrize(
    ("X", "options", "error", "message"),
    [
        (
            rows(),
            {},
            ArgumentError,
            r"must name columns of a long frame.*\(who, when, x, y, label\)",
        ),
        (rows(), {"case": "who"}, ArgumentError, "case='who' and time=None"),
        (rows(), LONG, ArgumentTypeError, "columns x, y, label must contain numbers"),
        (rows(), {**LONG, "time": "wen"}, UnknownNameError, "unknown column 'wen'. Known: who"),
        (rows(), {**LONG, "y": "lable"}, UnknownNameError, "unknown column 'lable'"),
        (twice(), {**LONG, "y": "label"}, DataError, "got two of case 'c.' for time 0"),
        (rows().replace("c1", None), {**LONG, "y": "label"}, DataError, "a case .* none in row 1"),
        (
            rows().assign(label=range(14)),
            {**LONG, "y": "label"},
            DataError,
            "y must be constant within a case, got 2 and 4 in case 'c2'",
        ),
        (rows()[["who", "when"]], LONG, DataError, "must have a column of values"),
        (rows().drop(columns="label"), {**LONG, "y": {"c0": 1}}, DataError, "got none for 'c1'"),
        (rows(), {**LONG, "y": "label", "channel": "x"}, DataError, "before its last step"),
        (rows().drop(columns="label"), {**LONG, "channel": "z"}, UnknownNameError, "column 'z'"),
        (rows().drop(columns="label").assign(z=1), {**LONG, "channel": "z"}, ArgumentError, "x, y"),
        (
            per_channel().assign(axis="x"),
            {**LONG, "channel": "axis"},
            DataError,
            "each channel must have one row per time, got two",
        ),
        (ragged_channels(), {}, ShapeError, "channel 1 of case 2 must have 5 steps .* got 4"),
        (nested().astype(object).replace({}).assign(b=1), {}, ArgumentError, "case and time"),
        (nested().iloc[:0], {}, ArgumentError, "case and time"),
        (nested(), {"y": set("abcd")}, ArgumentTypeError, "y must be a sequence .* got set"),
    ],
)
def test_bad_frames_are_rejected(X, options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)


def test_formats_of_sktime():
    datasets = pytest.importorskip("sktime.datasets")
    forms = [
        datasets.load_UCR_UEA_dataset("BasicMotions", return_type=form)
        for form in ("numpy3D", "nested_univ", "pd-multiindex")
    ]
    made = [from_arrays(*form) for form in forms]
    assert made[0].sequences.shape == (80, 100, 6)
    assert made[0].classes == ("badminton", "running", "standing", "walking")
    for dataset in made:
        assert torch.equal(dataset.sequences, made[0].sequences)
        assert torch.equal(dataset.labels, made[0].labels)


def test_a_list_of_labels_requires_sorted_cases():
    frame = pandas.DataFrame({"who": [2, 2, 1, 1], "when": [0, 1, 0, 1], "x": [1.0, 2, 3, 4]})
    with pytest.raises(ArgumentError, match=r"y must map cases to labels, .* not sorted, got list"):
        from_arrays(frame, ["b", "b"], case="who", time="when")
    labeled = from_arrays(frame, {1: "b", 2: "b"}, case="who", time="when")
    assert labeled.sequences[:, 0, 0].tolist() == [1.0, 3.0]
