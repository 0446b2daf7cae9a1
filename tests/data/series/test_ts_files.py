import importlib.util
from pathlib import Path

import numpy as np
import pytest

from l2l_rnn.data import read_ts
from l2l_rnn.errors import DataError

HEADER = """#comment in caf\xe9 @data
@problemName Tiny
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true Left right
@data
"""
GOOD = HEADER + "1,2,3:4,5,6:Left\n-1e3,.5,?: 0 ,0,0:Right\n"


def write(folder, text, encoding="utf-8"):
    path = folder / "Tiny_TRAIN.ts"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_encodings_and_line_ends(tmp_path, encoding, end):
    series, labels = read_ts(write(tmp_path, GOOD.replace("\n", end), encoding))
    np.testing.assert_array_equal(series[0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(series[1], [[-1000, 0.5, np.nan], [0, 0, 0]])
    assert labels == ["Left", "right"]  # as in the header


def test_ragged_series(tmp_path):
    text = GOOD.replace("@seriesLength 3\n", "").replace("-1e3,.5,?: 0 ,0,0", "7,8:9,10")
    assert [s.shape for s in read_ts(write(tmp_path, text)).series] == [(2, 3), (2, 2)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-1e3", "12x", "line 12 of .*Tiny_TRAIN.ts: value 0 must be a number, got '12x'"),
        (".5", "", "line 12 .*: value 1 must be a number, got ''"),
        ("1,2,3:4", "1,2:4", "line 11 .*: expected channels of one length, got 2 to 3 steps"),
        ("1,2,3:4,5,6", "1,2:4,5", "line 11 .*: expected 3 steps, got 2"),
        (":4,5,6", "", "line 11 .*: expected 2 channels, got 1"),
        ("0:Right", "0:up", "line 12 .*: expected one of the classes at the end, got 'up'"),
        (",0,0:Right\n", "", "line 12 .*: expected one of the classes at the end, got '0'"),
        (
            "right\n@data\n",
            "right\n",
            "line 10 .*expected a line that starts with @ or #, got '1,2,3",
        ),
        ("true Left right", "false", "line 9 .*: expected named classes, got '@classLabel false'"),
        ("@classLabel", "@targetLabel", "line 9 .*: expected named classes"),
        ("@classLabel true Left right\n", "", "expected @classLabel in the header, got none"),
        ("@timeStamps false", "@timeStamps true", "line 3 .*: expected series without timestamps"),
        ("@dimensions 2", "@dimensions two", "line 6 .*: @dimensions must be one positive integer"),
        ("@seriesLength 3", "@seriesLength", "line 8 .*: @seriesLength must be one positive"),
        (GOOD[len(HEADER) :], "", "line 9 .*: expected cases after @data, got none"),
        (GOOD[GOOD.index("@data") :], "", "expected @data, got the end of the file"),
        (GOOD, "", "expected @data, got the end of the file"),
        (GOOD, "\x00\x01\x02" * 9, "line 1 .*: expected a line that starts with @ or #"),
    ],
)
def test_damaged_files_are_rejected(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(DataError, match=message) as caught:
        read_ts(write(tmp_path, GOOD.replace(old, new)))
    assert str(caught.value).startswith("read_ts: ")
    assert "\n" not in str(caught.value)


def test_truncated_files_are_rejected(tmp_path):
    whole = GOOD.rstrip()
    for cut in range(len(HEADER) + 1, len(whole)):
        text = whole[:cut]
        if text.rstrip().endswith(":Left"):
            continue  # the format cannot tell that a whole line is missing
        with pytest.raises(DataError):
            read_ts(write(tmp_path, text))


@pytest.mark.parametrize("name", ["Missing.ts", ""])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(
        DataError, match=r"read_ts: path must be a readable file, got .*check that it exists"
    ):
        read_ts(tmp_path / name)


@pytest.mark.parametrize("name", ["JapaneseVowels", "PLAID", "BasicMotions"])
def test_sktime_reads_the_same(name):
    spec = importlib.util.find_spec("sktime")
    if spec is None:
        pytest.skip("sktime is not installed")
    from sktime.datasets import load_from_tsfile

    path = Path(spec.submodule_search_locations[0], "datasets", "data", name, f"{name}_TRAIN.ts")
    ours = read_ts(path)
    frame, labels = load_from_tsfile(str(path), return_data_type="nested_univ")
    assert [label.lower() for label in ours.labels] == list(labels)
    for series, row in zip(ours.series, frame.itertuples(index=False), strict=True):
        np.testing.assert_array_equal(series, np.stack([cell.to_numpy() for cell in row]))
