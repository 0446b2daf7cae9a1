"""Readers of files that are damaged, misleading, huge, or not files.

A reader raises one of the library's errors, or a cache is built again, within bounded time and
memory.
"""

import gzip
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from l2l_rnn.data import (
    ByteVocabulary,
    CharacterVocabulary,
    TokenizerPipeline,
    TransformPipeline,
    WordVocabulary,
    cached_arrays,
    load_pipeline,
    read_ts,
    read_vectors,
)
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.files import parse_json, read_json
from tests.mutations import check_reader, limited, odd_paths

# Damaged copies for each reader: some in every run of the tests, all in those marked slow. A
# vocabulary of torchtext takes long to build, so that its pipelines have fewer.
SOME, ALL, TORCHTEXT = 500, 5000, 1000
TEXTS = ["the cat", "a new day, Zoë", "one two three"]
WORDS = WordVocabulary.from_words(["cat", "dog", "new york"])
TS = b"""#a comment
@problemName Tiny
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength true
@seriesLength 3
@classLabel true left right
@data
1,2,3:4,5,6:left
-1e3,.5,?: 0 ,0,0:right
1,2,3:4,5.25,6:left
"""
GLOVE = b"3 2\ncat 1 2.5\nbird 9 9\nnew york -1 3e-1\n. 0 1\n"


def tokenizer():
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.train_from_iterator(TEXTS, tokenizers.trainers.BpeTrainer(special_tokens=["?"]))
    return TokenizerPipeline(made)


def transforms():
    pytest.importorskip("torchtext")
    transforms = pytest.importorskip("torchtext.transforms")
    vocab = pytest.importorskip("torchtext.vocab")
    words = vocab.build_vocab_from_iterator([text.split() for text in TEXTS], specials=["?"])
    words.set_default_index(0)
    return TransformPipeline(str.split, transforms.VocabTransform(words), transforms.Truncate(4))


PIPELINES = {
    "characters": lambda: CharacterVocabulary(TEXTS),
    "bytes": ByteVocabulary,
    "words": lambda: WordVocabulary(TEXTS),
    "tokenizers": tokenizer,
    "torchtext": transforms,
}


@pytest.fixture(params=PIPELINES.values(), ids=PIPELINES)
def saved(request, tmp_path):
    """A saved pipeline of each kind: its class, its path and its content."""
    pipeline = request.param()
    path = tmp_path / "pipeline.json"
    pipeline.save(path)
    return type(pipeline), path, path.read_bytes()


def read_pipeline(kind, path):
    kind.load(path).encode("the new cat")
    load_pipeline(path)


def test_damaged_pipelines(saved):
    kind, path, content = saved
    assert check_reader(lambda: read_pipeline(kind, path), path, content, SOME) < SOME


@pytest.mark.slow
def test_more_damaged_pipelines(saved):
    kind, path, content = saved
    number = TORCHTEXT if kind is TransformPipeline else ALL
    check_reader(lambda: read_pipeline(kind, path), path, content, number, seed=1)


def read_series(path):
    series, labels = read_ts(path)
    assert len(series) == len(labels) > 0
    assert not any(np.isinf(values).any() for values in series)


def read_words(path):
    vectors = read_vectors(path, WORDS)
    assert vectors.isfinite().all()
    assert len(vectors) == len(WORDS)


FILES = {
    "a.ts": (read_series, TS),
    "a.txt": (read_words, GLOVE),
    "a.gz": (read_words, gzip.compress(GLOVE, mtime=0)),
}


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path, name):
    read, content = FILES[name]
    path = tmp_path / name
    assert 0 < check_reader(lambda: read(path), path, content, SOME) < SOME


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_more_damaged_files(tmp_path, name):
    read, content = FILES[name]
    path = tmp_path / name
    check_reader(lambda: read(path), path, content, ALL, seed=1)


ARRAYS = {"x": np.arange(6.0).reshape(2, 3), "names": np.array(["ä", "bc"])}


