"""Lightning's checkpoints as safetensors and JSON."""

from __future__ import annotations

import os
from pathlib import Path
from types import FunctionType
from typing import Any

import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.optional import require
from l2l_rnn.training.checkpoints.container import (
    read_checkpoint,
    unwritable,
    write_checkpoint,
)

require("pytorch_lightning", extra="training", purpose="l2l_rnn.training.checkpoints")

from pytorch_lightning.plugins.io import CheckpointIO  # noqa: E402  # require explains a failure

_WHO = "SafeCheckpointIO"
_SCHEDULERS = "torch.optim.lr_scheduler"


class SafeCheckpointIO(CheckpointIO):
    """Saves Lightning's checkpoints as safetensors and JSON, and never unpickles one.

    `Trainer(plugins=[SafeCheckpointIO()])` uses it for all checkpoints: those of callbacks, of
    `Trainer.save_checkpoint` and of `Trainer.fit(ckpt_path=…)`. A checkpoint is one safetensors
    file; everything but the tensors is JSON in its metadata. It is written beside its target,
    flushed to the disk and moved into place, so that a crash leaves the earlier file. Its checksum
    is verified when it is loaded. A checkpoint of `torch.save` is refused. Lightning's
    `load_from_checkpoint` calls `torch.load` and cannot read these files: pass `ckpt_path`.

    Values are restored exactly, with their types: tensors of all dtypes, numpy arrays and
    scalars, bytes, tuples, sets, integers of any size, and floats including nan. Tensors that
    share their memory are stored once. Values of other types, such as functions or modules, raise
    an error that names their place, before anything is written. `nn.Parameter` is restored as a
    tensor, and every tensor is contiguous.

    Example:
        >>> import tempfile
        >>> import torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     SafeCheckpointIO().save_checkpoint({"w": torch.ones(2)}, f"{folder}/a.ckpt")
        ...     SafeCheckpointIO().load_checkpoint(f"{folder}/a.ckpt")
        {'w': tensor([1., 1.])}
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: object = None,
    ) -> None:
        """Save a checkpoint.

        Args:
            checkpoint: Lightning's dict.
            path: the file; missing folders are created.
            storage_options: must be None.

        Raises:
            ArgumentTypeError: an entry cannot be stored without pickle; nothing is written.
            CheckpointError: the file cannot be written, for example because the disk is full.
        """
        if storage_options is not None:
            raise ArgumentError(
                f"{_WHO}: storage_options must be None, got {storage_options!r}; remove it"
            )
        if "lr_schedulers" in checkpoint:
            schedulers = _without_functions(checkpoint["lr_schedulers"])
            checkpoint = {**checkpoint, "lr_schedulers": schedulers}
        write_checkpoint(_WHO, _local(path), checkpoint)

    def load_checkpoint(
        self,
        path: str | os.PathLike[str],
        map_location: object = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Load a checkpoint.

        Args:
            path: the file.
            map_location: the device of the tensors, a str or a `torch.device`. Everything else,
                such as Lightning's default, means the CPU.
            weights_only: has no effect: nothing is ever unpickled.

        Raises:
            DataError: the file cannot be read, is damaged, is not a checkpoint of this class, or
                is one of a newer version.
        """
        checkpoint = read_checkpoint(_WHO, _local(path))
        if isinstance(map_location, str | torch.device):
            device = torch.device(map_location)
            if device.type != "cpu":
                moved: dict[int, Any] = {}
                checkpoint = {key: _moved(item, device, moved) for key, item in checkpoint.items()}
        return checkpoint

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a checkpoint; without an error if it does not exist.

        Raises:
            CheckpointError: the file cannot be removed.
        """
        try:
            _local(path).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(_WHO, path, error) from error


def _local(path: str | os.PathLike[str]) -> Path:
    if "://" in str(path):
        raise ArgumentError(
            f"{_WHO}: path must be a file of this machine, got {path}; save it there and copy it"
        )
    return Path(path).expanduser()


def _without_functions(state: Any) -> Any:
    """Leave out torch's own functions, which its schedulers set again, as OneCycleLR does."""
    if type(state) is list:
        return [_without_functions(item) for item in state]
    if type(state) is not dict:
        return state
    return {
        key: _without_functions(item)
        for key, item in state.items()
        if not (isinstance(item, FunctionType) and item.__module__ == _SCHEDULERS)
    }


def _moved(value: Any, device: torch.device, moved: dict[int, Any]) -> Any:
    """Move all tensors to a device; one tensor stays one tensor."""
    if isinstance(value, torch.Tensor):
        if id(value) not in moved:
            moved[id(value)] = (value, value.to(device))
        return moved[id(value)][1]
    if type(value) in (list, tuple):
        return type(value)(_moved(item, device, moved) for item in value)
    if isinstance(value, dict):
        for key, item in value.items():
            value[key] = _moved(item, device, moved)
    return value
