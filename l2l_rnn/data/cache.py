"""Arrays that took long to make, kept in a folder: written whole or not at all, and made once."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
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

Arrays = Mapping[str, NDArray[Any]]

_VERSION = 1  # of the file's layout; a new one leaves older files alone
_PREFIX = "array."  # before each array's name, so that none is taken for the checksum


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
    them, is built anew. Nothing is pickled. A disk that fills up loses no arrays: they are
    returned, with a warning that they were not kept.

    Args:
        root: a folder; it is made if it is not there.
        name: of the task set, to begin the file's name.
        key: all that the arrays depend on, as JSON can hold it: the version of the source, and
            every option. Two keys alike in JSON name one file.
        build: makes the arrays, of numbers, booleans or fixed-width strings.

    Returns:
        The arrays by name, in memory.

    Raises:
        ArgumentTypeError: the key holds what JSON does not, or an array holds objects.
        ArgumentError: `root` is no folder that can be written to, which is found out first.

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
            f"cached_arrays: key must hold what JSON can, got {dict(key)!r} ({error}); "
            "give numbers, strings, lists and dicts"
        ) from error
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    folder = Path(root).expanduser() / "l2l_rnn"
    path = folder / f"{name}-{digest}.npz"
    found = _read(path, text)
    if found is None:
        with _lock(folder, path):
            found = _read(path, text)  # another process may have built it while this one waited
            if found is None:
                found = {part: np.asarray(array) for part, array in build().items()}
                _check_types(found)
                try:
                    _write(path, text, found)
                except OSError as error:  # such as a full disk: what was made is in hand
                    warnings.warn(
                        f"cached_arrays: {path} could not be written ({error.strerror or error}), "
                        "so that its arrays will be made again next time; free some space, or pass "
                        "another root",
                        RuntimeWarning,
                        stacklevel=2,
                    )
    return found


def _lock(folder: Path, path: Path) -> AbstractContextManager[Any]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f".{path.name}.lock").acquire()
    except OSError as error:
        raise ArgumentError(
            f"cached_arrays: root must be a folder that can be written to, got {folder.parent} "
            f"({error.strerror}); pass another root"
        ) from error


def _read(path: Path, key: str) -> dict[str, NDArray[Any]] | None:
    """Read the arrays, or None where the file is absent or not what `_write` wrote."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            contents = {part: file[part] for part in file.files}
    except Exception:  # damage makes zipfile and numpy raise nearly anything
        return None
    written = contents.pop("checksum", None)
    arrays = {part.removeprefix(_PREFIX): array for part, array in contents.items()}
    return arrays if written is not None and str(written) == _checksum(key, arrays) else None


def _check_types(arrays: dict[str, NDArray[Any]]) -> None:
    for part, array in arrays.items():
        if array.dtype.hasobject:
            raise ArgumentTypeError(
                f"cached_arrays: arrays must hold numbers or text, got Python objects in {part!r}; "
                "give it a dtype"
            )


def _write(path: Path, key: str, arrays: dict[str, NDArray[Any]]) -> None:
    contents = {f"{_PREFIX}{part}": array for part, array in arrays.items()}
    contents["checksum"] = np.array(_checksum(key, arrays))
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        # As numpy.savez does it, but closed where the disk is full.
        with beside.open("xb") as file, zipfile.ZipFile(file, "w") as archive:
            for part, array in contents.items():
                with archive.open(f"{part}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _checksum(key: str, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(key.encode())
    for part in sorted(arrays):
        array = np.ascontiguousarray(arrays[part])
        digest.update(f"{part} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
