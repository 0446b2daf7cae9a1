import datetime
import decimal
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

pandas = pytest.importorskip("pandas")

LENGTHS = (4, 2, 5, 3)
Y = ["walk", "run", "walk", "run"]
NAN = float("nan")


def value(case, channel, step):
    """Written so that a value tells where it was: case 2, channel 1, step 3 is 213."""
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


def rows():
    """Rows of a long frame, shuffled: of all forms, what is out of order must be put in order."""
    table = [
        {"who": f"c{i}", "when": s, "x": value(i, 0, s), "y": value(i, 1, s), "label": Y[i]}
        for i, length in enumerate(LENGTHS)
        for s in range(length)
    ]
    first = [row for row in table if row["when"] == 0]  # keeps the cases' first appearance
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
    "list": lambda: {"X": CASES},
    "tuple of tensors": lambda: {"X": tuple(map(torch.tensor, CASES))},
    "list of lists": lambda: {"X": [case.tolist() for case in CASES]},
    "list, channels last": lambda: {"X": [c.T for c in CASES], "layout": "channels_last"},
    "array": lambda: {"X": padded()},
    "tensor": lambda: {"X": torch.tensor(padded(), dtype=torch.float64, requires_grad=True)},
    "tslearn": lambda: {"X": padded().transpose(0, 2, 1), "layout": "channels_last"},
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
def test_every_form_gives_the_same_steps(form):
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
def test_one_channel(X):
    assert from_arrays(X, Y).sequences.squeeze(-1).tolist() == np.arange(12).reshape(4, 3).tolist()


def test_three_axes_are_channels_first_unless_told():
    X = np.arange(24.0).reshape(4, 2, 3)
    assert from_arrays(X, Y).sequences.shape == (4, 3, 2)
    assert from_arrays(X, Y, layout="channels_last").sequences.shape == (4, 2, 3)
    assert from_arrays(X, Y).sequences[1, 2, 0] == X[1, 0, 2]


def test_padding_that_all_share_is_cut():
    X = np.full((4, 1, 9), NAN)
    X[:, :, :3] = 1
    assert from_arrays(X, Y).sequences.shape == (4, 3, 1)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([10, 9, 10, 9], ("9", "10")),
        (np.array([10, 9, 10, 9], dtype=np.uint8), ("9", "10")),
        (torch.tensor([10, 9, 10, 9]), ("9", "10")),
        ([np.int64(10), 9, np.int32(10), 9], ("9", "10")),
        ([True, False, True, False], ("False", "True")),
        ([("b", 2), ("b", 1), ("b", 2), ("b", 1)], ("('b', 1)", "('b', 2)")),
        (pandas.Categorical(["y", "x", "y", "x"]), ("x", "y")),
        (pandas.Series(["y", "x", "y", "x"]), ("x", "y")),
        (np.array(["y", "x", "y", "x"], dtype=object), ("x", "y")),
        ([2j, 1j, 2j, 1j], ("2j", "1j")),  # without an order of their own: as they come
    ],
)
def test_labels_of_any_hashable_type(y, classes):
    dataset = from_arrays(CASES, y)
    assert dataset.classes == classes
    assert dataset.labels.tolist() == ([0, 1, 0, 1] if classes == ("2j", "1j") else [1, 0, 1, 0])


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


@pytest.mark.parametrize("form", [FORMS["list"](), FORMS["two index levels"]()])
def test_groups(form):
    dataset = from_arrays(**form, y=Y, groups=["Bo", "Bo", "Al", "Al"])
    assert type(dataset) is GroupedDataset
    assert dataset.group_names == ("Al", "Bo")
    assert dataset.groups.tolist() == [1, 1, 0, 0]
    assert dataset.answers.tolist() == [1, 0, 1, 0]
    assert dataset.inputs.shape == (4, 5, 2)


def test_groups_in_a_column():
    frame = rows().assign(person=rows()["who"].map({"c0": 7, "c1": 7, "c2": 3, "c3": 3}))
    dataset = from_arrays(frame, "label", groups="person", case="who", time="when")
    assert dataset.group_names == ("3", "7")
    assert dataset.inputs.shape == (4, 5, 2)


def test_standardised_by_the_moments_of_others():
    X = np.random.default_rng(0).normal(3, 7, (30, 2, 50))
    X[::3, :, 40:] = NAN
    moments = channel_moments(from_arrays(X, np.arange(30) % 3).sequences)
    flat = X.transpose(1, 0, 2).reshape(2, -1)
    np.testing.assert_allclose(moments[0], np.nanmean(flat, 1), rtol=1e-5)
    np.testing.assert_allclose(moments[1], np.nanstd(flat, 1), rtol=1e-5)
    dataset = from_arrays(X, np.arange(30) % 3, standardise=moments)
    torch.testing.assert_close(channel_moments(dataset.sequences), (torch.zeros(2), torch.ones(2)))
    other = from_arrays(X[:4] + 7, Y, standardise=moments).sequences
    torch.testing.assert_close(
        other[1, 0], (torch.tensor(X[1, :, 0]).float() + 7 - moments[0]) / moments[1]
    )


