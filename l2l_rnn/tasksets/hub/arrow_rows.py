"""Rows of Arrow and Parquet files, checked before they are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from l2l_rnn.files import parse_json
from l2l_rnn.optional import require

_MAGIC = b"ARROW1"  # starts a file in the random access format, but not a stream


class ClassNames(NamedTuple):
    """The names of classes that are stored as integers, as in a `datasets.ClassLabel`."""

    names: tuple[str, ...]


class ArrowRows:
    """Arrow or Parquet files with the interface of a `datasets.IterableDataset` in Arrow format.

    Arrow does not check the offsets in a file when it reads it, and using wrong ones can end the
    process. So each batch is validated first. Only the required columns are read.

    Args:
        files: files of one kind.
        kind: `"arrow"`, for streams and files written by `datasets`, or `"parquet"`.
        columns: names of the columns to read.

    Attributes:
        features: the names of the classes of each column that stores classes as integers.

    Raises:
        ValueError: a file is damaged, or the files name their classes differently.
        OSError: a file cannot be read.
    """

    def __init__(self, files: Sequence[str], kind: str, columns: Sequence[str]) -> None:
        self.files, self.kind = files, kind
        self.column_names = list(dict.fromkeys(columns))
        named = [_class_names(_schema(file, kind), self.column_names) for file in files]
        self.features = named[0]
        if any(names != named[0] for names in named):
            raise ValueError("the files have different names of classes")

    def select_columns(self, columns: Sequence[str]) -> ArrowRows:
        return ArrowRows(self.files, self.kind, columns)

    def with_format(self, kind: str) -> ArrowRows:
        return self

    def iter(self, batch_size: int) -> Iterator[Any]:
        """Yield Arrow tables of up to `batch_size` rows.

        Raises:
            ValueError: a file is damaged.
            OSError: a file cannot be read.
        """
        arrow = require("pyarrow", extra="hub", purpose="from_hf")
        for file in self.files:
            batches: list[Any] = []
            for batch in _batches(file, self.kind, self.column_names, batch_size):
                batches.append(batch)
                if sum(map(len, batches)) >= batch_size:
                    table = arrow.Table.from_batches(batches)
                    whole = len(table) - len(table) % batch_size
                    for start in range(0, whole, batch_size):
                        yield table.slice(start, batch_size)
                    batches = table.slice(whole).to_batches()
            if batches:
                yield arrow.Table.from_batches(batches)


def arrow_columns(file: str, kind: str) -> list[str]:
    """Return the column names of a file.

    Raises:
        ValueError, OSError: as in `ArrowRows`.
    """
    with _checked():
        return list(_schema(file, kind).names)


@contextmanager
def _checked() -> Iterator[None]:
    """Turn the errors of pyarrow into ValueErrors."""
    arrow = require("pyarrow", extra="hub", purpose="from_hf")
    try:
        yield
    except (arrow.ArrowException, LookupError, MemoryError, OverflowError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _schema(file: str, kind: str) -> Any:
    with _checked():
        if kind == "parquet":
            return require("pyarrow.parquet", extra="hub", purpose="from_hf").read_schema(file)
        with _opened(file, None) as reader:
            return reader.schema


def _batches(file: str, kind: str, columns: list[str], size: int) -> Iterator[Any]:
    """Yield the record batches of a file, validated."""
    names = arrow_columns(file, kind)
    if any(names.count(column) != 1 for column in columns):
        raise ValueError(f"the columns {', '.join(columns)} must be there once")
    with _checked():
        if kind == "parquet":
            parquet = require("pyarrow.parquet", extra="hub", purpose="from_hf")
            with parquet.ParquetFile(file) as opened:
                for batch in opened.iter_batches(size, columns=columns, use_threads=False):
                    yield _validated(batch)
        else:
            with _opened(file, [names.index(column) for column in columns]) as reader:
                stream = hasattr(reader, "read_next_batch")
                for number in range(2**62 if stream else reader.num_record_batches):
                    try:
                        batch = reader.read_next_batch() if stream else reader.get_batch(number)
                    except StopIteration:
                        return
                    if len(batch):
                        yield _validated(batch.select(columns))


@contextmanager
def _opened(file: str, fields: list[int] | None) -> Iterator[Any]:
    """Open an Arrow file, as a stream or in the random access format."""
    arrow = require("pyarrow", extra="hub", purpose="from_hf")
    ipc = require("pyarrow.ipc", extra="hub", purpose="from_hf")
    options = ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    # A mapped file takes no memory, whatever sizes it declares.
    with arrow.memory_map(file) as source:
        magic = source.read(len(_MAGIC))
        source.seek(0)
        read = ipc.open_file if magic == _MAGIC else ipc.open_stream
        with read(source, options=options) as reader:
            yield reader


def _validated(batch: Any) -> Any:
    for column in batch.columns:
        _as_bytes(column).validate(full=True)
    return batch


def _as_bytes(column: Any) -> Any:
    """Return an array with its texts as bytes, whose validation ignores invalid UTF-8.

    The reader of rows reports invalid UTF-8 with its position.
    """
    arrow = require("pyarrow", extra="hub", purpose="from_hf")
    types, kind = arrow.types, column.type
    if types.is_dictionary(kind):
        column.indices.validate(full=True)
        values = _as_bytes(column.dictionary)
        values.validate(full=True)
        return arrow.DictionaryArray.from_arrays(column.indices, values, safe=False)
    if types.is_list(kind) and types.is_string(kind.value_type):
        return column.view(arrow.list_(arrow.binary()))
    if types.is_large_list(kind) and types.is_string(kind.value_type):
        return column.view(arrow.large_list(arrow.binary()))
    if types.is_string(kind):
        return column.view(arrow.binary())
    return column.view(arrow.large_binary()) if types.is_large_string(kind) else column


def _class_names(schema: Any, columns: Sequence[str]) -> dict[str, ClassNames]:
    """Return the names of classes that `datasets` wrote to the metadata of a file."""
    written = (schema.metadata or {}).get(b"huggingface")
    if written is None:
        return {}
    types = require("pyarrow", extra="hub", purpose="from_hf").types
    try:
        features = parse_json(written.decode())["info"]["features"]
        found = {}
        for column in columns:
            feature = features.get(column)
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
                names = feature["names"]
                if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
                    raise TypeError("names of classes must be texts")
                place = schema.get_field_index(column)  # -1 if it is there twice
                if place < 0 or not types.is_integer(schema.field(place).type):
                    raise TypeError("named classes must be integers")
                found[column] = ClassNames(tuple(names))
        return found
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"the metadata of the file is damaged ({error})") from error
