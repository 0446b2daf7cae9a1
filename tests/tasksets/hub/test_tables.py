"""Data frames, lists of rows and dicts of columns, with from_hf."""

import sys

import numpy as np
import pytest
import torch

from l2l_rnn.data import ByteVocabulary
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError
from l2l_rnn.tasksets import from_hf
from tests.tasksets.hub.cases import CLASSES, decoded, rows

pytest.importorskip("datasets")
arrow = pytest.importorskip("pyarrow")
pandas = pytest.importorskip("pandas")

BYTES = ByteVocabulary()
EXPECTED = sorted((row["text"], row["label"]) for row in rows())


def frame(table=None):
    return pandas.DataFrame(rows() if table is None else table)


def columns(table=None):
    table = rows() if table is None else table
    return {name: [row[name] for row in table] for name in table[0]}


def everything(sources):
    return sorted(pair for source in sources for pair in decoded(source))


FRAMES = {
    "default": frame,
    "object": lambda: frame().astype({"text": object, "label": object}),
    "string": lambda: frame().astype({"text": "string", "label": "string"}),
    "pyarrow strings": lambda: frame().astype({"text": "string[pyarrow]", "label": "category"}),
    "pyarrow types": lambda: frame().convert_dtypes(dtype_backend="pyarrow"),
    "categories": lambda: frame().astype({"label": "category", "text": "category"}),
    "unused categories": lambda: frame().assign(
        label=pandas.Categorical(frame().label, ["class z", *CLASSES, "class y"])
    ),
    "shuffled": lambda: frame().sample(frac=1, random_state=0),
    "repeated index": lambda: frame().set_axis([7] * 40),
    "named index": lambda: frame().set_index(frame().text.str.upper()),
    "index levels": lambda: frame().set_index([frame().other, frame().text]),
    "slice": lambda: pandas.concat([frame()] * 2)[40:],
    "words": lambda: frame().assign(text=frame().text.str.split()),
    "arrays of words": lambda: frame().assign(text=frame().text.str.split().map(np.array)),
    "other columns": lambda: frame().assign(mixed=[1, "a"] * 20, sets=[{1}] * 40),
}
TABLES = {
    "rows": rows,
    "tuple of rows": lambda: tuple(rows()),
    "columns": columns,
    "columns of arrays": lambda: {name: np.array(values) for name, values in columns().items()},
    "columns of Series": lambda: dict(frame().items()),
    "columns of Arrow": lambda: dict(
        zip(frame().columns, map(arrow.array, columns().values()), strict=True)
    ),
    "pyarrow": lambda: arrow.Table.from_pylist(rows()),
    "splits of frames": lambda: {"train": frame()[:23], "test": frame()[23:]},
    "splits of rows": lambda: {"a": rows()[:5], "b": rows()[5:]},
    "splits of columns": lambda: {"train": columns(rows()[:9]), "dev": columns(rows()[9:])},
    "splits of each": lambda: {
        "train": frame()[:9],
        "dev": rows()[9:20],
        "other": arrow.Table.from_pylist(rows()[20:31]),
        "test": columns(rows()[31:]),
    },
}


@pytest.mark.parametrize("make", [*FRAMES.values(), *TABLES.values()], ids=[*FRAMES, *TABLES])
def test_every_table_gives_the_same_items(make):
    given = make()
    sources = from_hf(given, "text", "label", BYTES)
    assert everything(sources) == EXPECTED
    assert [s.classes for s in sources] == [
        s.classes for s in from_hf(rows(), "text", "label", BYTES)
    ]


def test_rows_keep_their_order():
    shuffled = frame().sample(frac=1, random_state=3)
    test = from_hf(shuffled, "text", "label", BYTES).test
    pairs = zip(shuffled.text, shuffled.label, strict=True)
    assert decoded(test) == [pair for pair in pairs if pair[1] in test.classes]


CODES = {
    "int64": np.int64,
    "int8": np.int8,
    "uint16": np.uint16,
    "Int64": "Int64",
    "int64[pyarrow]": "int64[pyarrow]",
    "category": "category",
}


