"""Settings of a meta-learning, saved in checkpoints and compared when training is resumed."""

from __future__ import annotations

from typing import Any

from l2l_rnn.configuration import configuration_of
from l2l_rnn.errors import DataError
from l2l_rnn.training.checkpoints.settings import (
    ENTRY,
    add_settings,
    check_settings,
    saved_settings,
)
from l2l_rnn.training.learning.settings import named


class SavedSettings:
    """The settings of `MetaLearning`. Not for direct use."""

    learner: Any
    loss: Any
    score: Any
    optimizer: Any
    scheduler: Any
    steps: int | None
    test_steps: int | None
    first_order: bool | None
    annealing_steps: int | None
    skipped_steps: int
    slices: Any
    trainer: Any
    _trainer: Any

    def settings(self) -> dict[str, Any]:
        """Return the settings that determine the training, as JSON."""
        return {
            "learner": configuration_of(self.learner),
            "loss": named(self.loss),
            "score": named(self.score),
            "steps": self.steps,
            "test_steps": self.test_steps,
            "first_order": self.first_order,
            "annealing_steps": self.annealing_steps,
            "optimizer": named(self.optimizer),
            "scheduler": named(self.scheduler),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the settings to a checkpoint; Lightning calls it."""
        add_settings(checkpoint, self._all_settings())
        checkpoint[ENTRY]["skipped_steps"] = self.skipped_steps
        checkpoint[ENTRY]["tasks_per_slice"] = self.slices.size

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the settings with those of a checkpoint; Lightning calls it.

        Raises:
            ArgumentError: settings differ; the message lists all of them. Validation and test
                compare the learner alone.
            DataError: the entry is not one that `on_save_checkpoint` added.
        """
        saved, now = saved_settings(checkpoint), self._all_settings()
        if saved is not None and self._trainer is not None and self.trainer.state.fn == "fit":
            check_settings(saved, now, "fit")
        elif saved is not None and "learner" in saved:
            check_settings(
                {"learner": saved["learner"]}, {"learner": now["learner"]}, "MetaLearning"
            )
        held = checkpoint.get(ENTRY, {})
        if not isinstance(held, dict):
            held = {"skipped_steps": None}
        skipped, size = held.get("skipped_steps", 0), held.get("tasks_per_slice")
        if type(skipped) is not int or not (size is None or (type(size) is int and size > 0)):
            raise DataError(
                "MetaLearning: a checkpoint must have counts of skipped steps and tasks per slice, "
                f"got {skipped!r:.40} and {size!r:.40}; use another checkpoint"
            )
        self.skipped_steps = skipped
        if self.slices.automatic:
            self.slices.size = size

    def _all_settings(self) -> dict[str, Any]:
        """Return the settings, and those of a `TaskData`."""
        data: Any = getattr(self._trainer, "datamodule", None)
        held = {"data": data.settings()} if hasattr(data, "settings") else {}
        return {**self.settings(), **held}
