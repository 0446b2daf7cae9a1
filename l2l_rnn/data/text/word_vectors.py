"""Reader of pretrained word vectors."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from l2l_rnn.data.text.vocabulary import Vocabulary
from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.files import open_file

_LONGEST = 2**20  # maximum bytes per line; a vector of 4096 numbers takes a twentieth of this
_WIDEST = 2**14  # maximum numbers per line, since every word of the vocabulary gets as many
# Numbers shrink to no less than a fifth, so a file that unpacks to this much has no vectors.
_MOST_UNPACKED, _MOST_RATIO = 2**22, 30


def read_vectors(
    path: str | os.PathLike[str],
    vocabulary: Vocabulary | Mapping[str, int],
    generator: Generator | None = None,
) -> Tensor:
    """Read the vectors of a vocabulary's words, one row per id.

    The file is text in the format of GloVe, word2vec and fastText: each line contains a word and
    its numbers, separated by spaces. A first line of two integers is a header and is skipped. A
    word may contain spaces. Only words of the vocabulary are kept; if a word appears twice, the
    first line counts. The file is read line by line; nothing is unpickled or cached.

    Args:
        path: the file; a file that ends in `.gz` is decompressed.
        vocabulary: a `WordVocabulary`, a `CharacterVocabulary`, or a mapping from word to id.
        generator: random number generator for the rows of words that are not in the file. They are
            drawn from a normal distribution with the mean and standard deviation of the vectors
            found. None sets these rows to zero.

    Shapes:
        returns (ids, dimensions) float32, with `len(vocabulary)` rows, or one more than the largest
        id of a mapping. Row 0, padding, is zero.

    Raises:
        ArgumentTypeError: `vocabulary` is something else.
        DataError: the file does not exist or is not a regular file; lines differ in length or have
            more than 16,384 numbers, or a number is not finite; a word is not UTF-8; the file has
            no word of the vocabulary; or a `.gz` file is damaged or unpacks to more than 30 times
            its size.

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

    Source: file formats of T. Mikolov et al., 2013, word2vec; J. Pennington et al., 2014, GloVe
    (without a header); P. Bojanowski et al., 2017, fastText.
    """
    ids, size = _ids(vocabulary)
    rows: dict[int, NDArray[np.float32]] = {}
    width = None
    for number, offset, line in _lines(path):
        parts = line.split(b" ")
        if number == 1 and len(parts) == 2 and all(part.isdigit() for part in parts):
            continue
        width = len(parts) - 1 if width is None else width
        if width > _WIDEST:
            raise DataError(
                f"read_vectors: line {number} of {path} must have at most {_WIDEST:,} numbers, got "
                f"{width:,}; check that the file contains word vectors"
            )
        surplus = parts[1 : len(parts) - width]
        if width < 1 or len(parts) <= width or (surplus and all(map(_is_number, surplus))):
            raise DataError(
                f"read_vectors: line {number} of {path} must have a word and {max(width, 1)} "
                f"numbers, like earlier lines, got {len(parts)} parts; fix or delete the line"
            )
        word = b" ".join(parts[:-width])
        try:
            row = ids.get(word.decode())
        except UnicodeDecodeError as error:
            raise DataError(
                f"read_vectors: line {number} of {path} must be UTF-8, got byte "
                f"0x{word[error.start]:02x} at position {offset + error.start} of the file; "
                "save the file as UTF-8"
            ) from error
        if row is not None and row not in rows:
            rows[row] = _numbers(parts[-width:], number, path)
    if not rows or width is None:
        raise DataError(
            f"read_vectors: {path} must contain words of the vocabulary, got none of its "
            f"{len(ids)}; match the file's case and word splitting"
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
    if not isinstance(vocabulary, Vocabulary):
        raise ArgumentTypeError(
            "read_vectors: vocabulary must be a WordVocabulary, a CharacterVocabulary or a mapping "
            f"from word to id, got {vocabulary!r}; build one from the training texts"
        )
    return vocabulary.token_ids, len(vocabulary)


def _lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, int, bytes]]:
    """Yield each non-empty line: its number, its offset in the file, and its bytes."""
    number = offset = 0
    with open_file("read_vectors", path) as packed, _unpacked(packed, path) as file:
        size = os.fstat(packed.fileno()).st_size
        most = size if file is packed else max(_MOST_UNPACKED, _MOST_RATIO * size)
        while line := _read_line(file, path):
            number += 1
            if len(line) == _LONGEST:
                raise DataError(
                    f"read_vectors: line {number} of {path} must be shorter than {_LONGEST:,} "
                    "bytes, got a longer one; check that the file contains word vectors"
                )
            stripped = line.rstrip(b" \t\r\n")
            if stripped:
                yield number, offset, stripped.replace(b"\t", b" ")
            offset += len(line)
            if offset > most:
                raise DataError(
                    f"read_vectors: {path} must unpack to at most {most:,} bytes, got more by line "
                    f"{number}; check that the file contains word vectors"
                )


def _unpacked(packed: BinaryIO, path: str | os.PathLike[str]) -> AbstractContextManager[Any]:
    return gzip.open(packed, "rb") if Path(path).suffix == ".gz" else nullcontext(packed)


def _read_line(file: BinaryIO, path: str | os.PathLike[str]) -> bytes:
    try:
        return file.readline(_LONGEST)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(
            f"read_vectors: {path} must be a complete gzip file, got a damaged one ({error}); "
            "download or compress it again"
        ) from error


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return b"_" not in part  # `float` ignores underscores


def _numbers(parts: list[bytes], number: int, path: str | os.PathLike[str]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # overflow gives infinity, which is reported below
            values = np.array([float(part) for part in parts], dtype=np.float32)
    except ValueError:
        values = np.array([np.nan], dtype=np.float32)
    if not np.isfinite(values).all() or any(b"_" in part for part in parts):
        raise DataError(
            f"read_vectors: line {number} of {path} must end in finite numbers, got "
            f"{b' '.join(parts)[:60]!r}; fix or delete the line"
        )
    return values
