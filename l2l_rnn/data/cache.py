"""Cache of computed arrays in a folder."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.files import open_file, replacing

Arrays = Mapping[str, NDArray[Any]]

_VERSION = 1  # version of the file layout; files with another version are ignored
_PREFIX = "array."  # starts the name of each array, so that none collides with the checksum


def cached_arrays(
    root: str | os.PathLike[str],
    name: str,
    key: Mapping[str, Any],
    build: Callable[[], Arrays],
) -> dict[str, NDArray[Any]]:
    """Return the arrays that `build` makes, cached in a file under `root`.

    The file is `root/l2l_rnn/NAME-DIGEST.npz`, where DIGEST is a hash of `key`. It is written
    atomically. If several processes need it at the same time, only one builds it. A damaged file,
    one with a wrong checksum, and one that is compressed or not a regular file are built again.
    Nothing is pickled. If the disk is full, the arrays are returned with a warning that they were
    not saved.

    Args:
        root: folder of the cache; it is created if it does not exist.
        name: name of the task set, the first part of the file name.
        key: everything that the arrays depend on, such as the version of the data and all options.
            It must be JSON serializable. Keys with equal JSON share one file.
        build: function that returns the arrays, of numbers, bools or fixed-width strings.

    Returns:
        The arrays by name, in memory.

    Raises:
        ArgumentTypeError: the key is not JSON serializable, or an array holds Python objects.
        ArgumentError: `root` cannot be written to; this is checked before building.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for _ in range(2):
        ...         made = cached_arrays(root, "ramp", {"to": 3}, lambda: {"x": np.arange(3)})
        >>> made["x"]
        array([0, 1, 2])
    """
    try:
        text = json.dumps([_VERSION, dict(key)], sort_keys=True, ensure_ascii=False)
    except TypeError as error:
        raise ArgumentTypeError(
            f"cached_arrays: key must be JSON serializable, got {dict(key)!r} ({error}); "
            "use numbers, strings, lists and dicts"
        ) from error
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(root).expanduser() / "l2l_rnn"
    path = folder / f"{name}-{digest}.npz"
    found = _read(path, text)
    if found is None:
        with _lock(folder, path):
            found = _read(path, text)  # another process may have built it in the meantime
            if found is None:
                found = {part: np.asarray(array) for part, array in build().items()}
                _check_types(found)
                try:
                    _write(path, text, found)
                except OSError as error:  # such as a full disk; the arrays are in memory
                    warnings.warn(
                        f"cached_arrays: {path} could not be written ({error.strerror or error}), "
                        "so its arrays will be built again next time; free some space, or pass "
                        "another root",
                        RuntimeWarning,
                        stacklevel=2,
                    )
    return found


def _lock(folder: Path, path: Path) -> AbstractContextManager[Any]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f".{path.name}.lock").acquire()
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        raise ArgumentError(
            f"cached_arrays: root must be a writable folder, got {folder.parent} "
            f"({getattr(error, 'strerror', error)}); pass another root"
        ) from error


def _read(path: Path, key: str) -> dict[str, NDArray[Any]] | None:
    """Read the arrays; return None if the file is missing or damaged, or has another key."""
    try:
        with open_file("cached_arrays", path) as opened, zipfile.ZipFile(opened) as archive:
            members = archive.infolist()
            # `_write` stores arrays without compression, so they are no larger than the file.
            size = os.fstat(opened.fileno()).st_size
            if sum(max(m.file_size, m.compress_size) for m in members) > size:
                return None
            contents = {m.filename.removesuffix(".npy"): _array(archive, m) for m in members}
        written = str(contents.pop("checksum"))
        arrays = {part.removeprefix(_PREFIX): array for part, array in contents.items()}
        return arrays if written == _checksum(key, arrays) else None
    except Exception:  # for damaged files, zipfile and numpy raise nearly anything
        return None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Read an array whose header declares as many bytes as the member has.

    numpy would allocate the declared size first.
    """
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_column, dtype = read_header(file)
        size = member.file_size - file.tell()
        if dtype.hasobject or dtype.itemsize * math.prod(shape) != size:
            raise ValueError("the header does not match the data")
        data, read = np.empty(size, np.uint8), 0
        while read < size:
            block = file.read(min(size - read, 2**18))
            data[read : read + len(block)] = np.frombuffer(block, np.uint8)
            read += len(block)
    return data.view(dtype).reshape(shape, order="F" if by_column else "C")


def _check_types(arrays: dict[str, NDArray[Any]]) -> None:
    for part, array in arrays.items():
        if array.dtype.hasobject:
            raise ArgumentTypeError(
                f"cached_arrays: arrays must hold numbers or text, got Python objects in {part!r}; "
                "set the array's dtype"
            )


def _write(path: Path, key: str, arrays: dict[str, NDArray[Any]]) -> None:
    contents = {f"{_PREFIX}{part}": array for part, array in arrays.items()}
    contents["checksum"] = np.array(_checksum(key, arrays))
    # numpy.savez would leave its file open when the disk is full.
    with replacing(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for part, array in contents.items():
            with archive.open(f"{part}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _checksum(key: str, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(key.encode())
    for part in sorted(arrays):
        array = np.ascontiguousarray(arrays[part])
        digest.update(f"{part} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
