"""Files in MovieLens's formats, and what is said of a bad one."""

import gzip

import numpy as np
import pytest

from l2l_rnn.data import Interactions, read_ratings, write_ratings
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    UnknownNameError,
)

LINES = {
    "ml-100k": "196\t242\t3\t881250949\n186\t302\t5\t891717742\n196\t302\t1\t881250950\n",
    "ml-1m": "196::242::3::881250949\n186::302::5::891717742\n196::302::1::881250950\n",
    "csv": "userId,movieId,rating,timestamp\r\n196,242,3.0,881250949\r\n186,302,5.0,891717742\r\n"
    "196,302,1.0,881250950\r\n",
}


def triples(table):
    """The interactions as plain values, in their order."""
    return [
        (table.user_names[u], table.item_names[i], float(r), t)
        for u, i, r, t in zip(
            table.users,
            table.items,
            table.ratings,
            [None] * len(table) if table.times is None else table.times,
            strict=True,
        )
    ]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("format", LINES)
def test_every_format_is_found_and_read(format, packed, tmp_path):
    path = tmp_path / ("ratings.gz" if packed else "ratings")
    content = LINES[format].encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    for given in (None, format):
        table = read_ratings(path, format=given)
        assert triples(table) == [
            ("196", "242", 3.0, 881250949.0),
            ("186", "302", 5.0, 891717742.0),
            ("196", "302", 1.0, 881250950.0),
        ]
    assert table.scale == ((0.5, 5.0) if format == "csv" else (1.0, 5.0))
    assert table.user_names == ("186", "196")


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("format", LINES)
def test_what_is_written_is_read_again(format, times, tmp_path):
    random = np.random.default_rng(0)
    pairs = random.permutation(300)[:80]
    table = Interactions.from_arrays(
        pairs // 20 + 1,
        pairs % 20 + 8,
        random.integers(2, 11, 80) / 2,
        random.integers(10**9, 2 * 10**9, 80) if times else None,
        scale=(1, 5),
    )
    path = tmp_path / "ratings.gz"
    write_ratings(path, table, format=format)
    again = read_ratings(path, scale=(1, 5))
    assert triples(again) == triples(table)
    assert again.user_names == table.user_names  # 10 follows 9
    assert list(map(int, again.item_names)) == sorted(map(int, again.item_names))


def test_titles_and_other_columns(tmp_path):
    (tmp_path / "ratings.csv").write_text("timestamp,rating,item,user\n7,4.5,9,ada\n")
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n9,"Amélie, 2001",Comedy\n10,Brazil,Drama\n', encoding="utf-8"
    )
    table = read_ratings(tmp_path / "ratings.csv", titles=tmp_path / "movies.csv")
    assert triples(table) == [("ada", "9", 4.5, 7.0)]
    assert table.titles == {"9": "Amélie, 2001", "10": "Brazil"}
    (tmp_path / "u.data").write_text("1\t9\t4\t7\n")
    (tmp_path / "u.item").write_bytes("9|Amélie|01-Jan-2001||\n".encode("latin-1"))
    table = read_ratings(tmp_path / "u.data", titles=tmp_path / "u.item")
    assert table.titles == {"9": "Amélie"}
    (tmp_path / "u.item").write_text("9\n")
    with pytest.raises(DataError, match=r"line 1 of .*u\.item must be an item and its title"):
        read_ratings(tmp_path / "u.data", titles=tmp_path / "u.item")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "196\t242\t3",
            "line 3 of .* must be a user, an item, a rating and a timestamp, separated",
        ),
        ("196\t242\tgood\t3", "line 3 of .*got '196.*good.*'; correct or drop the line"),
        ("196\t242\tnan\t3", "line 3 of "),
        ("\t242\t3\t3", "line 3 of "),
        ("196,242,3,3", "line 3 of .* separated by tabs"),
        ("196\t242\t6\t3", r"line 3 of .* must have a rating in 1 \.\. 5, got 6; set scale"),
        ("196\t242\t0\t3", r"line 3 of .* must have a rating in 1 \.\. 5, got 0"),
        ("5\t7\t3\t9", r"two ratings of item '7' by user '5' in lines 1 and 3 of .*; drop one"),
        ("x" * 10_001, "line 3 of .* must have at most 10000 bytes"),
    ],
)
def test_a_bad_line_is_named_by_its_number(line, message, tmp_path):
    path = tmp_path / "u.data"
    path.write_text(f"5\t7\t3\t9\n6\t7\t3\t9\n{line}\n7\t7\t3\t9\n")
    with pytest.raises(DataError, match=message):
        read_ratings(path)