@pytest.mark.parametrize("kind", CODES)
def test_labels_may_be_integers(kind):
    codes = [CLASSES.index(name) for name in frame().label]
    given = frame().assign(label=pandas.Series(codes).astype(CODES[kind]))
    for table in (given, given.to_dict("list"), given.to_dict("records")):
        sources = from_hf(table, "text", "label", BYTES)
        assert sorted(name for source in sources for name in source.classes) == list("0123456789")
        assert sorted(CLASSES[int(name)] for _, name in everything(sources)) == sorted(
            name for _, name in EXPECTED
        )
    tensors = {"text": given.text, "label": torch.tensor(codes)}
    assert everything(from_hf(tensors, "text", "label", BYTES)) == everything(sources)


MISSING = [None, float("nan"), np.nan, np.float32("nan"), pandas.NA, pandas.NaT, "", " \n"]


@pytest.mark.parametrize("value", MISSING, ids=lambda value: repr(value))
@pytest.mark.parametrize("column", ["text", "label"])
@pytest.mark.parametrize("kind", ["rows", "columns", "frame", "shuffled frame"])
def test_missing_values_have_a_row_number(value, column, kind):
    table = [
        {**row, column: value if i in (7, 19) else row[column]} for i, row in enumerate(rows())
    ]
    given = {
        "rows": lambda: table,
        "columns": lambda: columns(table),
        "frame": lambda: frame(table),
        "shuffled frame": lambda: frame(table).set_axis(range(100, 60, -1)),
    }[kind]()
    message = f"must have a {column}, got 2 without one .*first row 7 of the dataset"
    with pytest.raises(DataError, match=message):
        from_hf(given, "text", "label", BYTES)
    with pytest.raises(DataError, match=f"must have a {column}, .*row 7 of the split 'b'"):
        from_hf({"a": rows(), "b": given}, "text", "label", BYTES)
    sources = from_hf(given, "text", "label", BYTES, drop_empty=True)
    kept = [row for i, row in enumerate(rows()) if i not in (7, 19)]
    assert everything(sources) == sorted((row["text"], row["label"]) for row in kept)


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_row_without_a_key_has_no_value(column):
    table = rows()
    del table[0][column]
    message = f"must have a {column}, got 1 .*first row 0 of"
    with pytest.raises(DataError, match=message):
        from_hf(table, "text", "label")


def test_integers_that_pandas_stores_as_floating_point():
    codes = frame().label.map(CLASSES.index).where(frame().other != 3)
    assert codes.dtype == float
    sources = from_hf(frame().assign(label=codes), "text", "label", BYTES, drop_empty=True)
    assert sorted(name for source in sources for name in source.classes) == list("0123456789")


class Odd:
    pass


