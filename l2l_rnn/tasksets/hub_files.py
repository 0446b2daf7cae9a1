"""Local files of texts, and the data sets of others by name, opened for `from_hf`."""

from __future__ import annotations

import csv
import difflib
import glob
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.optional import require
from l2l_rnn.tasksets.hub_text_files import check_fields, check_utf8, header, is_quoted

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
_ROWS = 2_000  # that are read at once


class Preset(NamedTuple):
    """Where the texts and labels of a well-known data set stand.

    Attributes:
        repository: what `datasets.load_dataset` knows it by.
        configuration: which of its configurations, or None.
        text: the columns of the text, joined.
        label: the column of the class.
        splits: those of its splits that are taken, or None for all of them.
    """

    repository: str
    configuration: str | None
    text: tuple[str, ...]
    label: str
    splits: tuple[str, ...] | None = None


PRESETS: Mapping[str, Preset] = {
    "20_newsgroups": Preset("SetFit/20_newsgroups", None, ("text",), "label_text"),
    "ag_news": Preset("fancyzhx/ag_news", None, ("text",), "label"),
    "amazon_reviews": Preset(
        "amazon_reviews_multi", "en", ("review_title", "review_body"), "product_category"
    ),
    "banking77": Preset("PolyAI/banking77", None, ("text",), "label"),
    "clinc_oos": Preset("clinc/clinc_oos", "small", ("text",), "intent"),
    "dbpedia_14": Preset("fancyzhx/dbpedia_14", None, ("title", "content"), "label"),
    "few_rel": Preset(
        "thunlp/few_rel", None, ("tokens",), "relation", splits=("train_wiki", "val_wiki")
    ),
}


class Part(NamedTuple):
    """A split of a dataset: its name, its rows, and the files they are read from, if any."""

    name: str
    data: Any
    files: tuple[str, ...] = ()


def open_preset(name: str, preset: Preset, root: str | os.PathLike[str]) -> list[Part]:
    """Return the splits of a preset, from the folder `root/NAME` or else by its name."""
    datasets = hub()
    folder = Path(root).expanduser() / name
    if folder.is_dir():
        parts = open_parts(folder, (*preset.text, preset.label))
    else:
        options = [] if preset.configuration is None else [preset.configuration]
        try:
            found = datasets.load_dataset(preset.repository, *options)
        except Exception as error:  # whatever the network and the client make of it
            given = ", ".join(map(repr, [preset.repository, *options]))
            raise DataError(
                f"from_hf: the preset {name!r} needs its data, which is not in {folder} and cannot "
                f"be downloaded ({type(error).__name__}: {str(error)[:200]}); where there is a "
                f"network, run datasets.load_dataset({given}).save_to_disk({name!r}) and put that "
                f"folder, or its csv, json or parquet files, at {folder}"
            ) from error
        parts = open_parts(found, ())
    chosen = [part for part in parts if part.name in (preset.splits or ())]
    return chosen or parts


def open_parts(dataset: Any, columns: Iterable[str]) -> list[Part]:
    """Return what a caller of `from_hf` gave, split by split."""
    datasets = hub()
    tables = (datasets.Dataset, datasets.IterableDataset)
    if isinstance(dataset, tables):
        return [Part("all", dataset)]
    if isinstance(dataset, Mapping):
        parts = [
            Part(str(name), given) if isinstance(given, tables) else _files(name, given, columns)
            for name, given in dataset.items()
        ]
    elif isinstance(dataset, str | os.PathLike) and Path(dataset).expanduser().is_dir():
        parts = _folder(Path(dataset).expanduser(), columns)
    else:
        parts = [_files("all", dataset, columns)]
    if not parts:
        raise DataError("from_hf: dataset must have at least one split, got none; give it data")
    return parts


def hub() -> Any:
    """Return the package `datasets`."""
    return require("datasets", extra="hub", purpose="from_hf")