def cache(root, arrays=ARRAYS):
    """Build or read a cache, and return whether it was built."""
    built = []
    found = cached_arrays(root, "set", {"v": 1}, lambda: built.append(1) or arrays)
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    return bool(built)


def cache_file(root):
    (path,) = (root / "l2l_rnn").glob("[!.]*")
    return path


def test_damaged_caches_are_built_again(tmp_path):
    cache(tmp_path)
    path = cache_file(tmp_path)
    whole, built = path.read_bytes(), []
    intact = check_reader(lambda: built.append(cache(tmp_path)), path, whole, SOME)
    assert intact == SOME
    assert sum(built) > 0.9 * intact


@pytest.mark.slow
def test_more_damaged_caches_are_built_again(tmp_path):
    cache(tmp_path)
    path = cache_file(tmp_path)
    assert check_reader(lambda: cache(tmp_path), path, path.read_bytes(), ALL, seed=1) == ALL


def deflated(path, arrays):
    np.savez_compressed(path.open("wb"), **arrays)


def bomb(path):
    """A gigabyte of zeros in a megabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("array.x", "checksum"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(
                    file, {"descr": "|u1", "fortran_order": False, "shape": (2**29,)}
                )
                for _ in range(2**9):
                    file.write(bytes(2**20))


def declared(header):
    """A function that writes an array with a header that does not match its data."""

    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("array.x", "checksum"):
                text = header.encode().ljust(118) + b"\n"
                start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
                archive.writestr(f"{name}.npy", start + text + bytes(64))

    return write


def overlapping(path):
    """Many members in one piece of the file, which zipfile reads as separate ones."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("array.0.npy", bytes(2**20))
        first = archive.infolist()[0]
        for number in range(1, 2000):
            member = zipfile.ZipInfo(f"array.{number}.npy")
            for name in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(member, name, getattr(first, name))
            archive.filelist.append(member)
            archive.NameToInfo[member.filename] = member
        archive._didModify = True


def sparse(path):
    path.touch()
    os.truncate(path, 2**40)


