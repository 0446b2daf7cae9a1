"""Error messages of from_hf."""

import random
import time

import numpy as np
import pytest

from l2l_rnn.data import ByteVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.tasksets import from_hf
from tests.tasksets.hub.cases import CLASSES, decoded, rows, write

datasets = pytest.importorskip("datasets")

BYTES = ByteVocabulary()


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def made(change=None, each=4):
    table = rows(each)
    for row, values in (change or {}).items():
        table[row] = {**table[row], **values}
    return datasets.Dataset.from_list(table)


@pytest.mark.parametrize("kind", ["dataset", "iterable", "csv", "parquet", "jsonl"])
@pytest.mark.parametrize(
    ("text", "label", "message"),
    [
        ("texts", "label", "unknown column 'texts' in .*did you mean 'text'.*text, label, other"),
        ("text", "labels", "unknown column 'labels' in .*did you mean 'label'"),
        (("text", "qq"), "label", r"unknown column 'qq' in .*\. Known: text, label, other"),
    ],
)
def test_misnamed_columns(kind, text, label, message, tmp_path):
    given = made()
    if kind == "iterable":
        given = datasets.IterableDataset.from_generator(rows)
    elif kind != "dataset":
        given = write(tmp_path / f"data.{kind}", rows())
    with pytest.raises(DataError, match=message):
        from_hf(given, text, label)


@pytest.mark.parametrize("blank", [None, "", " \n\t"])
@pytest.mark.parametrize("column", ["text", "label"])
def test_empty_texts_and_labels(blank, column):
    dataset = made({i: {column: blank} for i in (7, 19, 30)})
    with pytest.raises(
        DataError, match=rf"must have a {column}, got 3 without one .*first row 7 of"
    ):
        from_hf(dataset, "text", "label", BYTES)
    sources = from_hf(dataset, "text", "label", BYTES, drop_empty=True)
    found = sorted(pair for source in sources for pair in decoded(source))
    kept = [row for i, row in enumerate(rows()) if i not in (7, 19, 30)]
    assert found == sorted((row["text"], row["label"]) for row in kept)


def test_a_row_is_counted_in_its_own_split():
    parts = datasets.DatasetDict({"train": made(), "test": made({3: {"text": ""}})})
    with pytest.raises(DataError, match=r"got 1 without .*row 3 of the split 'test'"):
        from_hf(parts, "text", "label")


def test_small_classes():
    dataset = made({4: {"label": "lonely"}, 5: {"label": "alone"}})
    with pytest.raises(DataError, match="fewer for 2 classes: 'alone', 'lonely'; set drop_small"):
        from_hf(dataset, "text", "label", BYTES)
    sources = from_hf(dataset, "text", "label", BYTES, drop_small=True)
    assert sorted(name for source in sources for name in source.classes) == CLASSES
    with pytest.raises(DataError, match="every class must have at least 4 texts, got fewer for 4"):
        from_hf(dataset, "text", "label", BYTES, min_items=4)
    splits = {"train": CLASSES[:2], "validation": CLASSES[2:3], "test": CLASSES[3:4]}
    from_hf(dataset, "text", "label", BYTES, splits=splits)  # the small classes are not named


def mixed(number):
    for i in range(number):
        yield {"text": f"row {i}", "label": f"class {i % 5}"}
    for i in range(4):
        yield {"text": f"row {i}", "label": i}


@pytest.mark.parametrize("number", [4, 2_000])
def test_labels_of_mixed_type_in_a_stream(number):
    dataset = datasets.IterableDataset.from_generator(mixed, gen_kwargs={"number": number})
    with pytest.raises(DataError, match="one type"):
        from_hf(dataset, "text", "label", BYTES)


