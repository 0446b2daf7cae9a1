"""Contract of text pipelines of every kind."""

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


def torchtext_pipeline(texts):
    # torchtext works with torch 2.3 only
    torchtext = pytest.importorskip("torchtext", exc_type=ImportError)
    torchtext.disable_torchtext_deprecation_warning()
    data = pytest.importorskip("torchtext.data")
    vocab = pytest.importorskip("torchtext.vocab")
    modules = pytest.importorskip("torchtext.transforms")
    split = data.get_tokenizer("basic_english")
    words = vocab.build_vocab_from_iterator(map(split, texts), specials=["<pad>", "<unk>"])
    words.set_default_index(1)
    return TransformPipeline(
        split,
        modules.Sequential(modules.VocabTransform(words), modules.Truncate(4)),
        padding=0,
    )


PIPELINES = {
    "bytes": lambda texts: ByteVocabulary(),
    "characters": CharacterVocabulary,
    "words": WordVocabulary,
    "whitespace": lambda texts: WordVocabulary(texts, "whitespace"),
    "torchtext": torchtext_pipeline,
}
TOKENIZERS = ("BPE", "WordPiece", "WordLevel", "Unigram")


@pytest.fixture(params=[*PIPELINES, *TOKENIZERS])
def pipeline(request, texts):
    if request.param in PIPELINES:
        return PIPELINES[request.param](texts)
    train = request.getfixturevalue("train_tokenizer")
    return TokenizerPipeline(train(request.param), special_tokens=request.param == "WordLevel")


def test_ids_lie_between_padding_and_the_size(pipeline, texts):
    for text in [*texts, "", " ", "☃ unseen ☃", "\x00"]:
        ids = pipeline(text)
        assert type(ids) is list
        assert ids
        assert all(type(i) is int and 0 < i < len(pipeline) for i in ids)
        assert ids == pipeline.encode(text)


def test_an_empty_text_is_unknown(pipeline):
    assert pipeline("") == [1]


def test_save_and_load(pipeline, texts, tmp_path):
    path = tmp_path / "pipeline.json"
    pipeline.save(path)
    loaded = load_pipeline(path)
    assert type(loaded) is type(pipeline)
    assert len(loaded) == len(pipeline)
    assert [loaded(text) for text in texts] == [pipeline(text) for text in texts]
    assert [p.name for p in tmp_path.iterdir()] == ["pipeline.json"]
    assert json.loads(path.read_text())["version"] == 1


@pytest.mark.skipif(os.name != "posix", reason="files have no such modes")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_saved_file_has_default_permissions(mask, tmp_path):
    before = os.umask(mask)
    try:
        ByteVocabulary().save(tmp_path / "pipeline.json")
    finally:
        os.umask(before)
    assert (tmp_path / "pipeline.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_load_rejects_another_version(pipeline, tmp_path):
    path = tmp_path / "pipeline.json"
    pipeline.save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(DataError, match="version 1"):
        load_pipeline(path)


@pytest.mark.parametrize("pipeline", ["bytes", "characters", "BPE", "Unigram"], indirect=True)
def test_encode_batch_equals_encode(pipeline, texts):
    texts = [*texts, "", "☃a"]
    assert [list(ids) for ids in pipeline.encode_batch(texts)] == [pipeline(t) for t in texts]
    assert pipeline.encode_batch([]) == []
    with pytest.raises(ArgumentTypeError, match="a text must be a str, got bytes"):
        pipeline.encode_batch(["a", b"a"])


@pytest.mark.parametrize("text", [b"bytes", None, 3])
def test_encode_rejects_other_types(pipeline, text):
    with pytest.raises(ArgumentTypeError, match=f"must be a str, got {type(text).__name__}"):
        pipeline(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be JSON"),
        (b"\xff", "must be JSON"),
        (b"[]", "the format of .* must be one of .*got None"),
        (b'{"format": "pickle"}', "got 'pickle'"),
        (b'{"format": ["x"]}', "got \\['x'\\]"),
        (b'{"format": "l2l_rnn.WordVocabulary", "version": 1, "words": [1]}', "distinct words"),
        (b'{"format": "l2l_rnn.TokenizerPipeline", "version": 1}', "and a tokenizer"),
        (b'{"format": "l2l_rnn.TransformPipeline", "version": 1}', "a list of steps"),
    ],
)
def test_load_rejects_other_files(tmp_path, content, message):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_pipeline(path)


def test_as_pipeline_returns_callables_unchanged(texts):
    words = WordVocabulary(texts)
    assert as_pipeline(words) is words
    assert as_pipeline(len) is len
    with pytest.raises(ArgumentTypeError, match=r"callable from str .* got list"):
        as_pipeline([])
