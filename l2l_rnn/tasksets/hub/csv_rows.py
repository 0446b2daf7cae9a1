"""Rows of csv and tsv files, with every value as text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Any

from l2l_rnn.optional import require


class CsvRows:
    """Files of separated values with the interface of a `datasets.IterableDataset` in Arrow format.

    All values are text: "NA" is not missing, and "1" is not a number. Fields that a short row lacks
    are None. `datasets.load_dataset` would ask a server even for local files.

    Args:
        files: files with a line of column names.
        columns: names of the columns to read.
        separator: the separator of fields.
        quoted: whether quotes enclose fields; if not, they are part of the texts.
    """

    features = None

    def __init__(
        self, files: Sequence[str], columns: Sequence[str], separator: str, quoted: bool
    ) -> None:
        self.files, self.column_names = files, list(dict.fromkeys(columns))
        self.separator, self.quoted = separator, quoted

    def select_columns(self, columns: Sequence[str]) -> CsvRows:
        return CsvRows(self.files, columns, self.separator, self.quoted)

    def with_format(self, kind: str) -> CsvRows:
        return self

    def iter(self, batch_size: int) -> Iterator[Any]:
        """Yield Arrow tables of up to `batch_size` rows.

        Raises:
            ValueError: a file is damaged.
            OSError: a file cannot be read.
        """
        arrow = require("pyarrow", extra="hub", purpose="from_hf")
        pandas = require("pandas", extra="hub", purpose="from_hf")
        for file in self.files:
            with pandas.read_csv(
                file,
                sep=self.separator,
                quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
                usecols=self.column_names,
                dtype=object,
                keep_default_na=False,
                chunksize=batch_size,
                compression=None,
            ) as frames:
                for frame in frames:
                    yield arrow.table(
                        {
                            name: arrow.array(frame[name], arrow.large_string(), from_pandas=True)
                            for name in self.column_names
                        }
                    )
