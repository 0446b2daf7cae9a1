"""Data files that are damaged, misleading, or not files, read as from_hf reads them."""

import json
import os

import pytest

from l2l_rnn.errors import DataError
from l2l_rnn.tasksets import from_hf
from l2l_rnn.tasksets.hub.files import open_splits
from l2l_rnn.tasksets.hub.rows import RowReader
from l2l_rnn.tasksets.hub.survey import survey
from tests.mutations import check_reader, limited, odd_paths
from tests.tasksets.hub.cases import rows, write

arrow = pytest.importorskip("pyarrow")
datasets = pytest.importorskip("datasets")
parquet = pytest.importorskip("pyarrow.parquet")

# Damaged copies for each reader: some in every run of the tests, all in those marked slow.
SOME, ALL = 100, 5000
NAMES = list("abcdef")
ROWS = [
    {"text": f"{name} says {i} ü", "label": name, "words": [name, str(i)]}
    for i in range(4)
    for name in NAMES
]
TABLE = arrow.Table.from_pylist(ROWS)


def ipc(make, path, table=TABLE, **options):
    with arrow.OSFile(str(path), "wb") as file, make(file, table.schema, **options) as out:
        out.write_table(table, max_chunksize=7)


def stream(path, table=TABLE, **options):
    ipc(arrow.ipc.new_stream, path, table, **options)


def dictionary(path):
    stream(path, TABLE.set_column(1, "label", TABLE["label"].dictionary_encode()))


def numbered():
    """The rows with classes stored as integers, as `datasets` does."""
    table = [{**row, "label": NAMES.index(row["label"])} for row in ROWS]
    return datasets.Dataset.from_list(table).cast_column("label", datasets.ClassLabel(names=NAMES))


def of_datasets(path):
    numbered().save_to_disk(path.parent / "saved")
    (path.parent / "saved" / "data-00000-of-00001.arrow").replace(path)


def compressed(path):
    stream(path, options=arrow.ipc.IpcWriteOptions(compression="lz4"))


def text(path):
    write(path, [{**row, "words": row["text"]} for row in ROWS])


# The file, and how it is written.
FILES = {
    "stream": ("a.arrow", stream),
    "random access": ("a.arrow", lambda path: ipc(arrow.ipc.new_file, path)),
    "dictionary": ("a.arrow", dictionary),
    "compressed": ("a.arrow", compressed),
    "of datasets": ("a.arrow", of_datasets),
    "parquet": ("a.parquet", lambda path: parquet.write_table(TABLE, path, row_group_size=7)),
    "plain parquet": (
        "a.parquet",
        lambda path: parquet.write_table(TABLE, path, use_dictionary=False, compression="none"),
    ),
    "lines of JSON": ("a.jsonl", lambda path: write(path, ROWS)),
    "JSON": ("a.json", lambda path: path.write_text(json.dumps(ROWS), encoding="utf-8")),
    "csv": ("a.csv", text),
    "tsv": ("a.tsv", text),
}


def read(path, column="text"):
    """Read all rows of a file, the first of two passes of from_hf."""
    columns = (column, "label")
    reader = RowReader(open_splits(path, columns), (column,), "label", 100)
    return survey(reader, drop_empty=True)


@pytest.fixture(params=FILES.values(), ids=FILES)
def file(request, tmp_path):
    name, make = request.param
    path = tmp_path / name
    make(path)
    for column in ("text", "words"):
        assert sum(read(path, column).counts.values()) == 24
    return path


def check(path, count, seed=0):
    content = path.read_bytes()
    for column in ("text", "words"):
        intact = check_reader(lambda: read(path, column), path, content, count // 2, seed)  # noqa: B023
        assert 0 < intact < count


def test_damaged_files(file):
    check(file, SOME)


@pytest.mark.slow
def test_more_damaged_files(file):
    check(file, ALL, seed=1)


def test_offsets_outside_of_the_data_are_found_before_they_are_used(tmp_path):
    """Arrow does not check them, and reads whatever is in memory there."""
    path = tmp_path / "a.arrow"
    offsets = arrow.py_buffer(b"".join(n.to_bytes(4, "little", signed=True) for n in (0, 2**30, 3)))
    for column in ("text", "label"):
        bad = arrow.StringArray.from_buffers(2, offsets, arrow.py_buffer(b"abc"))
        table = {"text": arrow.array(["a", "b"]), "label": arrow.array(["c", "d"]), column: bad}
        stream(path, arrow.table(table))
        with pytest.raises(DataError, match=r"must be readable, .*ArrowInvalid"):
            read(path)


@pytest.mark.parametrize("suffix", [".arrow", ".parquet", ".json", ".jsonl", ".csv", ".tsv"])
def test_what_is_not_a_file_is_rejected_at_once(tmp_path, suffix):
    for name, path in odd_paths(tmp_path, suffix).items():
        if name not in ("a folder", "an empty path"):
            with limited(60), pytest.raises(DataError) as caught:
                from_hf(path, "text", "label")
            assert "\n" not in str(caught.value)
    with limited(60), pytest.raises(DataError, match="must be an existing file"):
        from_hf(tmp_path, "text", "label")


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"text": ' * 100_000,
        '{"text": "a", "label": ' + "9" * 100_000 + "}",
        '{"text": "a", "label": ' + "9" * 4000 + "}",
        '{"text": "a", "label": 1e999}',
        '{"text": "a", "label": NaN}',
        '{"text": "a", "label": ' + "[" * 900 + "]" * 900 + "}",
        '{"text": "\\ud800", "label": "a"}',
        '{"text": {"a": 1}, "label": "a"}',
        '[{"text": "a"}, 3]',
        '{"text": ["a", "b"], "label": ["c"]}',
        "\0" * 1000,
        '"text"',
    ],
)
@pytest.mark.parametrize("twice", [False, True])
def test_hostile_json(tmp_path, content, twice):
    path = tmp_path / "a.json"
    path.write_text(f"{content}\n{content}" if twice else content)
    with limited(60), pytest.raises(DataError) as caught:
        from_hf(path, "text", "label")
    assert "\n" not in str(caught.value)


