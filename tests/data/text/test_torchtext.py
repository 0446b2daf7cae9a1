"""Pipelines over torchtext; skipped unless torch is 2.3, the only version that it supports."""

import pytest
import torch

from l2l_rnn.data import TransformPipeline, as_pipeline, from_torchtext, load_pipeline
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError

torchtext = pytest.importorskip("torchtext", exc_type=ImportError)
torchtext.disable_torchtext_deprecation_warning()
data = pytest.importorskip("torchtext.data")
transforms = pytest.importorskip("torchtext.transforms")
vocab = pytest.importorskip("torchtext.vocab")


@pytest.fixture
def words():
    """A `Vocab`: <pad> is 0, <unk> 1, b 2, a 3."""
    made = vocab.build_vocab_from_iterator([["b", "a", "b"]], specials=["<pad>", "<unk>"])
    made.set_default_index(1)
    return made


def test_ids_are_shifted_and_padding_is_removed(words):
    pipeline = TransformPipeline(
        str.split,
        transforms.VocabTransform(words),
        transforms.ToTensor(),
        transforms.PadTransform(5, 0),
        padding=0,
    )
    assert pipeline("a q b") == [5, 1, 4]
    assert len(pipeline) == 6


@pytest.mark.parametrize("value", [0, 9])
def test_padding_is_found_in_the_pad_transform(words, value):
    steps = transforms.Sequential(
        transforms.VocabTransform(words),
        transforms.ToTensor(),
        transforms.PadTransform(5, value),
    )
    assert TransformPipeline(str.split, steps)("a q b") == [5, 1, 4]
    pipeline = as_pipeline(
        transforms.Sequential(
            transforms.StrToIntTransform(), transforms.ToTensor(), transforms.PadTransform(5, value)
        )
    )
    assert pipeline.padding == value


def test_a_sequential_is_unpacked(words):
    split = data.get_tokenizer("basic_english")
    inner = transforms.Sequential(transforms.VocabTransform(words), transforms.Truncate(2))
    pipeline = TransformPipeline(split, transforms.Sequential(inner, transforms.AddToken(7)))
    assert len(pipeline.steps) == 4
    assert pipeline("B, a") == [9, 4, 1]
    assert len(pipeline) == 10


def test_save_and_load_with_every_known_step(words, tmp_path):
    split = data.get_tokenizer("basic_english")
    steps = (
        transforms.VocabTransform(words),
        transforms.Truncate(2),
        transforms.AddToken(3, False),
    )
    pipeline = TransformPipeline(split, *steps)
    pipeline.save(tmp_path / "pipeline.json")
    loaded = load_pipeline(tmp_path / "pipeline.json")
    assert loaded("Q b a") == pipeline("Q b a") == [1, 4, 5]
    numbers = TransformPipeline(str.split, transforms.StrToIntTransform())
    numbers.save(tmp_path / "numbers.json")
    assert load_pipeline(tmp_path / "numbers.json")("5 6") == [7, 8]


def test_a_vocab_without_a_default_index(words, tmp_path):
    words.set_default_index(None)
    pipeline = TransformPipeline(str.split, transforms.VocabTransform(words))
    pipeline.save(tmp_path / "pipeline.json")
    assert load_pipeline(tmp_path / "pipeline.json")("a b") == [5, 4]
    with pytest.raises(RuntimeError, match="not found"):
        pipeline("q")


def test_from_torchtext(words):
    vocabulary = from_torchtext(words, "whitespace")
    assert vocabulary.words == ("<pad>", "b", "a")
    assert vocabulary("a q b") == [4, 1, 3]


def test_bad_input_is_rejected(words, tmp_path):
    with pytest.raises(ArgumentTypeError, match="every step must be callable, got int"):
        TransformPipeline(3)
    with pytest.raises(
        ArgumentTypeError, match="requires a VocabTransform among the steps, got none"
    ):
        len(TransformPipeline(str.split))
    with pytest.raises(DataError, match=r"must return a list of ids, got \"\['a'\]\""):
        TransformPipeline(str.split)("a")
    with pytest.raises(DataError, match=r"must return a list of ids, got '\[0\.5\]'"):
        TransformPipeline(lambda text: torch.tensor([0.5]))("a")
    with pytest.raises(ArgumentTypeError, match="must be a torchtext Vocab, got list"):
        from_torchtext(["a"], "whitespace")
    path = tmp_path / "pipeline.json"
    with pytest.raises(ArgumentError, match=r"to be saved, a step must be .* got 'ToTensor'"):
        TransformPipeline(str.split, transforms.ToTensor()).save(path)
    with pytest.raises(ArgumentError, match=r"to be saved, a step must be .* got '<lambda>'"):
        TransformPipeline(lambda text: [1]).save(path)
    assert not path.exists()


@pytest.mark.parametrize(
    "step",
    [
        '{"step": "Popen"}',
        "{}",
        '{"step": "Truncate"}',
        '{"step": "VocabTransform", "words": ["a"], "default_index": 5}',
    ],
)
def test_load_rejects_a_damaged_step(tmp_path, step):
    path = tmp_path / "pipeline.json"
    path.write_text(
        '{"format": "l2l_rnn.TransformPipeline", "version": 1, "padding": null, "steps": ['
        + step
        + "]}"
    )
    with pytest.raises(DataError, match="must contain steps written by save"):
        load_pipeline(path)
