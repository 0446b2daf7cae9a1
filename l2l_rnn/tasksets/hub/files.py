"""Opening of datasets, local files and presets for `from_hf`, split by split."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.optional import require
from l2l_rnn.registry import hint
from l2l_rnn.tasksets.hub.arrow_rows import ArrowRows, arrow_columns
from l2l_rnn.tasksets.hub.csv_rows import CsvRows
from l2l_rnn.tasksets.hub.json_rows import JsonRows, json_columns
from l2l_rnn.tasksets.hub.presets import Preset
from l2l_rnn.tasksets.hub.saved_folder import saved_files
from l2l_rnn.tasksets.hub.tables import TableRows, is_columns, is_table
from l2l_rnn.tasksets.hub.text_files import check_fields, check_utf8, header, is_quoted

_FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
ROWS = 2_000  # rows read at once
_SHARD = re.compile(r"-\d+-of-\d+$")
_SPLIT = re.compile(r"(?P<split>train|val|dev|test)(ing|id|idation|elopment)?(?![a-z])")


class DatasetSplit(NamedTuple):
    """One of a dataset's own splits.

    Attributes:
        name: name of the split; "all" for a dataset without splits.
        data: rows of the split: a `datasets.Dataset`, an `IterableDataset`, `TableRows`, or rows of
            files.
        files: files that contain the rows; empty if a dataset was passed.
    """

    name: str
    data: Any
    files: tuple[str, ...] = ()


def open_preset(
    name: str,
    preset: Preset,
    dataset: Any,
    root: str | os.PathLike[str],
    columns: Iterable[str],
) -> list[DatasetSplit]:
    """Return the splits of a preset, from `dataset`, the folder `root/NAME` or a download."""
    folder = Path(root).expanduser() / name
    if dataset is None:
        dataset = folder if folder.is_dir() else _downloaded(name, preset, folder)
    if preset.configuration is not None and isinstance(dataset, str | os.PathLike):
        within = Path(dataset).expanduser() / preset.configuration
        dataset = within if within.is_dir() else dataset
    return open_splits(dataset, columns, preset.splits)


def _downloaded(name: str, preset: Preset, folder: Path) -> Any:
    needs = f"from_hf: the data of preset {name!r} must be in {folder}, got no such folder, and"
    if preset.repository is None:
        raise DataError(
            f"{needs} it is no longer available for download; put its csv, json or parquet files "
            f"in {folder}"
        )
    options = [] if preset.configuration is None else [preset.configuration]
    try:
        return hub().load_dataset(preset.repository, *options)
    except Exception as error:  # the client and the network raise many kinds
        given = ", ".join(map(repr, [preset.repository, *options]))
        why = f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        if isinstance(error, ConnectionError | TimeoutError):
            raise DataError(
                f"{needs} the download failed {why}; on a machine with network access, run "
                f"datasets.load_dataset({given}).save_to_disk({name!r}) and copy that folder, or "
                f"csv, json or parquet files of the data, to {folder}"
            ) from error
        raise DataError(
            f"{needs} datasets.load_dataset({given}) failed {why}; put its csv, json or parquet "
            f"files in {folder}"
        ) from error


def open_splits(
    dataset: Any, columns: Iterable[str], wanted: Sequence[str] | None = None
) -> list[DatasetSplit]:
    """Return the splits of a dataset in any format that `from_hf` accepts.

    Args:
        dataset: as in `from_hf`.
        columns: names of the columns to read.
        wanted: names of the splits to read, if the dataset has splits; None reads all.
    """
    datasets = hub()
    tables = (datasets.Dataset, datasets.IterableDataset)
    columns = tuple(columns)
    # Unlike those of Path, these functions accept any text.
    if isinstance(dataset, str | os.PathLike) and os.path.isdir(os.path.expanduser(dataset)):
        dataset = _folder(Path(dataset).expanduser())

    def opened(name: str, given: Any, where: str) -> DatasetSplit:
        if isinstance(given, tables):
            return DatasetSplit(name, given)
        if is_table(given):
            return DatasetSplit(name, TableRows(given, columns, where))
        return _files(name, given, columns)

    if not isinstance(dataset, Mapping) or is_columns(dataset, columns):
        return [opened("all", dataset, "the dataset")]
    names = [name for name in dataset if wanted is None or name in wanted]
    if not names:
        expected = "at least one split" if wanted is None else " or ".join(map(repr, wanted))
        raise DataError(
            f"from_hf: dataset must have {expected}, got "
            f"{', '.join(map(repr, dataset)) or 'none'}; pass a dataset with data"
        )
    return [opened(str(name), dataset[name], f"the split {str(name)!r}") for name in names]


def hub() -> Any:
    """Return the package `datasets`."""
    return require("datasets", extra="hub", purpose="from_hf")


def check_columns(columns: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise a DataError unless all columns exist."""
    known = list(known)
    if not known:
        raise DataError(f"from_hf: {where} must have columns and rows, got none; it is empty")
    for column in columns:
        if column not in known:
            names = [" ".join(name.split()) for name in known]  # in a damaged file, of many lines
            raise DataError(
                f"from_hf: unknown column {column!r} in {where}"
                f"{hint(str(column), names)} Known: {', '.join(names)}"
            )