def saved(folder):
    datasets.DatasetDict({"train": numbered(), "test": numbered()}).save_to_disk(folder)
    return folder / "dataset_dict.json", folder / "test" / "state.json"


def test_saved_datasets(tmp_path):
    saved(tmp_path)
    found = open_splits(tmp_path, ("text", "label"))
    assert [split.name for split in found] == ["train", "test"]
    assert sum(read(tmp_path).counts.values()) == 24  # the splits have the same texts
    assert sorted(read(tmp_path).counts) == NAMES
    sources = from_hf(rows_in(tmp_path / "own"), "text", "label", splits=(1, 1, 1))
    assert sum(map(len, sources)) == 24


def rows_in(folder):
    numbered().save_to_disk(folder)
    return folder


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../train/data-00000-of-00001.arrow", "/dev/zero", "a\0.arrow", "", ".."],
)
def test_saved_datasets_name_no_other_files(tmp_path, name):
    splits, state = saved(tmp_path)
    content = json.loads(state.read_text())
    state.write_text(json.dumps({**content, "_data_files": [{"filename": name}]}))
    with limited(60), pytest.raises(DataError, match=r"names of \.arrow files in this folder"):
        from_hf(tmp_path, "text", "label")
    splits.write_text(json.dumps({"splits": [name]}))
    with limited(60), pytest.raises(DataError, match="a list of the names of splits"):
        from_hf(tmp_path, "text", "label")


@pytest.mark.parametrize("index", [0, 1])
def test_damaged_descriptions_of_saved_datasets(tmp_path, index):
    path = saved(tmp_path)[index]
    check_reader(lambda: read(tmp_path), path, path.read_bytes(), SOME)
    path.unlink()
    os.mkfifo(path)
    with limited(60), pytest.raises(DataError, match="not a regular file"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"names": ["a", "b", "c", "d", "e", "f"]', '"names_file": "/dev/zero"'),
        ('"names": ["a", "b", "c", "d", "e", "f"]', '"names": "abcdef"'),
        ('"names": ["a"', '"names": [3'),
        ('{"info"', '{"info": 3, "info"'),
        ('{"info"', '{"other"'),
    ],
)
def test_damaged_names_of_classes(tmp_path, old, new):
    table = arrow.ipc.open_stream(
        (rows_in(tmp_path / "saved") / "data-00000-of-00001.arrow").read_bytes()
    ).read_all()
    written = table.schema.metadata[b"huggingface"].decode()
    assert old in written
    table = table.replace_schema_metadata({"huggingface": written.replace(old, new)})
    path = tmp_path / "a.arrow"
    stream(path, table)
    with limited(60), pytest.raises(DataError, match="the metadata of the file is damaged"):
        read(path)


def test_named_classes_are_integers(tmp_path):
    metadata = numbered().features.arrow_schema.metadata
    path = tmp_path / "a.arrow"
    for label in (arrow.array([1, 2], "duration[s]"), arrow.array(["x", "y"]), [0.5, 1.5]):
        table = arrow.table({"text": ["a", "b"], "label": label}).replace_schema_metadata(metadata)
        stream(path, table)
        with pytest.raises(DataError, match="named classes must be integers"):
            read(path)


def test_a_name_of_two_lines_does_not_break_the_message(tmp_path):
    stream(tmp_path / "a.arrow", arrow.table({"te\nxt": ["a"], "label": ["b"]}))
    with pytest.raises(DataError, match=r"did you mean 'te xt'.? Known: te xt, label$"):
        read(tmp_path / "a.arrow")


def test_files_that_name_their_classes_differently(tmp_path):
    paths = [rows_in(tmp_path / name) / "data-00000-of-00001.arrow" for name in ("one", "other")]
    other = numbered().cast_column("label", datasets.ClassLabel(names=NAMES[::-1]))
    other.save_to_disk(tmp_path / "backwards")
    assert sorted(read(paths).counts) == NAMES
    paths[1] = tmp_path / "backwards" / "data-00000-of-00001.arrow"
    with pytest.raises(DataError, match="different names of classes"):
        read(paths)


def test_lists_of_words_that_exclude_missing_words(tmp_path):
    for kind in (arrow.list_, arrow.large_list):
        words = arrow.array(
            [["a", "b"], ["c"]], kind(arrow.field("item", "string", nullable=False))
        )
        stream(tmp_path / "a.arrow", arrow.table({"words": words, "label": ["x", "y"]}))
        assert read(tmp_path / "a.arrow", "words").counts == {"x": 1, "y": 1}


def test_rows_of_small_batches_are_read_together(tmp_path):
    path = tmp_path / "a.arrow"
    table = arrow.Table.from_pylist(rows(each=500))
    with arrow.OSFile(str(path), "wb") as out, arrow.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    (split,) = open_splits(path, ("text", "label"))
    tables = list(split.data.iter(2000))
    assert [len(part) for part in tables] == [2000, 2000, 1000]
    assert arrow.concat_tables(tables).equals(table.select(["text", "label"]))
