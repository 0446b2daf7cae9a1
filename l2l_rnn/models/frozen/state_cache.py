"""States of rows of token ids in a folder: appended once, then memory-mapped.

The folder has four files. `encoder.json` says which encoder the states belong to, `tokenizer.json`
is its tokenizer, `states.f16` has all states as float16, one after the other, and `index.bin` has
one record for each row: the hash of its ids, the position of its first state, and its length.

A record is written after its states are on disk. After a kill or on a full disk, states without a
record and an incomplete record are ignored, and the next append overwrites them. Several processes
may read and append at the same time: appending takes a lock, and reading needs none.
"""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.errors import DataError
from l2l_rnn.files import open_file, read_json, replacing, write_json

_FORMAT, _VERSION = "l2l_rnn.FrozenEncoder", 1
_RECORD = np.dtype([("key", "V16"), ("start", "<u8"), ("length", "<u4"), ("checksum", "<u4")])
_CHECKED = _RECORD.itemsize - 4  # the checksum is of the bytes before it
_SECONDS = 60  # longest wait for the lock; an append takes well under one

KEYS = {"name": str, "digest": str, "layer": int, "max_length": int, "size": int, "vocab_size": int}


def row_key(ids: NDArray[np.int32]) -> bytes:
    """Return the hash of a row of token ids, without padding."""
    return hashlib.blake2b(ids.tobytes(), digest_size=16).digest()


def read_identity(who: str, folder: Path) -> dict[str, Any] | None:
    """Return what a cache says about its encoder, or None if there is no cache in the folder.

    Raises:
        DataError: the folder has a file `encoder.json` of another kind or version.
    """
    path = folder / "encoder.json"
    if not path.exists():
        return None
    found = read_json(who, path)
    valid = found.get("format") == _FORMAT and found.get("version") == _VERSION
    valid &= all(type(found.get(key)) is kind for key, kind in KEYS.items())
    if not valid or not isinstance(found.get("unknown"), int | None) or found["size"] < 1:
        raise DataError(
            f"{who}: {path} must describe a cache of states, of version {_VERSION}, got something "
            "else; pass another folder as cache, or update l2l_rnn"
        )
    return found


