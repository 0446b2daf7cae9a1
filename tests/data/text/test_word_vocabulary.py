import pytest

from l2l_rnn.data import WordVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, UnknownNameError

TEXTS = ["b a b", "c! b", "a d"]


def test_the_most_frequent_come_first_then_the_alphabet():
    assert WordVocabulary(TEXTS).words == ("b", "a", "!", "c", "d")
    assert WordVocabulary(reversed(TEXTS)) == WordVocabulary(TEXTS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_count": 2}, ("b", "a")),
        ({"max_size": 1}, ("b",)),
        ({"splitter": "whitespace"}, ("b", "a", "c!", "d")),
        ({"splitter": lambda text: text.split("b")}, ("", " a ", "a d", "c! ")),
    ],
)
def test_options(options, words):
    assert set(WordVocabulary(TEXTS, **options).words) == set(words)


def test_words_are_lowered_and_signs_stand_alone():
    vocabulary = WordVocabulary(["Don't stop, Łódź 42!"])
    assert set(vocabulary.words) == {"don", "'", "t", "stop", ",", "łódź", "42", "!"}
    assert vocabulary.decode([*vocabulary("stop the DON"), 0]) == "stop \ufffd don"
    assert "stop" in vocabulary
    assert len(vocabulary) == 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("ภาษาไทย ที่นี่", ["ภาษาไทย", "ที่นี่"]),
        ("e\u0301te\u0301 \xc9TE\u0301", ["été", "été"]),
        ("x\u0323\u0304y!", ["x\u0323\u0304y", "!"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("\u2764\ufe0f\u2764 İ", ["\u2764\ufe0f", "\u2764", "i\u0307"]),
    ],
)
def test_a_mark_belongs_to_what_it_stands_on(text, words):
    vocabulary = WordVocabulary([text])
    assert vocabulary.decode(vocabulary(text)) == " ".join(words)


def test_basic_english_is_torchtexts():
    pytest.importorskip("torchtext", exc_type=ImportError)
    vocabulary = WordVocabulary(["Hello, World's!"], "basic_english")
    assert set(vocabulary.words) == {"hello", ",", "world", "'", "s", "!"}


def test_a_splitter_of_ones_own_is_given_again(tmp_path):
    path = tmp_path / "words.json"
    vocabulary = WordVocabulary(["a-b"], lambda text: text.split("-"))
    vocabulary.save(path)
    with pytest.raises(ArgumentError, match=r"pass the same callable to WordVocabulary\.load"):
        WordVocabulary.load(path)
    assert WordVocabulary.load(path, lambda text: text.split("-"))("b-a-c") == [3, 2, 1]


def test_an_unsaved_file_stays(tmp_path):
    path = tmp_path / "absent" / "words.json"
    with pytest.raises(FileNotFoundError):
        WordVocabulary(TEXTS).save(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"texts": "abc"}, ArgumentTypeError, "got one str; pass \\[text\\]"),
        ({"texts": [b"a"]}, ArgumentTypeError, "got bytes"),
        ({"splitter": "word"}, UnknownNameError, "unknown splitter 'word'. Known: words"),
        ({"splitter": 3}, ArgumentTypeError, "a name or a callable, got int"),
        ({"min_count": 0}, ArgumentError, "min_count must be an integer of 1 or more, got 0"),
        ({"max_size": 0}, ArgumentError, "max_size must be an integer of 1 or more, got 0"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        WordVocabulary(**arguments)


@pytest.mark.parametrize("words", [["a", "a"], ["a", 3]])
def test_words_of_ones_own_are_distinct(words):
    with pytest.raises(ArgumentError, match="words must be distinct str"):
        WordVocabulary.of(words)


def test_ids_to_decode():
    with pytest.raises(ArgumentError, match=r"0 \.\. 6, got 7"):
        WordVocabulary(TEXTS).decode([7])
