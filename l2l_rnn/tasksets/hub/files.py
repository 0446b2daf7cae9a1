"""Local files of texts, and well-known data sets by name, opened for `from_hf`."""

from __future__ import annotations

import csv
import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.optional import require
from l2l_rnn.registry import hint
from l2l_rnn.tasksets.hub.json_rows import JsonRows, json_columns
from l2l_rnn.tasksets.hub.presets import Preset
from l2l_rnn.tasksets.hub.text_files import check_fields, check_utf8, header, is_quoted

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
ROWS = 2_000  # that are read at once
_SHARD = re.compile(r"-\d+-of-\d+$")
_SPLIT = re.compile(r"(?P<split>train|val|dev|test)(ing|id|idation|elopment)?(?![a-z])")


class Part(NamedTuple):
    """A split of a dataset: its name, its rows, and the files they are read from, if any."""

    name: str
    data: Any
    files: tuple[str, ...] = ()


def open_preset(
    name: str, preset: Preset, dataset: Any, root: str | os.PathLike[str]
) -> list[Part]:
    """Return the splits of a preset, of the data given, the folder `root/NAME`, or by its name."""
    columns = (*preset.text, preset.label)
    folder = Path(root).expanduser() / name
    if dataset is None:
        dataset = folder if folder.is_dir() else _downloaded(name, preset, folder)
    if preset.configuration is not None and isinstance(dataset, str | os.PathLike):
        within = Path(dataset).expanduser() / preset.configuration
        dataset = within if within.is_dir() else dataset
    return open_parts(dataset, columns, preset.splits)


def _downloaded(name: str, preset: Preset, folder: Path) -> Any:
    needs = f"from_hf: the preset {name!r} needs its data, which is not in {folder} and cannot be"
    if preset.repository is None:
        raise DataError(
            f"{needs} downloaded any more; put its csv, json or parquet files at {folder}"
        )
    options = [] if preset.configuration is None else [preset.configuration]
    try:
        return hub().load_dataset(preset.repository, *options)
    except Exception as error:  # whatever the network and the client make of it
        given = ", ".join(map(repr, [preset.repository, *options]))
        why = f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        if isinstance(error, ConnectionError | TimeoutError):
            raise DataError(
                f"{needs} downloaded {why}; where there is a network, run "
                f"datasets.load_dataset({given}).save_to_disk({name!r}) and put that folder, or "
                f"its csv, json or parquet files, at {folder}"
            ) from error
        raise DataError(
            f"{needs} loaded by datasets.load_dataset({given}) {why}; put its csv, json or parquet "
            f"files at {folder}"
        ) from error


def open_parts(
    dataset: Any, columns: Iterable[str], wanted: Sequence[str] | None = None
) -> list[Part]:
    """Return what a caller of `from_hf` gave, split by split.

    Args:
        dataset: as `from_hf`.
        columns: those that are read.
        wanted: the names of the splits that are read, where the dataset has splits; None for all.
    """
    datasets = hub()
    tables = (datasets.Dataset, datasets.IterableDataset)
    columns = tuple(columns)
    if isinstance(dataset, str | os.PathLike) and Path(dataset).expanduser().is_dir():
        dataset = _folder(Path(dataset).expanduser())
    if isinstance(dataset, tables):
        return [Part("all", dataset)]
    if not isinstance(dataset, Mapping):
        return [_files("all", dataset, columns)]
    names = [name for name in dataset if wanted is None or name in wanted]
    if not names:
        expected = "at least one split" if wanted is None else " or ".join(map(repr, wanted))
        raise DataError(
            f"from_hf: dataset must have {expected}, got "
            f"{', '.join(map(repr, dataset)) or 'none'}; give it data"
        )
    return [
        Part(str(name), dataset[name])
        if isinstance(dataset[name], tables)
        else _files(name, dataset[name], columns)
        for name in names
    ]


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


def split_of(name: str) -> str | None:
    """Return which split a name such as "train_wiki", "dev" or "test-00000-of-00001" stands for."""
    found = _SPLIT.match(name.lower())
    return (
        None
        if found is None
        else {"val": "validation", "dev": "validation"}.get(found["split"], found["split"])
    )


def _folder(folder: Path) -> Any:
    """Return the dataset that was saved in a folder, or its files, by split if their names tell."""
    if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
        try:
            return hub().load_from_disk(os.fspath(folder))
        except (ArithmeticError, LookupError, OSError, ValueError) as error:
            raise say_why_unreadable(error, [os.fspath(folder)], "at its beginning") from error
    files = sorted(path for path in folder.rglob("*") if path.suffix in _FORMATS)
    if not files:
        raise DataError(
            f"from_hf: {folder} must hold files that end in {', '.join(_FORMATS)}, or what "
            "save_to_disk wrote, got none of them; put the data there"
        )
    parts: dict[str, list[Path]] = {}
    for file in files:
        stem = _SHARD.sub("", file.stem)
        names = [stem, *reversed(file.relative_to(folder).parent.parts)]
        parts.setdefault(next(filter(split_of, names), stem), []).append(file)
    return parts if any(map(split_of, parts)) else files


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
        options = {"features": text, "usecols": list(text), "chunksize": ROWS}
        options |= {"sep": separator, "keep_default_na": False}
        options |= {"quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE}
    elif kind == "json":
        for file in files:
            check_columns(columns, json_columns(file), file)
        return JsonRows(files, columns)
    elif kind == "parquet":
        parquet = require("pyarrow.parquet", extra="hub", purpose="from_hf")
        for file in files:
            check_columns(columns, parquet.read_schema(file).names, file)
        options = {"columns": list(dict.fromkeys(columns)), "batch_size": ROWS}
    paths = [glob.escape(file) for file in files]  # which are taken for patterns
    return datasets.load_dataset(
        kind, data_files={"train": paths}, split="train", streaming=True, **options
    )
