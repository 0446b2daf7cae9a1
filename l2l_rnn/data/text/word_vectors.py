"""Word vectors from a text file, read safely line by line."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from l2l_rnn.errors import ArgumentTypeError, DataError

_LONGEST = 2**20  # bytes of a line; a vector of 4096 numbers takes a twentieth of that


def read_vectors(
    path: str | os.PathLike[str],
    vocabulary: Any,
    generator: Generator | None = None,
) -> Tensor:
    """Read the vectors of a vocabulary's words, a row for each id.

    The file is text, as GloVe, word2vec and fastText write it: a word and its numbers on each line,
    with spaces between; a first line of two whole numbers is a header, and is passed over. A word
    may have spaces in it. Only the rows of the vocabulary are kept, of a word that is there twice
    the first. Nothing is unpickled, and nothing is written beside the file.

    Args:
        path: the file; one that ends in `.gz` is unpacked as it is read.
        vocabulary: a `WordVocabulary`, a `CharacterVocabulary`, or a mapping from word to id.
        generator: draws the rows that the file lacks, normal with the mean and the standard
            deviation of those found; None leaves them zero.

    Shapes:
        returns (V, width) float32, V = `len(vocabulary)`, or one more than a mapping's largest id.
        Row 0, padding, is zero.

    Raises:
        ArgumentTypeError: the vocabulary is something else.
        DataError: a line has not as many numbers as those before, or holds no finite numbers; a
            word is not UTF-8; or the file has no word of the vocabulary.

    Example:
        >>> import pathlib, tempfile
        >>> from l2l_rnn.data import WordVocabulary
        >>> from l2l_rnn.nn import Embedding
        >>> vocabulary = WordVocabulary(["a cat"])  # "a" is 2, "cat" is 3
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "vectors.txt"
        ...     _ = path.write_text("the 0.1 0.2" + chr(10) + "cat 0.5 -1")
        ...     vectors = read_vectors(path, vocabulary)
        >>> vectors[3]
        tensor([ 0.5000, -1.0000])
        >>> embedding = Embedding.from_pretrained(vectors, freeze=False, padding_idx=0)
        >>> embedding(torch.tensor([[3, 0]])).shape
        torch.Size([1, 2, 2])

    Source: the format is that of T. Mikolov et al., 2013, word2vec; J. Pennington et al., 2014,
    GloVe, which has no header; P. Bojanowski et al., 2017, fastText.
    """
    ids, size = _ids(vocabulary)
    rows: dict[int, NDArray[np.float32]] = {}
    width = None
    for number, place, line in _lines(Path(path).expanduser()):
        parts = line.split(b" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            continue
        width = len(parts) - 1 if width is None else width
        surplus = parts[1 : len(parts) - width]
        if width < 1 or len(parts) <= width or (surplus and all(map(_is_number, surplus))):
            raise DataError(
                f"read_vectors: line {number} of {path} must have a word and {max(width, 1)} "
                f"numbers, as those before it, got {len(parts)} parts; mend or drop the line"
            )
        word = b" ".join(parts[:-width])
        try:
            row = ids.get(word.decode())
        except UnicodeDecodeError as error:
            raise DataError(
                f"read_vectors: line {number} of {path} must be UTF-8, got byte "
                f"0x{word[error.start]:02x} at position {place + error.start} of the file; "
                "write the file anew as UTF-8"
            ) from error
        if row is not None and row not in rows:
            rows[row] = _numbers(parts[-width:], number, path)
    if not rows or width is None:
        raise DataError(
            f"read_vectors: {path} must have some of the {len(ids)} words of the vocabulary, got "
            "none of them; see that case and splitting are those of the file"
        )
    return _filled(rows, size, width, generator)


def _filled(
    rows: dict[int, NDArray[np.float32]], size: int, width: int, generator: Generator | None
) -> Tensor:
    found = torch.from_numpy(np.stack(list(rows.values())))
    if generator is None:
        vectors = torch.zeros(size, width)
    else:
        spread = found.std(correction=0)
        vectors = torch.randn(size, width, generator=generator) * spread + found.mean()
    vectors[torch.tensor(list(rows))] = found
    vectors[0] = 0
    return vectors


def _ids(vocabulary: Any) -> tuple[Mapping[str, int], int]:
    if isinstance(vocabulary, Mapping):
        return vocabulary, max(vocabulary.values(), default=-1) + 1
    tokens = getattr(vocabulary, "words", None) or getattr(vocabulary, "characters", None)
    if tokens is None:
        raise ArgumentTypeError(
            "read_vectors: vocabulary must be a WordVocabulary with words, a CharacterVocabulary "
            f"or a mapping from word to id, got {vocabulary!r}; build one from the train texts"
        )
    return {token: i for i, token in enumerate(tokens, start=2)}, len(vocabulary)


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield the number, the place in the file, and the bytes of each line that is not empty."""
    number = place = 0
    with _opened(path) as file:
        while line := _read_line(file, path):
            number += 1
            if len(line) == _LONGEST:
                raise DataError(
                    f"read_vectors: line {number} of {path} must be shorter than {_LONGEST:,} "
                    "bytes, got a longer one; see that the file is one of word vectors"
                )
            stripped = line.rstrip(b" \t\r\n")
            if stripped:
                yield number, place, stripped.replace(b"\t", b" ")
            place += len(line)


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]


def _read_line(file: IO[bytes], path: Path) -> bytes:
    try:
        return file.readline(_LONGEST)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(
            f"read_vectors: {path} must be a whole gzip file, got a damaged one ({error}); "
            "fetch or pack it again"
        ) from error


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _numbers(parts: list[bytes], number: int, path: str | os.PathLike[str]) -> NDArray[np.float32]:
    try:
        values = np.array([float(part) for part in parts], dtype=np.float32)
    except ValueError:
        values = np.array([np.nan], dtype=np.float32)
    if not np.isfinite(values).all():
        raise DataError(
            f"read_vectors: line {number} of {path} must end in finite numbers, got "
            f"{b' '.join(parts)[:60]!r}; mend or drop the line"
        )
    return values
