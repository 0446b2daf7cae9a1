"""The file of a checkpoint: safetensors with everything else as JSON in its metadata.

The metadata has five entries: `format` is `"l2l_rnn checkpoint"`, `format_version` the version of
this layout, `l2l_rnn` the version of the package that wrote the file, `content` the JSON of
`encode`, and `sha256` the checksum of the file, computed with 64 zeros in its own place.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import safetensors.torch

from l2l_rnn import __version__
from l2l_rnn.errors import ArgumentTypeError, CheckpointError, DataError
from l2l_rnn.files import open_file, parse_json
from l2l_rnn.training.checkpoints.decoding import decode
from l2l_rnn.training.checkpoints.encoding import encode

FORMAT, FORMAT_VERSION = "l2l_rnn checkpoint", 1

_BEFORE_SUM = b'"sha256":"'  # cannot be inside a string of JSON, which escapes quotes
_BLANK = "0" * 64
_MOST_HEADER = 100_000_000  # bytes; the limit of safetensors
_BLOCK = 2**20
_PICKLES = (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6)))  # PK begins a zip file


class NewerFormatError(DataError):
    """A checkpoint was written by a newer version of the package."""


class Header(NamedTuple):
    """What the head of a checkpoint says about it.

    Args:
        size: bytes of the header, with the 8 bytes before it.
        sum_at: place of the checksum in the file.
        checksum: the checksum.
        content: the JSON of everything but the tensors.
    """

    size: int
    sum_at: int
    checksum: str
    content: Any


def write_checkpoint(who: str, path: str | os.PathLike[str], checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint; the file is either complete and on the disk, or unchanged.

    Args:
        who: begins the error message.
        path: the file; missing folders are created.
        checkpoint: what `encode` takes.

    Raises:
        ArgumentTypeError: an entry cannot be stored without pickle; nothing is written.
        CheckpointError: the file cannot be written.
    """
    if not isinstance(checkpoint, dict):
        raise ArgumentTypeError(
            f"{who}: checkpoint must be a dict, got {type(checkpoint).__name__}; pass one"
        )
    tensors, content = encode(who, checkpoint)
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "l2l_rnn": __version__,
        "sha256": _BLANK,
        "content": json.dumps(content, allow_nan=False, separators=(",", ":")),
    }
    data = safetensors.torch.save(tensors, metadata)
    size = 8 + int.from_bytes(data[:8], "little")
    if size > _MOST_HEADER:
        raise ArgumentTypeError(
            f"{who}: lists and numbers of a checkpoint must fit into {_MOST_HEADER} bytes, got "
            f"{size}; store long lists as arrays or tensors"
        )
    at = data.index(_BEFORE_SUM, 0, size) + len(_BEFORE_SUM)
    view = memoryview(data)
    checksum = hashlib.sha256(view).hexdigest().encode()
    with _durable(who, Path(path).expanduser()) as file:
        file.writelines((view[:at], checksum, view[at + len(checksum) :]))