def absolute(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("/etc/x.npy", "../../x.npy", "C:\\x.npy"):
            archive.writestr(name, b"\x93NUMPY\x01\x00")


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


HOSTILE_CACHES = {
    "compressed": lambda path: deflated(path, {"array.x": np.zeros(10**6), "checksum": "1"}),
    "a bomb": bomb,
    "a terabyte declared": declared("{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,)}"),
    "a product beyond 64 bits": declared(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}"
    ),
    "a negative shape": declared("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8)}"),
    "no bytes an item": declared("{'descr': '|V0', 'fortran_order': False, 'shape': (10**18,)}"),
    "objects": declared("{'descr': '|O', 'fortran_order': False, 'shape': (8,)}"),
    "code": declared("{'descr': __import__('os'), 'fortran_order': False, 'shape': (8,)}"),
    "nesting": declared("(" * 100),
    "overlapping members": overlapping,
    "absolute names": absolute,
    "a FIFO": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a sparse file": lambda path: sparse(path),
    "characters beyond Unicode": lambda path: np.savez(
        path.open("wb"), checksum=np.full(4, 2**31 - 1, np.uint32).view("<U4")
    ),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Trap(str(path) + "-sprung"))),
    "pickled arrays": lambda path: np.savez(
        path.open("wb"), checksum=np.array([Trap(str(path) + "-sprung")], dtype=object)
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("make", HOSTILE_CACHES.values(), ids=HOSTILE_CACHES)
def test_hostile_caches_are_built_again(tmp_path, make):
    cache(tmp_path)
    path = cache_file(tmp_path)
    path.unlink()
    make(path)
    with limited(megabytes=10):
        assert cache(tmp_path)
        assert not cache(tmp_path)
    assert not os.path.exists(f"{path}-sprung")


def test_a_folder_in_the_place_of_a_cache_is_warned_about(tmp_path):
    cache(tmp_path)
    path = cache_file(tmp_path)
    path.unlink()
    path.mkdir()
    with limited(), pytest.warns(RuntimeWarning, match="could not be written"):
        assert cache(tmp_path)


@pytest.mark.parametrize("root", ["a\0b", "\ud800", "x" * 5000])
def test_a_root_that_cannot_exist(tmp_path, root):
    with limited(), pytest.raises(ArgumentError, match="root must be a writable folder"):
        cache(tmp_path / root)


def test_a_large_cache_is_read_within_its_size(tmp_path):
    large = {
        "x": np.random.default_rng(0).normal(size=(3000, 700)),
        "f": np.asfortranarray(np.eye(9)),
    }
    assert cache(tmp_path, large)
    with limited(megabytes=2.5 * 3000 * 700 * 8 / 2**20):
        assert not cache(tmp_path, large)


READERS = {
    "read_json": (lambda path: read_json("Here", path), ".json"),
    "load_pipeline": (load_pipeline, ".json"),
    "CharacterVocabulary": (CharacterVocabulary.load, ".json"),
    "ByteVocabulary": (ByteVocabulary.load, ".json"),
    "WordVocabulary": (WordVocabulary.load, ".json"),
    "TokenizerPipeline": (TokenizerPipeline.load, ".json"),
    "TransformPipeline": (TransformPipeline.load, ".json"),
    "read_ts": (read_ts, ".ts"),
    "read_vectors": (lambda path: read_vectors(path, WORDS), ".txt"),
    "read_vectors, gz": (lambda path: read_vectors(path, WORDS), ".gz"),
}


@pytest.mark.parametrize(("read", "suffix"), READERS.values(), ids=READERS)
def test_what_is_not_a_file_is_rejected_at_once(tmp_path, read, suffix):
    for name, path in odd_paths(tmp_path, suffix).items():
        with limited(), pytest.raises(DataError, match="path must be a readable file") as caught:
            read(path)
        assert str(caught.value).isprintable(), name
    for path in (None, 3.5, ["a"]):
        with pytest.raises(ArgumentTypeError, match="path must be a str or a path, got"):
            read(path)


NESTED = "[" * 100_000
HUGE = '{"format": ' + "9" * 100_000 + "}"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (NESTED, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (HUGE, "beyond 64 bits"),
        ('{"a": 9223372036854775808}', "beyond 64 bits"),
        ('{"a": 1e400}', "not finite"),
        ('{"a": -1e400}', "not finite"),
        ('{"a": NaN}', "not finite"),
        ('{"a": [Infinity]}', "not finite"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "key 'c' is there twice"),
        ('{"a": 1}\0', "Extra data"),
        ('{"a": "\0"}', "control character"),
        ("\ufeff{}", "BOM"),
        (b"\xff\xfe{\0}\0", "utf-8"),
        ("", "Expecting value"),
    ],
)
def test_hostile_json(tmp_path, content, why):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with limited(), pytest.raises(DataError, match=f"(?i)Here: .* must be JSON .*{why}") as caught:
        read_json("Here", path)
    assert len(str(caught.value)) < 500


def test_many_keys_of_json_are_parsed_in_linear_time():
    pairs = ",".join(f'"{number}": {number}' for number in range(200_000))
    with limited():
        assert len(parse_json(f"{{{pairs}}}")) == 200_000
        with pytest.raises(ValueError, match="'199999' is there twice"):
            parse_json(f'{{{pairs}, "199999": 0}}')