def test_bad_files(tmp_path):
    path = tmp_path / "ratings.csv"
    for content, message in {
        "": "got an empty file",
        "userId,movieId,rating\n": "got a header alone",
        "user_id,film,rating\n": "the header of .* must name userId, movieId and rating",
    }.items():
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            read_ratings(path)
    with pytest.raises(DataError, match="must be a readable file"):
        read_ratings(tmp_path / "none.csv")
    (tmp_path / "ratings.gz").write_bytes(gzip.compress(b"1\t2\t3\t4\n" * 99)[:-9])
    with pytest.raises(DataError, match="must be a complete gzip file"):
        read_ratings(tmp_path / "ratings.gz")
    path.write_text("userId,movieId,rating\n1,2,3\n")
    with pytest.raises(UnknownNameError, match="unknown format 'ml-25m'"):
        read_ratings(path, format="ml-25m")
    with pytest.raises(ArgumentError, match="highest rating of scale must be a number above 5"):
        read_ratings(path, scale=(5, 1))
    assert read_ratings(path).times is None


def test_duplicates_are_kept_as_asked(tmp_path):
    path = tmp_path / "u.data"
    path.write_text("1\t7\t3\t90\n1\t8\t2\t95\n1\t7\t5\t80\n")
    assert triples(read_ratings(path, duplicates="first"))[1:] == [("1", "7", 5.0, 80.0)]
    assert triples(read_ratings(path, duplicates="last"))[0] == ("1", "7", 3.0, 90.0)


def test_arrays_and_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "who": ["b", "a", "b"],
            "what": [10, 9, 9],
            "stars": [1, 4, 5],
            "when": pandas.to_datetime(["2020-01-02", "2020-01-01", "2020-01-01"]),
        }
    )
    names = {"user": "who", "item": "what", "rating": "stars"}
    table = Interactions.from_frame(frame, time="when", **names)
    assert triples(table)[0] == ("b", "10", 1.0, 1577923200.0)
    assert table.item_names == ("9", "10")
    assert table.by_user().tolist() == [1, 2, 0]
    assert Interactions.from_frame(frame, time=None, **names).by_user().tolist() == [1, 0, 2]
    with pytest.raises(UnknownNameError, match="unknown column 'timestamp'"):
        Interactions.from_frame(frame, **names)
    with pytest.raises(ArgumentTypeError, match="must be a pandas DataFrame, got dict"):
        Interactions.from_frame({})
    frame.loc[0, "when"] = None
    with pytest.raises(DataError, match="times must be finite numbers, got nan in row 0"):
        Interactions.from_frame(frame, time="when", **names)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (([1], [1, 2], [3]), ShapeError, "expected arrays of one length, got 1 users, 2"),
        (([], [], []), DataError, "expected at least one interaction"),
        (([1], [1], ["good"]), ArgumentTypeError, "ratings must be numbers"),
        (([1], [1], [7]), DataError, r"ratings must lie in 1\.0 \.\. 5\.0, got 7\.0 in row 0"),
        (([1, 1], [2, 2], [3, 4]), DataError, "two ratings of item '2' by user '1' in rows 0 and"),
    ],
)
def test_bad_arrays(arrays, error, message):
    with pytest.raises(error, match=message):
        Interactions.from_arrays(*arrays)


def test_ids_that_a_format_cannot_hold(tmp_path):
    table = Interactions.from_arrays(["a,b"], ["c"], [3])
    with pytest.raises(DataError, match="must be text without commas, got 'a,b'; rename it"):
        write_ratings(tmp_path / "ratings.csv", table)
    assert not list(tmp_path.iterdir())
