"""The folder of checkpoints of one training run: its files, its lock, and where to resume."""

from __future__ import annotations

import os
import secrets
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from l2l_rnn.errors import ArgumentError, CheckpointError, CheckpointWarning, DataError
from l2l_rnn.training.checkpoints.container import (
    NewerFormatError,
    sync_folder,
    unwritable,
    verify_checkpoint,
)
from l2l_rnn.training.checkpoints.decoding import decode
from l2l_rnn.training.checkpoints.settings import ENTRY, check_settings, saved_settings

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
_LOCK = ".lock"


def latest_good(
    folder: str | os.PathLike[str], settings: Mapping[str, Any] | None = None
) -> Path | None:
    """Return the newest undamaged checkpoint of a folder, to resume training from.

    This is `last.ckpt`, or `previous.ckpt` if that is damaged, or `best.ckpt` if both are.

    Args:
        folder: the folder that `Checkpoints` writes to.
        settings: the settings to resume with; compared with the saved ones by `check_settings`.
            None compares nothing.

    Returns:
        The path for `Trainer.fit(ckpt_path=…)`, or None if there is no checkpoint: training
        starts from the beginning.

    Raises:
        DataError: a checkpoint was written by a newer version of the package.
        ArgumentError: the settings differ from those of the checkpoint.

    Warns:
        CheckpointWarning: a newer checkpoint is skipped because it is damaged.

    Example:
        >>> latest_good("a folder that does not exist") is None
        True
    """
    folder = Path(folder).expanduser()
    good: list[tuple[bool, int, Path, Any]] = []
    damaged: list[tuple[Path, DataError]] = []
    for name in (BEST, PREVIOUS, LAST):
        path = folder / name
        if not path.is_symlink() and not path.exists():
            continue
        try:
            header = verify_checkpoint("latest_good", path)
            entry = decode(f"latest_good: {path}", {}, _own_entry(header.content))
        except NewerFormatError:
            raise
        except DataError as error:
            damaged.append((path, error))
        else:
            written = entry.get("written") if isinstance(entry, dict) else None
            good.append((name != BEST, written if type(written) is int else 0, path, entry))
    found = max(good, default=None, key=lambda item: item[:2])
    for path, reason in damaged:
        use = "training starts from the beginning" if found is None else f"{found[2].name} is used"
        warnings.warn(
            f"latest_good: {path} is skipped and {use}, because it is damaged ({reason})",
            CheckpointWarning,
            stacklevel=2,
        )
    if found is None:
        return None
    saved = saved_settings({ENTRY: found[3]})
    if settings is not None and saved is not None:
        check_settings(saved, settings)
    return found[2]


def _own_entry(content: Any) -> Any:
    return content.get(ENTRY) if isinstance(content, dict) else None


class RunFolder:
    """The folder of one training run, locked against a second one.

    The lock belongs to the process: it is free again when the process ends in whatever way.

    Args:
        folder: the folder; `lock` creates it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder).expanduser().absolute()
        self._lock: FileLock | None = None
        self._key: tuple[int, int] | None = None
        self._good: tuple[int, ...] | None = None
        self._kept: Path | None = None

    def lock(self, who: str) -> None:
        """Create and lock the folder, and remove what an interrupted write left in it.

        Args:
            who: begins the error message.

        Raises:
            ArgumentError: another training run uses the folder.
            CheckpointError: the folder cannot be written to.
        """
        if self._lock is not None:
            return
        lock = FileLock(self.path / _LOCK, timeout=0, thread_local=False)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ArgumentError(
                f"{who}: the folder must not be in use, got {self.path}, to which another "
                "training run writes; wait for it or pass another folder"
            ) from None
        except (OSError, NotImplementedError) as error:
            cause = error if isinstance(error, OSError) else OSError(str(error))
            raise unwritable(who, self.path, cause) from error
        self._lock, self._key, self._good = lock, self._present_key(), None
        for name in (LAST, PREVIOUS, BEST):
            for path in self.path.glob(f".{name}.{'[0-9a-f]' * 16}"):
                with suppress(OSError):
                    path.unlink()

    def unlock(self) -> None:
        """Let another training run use the folder."""
        if self._lock is not None:
            with suppress(OSError):
                self._lock.release()
            self._lock = None

    def clear(self, who: str, overwrite: bool) -> None:
        """Make room for a new training run; damaged checkpoints are renamed.

        Args:
            who: begins the error message.
            overwrite: remove the checkpoints of an earlier run.

        Raises:
            ArgumentError: there are checkpoints, and `overwrite` is False.
            CheckpointError: they cannot be removed.
        """
        found = [name for name in (LAST, PREVIOUS, BEST) if self._is_good(who, name)]
        if found and not overwrite:
            raise ArgumentError(
                f"{who}: the folder of a new training run must hold no checkpoints, got "
                f"{self.path} with {', '.join(found)}; resume with "
                "fit(ckpt_path=latest_good(folder)), pass another folder, or overwrite=True"
            )
        for name in found:
            try:
                (self.path / name).unlink()
            except OSError as error:
                raise unwritable(who, self.path / name, error) from error

    def check(self, who: str) -> None:
        """Check that the locked folder is still there.

        Raises:
            CheckpointError: the folder was removed or replaced.
        """
        if self._lock is not None and self._present_key() != self._key:
            raise CheckpointError(
                f"{who}: the folder must stay in place during training, got {self.path}, which "
                "was removed or replaced; training is unchanged: save it elsewhere with "
                "Trainer.save_checkpoint"
            )

    def _present_key(self) -> tuple[int, int] | None:
        try:
            found = (self.path / _LOCK).stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def keep_last(self, who: str) -> None:
        """Keep the content of `last.ckpt` under a temporary name before it is replaced.

        Raises:
            CheckpointError: the folder was removed or replaced, or cannot be written to.
        """
        self.check(who)
        last = self.path / LAST
        kept = self.path / f".{PREVIOUS}.{secrets.token_hex(8)}"
        try:
            if not last.exists():
                return
            # A damaged one must not replace the previous one.
            if self._good != _identity(last) and not self._is_good(who, LAST):
                return
            try:
                kept.hardlink_to(last)
            except OSError:  # a file system without links
                shutil.copyfile(last, kept)
        except OSError as error:
            raise unwritable(who, last, error) from error
        self._kept = kept

    def _is_good(self, who: str, name: str) -> bool:
        """Whether a checkpoint is there and undamaged; a damaged one is renamed."""
        path = self.path / name
        if not path.exists():
            return False
        try:
            verify_checkpoint(who, path)
        except NewerFormatError:
            return True
        except DataError:
            try:
                path.replace(path.with_name(f"damaged-{name}"))
            except OSError as error:
                raise unwritable(who, path, error) from error
            return False
        return True

    def rotate(self, who: str) -> None:
        """Make what `keep_last` kept the previous checkpoint, after `last.ckpt` was written.

        Raises:
            CheckpointError: the folder cannot be written to.
        """
        kept, self._kept = self._kept, None
        try:
            if kept is not None:
                kept.replace(self.path / PREVIOUS)
                sync_folder(self.path)
            self._good = _identity(self.path / LAST)
        except OSError as error:
            raise unwritable(who, self.path / PREVIOUS, error) from error

    def discard(self) -> None:
        """Undo `keep_last` after `last.ckpt` could not be written."""
        kept, self._kept = self._kept, None
        if kept is not None:
            with suppress(OSError):
                kept.unlink()


def _identity(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
