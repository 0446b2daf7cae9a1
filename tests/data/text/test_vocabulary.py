import json
import unicodedata

import pytest

from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError


@pytest.fixture
def vocabulary():
    return CharacterVocabulary(["Åland", "été", "ndé"])


def test_ids_are_in_order_of_code_points(vocabulary):
    assert vocabulary.characters == ("a", "d", "l", "n", "t", "Å", "é")
    assert [vocabulary.encode(c) for c in vocabulary.characters] == [
        [i] for i in range(2, len(vocabulary))
    ]
    assert (vocabulary.PADDING, vocabulary.UNKNOWN) == (0, 1)
    assert vocabulary.token_ids == {c: i for i, c in enumerate(vocabulary.characters, start=2)}


def test_the_order_of_texts_does_not_matter():
    texts = ["xyz", "abc", "ñandú"]
    assert CharacterVocabulary(texts) == CharacterVocabulary(reversed(texts))
    assert hash(CharacterVocabulary(texts)) == hash(CharacterVocabulary(reversed(texts)))


def test_min_count():
    assert CharacterVocabulary(["aab", "bc"], min_count=2).characters == ("a", "b")


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [1]),
        ("ЖЖ", [1, 1]),
        ("😀", [1]),
        ("👩‍👩‍👧", [1] * 5),
        ("\u0301", [1]),
        (" ", [1]),
        ("\x00", [1]),
        ("\ud800", [1]),
    ],
    ids=["empty", "unseen", "emoji", "joined emoji", "lone mark", "space", "nul", "surrogate"],
)
def test_unseen_characters_are_unknown(vocabulary, text, ids):
    assert vocabulary.encode(text) == ids


def test_composed_and_decomposed_forms_are_equal(vocabulary):
    decomposed = unicodedata.normalize("NFD", "été Å")
    assert vocabulary.encode(decomposed) == vocabulary.encode("été Å")
    assert CharacterVocabulary([decomposed]) == CharacterVocabulary(["été Å"])


def test_a_mark_that_does_not_compose_is_a_character():
    assert CharacterVocabulary(["q\u0303"]).characters == ("q", "\u0303")


def test_case_is_kept(vocabulary):
    assert vocabulary.encode("å") == [1] != vocabulary.encode("Å")


def test_no_character_encodes_to_padding(vocabulary):
    assert all(0 not in vocabulary.encode(chr(i)) for i in range(0x3000))


def test_decode_inverts_encode(vocabulary):
    assert vocabulary.decode([*vocabulary.encode("dénÅ"), 0, 0]) == "dénÅ"
    assert vocabulary.decode(vocabulary.encode("d?")) == "d\ufffd"
    with pytest.raises(ArgumentError, match="got 99"):
        vocabulary.decode([99])


def test_contains(vocabulary):
    assert "é" in vocabulary
    assert "z" not in vocabulary


def test_save_and_load(vocabulary, tmp_path):
    path = tmp_path / "vocabulary.json"
    path.write_text("an older file")
    vocabulary.save(path)
    assert CharacterVocabulary.load(path) == vocabulary
    assert [file.name for file in tmp_path.iterdir()] == ["vocabulary.json"]
    json.loads(path.read_text(encoding="utf-8"))


def test_a_failed_save_leaves_the_old_file(vocabulary, tmp_path, monkeypatch):
    path = tmp_path / "vocabulary.json"
    path.write_text("an older file")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        vocabulary.save(path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["an older file"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\x80\x04K\x01.",
        b'{"characters": ["a"]}',
        b'{"format": "l2l_rnn.CharacterVocabulary", "version": 2, "characters": ["a"]}',
        b'{"format": "l2l_rnn.CharacterVocabulary", "version": 1, "characters": ["ab"]}',
        b'{"format": "l2l_rnn.CharacterVocabulary", "version": 1, "characters": ["a", "a"]}',
        b'{"format": "l2l_rnn.CharacterVocabulary", "version": 1, "characters": [1]}',
        b'{"format": "l2l_rnn.CharacterVocabulary", "version": 1, "characters": "ab"}',
    ],
)
def test_load_rejects_other_files(content, tmp_path):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match="save it again"):
        CharacterVocabulary.load(path)


@pytest.mark.parametrize("min_count", [0, -1, 1.5, True, None])
def test_bad_min_counts_are_rejected(min_count):
    with pytest.raises(ArgumentError, match=r"min_count must be a positive integer, .*; 1 keeps"):
        CharacterVocabulary(["a"], min_count=min_count)


def test_bad_texts_are_rejected(vocabulary):
    with pytest.raises(ArgumentTypeError, match="got one str"):
        CharacterVocabulary("abc")
    with pytest.raises(ArgumentTypeError, match="must be a str, got bytes"):
        CharacterVocabulary([b"abc"])
    with pytest.raises(ArgumentTypeError, match="must be a str, got NoneType"):
        vocabulary.encode(None)