def first_columns(dataset: Any) -> list[str]:
    """Return the column names, from the first row if the dataset does not declare them."""
    names = dataset.column_names
    if names is None:
        for table in dataset.with_format("arrow").iter(1):
            return list(table.column_names)
    return list(names or ())


def read_error(error: Exception, files: Iterable[str], where: str) -> DataError:
    """Return the DataError for a file or stream that cannot be read."""
    names = ", ".join(files) or "the dataset"
    return DataError(
        f"from_hf: {names} must be readable, with one type per column, got an error {where} "
        f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); fix the data or save it "
        "again"
    )


def split_of(name: str) -> str | None:
    """Return the split that a name such as "train_wiki" or "dev" refers to, or None.

    Example:
        >>> split_of("train_wiki"), split_of("dev"), split_of("test-00000-of-00001")
        ('train', 'validation', 'test')
        >>> split_of("trainers") is None
        True
    """
    found = _SPLIT.match(name.lower())
    if found is None:
        return None
    return {"val": "validation", "dev": "validation"}.get(found["split"], found["split"])


def _folder(folder: Path) -> Any:
    """Return the files of a dataset in a folder, by split if there are splits."""
    if any((folder / name).exists() for name in ("dataset_dict.json", "state.json")):
        return saved_files(folder)
    files = sorted(path for path in folder.rglob("*") if path.suffix in _FORMATS)
    if not files:
        raise DataError(
            f"from_hf: {folder} must contain files that end in {', '.join(_FORMATS)}, or a dataset "
            "written by save_to_disk, got neither; copy the data there"
        )
    by_split: dict[str, list[Path]] = {}
    for file in files:
        stem = _SHARD.sub("", file.stem)
        names = [stem, *reversed(file.relative_to(folder).parent.parts)]
        by_split.setdefault(next(filter(split_of, names), stem), []).append(file)
    return by_split if any(map(split_of, by_split)) else files


def _files(name: str, given: Any, columns: Iterable[str]) -> DatasetSplit:
    """Open one or several files as one split."""
    several = given if isinstance(given, list | tuple) else [given]
    if not several or not all(isinstance(path, str | os.PathLike) for path in several):
        raise ArgumentTypeError(
            "from_hf: dataset must be a datasets.Dataset, DatasetDict or IterableDataset, a data "
            "frame, a list of dicts, a dict of columns, or paths of local files, got "
            f"{_described(given)}; convert it to one of these"
        )
    paths = [Path(os.path.expanduser(path)) for path in several]
    for path in paths:
        if path.suffix not in _FORMATS:
            raise DataError(
                f"from_hf: files must end in {', '.join(_FORMATS)}, got {path}; rename it, or "
                "open it with datasets.load_dataset first"
            )
        if not os.path.isfile(path):
            raise DataError(
                f"from_hf: dataset must be an existing file, got {path}; correct the path"
            )
    kinds = sorted({path.suffix for path in paths})
    if len(kinds) > 1:
        raise DataError(
            f"from_hf: files must have one format, got {' and '.join(kinds)}; convert them"
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
        raise read_error(error, files, "at the start") from error
    return DatasetSplit(name, stream, tuple(files))


def _described(given: Any) -> str:
    name = type(given).__name__
    if isinstance(given, list | tuple) and given:
        other = next(part for part in given if not isinstance(part, str | os.PathLike))
        return f"a {name} with {type(other).__name__}"
    return f"an empty {name}" if isinstance(given, list | tuple) else name


def _stream(kind: str, suffix: str, files: list[str], columns: tuple[str, ...]) -> Any:
    """Open files for reading in batches of rows, without copying them."""
    if kind == "csv":
        separator = "\t" if suffix == ".tsv" else ","
        quoted = suffix == ".csv" or all(map(is_quoted, files))
        for file in files:
            check_columns(columns, header(file, separator, quoted), file)
            check_fields(file, separator, quoted)
        return CsvRows(files, columns, separator, quoted)
    if kind == "json":
        for file in files:
            check_columns(columns, json_columns(file), file)
        return JsonRows(files, columns)
    for file in files:
        check_columns(columns, arrow_columns(file, kind), file)
    return ArrowRows(files, kind, columns)
