import json

import pytest

from l2l_rnn.data import TokenizerPipeline, as_pipeline, load_pipeline
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError

pytest.importorskip("tokenizers")


def test_ids_are_shifted_and_the_tokenizer_is_unchanged(train_tokenizer):
    tokenizer = train_tokenizer("WordLevel")
    pipeline = as_pipeline(tokenizer)
    assert isinstance(pipeline, TokenizerPipeline)
    words = tokenizer.get_vocab()
    assert pipeline("cat snow dog") == [words["cat"] + 2, 1, words["dog"] + 2]
    assert pipeline.decode([*pipeline("cat dog"), 0, 0]) == "cat dog"
    assert tokenizer.padding is not None  # the original keeps its padding


def test_other_types_are_rejected():
    with pytest.raises(ArgumentTypeError, match=r"must be a tokenizers\.Tokenizer, got str"):
        TokenizerPipeline("bert")


def test_decode_rejects_ids_out_of_range(train_tokenizer):
    pipeline = TokenizerPipeline(train_tokenizer())
    with pytest.raises(ArgumentError, match=rf"must lie in 0 \.\. {len(pipeline) - 1}, got -1"):
        pipeline.decode([-1])
    with pytest.raises(ArgumentError, match=f"got {len(pipeline)}"):
        pipeline.decode([len(pipeline)])


def test_load_rejects_a_broken_tokenizer(tmp_path):
    path = tmp_path / "file.json"
    content = {"format": "l2l_rnn.TokenizerPipeline", "version": 1, "special_tokens": False}
    path.write_text(json.dumps({**content, "tokenizer": {"model": 3}}))
    with pytest.raises(DataError, match="a tokenizer that tokenizers can read"):
        load_pipeline(path)