class StateCache:
    """The states in one folder.

    Args:
        who: begins error messages.
        folder: the folder; it is created at the first append.
        identity: what `encoder.json` says, as in `KEYS`.
        tokenizer: content of the tokenizer's file, or None.
    """

    def __init__(
        self, who: str, folder: Path, identity: Mapping[str, Any], tokenizer: str | None
    ) -> None:
        self.who, self.folder, self.identity = who, folder, dict(identity)
        self.tokenizer = tokenizer
        self.size: int = identity["size"]
        self._lock = threading.RLock()
        self._forget()
        self.refresh()

    def __len__(self) -> int:
        return len(self._places)

    def _forget(self) -> None:
        self._places: dict[bytes, tuple[int, int]] = {}  # start and length of each row
        self._read = 0  # bytes of the index that were read
        self._end = 0  # number of states that the index knows
        self._states = torch.empty(0, self.size, dtype=torch.float16)

    def refresh(self) -> None:
        """Read the records that this or another process has appended."""
        with self._lock:
            index, data = self.folder / "index.bin", self.folder / "states.f16"
            if not index.exists():
                self._forget()
                return
            with open_file(self.who, index) as file:
                if os.fstat(file.fileno()).st_size < self._read:  # the cache was deleted
                    self._forget()
                file.seek(self._read)
                content = file.read()
            stored = data.stat().st_size if data.is_file() else 0
            kept = _valid(content, self._end, stored // (2 * self.size))
            if not len(kept):
                return
            rows = zip(kept["start"].tolist(), kept["length"].tolist(), strict=True)
            self._places.update(zip(kept["key"].tolist(), rows, strict=True))
            self._read += kept.nbytes
            self._end = int(kept["start"][-1] + kept["length"][-1])
            self._map(data)

    def _map(self, data: Path) -> None:
        shape = (self._end, self.size)
        array = np.memmap(data, np.dtype("<f2"), "r", shape=shape)
        with warnings.catch_warnings():  # torch warns that the array is read-only
            warnings.simplefilter("ignore", UserWarning)
            self._states = torch.from_numpy(array)

    def get(self, key: bytes) -> Tensor | None:
        """Return the states of a row, `(S, E)` float16 in the mapped file, or None."""
        place = self._places.get(key)
        if place is None:
            return None
        start, length = place
        return self._states[start : start + length]

    def append(self, rows: Mapping[bytes, Tensor]) -> None:
        """Store the states of rows by key, `(S, E)` float16; rows that are there stay as they are.

        Raises:
            DataError: the folder cannot be written to, the disk is full, another process has held
                the lock for a minute, or the folder belongs to another encoder.
        """
        try:
            with self._lock, self._locked():
                self._create()
                self.refresh()
                new = {key: row for key, row in rows.items() if key not in self._places}
                if not new:
                    return
                records = _records(list(new), [len(row) for row in new.values()], self._end)
                states = torch.cat(list(new.values())).numpy().astype("<f2", copy=False)
                self._write("states.f16", self._end * 2 * self.size, states)
                self._write("index.bin", self._read, records)
                self.refresh()
        except Timeout as error:
            raise DataError(
                f"{self.who}: the cache {self.folder} must be free, but another process has held "
                f"its lock for {_SECONDS} seconds; end that process, or pass another cache"
            ) from error
        except OSError as error:
            raise DataError(
                f"{self.who}: the cache {self.folder} must be a folder that can be written to, got "
                f"{error.strerror or error}; free some space, pass another cache, or set "
                "store=False"
            ) from error

    def _write(self, name: str, start: int, array: NDArray[Any]) -> None:
        """Write an array at a position of a file, over what an interrupted append left there."""
        with (self.folder / name).open("ab") as file:
            file.truncate(start)
            array.tofile(file)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", timeout=_SECONDS):
            yield

    def _create(self) -> None:
        """Write the description, or check the one that is there."""
        found = read_identity(self.who, self.folder)
        if found is not None:
            check_identity(self.who, self.folder, found, self.identity)
            return
        if (self.folder / "index.bin").exists():
            raise DataError(
                f"{self.who}: the cache {self.folder} must have a file encoder.json, which says "
                "whose states they are, got none; delete the folder, or pass another cache"
            )
        if self.tokenizer is not None:
            with replacing(self.folder / "tokenizer.json") as file:
                file.write(self.tokenizer)
        content = {"format": _FORMAT, "version": _VERSION, **self.identity}
        write_json(self.folder / "encoder.json", content, indent=2)


def check_identity(
    who: str, folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """Check that a cache belongs to an encoder.

    Args:
        who: begins the error message.
        folder: the folder of the cache.
        found: what the cache says about its encoder.
        wanted: what is known of the encoder. Without a digest, its name must be the same.

    Raises:
        DataError: it belongs to another encoder, or to other settings; the message lists them.
    """
    keys = ["layer", "max_length", "digest" if "digest" in wanted else "name"]
    wrong = [key for key in keys if found[key] != wanted[key]]
    if not wrong:
        return
    shown = [
        f"{key}={found[key]!r} instead of {wanted[key]!r}" if key != "digest" else "other weights"
        for key in wrong
    ]
    raise DataError(
        f"{who}: the cache {folder} must hold states of {wanted['name']}, got those of "
        f"{found['name']} with {', '.join(shown)}; pass another folder as cache, or the settings "
        "of this one"
    )


def _records(keys: Sequence[bytes], lengths: Sequence[int], start: int) -> NDArray[Any]:
    records = np.zeros(len(keys), _RECORD)
    records["key"] = np.frombuffer(b"".join(keys), "V16")
    records["length"] = lengths
    records["start"] = start + np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.uint64)
    content = records.tobytes()
    records["checksum"] = [_checksum(content, i) for i in range(len(keys))]
    return records


def _valid(content: bytes, start: int, states: int) -> NDArray[Any]:
    """Return the records up to the first that is damaged, or whose states are not there."""
    count = len(content) // _RECORD.itemsize
    records = np.frombuffer(content, _RECORD, count)
    ends = start + np.cumsum(records["length"], dtype=np.int64)
    begins = np.concatenate([[start], ends[:-1]])
    right = (records["start"] == begins) & (ends <= states)
    right &= records["checksum"] == np.array(
        [_checksum(content, i) for i in range(count)], np.uint32
    )
    return records if right.all() else records[: int(right.argmin())]


def _checksum(content: bytes, record: int) -> int:
    start = record * _RECORD.itemsize
    return zlib.crc32(content[start : start + _CHECKED])