@pytest.mark.parametrize(
    ("value", "column", "message"),
    [
        (3, "text", "values of one type, got int after str in row 5 of the dataset; convert"),
        (0.5, "text", "values of one type, got float after str in row 5"),
        (b"a", "text", "texts or lists of words, got binary"),
        (3, "label", "values of one type, got int after str in row 5"),
        (True, "label", "values of one type, got bool after str in row 5"),
        (["a"], "label", "values of one type, got list after str in row 5"),
        (("a", 1), "label", "values of one type, got list after str in row 5"),
        ({"a": 1}, "label", "values of one type, got dict after str in row 5"),
        ({"a"}, "label", "values of one type, got set after str in row 5"),
        (Odd(), "label", "values of one type, got Odd after str in row 5"),
        (Odd(), "text", "values of one type, got Odd after str in row 5"),
    ],
)
@pytest.mark.parametrize("kind", ["rows", "columns", "frame"])
def test_a_value_of_another_type_has_a_row_number(value, column, message, kind):
    table = rows()
    table[5][column] = value
    given = {"rows": table, "columns": columns(table), "frame": frame(table)}[kind]
    with pytest.raises(DataError, match=message) as caught:
        from_hf(given, "text", "label", BYTES)
    assert str(caught.value).startswith(f"from_hf: the column {column!r} must contain")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a"], r"'label' must contain names or integers.*got list<"),
        ({"a": 1}, r"'label' must contain names or integers.*got struct<"),
        (("a", 1), r"'label' must contain texts, names or integers, got list \(.*\) in row 0 of"),
        (0.5, "'label' must contain names or integers.*got double"),
        (1j, r"'label' must contain texts, names or integers, got complex \(.*\) in row 0 of"),
        (2**70, r"'label' must contain texts, names or integers, got int \(.*\) in row 0 of"),
        ("a\ud800", r"'label' must contain texts, names or integers, got str \(.*\) in row 0 of"),
        (b"a", "'label' must contain names or integers.*got binary"),
        (np.datetime64("2020-01-01"), "texts, names or integers, got datetime64 .* row 0"),
    ],
)
def test_labels_of_another_type(value, message):
    for given in (
        [{**row, "label": value} for row in rows()],
        {"text": columns()["text"], "label": [value] * 40},
    ):
        with pytest.raises(DataError, match=message):
            from_hf(given, "text", "label", BYTES)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"text": ["a"], "label": ["b", "c"]}, ShapeError, "1 for 'text', 2 for 'label'; pass one"),
        ({"text": "abc", "label": [1, 2, 3]}, ArgumentTypeError, "'text' .* be a list, got str"),
        ({"text": {"a", "b"}, "label": [1, 2]}, ArgumentTypeError, "be a list, got set"),
        ({"text": ["a"], "label": 3}, ArgumentTypeError, "'label' .* be a list, got int"),
        ({"text": ["a"], "label": [3], "x": 1}, DataError, "at least 2 texts, got fewer for 1"),
        ({"text": ["a"], "label": np.ones((1, 1))}, DataError, "'label' must contain"),
        ({"text": [], "label": []}, DataError, "must have rows with text and label, got none"),
        ({"texts": ["a b"], "label": ["c"]}, DataError, "unknown column 'text'.*mean 'texts'"),
        ({"texts": ["a b"], "label": [1]}, DataError, "unknown column 'text'.*mean 'texts'"),
        (pandas.DataFrame(), DataError, "unknown column 'text' in the dataset. Known: none"),
        (frame()[:0], DataError, "must have rows with text and label, got none"),
        (frame()[:1], DataError, "at least 2 texts, got fewer for 1 classes: 'class a'"),
        (frame().text, ArgumentTypeError, "must be a table of columns, got Series"),
        (frame().rename(columns={"text": "t"}), DataError, "Known: t, label, other"),
        (frame().rename(columns={"other": "text"}), DataError, "got 'text' 2 times"),
        ([{"text": "a", "label": "b"}, "c"], ArgumentTypeError, "a dict, got str in row 1;"),
        ([("a", "b")], ArgumentTypeError, "a list of dicts.*, got a list with tuple"),
        (iter(rows()), ArgumentTypeError, "a data frame, a list of dicts.* got list_iterator"),
        (np.array([["a", "b"]]), ArgumentTypeError, "a dict of columns.* got ndarray"),
        ({"train": [("a", "b")]}, DataError, "unknown column 'text' in the dataset"),
        ({"train": frame(), "test": frame()[["text"]]}, DataError, "'label' in the split 'test'"),
    ],
)
def test_bad_tables(given, error, message):
    with pytest.raises(error, match=message) as caught:
        from_hf(given, "text", "label", BYTES)
    assert str(caught.value).startswith("from_hf: ")


def test_one_class():
    one = frame()[frame().label == "class a"]
    with pytest.raises(DataError, match=r"at least 3 classes.*got 1: 'class a'; check that"):
        from_hf(one, "text", "label")


def test_repeated_rows_are_kept_once():
    sources = from_hf(pandas.concat([frame(), frame()]), "text", "label", BYTES)
    assert everything(sources) == EXPECTED
    assert sum(source.repeats for source in sources) == 40


def test_the_table_is_not_changed():
    given = frame()
    from_hf(given, "text", "label", BYTES)
    pandas.testing.assert_frame_equal(given, frame())
    table = rows()
    from_hf(table, "text", "label", BYTES)
    assert table == rows()


def test_a_preset_reads_a_table():
    table = [{"text": row["text"], "label": row["label"]} for row in rows()]
    for given in (frame(table), table, columns(table)):
        assert everything(from_hf(given, preset="banking77", tokenizer=BYTES)) == EXPECTED


def test_rows_and_columns_do_not_require_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for given in (rows(), columns(), arrow.Table.from_pylist(rows())):
        assert everything(from_hf(given, "text", "label", BYTES)) == EXPECTED