def check_columns(columns: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise a DataError unless every one of the columns is there."""
    known = list(known)
    for column in columns:
        if column not in known:
            raise DataError(
                f"from_hf: there is no column {column!r} in {where}"
                f"{hint(str(column), known)} Its columns: {', '.join(known)}"
            )


def hint(name: str, known: Iterable[str]) -> str:
    """Return what a message says of the names near to one that is not known."""
    near = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else "."


def first_columns(dataset: Any) -> list[str]:
    """Return the names of the columns, looking at the first row where they are not declared."""
    names = dataset.column_names
    if names is None:
        for table in dataset.with_format("arrow").iter(1):
            return list(table.column_names)
    return list(names or ())


def say_why_unreadable(error: Exception, files: Iterable[str], where: str) -> DataError:
    """Return the error that says what keeps a file or a stream from being read."""
    names = ", ".join(files) or "the dataset"
    return DataError(
        f"from_hf: {names} must be readable, with one type in every column, reading stopped "
        f"{where} ({type(error).__name__}: {' '.join(str(error).split())[:200]}); mend or write "
        "the data anew"
    )


def _folder(folder: Path, columns: Iterable[str]) -> list[Part]:
    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        try:
            return open_parts(hub().load_from_disk(os.fspath(folder)), columns)
        except (ArithmeticError, LookupError, OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise say_why_unreadable(error, [os.fspath(folder)], "at its beginning") from error
    files = sorted(path for path in folder.rglob("*") if path.suffix in _FORMATS)
    if not files:
        raise DataError(
            f"from_hf: {folder} must hold files that end in {', '.join(_FORMATS)}, or what "
            "save_to_disk wrote, got none of them; put the data there"
        )
    return [_files("all", files, columns)]


def _files(name: str, given: Any, columns: Iterable[str]) -> Part:
    several = given if isinstance(given, list | tuple) else [given]
    if not several or not all(isinstance(path, str | os.PathLike) for path in several):
        raise ArgumentTypeError(
            "from_hf: dataset must be a datasets.Dataset, DatasetDict or IterableDataset, or paths "
            f"of local files, got {type(given).__name__}; open it with datasets.load_dataset first"
        )
    paths = [Path(path).expanduser() for path in several]
    for path in paths:
        if path.suffix not in _FORMATS:
            raise DataError(
                f"from_hf: {path} must end in {', '.join(_FORMATS)}; rename it, or open it with "
                "datasets.load_dataset first"
            )
        if not path.is_file():
            raise DataError(f"from_hf: there is no file {path}; give the path of one")
    kinds = sorted({path.suffix for path in paths})
    if len(kinds) > 1:
        raise DataError(
            f"from_hf: files must be of one kind, got {' and '.join(kinds)}; give one kind"
        )
    if _FORMATS[kinds[0]] in ("csv", "json"):
        for path in paths:
            check_utf8(path)
    files = [os.fspath(path) for path in paths]
    columns = tuple(columns)
    try:
        stream = _stream(_FORMATS[kinds[0]], kinds[0], files, columns)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise say_why_unreadable(error, files, "at its beginning") from error
    return Part(name, stream, tuple(files))


def _stream(kind: str, suffix: str, files: list[str], columns: tuple[str, ...]) -> Any:
    """Open files so that they are read a few rows at a time, and no copy of them is written."""
    datasets = hub()
    options: dict[str, Any] = {}
    if kind == "csv":  # has no types: "NA" is a text, and "1" a name
        separator = "\t" if suffix == ".tsv" else ","
        quoted = suffix == ".csv" or all(map(is_quoted, files))
        for file in files:
            check_columns(columns, header(file, separator, quoted), file)
            check_fields(file, separator, quoted)
        text = datasets.Features({column: datasets.Value("large_string") for column in columns})
        options = {"features": text, "usecols": list(text), "chunksize": _ROWS}
        options |= {"sep": separator, "keep_default_na": False}
        options |= {"quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE}
    elif kind == "parquet":
        parquet = require("pyarrow.parquet", extra="hub", purpose="from_hf")
        for file in files:
            check_columns(columns, parquet.read_schema(file).names, file)
        options = {"columns": list(dict.fromkeys(columns)), "batch_size": _ROWS}
    paths = [glob.escape(file) for file in files]  # which are taken for patterns
    return datasets.load_dataset(
        kind, data_files={"train": paths}, split="train", streaming=True, **options
    )
