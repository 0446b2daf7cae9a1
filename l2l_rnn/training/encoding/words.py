"""Word vectors from a frozen encoder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch

from l2l_rnn.checks import check_int
from l2l_rnn.data.text.hf_tokenizers import encoder_pipeline
from l2l_rnn.data.text.word_vocabulary import WordVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.files import replacing
from l2l_rnn.models import FrozenEncoder, FrozenSentenceEncoder
from l2l_rnn.training.inputs import TextInputs


def word_vectors(
    encoder: FrozenEncoder,
    words: WordVocabulary | Iterable[str],
    path: str | os.PathLike[str],
    *,
    batch_size: int = 256,
) -> int:
    """Encode each word by itself, and write the vectors to a text file.

    The vector of a word is the mean of the encoder's states for a text of this word alone, special
    tokens included. `data.read_vectors` reads the file, in every environment. Use an encoder with
    `store=False`, so that the states of single words do not fill its cache.

    Args:
        encoder: the encoder.
        words: a `WordVocabulary`, or words; repeated ones are written once.
        path: the file to write.
        batch_size: words that are computed at once.

    Returns:
        The number of words written.

    Raises:
        ArgumentTypeError: `encoder` is something else, `words` is one str, or a word is not a str.
        ArgumentError: a word is empty, or begins or ends with a space; or there is none.
        DataError: states cannot be computed in this environment.
        OSError: the file cannot be written; an existing one is unchanged.

    Source: M. van Dongen and S. Tulkens, 2024, Model2Vec, without its principal components and its
    weights by word frequency.
    """
    who = "word_vectors"
    if not isinstance(encoder, FrozenEncoder):
        raise ArgumentTypeError(
            f"{who}: encoder must be a models.FrozenEncoder, got {type(encoder).__name__}; "
            "construct one with the name of an encoder"
        )
    if isinstance(words, str):
        raise ArgumentTypeError(f"{who}: words must be a list of str, got one str; pass [word]")
    batch_size = check_int(who, "batch_size", batch_size)
    unique = list(dict.fromkeys(words.words if isinstance(words, WordVocabulary) else words))
    for word in unique:
        if not isinstance(word, str):
            raise ArgumentTypeError(
                f"{who}: a word must be a str, got {type(word).__name__}; decode bytes first"
            )
        if word != word.strip() or not word or any(mark in word for mark in "\t\r\n"):
            raise ArgumentError(
                f"{who}: a word must not be empty, begin or end with a space, or have a tab or "
                f"line break, got {word!r}; drop it"
            )
    if not unique:
        raise ArgumentError(f"{who}: words must have at least one word, got none; pass some")
    inputs = TextInputs(encoder_pipeline(encoder), encoder.max_length, None)
    vectors_of = FrozenSentenceEncoder(encoder, normalize=False)
    with replacing(Path(path)) as file, torch.no_grad():
        for start in range(0, len(unique), batch_size):
            part = unique[start : start + batch_size]
            for word, vector in zip(part, vectors_of(inputs(part)).tolist(), strict=True):
                file.write(f"{word} {' '.join(f'{value:.6g}' for value in vector)}\n")
    return len(unique)