def test_a_huge_file_of_json_is_rejected(tmp_path):
    path = tmp_path / "a.json"
    sparse(path)
    with limited(seconds=30, megabytes=600), pytest.raises(DataError, match="more than 268435456"):
        read_json("Here", path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"dimensions 2", b"dimensions " + b"9" * 5000, "positive integer, got '9{40}'"),
        (b"dimensions 2", b"dimensions " + "²".encode(), "positive integer, got '²'"),
        (b"dimensions 2", b"dimensions 99999999999", "expected 99999999999 channels, got 2"),
        (b"Length 3", b"Length " + b"1" * 4301, "positive integer"),
        (b"-1e3", b"inf", "line 12 .* value 0 must be a number, got 'inf'"),
        (b"-1e3", b"-Infinity", "value 0 must be a number, got '-Infinity'"),
        (b"-1e3", b"1e999", "value 0 must be a number, got '1e999'"),
        (b"-1e3", b"9" * 400, "value 0 must be a number, got '9{20}'"),
        (b"-1e3", b"1_000", "value 0 must be a number, got '1_000'"),
        (b"-1e3", b"1\x002", r"value 0 must be a number, got '1\\x002'"),
        (b"true left right", b"false" + b" x" * 99999, "expected named classes, got '.{,60}'"),
        (b"@problemName", b"x" * 10**6, "starts with @ or #, got 'x{40}'"),
        (b":right", b":" + b"r" * 10**6, "expected one of the classes at the end, got 'r{40}'"),
        (b"\n", b"\r", "expected"),
        (b"\n", b"\x00", "expected"),
        (b"\n", b"", "expected @data"),
    ],
)
def test_hostile_ts_files(tmp_path, old, new, message):
    path = tmp_path / "a.ts"
    assert old in TS
    path.write_bytes(TS.replace(old, new))
    with limited(), pytest.raises(DataError, match=message) as caught:
        read_ts(path)
    assert len(str(caught.value)) < 300 + len(str(path))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_panics_is_rejected(tmp_path):
    path = tmp_path / "a.json"
    tokenizer().save(path)
    content = json.loads(path.read_text())
    model = content["tokenizer"]["model"]
    model["continuing_subword_prefix"] = "longer than any word"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="must contain a tokenizer that tokenizers can read"):
        TokenizerPipeline.load(path)


def test_missing_values_of_a_ts_file_are_nan(tmp_path):
    path = tmp_path / "a.ts"
    path.write_bytes(TS.replace(b"-1e3", b"NaN"))
    np.testing.assert_array_equal(read_ts(path).series[1][0], [np.nan, 0.5, np.nan])


def test_a_line_without_end_of_a_ts_file_is_rejected(tmp_path):
    path = tmp_path / "a.ts"
    sparse(path)
    with (
        limited(seconds=60, megabytes=600),
        pytest.raises(DataError, match="fewer than 67,108,864"),
    ):
        read_ts(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat 1 inf", "finite numbers, got b'1 inf'"),
        (b"cat 1 nan", "finite numbers"),
        (b"cat 1 1e39", "finite numbers"),
        (b"cat 1 " + b"9" * 5000, "finite numbers"),
        (b"cat 1 1_0", "finite numbers"),
        (b"cat" + b" 1" * 20_000, "at most 16,384 numbers, got 20,000"),
        (b"9" * 5000 + b" 2", "none of its 3"),
        (b"\x00" * 100, "a word and 1 numbers"),
        (b"x" * 2**21, "must be shorter than 1,048,576"),
        (b"cat 1 2\n\xff 3 4", "UTF-8, got byte 0xff at position 8"),
    ],
)
def test_hostile_word_vectors(tmp_path, content, message):
    for path, data in ((tmp_path / "a.txt", content), (tmp_path / "a.gz", gzip.compress(content))):
        path.write_bytes(data)
        with limited(), pytest.raises(DataError, match=message) as caught:
            read_vectors(path, WORDS)
        assert len(str(caught.value)) < 300 + len(str(path))


@pytest.mark.parametrize(
    "block",
    [b"\n" * 2**16, b"a 1 2\n" * 2**13, (b"x" * 100 + b" 1 2\n") * 600],
    ids=["n", "short", "long"],
)
def test_word_vectors_that_unpack_to_gigabytes(tmp_path, block):
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb") as file:
        for _ in range(2**25 // len(block)):
            file.write(block)
    with limited(seconds=30), pytest.raises(DataError, match="must unpack to at most"):
        read_vectors(path, WORDS)


def test_word_vectors_that_are_mostly_zero_are_read(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"cat" + b" 0" * 300 + b"\n" + b"x" + b" 0" * 300))
    assert read_vectors(path, WORDS).shape == (5, 300)
