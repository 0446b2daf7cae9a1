"""Texts as one padded tensor of token ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2l_rnn.data.text.pipelines import Pipeline
from l2l_rnn.data.text.vocabulary import CharacterVocabulary


def encode(texts: Sequence[str], pipeline: Pipeline, length: int) -> Tensor:
    """Return the first `length` token ids of each text, padded with 0 to that length.

    Shapes:
        returns (texts, length) int64.

    Example:
        >>> encode(["ab", "a"], CharacterVocabulary(["ab"]), 3)
        tensor([[2, 3, 0],
                [2, 0, 0]])
    """
    sequences = torch.full((len(texts), length), CharacterVocabulary.PADDING, dtype=torch.int64)
    rows = sequences.numpy()
    for row, text in zip(rows, texts, strict=True):
        ids = pipeline(text)[:length]
        row[: len(ids)] = ids
    return sequences