def test_labels_of_mixed_type(tmp_path):
    table = [{"text": "a", "label": 1 if i % 2 else "one"} for i in range(8)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(str(row).replace("'", '"') for row in table))
    with pytest.raises(DataError, match=r"a\.jsonl must be readable, with one type per column"):
        from_hf(path, "text", "label", BYTES)
    parts = datasets.DatasetDict(
        {"train": made(), "test": datasets.Dataset.from_list([{"text": "a", "label": 1}] * 2)}
    )
    with pytest.raises(DataError, match=r"labels of one type, got int .* after str"):
        from_hf(parts, "text", "label", BYTES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 0.5}, "'label' must contain names or integers.* got double"),
        ({"label": ["a"]}, "'label' must contain names or integers.* got list"),
        ({"text": 3}, "'text' must contain texts or lists of words, got int64"),
        ({"text": [3]}, "'text' must contain texts or lists of words, got list"),
        ({"text": b"a"}, "'text' must contain texts or lists of words, got binary"),
        ({"text": None}, "must have a text, got 40 without"),
        ({"label": None}, "must have a label, got 40 without"),
    ],
)
def test_columns_of_another_type(change, message):
    dataset = datasets.Dataset.from_list([{**row, **change} for row in rows()])
    with pytest.raises(DataError, match=message):
        from_hf(dataset, "text", "label", BYTES)


def test_a_split_without_labels():
    names = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    dataset = datasets.Dataset.from_dict({"text": ["x"] * 3, "label": [0, -1, -1]}, features=names)
    with pytest.raises(DataError, match=r"must have a label, got 2 without .*row 1 of"):
        from_hf(dataset, "text", "label", BYTES)


def test_a_corrupt_parquet(tmp_path):
    path = write(tmp_path / "a.parquet", rows(40))
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet must be readable.*got an error after"):
        from_hf(path, "text", "label", BYTES)
    path.write_bytes(bytes(content[:100]))
    with pytest.raises(DataError, match=r"a\.parquet must be readable.*at the start"):
        from_hf(path, "text", "label", BYTES)
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.parquet"):
        from_hf(path, "text", "label", BYTES)


@pytest.mark.parametrize("line", [0, 1, 20])
@pytest.mark.parametrize("bad", ["{", "[1]", "3"])
def test_a_damaged_jsonl(tmp_path, line, bad):
    path = write(tmp_path / "a.jsonl", rows())
    lines = path.read_text().splitlines()
    lines[line] = bad
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"a\.jsonl must be readable"):
        from_hf(path, "text", "label", BYTES)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("each", [4, 60_000], ids=["small", "large"])
def test_a_file_that_is_not_utf8(tmp_path, kind, each):
    path = write(tmp_path / f"a.{kind}", rows(each, CLASSES[:3]))
    content = path.read_bytes()
    place = content.rindex(b"says 2") + 2
    path.write_bytes(content[:place] + b"\xe9" + content[place + 1 :])
    with pytest.raises(DataError, match=rf"must be UTF-8, got byte 0xe9 at position {place};"):
        from_hf(path, "text", "label", BYTES)


