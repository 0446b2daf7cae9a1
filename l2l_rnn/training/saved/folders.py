"""Folders that are written as a whole, and replaced only by one of the same kind."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
FILES = (WEIGHTS, CONFIG, CARD)
"""The files of a saved learner."""

_TRIES = 10  # if another process replaces the folder at the same time


def as_path(who: str, folder: object) -> Path:
    """Return a folder as a path, without links and `~`.

    Raises:
        ArgumentTypeError: it is neither a str nor a path.
        ArgumentError: it cannot be the name of a folder.
    """
    if not isinstance(folder, (str, os.PathLike)) or not isinstance(os.fspath(folder), str):
        raise ArgumentTypeError(
            f"{who}: folder must be a str or a path, got {type(folder).__name__}; pass one"
        )
    try:
        return Path(folder).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ArgumentError(
            f"{who}: folder must be the path of a folder, got {str(folder)!r:.80} ({error}); "
            "correct it"
        ) from error


def check_replaceable(who: str, folder: Path) -> None:
    """Check that a folder does not exist, is empty, or holds a saved learner and nothing else.

    Raises:
        ArgumentError: it holds something else, or is a file.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ArgumentError(
            f"{who}: folder must be a folder, got the file {folder}; choose another name"
        )
    held = sorted(path.name for path in folder.iterdir())
    others = [name for name in held if name not in FILES]
    if others or (held and (CONFIG not in held or WEIGHTS not in held)):
        named = ", ".join((others or held)[:5])
        raise ArgumentError(
            f"{who}: folder must be new, empty, or a saved learner, got {folder} with {named}; "
            "choose another folder, or remove it"
        )


@contextmanager
def replacing_folder(who: str, folder: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `folder` when the block ends without an error.

    Missing parent folders are created. After an error, `folder` is unchanged and the new one is
    removed.

    Args:
        who: begins the error message.
        folder: the folder to write.

    Raises:
        ArgumentError: `folder` holds something else than a saved learner.
        DataError: the folder cannot be written to, or the disk is full.
    """
    check_replaceable(who, folder)
    beside = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        yield beside
        for path in (*beside.iterdir(), beside):
            _flush(path)
        _move(who, beside, folder)
    except OSError as error:
        raise DataError(
            f"{who}: folder must be writable, got {folder} ({error}); nothing was changed: free "
            "some space or choose another folder"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move(who: str, new: Path, folder: Path) -> None:
    """Move a folder to the place of another one, which is removed."""
    for attempt in range(_TRIES):
        old = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
        try:
            check_replaceable(who, folder)
            folder.rename(old)
        except FileNotFoundError:
            old = None  # type: ignore[assignment]
        try:
            new.rename(folder)
        except OSError:  # another process was faster
            if old is not None and not folder.exists():
                old.rename(folder)
            if attempt == _TRIES - 1:
                raise
            continue
        finally:
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)
        _flush(folder.parent)
        return


def _flush(path: Path) -> None:
    """Make the content of a file or folder survive a power failure."""
    if os.name != "nt":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
