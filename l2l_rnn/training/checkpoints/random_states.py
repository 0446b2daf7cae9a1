"""States of the random number generators in checkpoints."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import torch

from l2l_rnn.errors import CheckpointWarning, DataError
from l2l_rnn.optional import require

require("pytorch_lightning", extra="training", purpose="l2l_rnn.training.checkpoints")

import pytorch_lightning as pl  # noqa: E402  # require explains a failure


def random_states() -> dict[str, Any]:
    """Return the states of the global generators of Python, numpy and torch (CPU and CUDA).

    Example:
        >>> states = random_states()
        >>> first = torch.rand(3)
        >>> set_random_states(states)
        >>> torch.equal(first, torch.rand(3))
        True
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Set the states of the global generators to what `random_states` returned.

    Raises:
        DataError: the states are not those of generators.
    """
    before = random_states()
    try:
        random.setstate(states["python"])
        np.random.set_state(states["numpy"])
        torch.set_rng_state(states["torch"].cpu())
        if states["cuda"] and torch.cuda.is_available():
            count = torch.cuda.device_count()
            torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"][:count]])
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        RuntimeError,
        AttributeError,
    ) as error:
        if states is not before:
            set_random_states(before)
        raise DataError(
            f"set_random_states: states must be those of random_states(), got {error!r:.200}; use "
            "another checkpoint"
        ) from error


class RandomStates(pl.Callback):
    """Saves the states of the global random number generators, and resumes with them.

    Lightning does not. With them, a resumed training run draws the dropout masks, tasks and noise
    of an unbroken one. `Checkpoints` includes this callback. The generators of Python, numpy and
    torch are saved, on the CPU and all CUDA devices, for each process.

    States are restored before the training data loader makes its iterator, and once more before
    the first batch if the checkpoint is from the middle of an epoch: an unbroken run makes no new
    iterator there.
    """

    def __init__(self) -> None:
        self.trainer: pl.Trainer | None = None
        self._pending: list[dict[str, Any]] | None = None

    @property
    def state_key(self) -> str:
        """The name of the state in a checkpoint."""
        return "l2l_rnn.RandomStates"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forget what an earlier stage loaded."""
        self.trainer, self._pending = trainer, None

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all processes; all must call it."""
        own = random_states()
        trainer = self.trainer
        if trainer is None or trainer.world_size == 1:
            return {"ranks": [own]}
        return {"ranks": _gathered(trainer, own)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until training starts."""
        ranks = state_dict.get("ranks") if isinstance(state_dict, dict) else None
        if not isinstance(ranks, list) or not all(isinstance(rank, dict) for rank in ranks):
            raise DataError(
                "RandomStates: the state in a checkpoint must be that of state_dict(), got "
                f"{type(state_dict).__name__}; use another checkpoint"
            )
        self._pending = ranks

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the states before the data loader makes its iterator."""
        self._restore(trainer)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the states again in the middle of an epoch."""
        if trainer.fit_loop.restarted_mid_epoch:
            self._restore(trainer)
        self._pending = None

    def _restore(self, trainer: pl.Trainer) -> None:
        if self._pending is None:
            return
        if len(self._pending) == trainer.world_size:
            set_random_states(self._pending[trainer.global_rank])
            return
        warnings.warn(
            f"RandomStates: the random states of {len(self._pending)} processes are in the "
            f"checkpoint, got {trainer.world_size} processes, which keep their own; results differ "
            "from those of an unbroken run",
            CheckpointWarning,
            stacklevel=2,
        )
        self._pending = None


def _gathered(trainer: pl.Trainer, own: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(found, own)
    return found
