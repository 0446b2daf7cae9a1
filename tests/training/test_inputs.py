"""Raw texts and series become padded tensors; unfit ones are refused by row."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2l_rnn.data import (
    ByteVocabulary,
    CharacterVocabulary,
    TokenizerPipeline,
    TransformPipeline,
    WordVocabulary,
    channel_moments,
    from_arrays,
)
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, L2LRNNError, ShapeError
from l2l_rnn.training import Inputs, SeriesInputs, TextInputs

VOCABULARY = CharacterVocabulary(["abcé ,"])
TEXTS = TextInputs(VOCABULARY, max_length=5)
SERIES = SeriesInputs(2, mean=[1.0, 2.0], std=[2.0, 4.0])
X = [np.arange(6.0).reshape(2, 3), np.arange(4.0).reshape(2, 2)]


@pytest.mark.parametrize(
    "raw",
    [
        ["ba", "a, c"],
        ("ba", "a, c"),
        np.array(["ba", "a, c"]),
        np.array(["ba", "a, c"], object),
        np.array([["ba"], ["a, c"]], object),
        pd.Series(["ba", "a, c"], index=[7, 3]),
        pd.Series(["ba", "a, c"], dtype="string"),
        pd.Series(["ba", "a, c"], dtype="category"),
        pd.DataFrame({"text": ["ba", "a, c"]}),
        iter(["ba", "a, c"]),
    ],
    ids=lambda raw: type(raw).__name__,
)
def test_texts_of_every_container(raw):
    wanted = torch.zeros(2, 4, dtype=torch.int64)
    for row, text in zip(wanted, ["ba", "a, c"], strict=True):
        row[: len(text)] = torch.tensor(VOCABULARY.encode(text))
    assert torch.equal(TEXTS(raw), wanted)


def test_texts_are_cut_and_normalized():
    assert TEXTS(["abcabcabc"]).shape == (1, 5)
    decomposed = "e\u0301"
    assert torch.equal(TEXTS([decomposed]), TEXTS(["é"]))
    plain = TextInputs(TransformPipeline(list, lambda cs: [ord(c) for c in cs]), 5, None)
    assert plain([decomposed]).shape == (1, 2)
    for form in ("NFD", "NFKC", "NFKD"):
        assert TextInputs(VOCABULARY, 5, form)(["a"]).shape == (1, 1)
    wide = TextInputs(WordVocabulary(["abc"]), 5, "NFKC")
    assert wide(["\uff41\uff42\uff43"]).tolist() == [[2]]  # full-width letters


def test_empty_texts_are_unknown_if_asked():
    inputs = TextInputs(VOCABULARY, 5, empty="unknown")
    assert inputs(["", "ab", " \n"]).tolist() == [[1, 0], [4, 5], [1, 0]]
    assert inputs.known_fraction(["", "ab"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("raw", "error", "match"),
    [
        ("abc", ArgumentTypeError, r"got one str; pass \[text\]"),
        (b"abc", ArgumentTypeError, "one bytes"),
        ([], DataError, "at least one text"),
        (np.array([]), DataError, "at least one text"),
        (["a", ""], DataError, "row 1 must hold a text, got an empty one"),
        (["a", " \t"], DataError, "row 1"),
        (["a", None], DataError, "row 1 must hold a text, got None"),
        (["a", float("nan")], DataError, "row 1 must hold a text, got nan"),
        (pd.Series(["a", None, "b"]), DataError, "row 1"),
        (pd.Series(["a", pd.NA], dtype="string"), DataError, "row 1"),
        (["a", b"b"], ArgumentTypeError, "row 1 must hold a str, got bytes; decode"),
        (["a", 3], ArgumentTypeError, "row 1 must hold a str, got int; this model reads texts"),
        ([[1.0, 2.0]], ArgumentTypeError, "row 0 must hold a str, got list"),
        (np.zeros((2, 3)), ArgumentTypeError, "float64 with shape .2, 3.; this model reads texts"),
        (torch.zeros(2, 3), ArgumentTypeError, "this model reads texts"),
        (np.array([["a", "b"]]), ShapeError, r"shape \(1, 2\)"),
        (np.array("a"), ShapeError, r"shape \(\)"),
        (pd.DataFrame({"x": ["a"], "y": ["b"]}), ArgumentError, r"2 \(x, y\); select one, such as"),
        (pd.DataFrame(index=[1]), ArgumentError, "got 0"),
        ({"text": "a"}, ArgumentTypeError, "dict"),
        (3, ArgumentTypeError, "int"),
        (None, ArgumentTypeError, "NoneType"),
    ],
    ids=str,
)
def test_other_inputs_than_texts_are_refused(raw, error, match):
    with pytest.raises(error, match=match):
        TEXTS(raw)


def test_known_fraction_of_characters():
    texts = ["ab", "ax", "xyz", "日本 語,", "a, b!", ", ,", "!!", "\U0001f642"]
    wanted = [1, 0.5, 0, 0, 1, 1, 0, 0]
    assert TEXTS.known_fraction(texts).tolist() == wanted
    assert TEXTS.known_fraction(["aaaaaxxxxx"]).tolist() == [1]  # of the first five


def test_known_fraction_of_other_pipelines():
    words = TextInputs(WordVocabulary(["the cat sat"]), 10)
    assert words.known_fraction(["the dog, sat.", "a dog", "don't"]).tolist() == [2 / 3, 0, 0]
    octets = TextInputs(ByteVocabulary(), 10)
    assert octets.known_fraction(["日本"]).tolist() == [1]
    own = TextInputs(lambda text: [2] * len(text), 10)
    assert own.known_fraction(["ab"]).tolist() == [1]


def pipelines():
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"?": 0, "cat": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return {
        "characters": VOCABULARY,
        "words": WordVocabulary(["a b c"], "whitespace"),
        "bytes": ByteVocabulary(),
        "tokenizer": TokenizerPipeline(tokenizer),
    }


@pytest.mark.parametrize("name", ["characters", "words", "bytes", "tokenizer"])
def test_text_inputs_come_back_from_json(name):
    inputs = TextInputs(pipelines()[name], 7, "NFKC", empty="unknown")
    content = json.loads(json.dumps(inputs.to_json()))
    for cls in (TextInputs, Inputs):
        twin = cls.from_json(content)
        assert twin == inputs
        assert hash(twin) == hash(inputs)
        assert (twin.max_length, twin.normalization, twin.empty) == (7, "NFKC", "unknown")
        assert torch.equal(twin(["a b cat x"]), inputs(["a b cat x"]))
    assert pickle.loads(pickle.dumps(inputs)) == inputs
    assert inputs != TextInputs(pipelines()[name], 8, "NFKC", empty="unknown")
    assert inputs != SERIES


@pytest.mark.parametrize(
    ("pipeline", "match"),
    [
        (lambda text: [2], r"save\(\), got function"),
        (WordVocabulary(["a"], lambda text: text.split("-")), "name of a splitter"),
        (TransformPipeline(lambda text: [2]), "a step must be"),
    ],
)
def test_pipelines_that_cannot_be_saved(pipeline, match):
    inputs = TextInputs(pipeline, 5)
    with pytest.raises(ArgumentError, match=match):
        inputs.to_json()
    assert inputs == TextInputs(pipeline, 5)
    assert hash(inputs) == hash(TextInputs(pipeline, 5))
    assert inputs != TextInputs(pipeline, 6)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: TextInputs(3, 5), ArgumentTypeError),
        (lambda: TextInputs(VOCABULARY, 0), ArgumentError),
        (lambda: TextInputs(VOCABULARY, 5, "NFX"), ArgumentError),
        (lambda: TextInputs(VOCABULARY, 5, empty="drop"), ArgumentError),
        (lambda: SeriesInputs(0, 0, 1), ArgumentError),
        (lambda: SeriesInputs(2, [0, 0, 0], 1), ArgumentError),
        (lambda: SeriesInputs(2, 0, [1, 0]), ArgumentError),
        (lambda: SeriesInputs(2, float("nan"), 1), ArgumentError),
        (lambda: SeriesInputs(2, "a", 1), ArgumentTypeError),
        (lambda: SeriesInputs(2, 0, 1, max_length=0), ArgumentError),
        (lambda: SeriesInputs(2, 0, 1, layout="first"), ArgumentError),
    ],
)
def test_arguments_are_checked(make, error):
    with pytest.raises(error):
        make()


def test_series_of_every_format():
    wanted = from_arrays(X, [0, 0], min_items=1).sequences
    wanted = (wanted - torch.tensor([1.0, 2.0])) / torch.tensor([2.0, 4.0])
    last = SeriesInputs(2, [1.0, 2.0], [2.0, 4.0], layout="channels_last")
    padded = np.full((2, 2, 3), np.nan)
    for row, case in zip(padded, X, strict=True):
        row[:, : case.shape[1]] = case
    nested = pd.DataFrame({"a": [x[0] for x in X], "b": [x[1] for x in X]})
    long = pd.DataFrame(
        [(i, t, *x[:, t]) for i, x in enumerate(X) for t in range(x.shape[1])],
        columns=["case", "time", "a", "b"],
    )
    found = {
        "list": SERIES(X),
        "tensors": SERIES([torch.tensor(x) for x in X]),
        "array": SERIES(padded),
        "channels last": last([x.T for x in X]),
        "tensor": last(torch.tensor(padded).mT),
        "flat": SERIES(np.concatenate([x.T for x in X]), lengths=[3, 2]),
        "nested": SERIES(nested),
        "multi-index": SERIES(long.set_index(["case", "time"])),
        "long": SERIES(long, case="case", time="time"),
        "frames": SERIES([pd.DataFrame(x.T, columns=["a", "b"]) for x in X]),
    }
    for name, one in found.items():
        torch.testing.assert_close(one, wanted, equal_nan=True, msg=name)
        assert one.dtype == torch.float32
    assert SERIES.known_fraction(X).tolist() == [1, 1]


def test_series_are_cut_and_standardized():
    sequences = torch.randn(5, 9, 2)
    inputs = SeriesInputs(2, *channel_moments(sequences), max_length=4, layout="channels_last")
    assert inputs(sequences).shape == (5, 4, 2)
    whole = SeriesInputs(2, *channel_moments(sequences), layout="channels_last")(sequences)
    torch.testing.assert_close(whole.mean((0, 1)), torch.zeros(2), atol=1e-6, rtol=0)
    one = SeriesInputs(1, 0, 1)
    assert one([[1.0, 2.0], [3.0]]).shape == (2, 2, 1)
    assert one(np.zeros((3, 4))).shape == (3, 4, 1)


@pytest.mark.parametrize(
    ("raw", "error", "match"),
    [
        (["a text"], ArgumentTypeError, "this model reads time series"),
        ("a text", ArgumentTypeError, "this model reads time series"),
        (np.array(["a"]), ArgumentTypeError, "this model reads time series"),
        (pd.Series(["a"]), ArgumentTypeError, "this model reads time series"),
        (pd.DataFrame({"text": ["a"]}), ArgumentTypeError, "this model reads time series"),
        (np.zeros((4, 3, 9)), ShapeError, "F=2 channels, got 3; .*model for this kind of input"),
        ([[1.0, 2.0]], ShapeError, "F=2 channels, got 1"),
        ([np.array([[1.0, np.nan, 2.0]] * 2)], DataError, "NaN only at its end"),
        ([np.array([[1.0, np.inf]] * 2)], DataError, "case 0 must be finite"),
        ([], DataError, "at least one series"),
        (None, ArgumentTypeError, "NoneType"),
        ({"a": 1}, ArgumentTypeError, "dict"),
    ],
    ids=str,
)
def test_other_inputs_than_series_are_refused(raw, error, match):
    with pytest.raises(error, match=match):
        SERIES(raw)


def test_columns_need_a_long_frame():
    with pytest.raises(ArgumentError, match="long data frame"):
        SERIES(X, case="id")


def test_series_inputs_come_back_from_json():
    inputs = SeriesInputs(2, [0.1, 1 / 3], [1e-3, 7], max_length=9, layout="channels_last")
    twin = Inputs.from_json(json.loads(json.dumps(inputs.to_json())))
    assert twin == inputs
    assert hash(twin) == hash(inputs)
    assert torch.equal(twin.mean, inputs.mean)
    assert torch.equal(twin.std, inputs.std)
    assert inputs != SeriesInputs(2, [0.1, 1 / 3], [1e-3, 8], max_length=9, layout="channels_last")
    assert inputs != TEXTS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=4), one, max_size=3),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(which=st.sampled_from([TEXTS, SERIES]), data=st.data())
def test_misleading_json_gives_our_errors(which, data):
    content = which.to_json()
    name = data.draw(st.sampled_from([None, *content]))
    value = data.draw(JSON)
    changed = value if name is None else {**content, name: value}
    try:
        made = Inputs.from_json(changed)
    except L2LRNNError:
        return
    assert isinstance(made, Inputs)
    made.to_json()


def test_a_kind_of_another_class_is_refused():
    with pytest.raises(DataError, match="kind"):
        SeriesInputs.from_json(TEXTS.to_json())
    with pytest.raises(DataError, match="kind"):
        Inputs.from_json({"kind": ["text"]})
