"""The folder of a training run: its settings, its lock, and what a resumed run may change."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.files import read_json, write_json

SETTINGS, LOCK, CHECKPOINTS = "settings.json", ".lock", "checkpoints"
# A resumed run may have other values of these.
FREE = ("minutes", "device", "root", "out", "resume", "json", "debug", "test_tasks")
_FORMAT = 1


@contextmanager
def locked(out: str) -> Iterator[Path]:
    """Create and lock a folder, and yield its path; remove it again if it stays empty.

    Raises:
        ArgumentError: another process uses the folder.
        DataError: it cannot be created.
    """
    folder = Path(out).expanduser()
    is_new = not folder.exists()
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ArgumentError(
            f"--out {out} is in use by another run; wait for it, or choose another folder"
        ) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError(f"--out {out} cannot be written to ({why}); choose another") from error
    try:
        yield folder
    finally:
        lock.release()
        if is_new and os.listdir(folder) == [LOCK]:  # it failed before it began
            (folder / LOCK).unlink()
            folder.rmdir()


def check_new(folder: Path) -> None:
    """Check that a folder is empty.

    Raises:
        ArgumentError: it is not.
    """
    found = sorted(name for name in os.listdir(folder) if name != LOCK)
    if (folder / SETTINGS).exists():
        raise ArgumentError(
            f"--out {folder} already holds a run; continue it with --resume, or choose another "
            "folder"
        )
    if found:
        raise ArgumentError(
            f"--out {folder} must be empty or new, got a folder with {', '.join(found[:5])}"
            f"{' …' if len(found) > 5 else ''}; choose another folder"
        )


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new run."""
    write_json(folder / SETTINGS, {"format": _FORMAT, "settings": settings}, indent=2)


def saved_settings(folder: Path) -> dict[str, Any]:
    """Return the settings that a run began with.

    Raises:
        ArgumentError: the folder holds no run, or one of a newer version.
    """
    if not (folder / SETTINGS).is_file():
        raise ArgumentError(
            f"--resume needs a folder with a run, got {folder} without {SETTINGS}; start one "
            "without --resume"
        )
    content = read_json("fit", folder / SETTINGS)
    settings = content.get("settings")
    if content.get("format") != _FORMAT or not isinstance(settings, dict):
        raise ArgumentError(
            f"--resume needs settings of format {_FORMAT}, got {content.get('format')!r} in "
            f"{folder / SETTINGS}; use the version of l2l_rnn that wrote them"
        )
    return settings


def resumed(saved: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a resumed run: the saved ones, and those that may change.

    Args:
        saved: the settings that the run began with.
        given: the settings that are given now.

    Raises:
        ArgumentError: given settings differ from the saved ones; the message lists all.

    Example:
        >>> resumed({"lr": 0.1, "device": "cpu"}, {"lr": 0.1, "device": "cuda"})
        {'lr': 0.1, 'device': 'cuda'}
        >>> resumed({"lr": 0.1, "ways": 5}, {"lr": 0.2})
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: --resume needs the settings that the run began with; these \
differ (saved, given):
          lr: 0.1, 0.2
    """
    from l2l_rnn.configuration import differences  # imports torch

    fixed = {name: value for name, value in given.items() if name not in FREE}
    found = differences({name: saved.get(name) for name in fixed}, fixed)
    if found:
        raise ArgumentError(
            "\n  ".join(
                [
                    "--resume needs the settings that the run began with; these differ "
                    "(saved, given):",
                    *found,
                ]
            )
        )
    free = {name: value for name, value in given.items() if name in FREE}
    return {**saved, **free}