@pytest.mark.parametrize("bad", ["text", "label"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_bad_bytes_in_a_column(bad, dictionary):
    arrow = pytest.importorskip("pyarrow")
    raw = arrow.array([b"good", b"b\xffd", b"fine"], arrow.binary())
    column = arrow.Array.from_buffers(arrow.string(), 3, raw.buffers())
    if dictionary:
        column = arrow.DictionaryArray.from_arrays(arrow.array([0, 1, 2]), column)
    columns = {"text": arrow.array(["x", "y", "z"]), "label": arrow.array(["a", "b", "c"])}
    dataset = datasets.Dataset(arrow.table({**columns, bad: column}))
    with pytest.raises(
        DataError, match=f"'{bad}' must be UTF-8, got byte 0xff at position 1 of row 1 of the da"
    ):
        from_hf(dataset, "text", "label", BYTES)


@pytest.mark.parametrize("at", [0, 1, 1999, 2000, 2001], ids=lambda at: f"row {at}")
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_row_with_too_many_fields(tmp_path, kind, at):
    separator = "," if kind == "csv" else "\t"
    lines = [f"says {i}{separator}{CLASSES[i % 5]}" for i in range(2100)]
    lines[at] = separator.join(["hello", " world", "class a"])
    path = tmp_path / f"a.{kind}"
    path.write_text("\n".join([f"text{separator}label", *lines]))
    with pytest.raises(DataError, match=rf"must have 2 fields in every row.* got 3 in row {at};"):
        from_hf(path, "text", "label", BYTES)


def test_a_missing_field_is_empty(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\nhello\nhi,a\n")
    with pytest.raises(DataError, match=r"must have a label, got 1 without .*row 0 of"):
        from_hf(path, "text", "label", BYTES)


def test_an_unclosed_quote(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,label\na,b\na,"b\n')
    with pytest.raises(DataError, match=r"a\.csv must be readable"):
        from_hf(path, "text", "label", BYTES)


@pytest.mark.parametrize("length", [10, 200_000])
def test_an_unclosed_quote_in_the_header(tmp_path, length):
    path = tmp_path / "a.csv"
    path.write_text(f'"text,label\n{"a" * length},b\n')
    with pytest.raises(DataError, match=r"a line of column names.* close its quotes") as caught:
        from_hf(path, "text", "label", BYTES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tokenizer", [BYTES, str.split, None], ids=["bytes", "slow", "characters"])
def test_a_huge_text_takes_little_time(tokenizer):
    dataset = made({5: {"text": "word " * 20_000_000}})  # 100 MB
    if tokenizer is str.split:
        tokenizer = lambda text: [len(word) for word in text.split()]  # noqa: E731
    start = time.perf_counter()
    sources = from_hf(dataset, "text", "label", tokenizer)
    assert time.perf_counter() - start < 30
    assert max(source.sequences.shape[1] for source in sources) == 64


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (lambda text: [], "at least one id, got none for row 0"),
        (lambda text: [1.5], "ids from 1 to .*got 1.5 for row 0"),
        (lambda text: text.split(), "got 'class' for row 0"),
        (lambda text: [[1], [2]], r"got \[1\] for row 0"),
        (lambda text: [[1], [2, 3]], r"got \[1\] for row 0"),
        (lambda text: np.array([1, None]), "got None for row 0"),
        (lambda text: [None], "got None for row 0"),
        (lambda text: [0, 1], r"\(0 is padding\), got 0 for row 0"),
        (lambda text: [-5], "got -5 for row 0"),
        (lambda text: [2**31], "got 2147483648 for row 0"),
        (lambda text: [2**70], "got 1180591620717411303424 for row 0"),
        (lambda text: [True], "got True for row 0"),
        (lambda text: {"input_ids": [1]}, "must return a list of ids, got dict for row 0"),
        (lambda text: None, "must return a list of ids, got NoneType for row 0"),
        (lambda text: [1, 2] if "a says 2" not in text else [], "got none for row 20 of"),
    ],
)
def test_a_tokenizer_that_returns_no_ids(tokenizer, message):
    with pytest.raises(DataError, match=message):
        from_hf(made(), "text", "label", tokenizer)


def test_ids_beyond_the_length_of_a_pipeline():
    class Small:
        def __len__(self):
            return 3

        def __call__(self, text):
            return [1, 2, 3]

    with pytest.raises(DataError, match=r"ids from 1 to 2 \(0 is padding\), got 3 for row 0"):
        from_hf(made(), "text", "label", Small())


def test_a_stream_that_changes(tmp_path):
    passes = []  # datasets pickles what a generator refers to, to name its cache

    def shuffled():
        passes.append(None)
        yield from random.Random(len(passes)).sample(rows(), 40)

    with pytest.raises(DataError, match="must yield the same rows in every pass"):
        from_hf(datasets.IterableDataset.from_generator(shuffled), "text", "label", BYTES)


@pytest.mark.parametrize("tokenizer", [BYTES, None])
def test_a_stream_that_becomes_shorter(tokenizer):
    passes = []

    def shorter():
        yield from rows()
        passes.append(None)
        for _ in range(50 if len(passes) == 1 else 0):
            yield from [{**row, "text": f"{row['text']} {_}"} for row in rows()]

    dataset = datasets.IterableDataset.from_generator(shorter)
    with pytest.raises(DataError, match="must yield the same rows in every pass"):
        from_hf(dataset, "text", "label", tokenizer)


@pytest.mark.parametrize("name", ["banking77", "clinc_oos"])
def test_a_preset_without_a_network(name, tmp_path):
    with pytest.raises(DataError) as caught:
        from_hf(preset=name, root=tmp_path)
    message = str(caught.value)
    assert f"the data of preset {name!r} must be in {tmp_path / name}" in message
    assert "run datasets.load_dataset(" in message
    assert f"to {tmp_path / name}" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"preset": "banking"}, UnknownNameError, "unknown preset 'banking'; did you mean 'bank"),
        ({"dataset": None}, ArgumentTypeError, "dataset or preset must be given"),
        ({"dataset": [{"text": "a"}]}, DataError, "unknown column 'label' in the dataset"),
        ({"dataset": [("a", "b")]}, ArgumentTypeError, "a list of dicts.*got a list with tuple"),
        ({"dataset": []}, ArgumentTypeError, "or paths of local files, got an empty list"),
        ({"dataset": 3}, ArgumentTypeError, "got int; convert it to one of these"),
        ({"dataset": {}}, DataError, "at least one split, got none"),
        ({"dataset": "absent.csv"}, DataError, "must be an existing file, got absent.csv"),
        ({"dataset": "absent.xlsx"}, DataError, r"files must end in \.csv.* got absent\.xlsx"),
        ({"dataset": ["a.csv", "b.json"]}, DataError, "must be an existing file, got a.csv"),
        ({"text_column": None}, ArgumentTypeError, "must name columns, got None and 'label'"),
        ({"label_column": ("a", "b")}, ArgumentTypeError, "must name columns"),
        ({"tokenizer": 3}, ArgumentTypeError, "a callable from str to a list of ids, got int"),
        ({"tokenizer": "word"}, UnknownNameError, "unknown tokenizer 'word'; did you mean 'words'"),
        ({"tokenizer": "bert-base"}, UnknownNameError, "Known: words, characters, bytes"),
        ({"max_length": 0}, ArgumentError, "max_length must be a positive integer, got 0"),
        ({"max_characters": 0}, ArgumentError, "max_characters must be a positive integer, got 0"),
        ({"seed": None}, ArgumentError, "seed must be a non-negative integer, got None"),
        ({"seed": 0.5}, ArgumentError, "seed must be a non-negative integer, got 0.5"),
        ({"splits": (1, 1)}, ArgumentError, r"three positive shares.*got \(1, 1\)"),
        ({"splits": (1, 0, 1)}, ArgumentError, "three positive shares"),
        ({"splits": "abc"}, ArgumentError, "three positive shares"),
        ({"splits": {"train": ["class a"]}}, ArgumentError, "got the keys train"),
    ],
)
def test_bad_arguments(arguments, error, message):
    given = {"dataset": made(), "text_column": "text", "label_column": "label", **arguments}
    with pytest.raises(error, match=message):
        from_hf(**given)


@pytest.mark.parametrize(
    ("train", "error", "message"),
    [
        ("class a", ArgumentTypeError, r"got 'class a'; pass \['class a'\]"),
        (None, ArgumentTypeError, "must be a list of class names, got None"),
        (3, ArgumentTypeError, "must be a list of class names, got 3"),
        (["class z"], UnknownNameError, "unknown class 'class z' in splits; did you mean"),
        (["class b"], ArgumentError, "'class b' in train and validation"),
        ([], DataError, "the train split must have at least one class, got none"),
    ],
)
def test_bad_splits(train, error, message):
    splits = {"train": train, "validation": ["class b"], "test": ["class c"]}
    with pytest.raises(error, match=message):
        from_hf(made(), "text", "label", BYTES, splits=splits)


def test_no_rows():
    empty = made().filter(lambda row: False)
    with pytest.raises(DataError, match="rows with text and label, got none"):
        from_hf(empty, "text", "label", BYTES)


def test_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"must contain files that end in \.csv"):
        from_hf(tmp_path / "empty", "text", "label")