def read_checkpoint(who: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint that `write_checkpoint` wrote, and verify its checksum.

    Args:
        who: begins the error message.
        path: the file.

    Returns:
        The checkpoint; tensors are on the CPU.

    Raises:
        DataError: the file cannot be read, is damaged, is not a checkpoint of this package or is
            one of a newer format.
    """
    with open_file(who, path) as file:
        header = _verified(who, path, file)
        file.seek(0)
        try:
            tensors = safetensors.torch.load(file.read())
        except (MemoryError, OSError) as error:
            raise _damaged(who, path, f"a file that cannot be loaded ({error})") from error
        except Exception as error:  # whatever safetensors raises at a file made to mislead it
            raise _damaged(who, path, f"tensors that do not match it ({error!r:.200})") from error
    checkpoint = decode(f"{who}: {path}", tensors, header.content)
    if not isinstance(checkpoint, dict):
        raise _damaged(who, path, f"a {type(checkpoint).__name__} instead of a dict")
    return checkpoint


def verify_checkpoint(who: str, path: str | os.PathLike[str]) -> Header:
    """Verify the checksum of a checkpoint without loading its tensors.

    Args:
        who: begins the error message.
        path: the file.

    Raises:
        DataError: as `read_checkpoint`.
    """
    with open_file(who, path) as file:
        return _verified(who, path, file)


def _verified(who: str, path: str | os.PathLike[str], file: BinaryIO) -> Header:
    try:
        header = _header(who, path, file)
        file.seek(0)
        whole = hashlib.sha256()
        left = header.sum_at
        while left and (block := file.read(min(left, _BLOCK))):
            whole.update(block)
            left -= len(block)
        file.seek(len(_BLANK), os.SEEK_CUR)
        whole.update(_BLANK.encode())
        while block := file.read(_BLOCK):
            whole.update(block)
    except OSError as error:
        raise _damaged(who, path, f"a file that cannot be read ({error})") from error
    if whole.hexdigest() != header.checksum:
        raise _damaged(who, path, "one with another checksum than its own")
    return header


def _header(who: str, path: str | os.PathLike[str], file: BinaryIO) -> Header:
    total = os.fstat(file.fileno()).st_size
    start = file.read(8)
    size = int.from_bytes(start, "little")
    if len(start) < 8 or size > min(total - 8, _MOST_HEADER):
        if start.startswith(_PICKLES):
            raise DataError(
                f"{who}: {path} must be a checkpoint of l2l_rnn, got a file of torch.save or "
                "pickle, which is not loaded because it can run code; save it with SafeCheckpointIO"
            )
        raise _damaged(who, path, f"{total} bytes that are another file or a part of one")
    text = file.read(size)
    try:
        found = parse_json(text.decode("utf-8"))
        metadata = found["__metadata__"]
        is_ours = metadata["format"] == FORMAT
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(who, path, f"another head ({error!r:.200})") from error
    if not is_ours:
        raise _damaged(who, path, f"the format {metadata['format']!r:.40}")
    writer, version = metadata.get("l2l_rnn"), metadata.get("format_version")
    if version != str(FORMAT_VERSION):
        if isinstance(version, str) and version.isdecimal() and len(version) < 10:
            raise NewerFormatError(
                f"{who}: {path} must have the checkpoint format {FORMAT_VERSION}, which l2l_rnn "
                f"{__version__} reads, got a newer version's checkpoint of format {version}, "
                f"written by l2l_rnn {writer!s:.40}; install that version"
            )
        raise _damaged(who, path, f"the format version {version!r:.40}")
    checksum, content = metadata.get("sha256"), metadata.get("content")
    at = text.find(_BEFORE_SUM) + len(_BEFORE_SUM)
    if (
        not isinstance(checksum, str)
        or text[at : at + len(_BLANK)] != checksum.encode("utf-8", "replace")
        or len(checksum) != len(_BLANK)
    ):
        raise _damaged(who, path, "no checksum")
    try:
        parsed = parse_json(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(who, path, f"content that is not JSON ({error!r:.200})") from error
    return Header(8 + size, 8 + at, checksum, parsed)


def _damaged(who: str, path: str | os.PathLike[str], got: str) -> DataError:
    return DataError(
        f"{who}: {path} must be a complete checkpoint of l2l_rnn, got {got}; use an earlier one"
    )


@contextmanager
def _durable(who: str, path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` after its content is on the disk."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
            sync_folder(path.parent)
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(who, path, error) from error


def sync_folder(folder: Path) -> None:
    """Write the names of a folder's files to the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system without it
                raise
        finally:
            os.close(descriptor)


def unwritable(who: str, path: str | os.PathLike[str], error: OSError) -> CheckpointError:
    """Return the error of a file that cannot be written, with its cause."""
    found = CheckpointError(
        f"{who}: {path} must be in a folder that can be written to, got "
        f"{error.strerror or error}; training is unchanged and so are earlier checkpoints: free "
        "space or pass another folder"
    )
    found.errno = error.errno
    return found
