"""Every kind of text pipeline keeps the same promises."""

import json
import os

import pytest

from l2l_rnn.data import (
    ByteVocabulary,
    CharacterVocabulary,
    TokenizerPipeline,
    TransformPipeline,
    WordVocabulary,
    as_pipeline,
    load_pipeline,
)
from l2l_rnn.errors import ArgumentTypeError, DataError

TEXTS = ["The cat sat.", "the dog", "Été à Łódź", "cat cat 12"]


def trained(model="BPE"):
    tokenizers = pytest.importorskip("tokenizers")
    if model == "Unigram":
        scores = [("?", 0.0), ("cat", -1.0), ("sat", -1.5), ("a", -3.0)]
        return tokenizers.Tokenizer(tokenizers.models.Unigram(scores, unk_id=0))
    tokenizer = tokenizers.Tokenizer(getattr(tokenizers.models, model)(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = getattr(tokenizers.trainers, f"{model.replace('BPE', 'Bpe')}Trainer")
    tokenizer.train_from_iterator(
        TEXTS, trainer(vocab_size=60, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    tokenizer.enable_padding(length=50)
    return tokenizer


def transforms(*more):
    # torchtext loads beside torch 2.3 only
    torchtext = pytest.importorskip("torchtext", exc_type=ImportError)
    torchtext.disable_torchtext_deprecation_warning()
    data = pytest.importorskip("torchtext.data")
    vocab = pytest.importorskip("torchtext.vocab")
    modules = pytest.importorskip("torchtext.transforms")
    split = data.get_tokenizer("basic_english")
    words = vocab.build_vocab_from_iterator(map(split, TEXTS), specials=["<pad>", "<unk>"])
    words.set_default_index(1)
    return TransformPipeline(
        split,
        modules.Sequential(modules.VocabTransform(words), modules.Truncate(4)),
        *more,
        padding=0,
    )


PIPELINES = {
    "bytes": ByteVocabulary,
    "characters": lambda: CharacterVocabulary(TEXTS),
    "words": lambda: WordVocabulary(TEXTS),
    "whitespace": lambda: WordVocabulary(TEXTS, "whitespace"),
    "BPE": lambda: TokenizerPipeline(trained("BPE")),
    "WordPiece": lambda: TokenizerPipeline(trained("WordPiece")),
    "WordLevel": lambda: TokenizerPipeline(trained("WordLevel"), special_tokens=True),
    "Unigram": lambda: TokenizerPipeline(trained("Unigram")),
    "torchtext": transforms,
}


@pytest.fixture(params=PIPELINES)
def pipeline(request):
    return PIPELINES[request.param]()


def test_ids_are_above_padding_and_below_the_size(pipeline):
    for text in [*TEXTS, "", " ", "☃ unseen ☃", "\x00"]:
        ids = pipeline(text)
        assert type(ids) is list
        assert ids
        assert all(type(i) is int and 0 < i < len(pipeline) for i in ids)
        assert ids == pipeline.encode(text)


def test_an_empty_text_is_one_unknown(pipeline):
    assert pipeline("") == [1]


def test_saved_and_loaded_by_the_format_in_the_file(pipeline, tmp_path):
    path = tmp_path / "pipeline.json"
    pipeline.save(path)
    loaded = load_pipeline(path)
    assert type(loaded) is type(pipeline)
    assert len(loaded) == len(pipeline)
    assert [loaded(text) for text in TEXTS] == [pipeline(text) for text in TEXTS]
    assert [p.name for p in tmp_path.iterdir()] == ["pipeline.json"]
    assert json.loads(path.read_text())["version"] == 1


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_saved_file_has_the_mode_of_any_other(mask, tmp_path):
    before = os.umask(mask)
    try:
        ByteVocabulary().save(tmp_path / "pipeline.json")
    finally:
        os.umask(before)
    assert (tmp_path / "pipeline.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_another_version_is_not_read(pipeline, tmp_path):
    path = tmp_path / "pipeline.json"
    pipeline.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(DataError, match="version 1"):
        load_pipeline(path)


@pytest.mark.parametrize("pipeline", ["bytes", "characters", "BPE", "Unigram"], indirect=True)
def test_a_batch_is_its_texts(pipeline):
    texts = [*TEXTS, "", "☃a"]
    assert [list(ids) for ids in pipeline.encode_batch(texts)] == [pipeline(t) for t in texts]
    assert pipeline.encode_batch([]) == []
    with pytest.raises(ArgumentTypeError, match="a text must be a str, got bytes"):
        pipeline.encode_batch(["a", b"a"])


@pytest.mark.parametrize("text", [b"bytes", None, 3])
def test_a_text_is_a_str(pipeline, text):
    with pytest.raises(ArgumentTypeError, match=f"must be a str, got {type(text).__name__}"):
        pipeline(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be JSON"),
        (b"\xff", "must be JSON"),
        (b"[]", "one of the formats .*got None"),
        (b'{"format": "pickle"}', "got 'pickle'"),
        (b'{"format": ["x"]}', "got \\['x'\\]"),
        (b'{"format": "l2l_rnn.WordVocabulary", "version": 1, "words": [1]}', "distinct words"),
        (b'{"format": "l2l_rnn.TokenizerPipeline", "version": 1}', "and a tokenizer"),
        (b'{"format": "l2l_rnn.TransformPipeline", "version": 1}', "a list of steps"),
    ],
)
def test_a_file_that_is_no_pipeline(tmp_path, content, message):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_pipeline(path)


def test_a_broken_tokenizer_in_a_file(tmp_path):
    pytest.importorskip("tokenizers")
    path = tmp_path / "file.json"
    content = {"format": "l2l_rnn.TokenizerPipeline", "version": 1, "special_tokens": False}
    path.write_text(json.dumps({**content, "tokenizer": {"model": 3}}))
    with pytest.raises(DataError, match="a tokenizer that tokenizers can read"):
        load_pipeline(path)


def test_as_pipeline():
    words = WordVocabulary(TEXTS)
    assert as_pipeline(words) is words
    assert as_pipeline(len) is len
    with pytest.raises(ArgumentTypeError, match=r"callable from str .* got list"):
        as_pipeline([])


def test_as_pipeline_shifts_a_tokenizer():
    tokenizer = trained("WordLevel")
    pipeline = as_pipeline(tokenizer)
    assert isinstance(pipeline, TokenizerPipeline)
    words = tokenizer.get_vocab()
    assert pipeline("cat snow dog") == [words["cat"] + 2, 1, words["dog"] + 2]
    assert pipeline.decode([*pipeline("cat dog"), 0, 0]) == "cat dog"
    assert tokenizer.padding is not None  # the caller's own is left as it was


def test_a_tokenizer_is_of_the_package():
    pytest.importorskip("tokenizers")
    with pytest.raises(ArgumentTypeError, match=r"must be a tokenizers\.Tokenizer, got str"):
        TokenizerPipeline("bert")


@pytest.mark.parametrize("make", [ByteVocabulary, lambda: TokenizerPipeline(trained())])
def test_decode_knows_its_ids(make):
    pipeline = make()
    with pytest.raises(ValueError, match=rf"must lie in 0 \.\. {len(pipeline) - 1}, got -1"):
        pipeline.decode([-1])
    with pytest.raises(ValueError, match=f"got {len(pipeline)}"):
        pipeline.decode([len(pipeline)])


def test_bytes_are_the_texts_own():
    vocabulary = ByteVocabulary()
    for text in [*TEXTS, "😀", "\ud800"]:
        ids = vocabulary(text)
        assert ids == [byte + 2 for byte in text.encode("utf-8", "surrogatepass")]
    assert vocabulary.decode(vocabulary("Łódź 😀")) == "Łódź 😀"
    assert vocabulary.decode([0xC3 + 2]) == "\ufffd"
    assert vocabulary == ByteVocabulary()
    assert hash(vocabulary) == hash(ByteVocabulary())
