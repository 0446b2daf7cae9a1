"""Arrays that took long to make, kept in a folder: written whole or not at all, and made once."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

_VERSION = 1  # of the file's layout; a new one leaves older files alone


def cached_arrays(
    root: str | os.PathLike[str],
    name: str,
    key: Mapping[str, Any],
    build: Callable[[], Arrays],
) -> dict[str, NDArray[Any]]:
    """Return the arrays that `build` makes, from a file under `root` if it made them before.

    The file lies at `root/l2l_rnn/NAME-DIGEST.npz`, where the digest is of `key`. It is written
    beside its place and moved there, so that it is whole or absent; two processes that want it at
    once build it once; one that is damaged, or whose contents do not match the checksum beside
    them, is built anew. Nothing is pickled.

    Args:
        root: a folder; it is made if it is not there.
        name: of the task set, to begin the file's name.
        key: all that the arrays depend on, as JSON can hold it: the version of the source, and
            every option. Two keys alike in JSON name one file.
        build: makes the arrays, of numbers, booleans or fixed-width strings.

    Returns:
        The arrays by name, in memory.

    Raises:
        TypeError: the key holds what JSON does not, or an array holds objects.
        OSError: `root` cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for _ in range(2):
        ...         made = cached_arrays(root, "ramp", {"to": 3}, lambda: {"x": np.arange(3)})
        >>> made["x"]
        array([0, 1, 2])
    """
    text = json.dumps({**key, "layout": _VERSION}, sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(root).expanduser() / "l2l_rnn"
    path = folder / f"{name}-{digest}.npz"
    found = _read(path, text)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{path.name}.lock"):
            found = _read(path, text)  # another process may have built it while this one waited
            if found is None:
                found = {part: np.asarray(array) for part, array in build().items()}
                _write(path, text, found)
    return found


def _read(path: Path, key: str) -> dict[str, NDArray[Any]] | None:
    """Read the arrays, or None where the file is absent or not what `_write` wrote."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {part: file[part] for part in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.error):
        return None
    written = arrays.pop("checksum", None)
    return arrays if written is not None and str(written) == _checksum(key, arrays) else None


def _write(path: Path, key: str, arrays: dict[str, NDArray[Any]]) -> None:
    for part, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"cached_arrays: {part!r} holds Python objects; store numbers or text")
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, checksum=np.array(_checksum(key, arrays)), **arrays)
        os.replace(beside, path)
    finally:
        Path(beside).unlink(missing_ok=True)


def _checksum(key: str, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(key.encode())
    for part in sorted(arrays):
        array = np.ascontiguousarray(arrays[part])
        digest.update(f"{part} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
