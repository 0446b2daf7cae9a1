"""Token ids on their way into a dataset: in memory, or in a file where they are too many for it."""

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
    """Takes rows of token ids, and gives them as one tensor.

    In a file they are mapped into memory and read as they are looked up, so that they may be more
    than fit. The file loses its name at once: its place on the disk is free again when the tensor
    is gone, or the process, however that ends. A system that keeps the name of a file in use, as
    Windows does, keeps the file, `.tokens-*.npy`, which may be deleted afterwards.

    Args:
        rows: how many rows there will be.
        width: ids in a row, padding included.
        size: how many ids there are, which says how narrow they can be stored; None if unknown.
        folder: where the file is put; None keeps the rows in memory.

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
        dtype = width_of(size)
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
        """Take further rows, `(rows, width)`."""
        self._rows[self.filled : self.filled + len(ids)] = ids
        self.filled += len(ids)

    def tensor(self, width: int) -> Tensor:
        """Return all rows, cut to `width`; the store takes none after that."""
        if self.path is None:
            return torch.from_numpy(np.ascontiguousarray(self._rows[:, :width]))
        self.discard()
        self._rows.flags.writeable = False
        with warnings.catch_warnings():  # that the tensor cannot be written to is what is wanted
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(self._rows)[:, :width]

    def discard(self) -> None:
        """Remove the file, if there is one."""
        if self.path is not None:
            with contextlib.suppress(PermissionError):  # Windows keeps a file that is in use
                self.path.unlink(missing_ok=True)


def width_of(size: int | None) -> np.dtype[Any]:
    """Return the narrowest of the types that a `SequenceDataset` stores ids in.

    Example:
        >>> width_of(258), width_of(None)
        (dtype('int16'), dtype('int32'))
    """
    return np.dtype(np.int16 if size is not None and size <= 2**15 else np.int32)