def test_plain_numbers_standardise_all_channels():
    dataset = from_arrays(CASES, Y, standardise=(10, 2))
    assert dataset.sequences[2, 3].tolist() == [(203 - 10) / 2, (213 - 10) / 2]


def test_a_constant_channel_has_deviation_one():
    steps = torch.stack([torch.full((4, 6), 0.1), torch.arange(24.0).view(4, 6)], -1)
    mean, deviation = channel_moments(steps)
    assert mean.tolist() == pytest.approx([0.1, 11.5])
    assert deviation.tolist() == pytest.approx([1, np.arange(24).std()])


def test_classes_of_one_example_are_dropped_if_asked():
    y = ["a", "b", "c", "b"]
    with pytest.raises(DataError, match=r"two examples, got one of 'a', 'c'; .*drop_single=True"):
        from_arrays(CASES, y)
    dataset = from_arrays(CASES, y, drop_single=True)
    assert dataset.classes == ("b",)
    assert dataset.sequences[:, 0, 0].tolist() == [100, 300]
    grouped = from_arrays(CASES, y, groups=[1, 2, 3, 2], drop_single=True)
    assert grouped.group_names == ("2",)
    assert grouped.groups.tolist() == [0, 0]


def test_tasks_are_drawn_and_a_model_reads_them():
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(3, rng.integers(4, 9))) for _ in range(40)]
    dataset = from_arrays(X, np.arange(40) % 4)
    batch = dataset.draw(2, 3, 2, torch.Generator().manual_seed(0), ways=3)
    scores = SequenceClassifier(3, input_size=3, hidden_size=4)(batch.support_x)
    assert scores.shape == (2, 9, 3)
    assert scores.isfinite().all()


def test_input_stays_as_it_was():
    X = padded()
    before = X.copy()
    from_arrays(X, Y).sequences.zero_()
    np.testing.assert_array_equal(X, before)
    steps = torch.zeros(4, 3, 2)
    from_arrays(steps, Y, layout="channels_last").sequences.add_(1)
    assert not steps.any()


