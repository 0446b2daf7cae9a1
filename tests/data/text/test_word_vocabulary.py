import pytest

from l2l_rnn.data import CharacterVocabulary, WordVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, UnknownNameError

TEXTS = ["b a b", "c! b", "a d"]


def test_words_are_sorted_by_frequency_then_alphabetically():
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
def test_options_select_the_words(options, words):
    assert set(WordVocabulary(TEXTS, **options).words) == set(words)


def test_words_are_lowercased_and_symbols_are_separate():
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
def test_a_combining_mark_stays_with_its_base(text, words):
    vocabulary = WordVocabulary([text])
    assert vocabulary.decode(vocabulary(text)) == " ".join(words)


def test_basic_english_is_torchtexts_tokenizer():
    pytest.importorskip("torchtext", exc_type=ImportError)
    vocabulary = WordVocabulary(["Hello, World's!"], "basic_english")
    assert set(vocabulary.words) == {"hello", ",", "world", "'", "s", "!"}


def test_load_requires_the_custom_splitter_again(tmp_path):
    path = tmp_path / "words.json"
    vocabulary = WordVocabulary(["a-b"], lambda text: text.split("-"))
    vocabulary.save(path)
    with pytest.raises(ArgumentError, match=r"pass the same callable to WordVocabulary\.load"):
        WordVocabulary.load(path)
    assert WordVocabulary.load(path, lambda text: text.split("-"))("b-a-c") == [3, 2, 1]


def test_a_failed_save_creates_nothing(tmp_path):
    path = tmp_path / "absent" / "words.json"
    with pytest.raises(FileNotFoundError):
        WordVocabulary(TEXTS).save(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"texts": "abc"}, ArgumentTypeError, "got one str; pass \\[text\\]"),
        ({"texts": [b"a"]}, ArgumentTypeError, "got bytes"),
        ({"splitter": "word"}, UnknownNameError, "'word'; did you mean 'words'. Known: words, w"),
        ({"splitter": 3}, ArgumentTypeError, "a name or a callable, got int"),
        ({"min_count": 0}, ArgumentError, "min_count must be a positive integer, got 0; 1 keeps"),
        ({"max_size": 0}, ArgumentError, "max_size must be a positive integer, got 0; None keeps"),
    ],
)
def test_bad_input_is_rejected(arguments, error, message):
    with pytest.raises(error, match=message):
        WordVocabulary(**arguments)


@pytest.mark.parametrize("words", [["a", "a"], ["a", 3]])
def test_from_words_rejects_repeats_and_other_types(words):
    with pytest.raises(ArgumentError, match="words must be distinct str"):
        WordVocabulary.from_words(words)


KINDS = (WordVocabulary, CharacterVocabulary)


@pytest.mark.parametrize("vocabulary", [kind(["a"]) for kind in KINDS])
def test_equality_is_by_type_and_tokens(vocabulary):
    others = [WordVocabulary(["a"], "whitespace"), *(kind(["b"]) for kind in KINDS)]
    assert vocabulary == type(vocabulary)(["a"])
    assert all(vocabulary != other for other in others)
    assert (vocabulary == WordVocabulary(["a"])) != (vocabulary == CharacterVocabulary(["a"]))


def test_decode_rejects_ids_out_of_range():
    with pytest.raises(ArgumentError, match=r"0 \.\. 6, got 7"):
        WordVocabulary(TEXTS).decode([7])
