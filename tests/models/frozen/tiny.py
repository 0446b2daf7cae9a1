"""A tiny encoder of this repository's own, which every environment can run."""

import contextlib

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

from l2l_rnn.models import FROZEN_ENCODERS, ModuleEncoder

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "dog",
    "ran",
    "far",
    "away",
    "home",
    "red",
    "blue",
]
TEXTS = ["the cat sat", "a dog ran far away", "the red mat", "home", "a cat on a blue mat"]
SIZE = 6
NAME = "tiny"


def tokenizer():
    found = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    found.normalizer = normalizers.Lowercase()
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    found.enable_padding(length=9)  # as in the file of a sentence encoder; must have no effect
    found.enable_truncation(7)
    return found


class Transformer(nn.Module):
    """One attention layer over embedded tokens and positions."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.tokens = nn.Embedding(len(WORDS), SIZE)
            self.positions = nn.Embedding(32, SIZE)
            self.layer = nn.TransformerEncoderLayer(SIZE, 2, 12, dropout=0.5, batch_first=True)
        self.calls = 0

    def forward(self, ids, mask):
        self.calls += 1
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        x = self.layer(x, src_key_padding_mask=~mask)
        # In evaluation mode, torch's layer cuts padding that all rows share.
        return nn.functional.pad(x, (0, 0, 0, ids.shape[1] - x.shape[1]))


installed = {"seed": 0}  # the seed of the weights; None as if the encoder were not installed


@FROZEN_ENCODERS.register(NAME)
def tiny():
    if installed["seed"] is None:
        return None
    module = Transformer(installed["seed"])
    return ModuleEncoder(
        NAME,
        module,
        size=SIZE,
        vocab_size=len(WORDS),
        longest=32,
        tokenizer=tokenizer().to_str(),
    )


@contextlib.contextmanager
def weights(seed):
    """Install the encoder with other weights, or with None uninstall it."""
    before = installed["seed"]
    installed["seed"] = seed
    try:
        yield
    finally:
        installed["seed"] = before
