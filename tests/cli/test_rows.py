"""Columns of files."""

import json

import pytest

from l2l_rnn.cli.rows import check_present, read_columns
from l2l_rnn.errors import DataError

ROWS = [{"text": 'a "b"\nc, d', "label": "é"}, {"text": "e", "label": "2"}]


def write(folder, suffix, content):
    path = folder / f"file{suffix}"
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_format(suffix, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame, path = pandas.DataFrame(ROWS), str(tmp_path / f"file{suffix}")
    writers = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        ".json": lambda: frame.to_json(path, orient="records"),
        ".parquet": lambda: frame.to_parquet(path),
    }
    writers[suffix]()
    found = read_columns("me", path, ["text"], ["label", "absent"])
    assert found == {name: [row[name] for row in ROWS] for name in ("text", "label")}


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path):
    path = write(tmp_path, ".csv", b"\xef\xbb\xbftext\r\nx\r\n")
    assert read_columns("me", path, ["text"]) == {"text": ["x"]}


@pytest.mark.parametrize(
    ("suffix", "content", "said"),
    [
        (".csv", "txt,label\na,b\n", "unknown column 'text' in .*file.csv; did you mean 'txt'"),
        (".csv", "text,label\na,b,c\n", "2 fields in every row, .* got 3 in row 0"),
        (".csv", "text,label\na\n", "got 1 in row 0"),
        (".csv", "text,text\na,b\n", "the columns of .* must differ"),
        (".csv", "text\n", "at least one row, got none"),
        (".csv", "", "at least one row, got an empty file"),
        (".csv", b"text\n\xff\n", "UTF-8, got byte 0xff at position 5"),
        (".jsonl", '{"text": "a"}\n[1]\n', "row 1 of .* must be a JSON object, got list"),
        (".jsonl", '{"text": "a"}\n{"text"\n', "row 1 of .* must be a JSON object"),
        (".jsonl", '{"text": NaN}\n', "not finite"),
        (".json", "[" * 100_000, "must be a JSON object"),
        (".parquet", b"PAR1 no", "must be parquet, got a damaged file"),
        (".xlsx", "x", "files must end in .csv"),
    ],
)
def test_damaged_files(suffix, content, said, tmp_path):
    path = write(tmp_path, suffix, content)
    with pytest.raises(DataError, match=said):
        read_columns("me", path, ["text"])


def test_a_file_that_does_not_exist_and_a_folder(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("absent.csv", "folder.csv"):
        with pytest.raises(DataError, match=name):
            read_columns("me", str(tmp_path / name), ["text"])


@pytest.mark.parametrize("value", ["", "  ", None, float("nan")])
def test_missing_values_are_named_by_row(value):
    with pytest.raises(DataError, match=r"row 2 of a\.csv must have a value in the column 'text'"):
        check_present("me", "a.csv", "text", ["a", "b", value])


def test_rows_that_lack_a_key(tmp_path):
    path = write(
        tmp_path, ".jsonl", "".join(json.dumps(r) + "\n" for r in [{"text": "a"}, {"b": 1}])
    )
    assert read_columns("me", path, ["text"]) == {"text": ["a", None]}
