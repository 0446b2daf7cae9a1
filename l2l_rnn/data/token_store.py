"""Table of token ids, in memory or in a memory-mapped file, filled row by row."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class TokenStore:
    """Collects rows of token ids, and returns them as one tensor.

    With a folder, the rows are stored in a memory-mapped file, so they may exceed the memory. The
    file is unlinked immediately; its disk space is released when the tensor is deleted or the
    process ends, even in a crash. Windows cannot unlink an open file; delete `.tokens-*.npy` there
    afterwards.

    Args:
        rows: number of rows.
        width: number of ids per row, padding included.
        size: number of distinct ids, which determines the integer type; None if unknown.
        folder: folder of the file; None keeps the rows in memory.

    Example:
        >>> store = TokenStore(2, 3, size=300)
        >>> store.append(np.array([[4, 5, 0], [6, 0, 0]]))
        >>> store.tensor(width=2)
        tensor([[4, 5],
                [6, 0]], dtype=torch.int16)
    """

    def __init__(
        self,
        rows: int,
        width: int,
        size: int | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        dtype = id_dtype(size)
        self.path: Path | None = None
        self.filled = 0
        self._rows: NDArray[Any]
        if folder is None:
            self._rows = np.zeros((rows, width), dtype)
        else:
            Path(folder).mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=".tokens-", suffix=".npy")
            os.close(descriptor)
            self.path = Path(name)
            try:
                self._rows = np.lib.format.open_memmap(name, "w+", dtype, (rows, width))
            finally:
                self.discard()

    def append(self, ids: NDArray[Any]) -> None:
        """Append rows, `(rows, width)`."""
        self._rows[self.filled : self.filled + len(ids)] = ids
        self.filled += len(ids)

    def tensor(self, width: int) -> Tensor:
        """Return all rows, truncated to `width`; do not append to the store afterwards."""
        if self.path is None:
            return torch.from_numpy(np.ascontiguousarray(self._rows[:, :width]))
        self.discard()
        self._rows.flags.writeable = False
        with warnings.catch_warnings():  # torch warns that the array is read-only
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(self._rows)[:, :width]

    def discard(self) -> None:
        """Unlink the file, if there is one."""
        if self.path is not None:
            with contextlib.suppress(PermissionError):  # on Windows, while the file is open
                self.path.unlink(missing_ok=True)


def id_dtype(size: int | None) -> np.dtype[Any]:
    """Return the smallest integer type of a `SequenceDataset` that can hold `size` distinct ids.

    Example:
        >>> id_dtype(258), id_dtype(None)
        (dtype('int16'), dtype('int32'))
    """
    return np.dtype(np.int16 if size is not None and size <= 2**15 else np.int32)