def test_arrays_need_no_pandas(monkeypatch):
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
        (broken(), {}, DataError, "case 2 has a NaN at step 1 of channel 1, .* last step 4"),
        (broken(step=4), {}, DataError, "case 2 has a NaN at step 4 of channel 1"),
        (broken(to=np.inf), {}, DataError, "case 2 is infinite.* step 1 of channel 1"),
        (broken(to=1e39), {}, DataError, "too large for float32"),
        (padded().transpose(0, 2, 1), {}, DataError, "NaN.*layout='channels_last'"),
        (with_channels(2, 2, 3, 2), {}, ShapeError, "case 2 has 3 channels and case 0 has 2"),
        ([c.T for c in CASES], {}, ShapeError, "case 1 has 2 channels.*layout='channels_last'"),
        ([np.zeros((2, n)) for n in (1, 1, 1, 0)], {}, DataError, "case 3 is empty"),
        ([np.full((2, 3), NAN), *CASES[1:]], {}, DataError, "case 0 is empty"),
        (np.zeros((4, 0)), {}, DataError, "case 0 is empty"),
        (np.zeros((4, 0, 3)), {}, DataError, "case 0 is empty"),
        ([], {}, DataError, "at least one series, got none"),
        (np.zeros((0, 1, 3)), {}, DataError, "at least one series, got none"),
        (np.zeros(4), {}, ShapeError, r"\(cases, channels, timepoints\).*got shape \(4,\)"),
        ([np.zeros((1, 1, 1))] * 4, {}, ShapeError, r"case 0 must be \(channels, timepoints\)"),
        ([1.0, 2.0, 3.0, 4.0], {}, ShapeError, "case 0 must be"),
        (OBJECTS, {}, ArgumentTypeError, "array of object.*list of numeric"),
        ([np.array(["1"])] * 4, {}, ArgumentTypeError, "case 0 is an array of <U1"),
        ([[[1, 2], [3]]] * 4, {}, ArgumentTypeError, "case 0 is no array"),
        (np.ma.masked_invalid(padded()), {}, ArgumentTypeError, "masked array.*filled"),
        (np.zeros((4, 3), complex), {}, ArgumentTypeError, "array of complex128"),
        ("text", {}, ArgumentTypeError, "got str"),
        (iter(CASES), {}, ArgumentTypeError, "got list_iterator"),
        (CASES, {"y": Y[:3]}, ShapeError, "expected 4 y, one for each series, got 3"),
        (CASES, {"y": np.array([Y])}, ShapeError, r"got shape \(1, 4\)"),
        (CASES, {"y": ["1", 1, "1", 1]}, ArgumentTypeError, r"str \(case 0\) and int \(case 1\)"),
        (CASES, {"y": [1.0, NAN, 1.0, 2.0]}, DataError, "y of case 1 is missing"),
        (CASES, {"y": ["a", "b", None, "b"]}, DataError, "y of case 2 is missing"),
        (CASES, {"y": pandas.array([1, None, 1, 1])}, DataError, "y of case 1 is missing"),
        (CASES, {"y": "walk"}, ArgumentTypeError, "sequence of labels, got str"),
        (CASES, {"y": None}, ArgumentTypeError, "sequence of labels, got NoneType"),
        *(
            (X, {what: given}, ArgumentTypeError, f"{what} must be a sequence .* got {kind}")
            for X in (CASES, padded())
            for what in ("y", "groups")
            for given, kind in ((dict.fromkeys("abcd", "run"), "dict"), (set("abcd"), "set"))
        ),
        (nested(), {"y": set("abcd")}, ArgumentTypeError, "y must be a sequence .* got set"),
        (CASES, {"y": [["a"]] * 4}, ArgumentTypeError, "hashable, got list"),
        (CASES, {"y": ["a", "b", "c", "d"], "drop_single": True}, DataError, "every class"),
        (CASES, {"groups": [1, 2, 3]}, ShapeError, "expected 4 groups.*got 3"),
        (CASES, {"layout": "NTC"}, UnknownNameError, "unknown layout 'NTC'. Known: channels_first"),
        (CASES, {"case": "who"}, ArgumentError, "columns of a data frame, got list"),
        (CASES, {"standardise": 3}, ArgumentTypeError, "pair of mean and standard deviation"),
        (CASES, {"standardise": ([1, 2, 3], 1)}, ArgumentError, "for each of 2 channels"),
        (CASES, {"standardise": (0, [1, 0])}, ArgumentError, "positive standard deviations"),
        (CASES, {"standardise": (NAN, 1)}, ArgumentError, "finite means"),
    ],
)  # fmt: skip
def test_bad_arrays(X, options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert isinstance(caught.value, L2LRNNError)
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)


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
def test_times_give_the_order_of_the_steps(time, categorical):
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
def test_times_that_are_text_have_no_order(last, kind):
    frame = rows()
    frame["when"] = [last if s == 4 else str(s) for s in frame["when"]]
    frame["when"] = frame["when"].astype(kind)
    message = f"times must be numbers or dates, got '{last}' among others; convert them by pandas"
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
        (rows(), {}, ArgumentError, r"name those of case and time.*\(who, when, x, y, label\)"),
        (rows(), {"case": "who"}, ArgumentError, "case='who' and time=None"),
        (rows(), LONG, ArgumentTypeError, "columns x, y, label must hold numbers"),
        (rows(), {**LONG, "time": "wen"}, UnknownNameError, "unknown column 'wen'. Known: who"),
        (rows(), {**LONG, "y": "lable"}, UnknownNameError, "unknown column 'lable'"),
        (twice(), {**LONG, "y": "label"}, DataError, "case 'c.' has two rows of the time 0"),
        (rows().replace("c1", None), {**LONG, "y": "label"}, DataError, "row 1 names no case"),
        (rows().assign(label=range(14)), {**LONG, "y": "label"}, DataError, "y changes within"),
        (rows()[["who", "when"]], LONG, DataError, "no column is left"),
        (rows().drop(columns="label"), {**LONG, "y": {"c0": 1}}, DataError, "for case 'c1'"),
        (rows(), {**LONG, "y": "label", "channel": "x"}, DataError, "before its last step"),
        (rows().drop(columns="label"), {**LONG, "channel": "z"}, UnknownNameError, "column 'z'"),
        (rows().drop(columns="label").assign(z=1), {**LONG, "channel": "z"}, ArgumentError, "x, y"),
        (per_channel().assign(axis="x"), {**LONG, "channel": "axis"}, DataError, "two rows of one"),
        (ragged_channels(), {}, ShapeError, "case 2 has 4 steps in channel 1 and 5 in channel 0"),
        (nested().astype(object).replace({}).assign(b=1), {}, ArgumentError, "case and time"),
        (nested().iloc[:0], {}, ArgumentError, "case and time"),
    ],
)
def test_bad_frames(X, options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("steps", [torch.zeros(2, 2, dtype=torch.int64), torch.zeros(3), [1.0]])
def test_moments_of_what_has_none(steps):
    with pytest.raises(ArgumentTypeError, match=r"channel_moments: expected steps"):
        channel_moments(steps)


def test_frames_of_sktime():
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


def test_a_list_of_labels_for_a_frame_whose_cases_are_not_in_order():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"who": [2, 2, 1, 1], "when": [0, 1, 0, 1], "x": [1.0, 2, 3, 4]})
    with pytest.raises(ArgumentError, match="not in order, so y must say which case"):
        from_arrays(frame, ["b", "b"], case="who", time="when")
    labelled = from_arrays(frame, {1: "b", 2: "b"}, case="who", time="when")
    assert labelled.sequences[:, 0, 0].tolist() == [1.0, 3.0]
