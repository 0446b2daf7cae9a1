"""Settings of a meta-learning, saved in checkpoints and compared when training is resumed."""

from __future__ import annotations

from typing import Any

from l2l_rnn.configuration import configuration_of
from l2l_rnn.training.learning_settings import named
from l2l_rnn.training.problems import check_same


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
        checkpoint["l2l_rnn"] = {
            "settings": self._all_settings(),
            "skipped_steps": self.skipped_steps,
            "tasks_per_slice": self.slices.size,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compare the settings with those of a checkpoint; Lightning calls it.

        Raises:
            ArgumentError: settings differ; the message lists all of them. Validation and test
                compare the learner alone.
        """
        saved = checkpoint.get("l2l_rnn", {})
        now = self._all_settings()
        if self._trainer is None or self.trainer.state.fn != "fit":
            now = {"learner": now["learner"]}
        check_same("MetaLearning", saved.get("settings", {}), now)
        self.skipped_steps = int(saved.get("skipped_steps", 0))
        if self.slices.automatic:
            self.slices.size = saved.get("tasks_per_slice")

    def _all_settings(self) -> dict[str, Any]:
        """Return the settings, and those of a `TaskData`."""
        data: Any = getattr(self._trainer, "datamodule", None)
        held = {"data": data.settings()} if hasattr(data, "settings") else {}
        return {**self.settings(), **held}
