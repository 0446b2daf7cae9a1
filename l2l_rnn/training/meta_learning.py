"""Meta-learning of any learner in a Lightning Trainer."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms import MAMLPlusPlus
from l2l_rnn.algorithms.saving import usable
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import AdaptationError, ArgumentError
from l2l_rnn.optional import require
from l2l_rnn.training.distributed import check_world_size, sum_over_ranks
from l2l_rnn.training.learning.gradients import MetaGradients, Slices, loss_with_gradients
from l2l_rnn.training.learning.non_finite import (
    blamed_tasks,
    copied_buffers,
    non_finite_suppressed,
    restore_buffers,
)
from l2l_rnn.training.learning.objective import as_batch, query_losses
from l2l_rnn.training.learning.saved_settings import SavedSettings
from l2l_rnn.training.learning.settings import (
    MakeOptimizer,
    MakeScheduler,
    check_settings,
    check_trainer,
    made_optimizer,
    made_scheduler,
)
from l2l_rnn.training.per_task import Loss, PerTask

lightning: Any = require(
    "pytorch_lightning", extra="training", purpose="l2l_rnn.training.MetaLearning"
)


class MetaLearning(SavedSettings, lightning.LightningModule):
    """Meta-learning of any learner, for a Lightning `Trainer`.

    `min over theta of 1/N sum_i L_i(adapted(theta, support set of i), query set of i)`

    Every step adapts the learner to N tasks with `adapted`, and takes an optimizer step on the mean
    loss of their query sets. `Reptile` has its `distance()` in place of the loss, and
    `MAMLPlusPlus` the weighted losses after all of its steps. Everything else is Lightning's:
    checkpoints, early stopping, time limits, clipping, precision, loggers and several devices.

    It logs `train_loss` and `train_score` at each step, and `val_loss`, `val_score`, `test_loss`
    and `test_score`: means over tasks, and over all processes. Override `batch_loss` for another
    objective.

    The gradient is exact. It does not depend on `tasks_per_slice`, nor on the number of processes,
    except for rounding. If a loss or gradient is not finite, the weights stay unchanged, and an
    error names the task.

    Args:
        learner: any learner that `adapted` takes.
        loss: loss of outputs and targets, `(N,)`, or a scalar for one task as torch's losses; None
            uses the cross-entropy for integer targets and the mean squared error for others.
        score: score of outputs and targets, likewise; None uses the accuracy for integer targets
            and the mean squared error for others.
        steps: gradient steps or writes in training; None uses the learner's own number.
        test_steps: the same in validation and test; None uses `steps`.
        optimizer: an optimizer, or a function that makes one from parameters, such as
            `functools.partial(torch.optim.Adam, lr=1e-3)`, which None stands for.
        scheduler: `"cosine"` for a cosine from the learning rate to 0 over the whole training; a
            function that makes a scheduler from the optimizer, with a step after each optimizer
            step; or None.
        first_order: whether to leave out second derivatives; None uses the learner's own choice.
        annealing_steps: optimizer steps over which `MAMLPlusPlus` shifts its weights to the last
            step; None uses the whole training, and 0 weights the last step alone from the start.
        tasks_per_slice: tasks to compute at a time, to bound the memory; None computes all at once.
            `"auto"` halves the slices each time memory runs out.
        skip_nonfinite: whether to skip a step with a loss or gradient that is not finite, with a
            warning, instead of raising an error. `skipped_steps` is logged.

    Attributes:
        learner: the meta-learner.
        skipped_steps: number of skipped steps.

    Raises:
        ArgumentError, ArgumentTypeError: settings are invalid or contradict each other; the message
            names all of them.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> from l2l_rnn.models import SequenceClassifier
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> from l2l_rnn.training.task_data import TaskData
        >>> tasksets = get_tasksets("languages", train_samples=6)
        >>> model = SequenceClassifier(5, vocab_size=tasksets.vocab_size, hidden_size=8)
        >>> training = MetaLearning(MAML(model, lr=0.1), steps=1)
        >>> data = TaskData(tasksets, tasks=4, shots=1)
        >>> quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False)
        >>> trainer = lightning.Trainer(
        ...     max_steps=2, limit_val_batches=0, enable_checkpointing=False, **quiet
        ... )
        >>> trainer.fit(training, data)
        >>> sorted(trainer.callback_metrics)
        ['train_loss', 'train_score']
    """

    def __init__(
        self,
        learner: nn.Module,
        *,
        loss: Loss | None = None,
        score: Loss | None = None,
        steps: int | None = None,
        test_steps: int | None = None,
        optimizer: torch.optim.Optimizer | MakeOptimizer | None = None,
        scheduler: str | MakeScheduler | None = None,
        first_order: bool | None = None,
        annealing_steps: int | None = None,
        tasks_per_slice: int | str | None = None,
        skip_nonfinite: bool = False,
    ) -> None:
        super().__init__()
        check_settings(
            learner,
            {
                "loss": loss,
                "score": score,
                "steps": steps,
                "test_steps": test_steps,
                "optimizer": optimizer,
                "scheduler": scheduler,
                "first_order": first_order,
                "annealing_steps": annealing_steps,
                "tasks_per_slice": tasks_per_slice,
                "skip_nonfinite": skip_nonfinite,
            },
        )
        self.learner = learner
        self.loss, self.score = loss, score
        self._loss = None if loss is None else PerTask(loss, "MetaLearning", "loss")
        self._score = None if score is None else PerTask(score, "MetaLearning", "score")
        self.steps = steps
        self.test_steps = steps if test_steps is None else test_steps
        self.optimizer, self.scheduler = optimizer, scheduler
        self.first_order, self.annealing_steps = first_order, annealing_steps
        self.slices, self.skip_nonfinite = Slices(tasks_per_slice), skip_nonfinite
        self.skipped_steps = 0
        self._usable = 0  # batches since the last optimizer step that gave a gradient
        self._total_steps: float | None = None

    def batch_loss(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """Compute the loss and the score of each task; override it for another objective.

        `self.training` tells training from validation and test, where gradients of the losses are
        not wanted, but are enabled for the adaptation.

        Args:
            batch: N tasks, which may be a slice of the batch that the loader returned.

        Returns:
            losses and scores, `(N,)` each.
        """
        training = self.training
        weights = None
        if training and isinstance(self.learner, MAMLPlusPlus):
            weights = self.learner.step_weights(self.progress)
        return query_losses(
            self.learner,
            batch,
            loss=self._loss,
            score=self._score,
            steps=self.steps if training else self.test_steps,
            first_order=self.first_order,
            step_weights=weights,
            training=training,
        )

    def training_step(self, batch: TaskBatch, batch_idx: int) -> Tensor:
        """Compute the mean loss of a batch, whose `backward()` gives the gradient."""
        batch = as_batch(batch)
        parameters = [p for p in self.parameters() if p.requires_grad]
        buffers = copied_buffers(self)
        found = None
        with non_finite_suppressed():  # the error is raised again, for its task
            found = self.slices.run(batch, self.batch_loss, parameters)
        total = self._totals(found)
        if found is None or total[3]:
            try:
                self._refuse(batch, parameters, "train")
            finally:
                restore_buffers(buffers)
            self.skipped_steps += 1
            self._log({"skipped_steps": float(self.skipped_steps)}, len(batch))
            unused: list[Tensor | None] = [None for _ in parameters]
            return loss_with_gradients(torch.zeros((), device=self.device), unused, parameters)
        self._usable += 1
        tasks, loss, score = total[0], total[1] / total[0], total[2] / total[0]
        # Lightning's ddp averages gradients over processes; the sum over all tasks is wanted.
        scale = self._processes() / tasks
        gradients = [None if g is None else g * scale for g in found.gradients]
        self._log({"train_loss": loss, "train_score": score}, int(tasks))
        return loss_with_gradients(found.losses.new_tensor(loss), gradients, parameters)

    def validation_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """Adapt to the tasks of a batch, and log `val_loss` and `val_score`."""
        self._evaluate("val", batch)

    def test_step(self, batch: TaskBatch, batch_idx: int) -> None:
        """Adapt to the tasks of a batch, and log `test_loss` and `test_score`."""
        self._evaluate("test", batch)

    def configure_optimizers(self) -> Any:
        """Make the optimizer and the scheduler; Lightning calls it."""
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = made_optimizer(self.optimizer, trained)
        if self.scheduler is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        return {
            "optimizer": optimizer,
            "lr_scheduler": made_scheduler(self.scheduler, optimizer, steps),
        }

    def setup(self, stage: str) -> None:
        """Check the Trainer's options; Lightning calls it."""
        check_world_size(self.trainer)
        check_trainer(self.trainer)
        self._total_steps = None

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Leave the weights unchanged if no batch gave a gradient; Lightning calls it."""
        if not self._usable:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None
        self._usable = 0

    @property
    def progress(self) -> float:
        """The completed fraction of the annealing of `MAMLPlusPlus`, from 0 to 1."""
        if self.annealing_steps == 0:
            return 1.0
        if self._trainer is None:
            return 0.0
        total = self.annealing_steps
        if total is None:
            if self._total_steps is None:
                self._total_steps = self.trainer.estimated_stepping_batches
            if not math.isfinite(self._total_steps):
                raise ArgumentError(
                    "MetaLearning: annealing_steps must be given if the training has no number of "
                    "steps, got None; set it, or Trainer(max_steps=...)"
                )
            total = int(self._total_steps)
        return min(1.0, self.trainer.global_step / total)

    def _evaluate(self, prefix: str, batch: TaskBatch) -> None:
        # Lightning disables gradients here, by default with inference_mode.
        with torch.inference_mode(False), torch.enable_grad():
            batch = as_batch(batch)._map(usable)
            found = None
            with non_finite_suppressed():
                found = self.slices.run(batch, self.batch_loss)
            finite = found is not None and bool(found.losses.isfinite().all())
            total = self._totals(found if finite else None)
            if total[3]:
                bad = self._refuse(batch, (), prefix)
                good = [n for n in range(len(batch)) if n not in bad]
                kept = batch._map(lambda part: part[good])
                total = self._totals(self.slices.run(kept, self.batch_loss) if good else None)
        if total[0]:
            values = {"loss": total[1] / total[0], "score": total[2] / total[0]}
            # Values are the same on all processes. Lightning's own mean over them rounds counts.
            options = {"on_epoch": True, "sync_dist": self._processes() > 1}
            self._log({f"{prefix}_{n}": v for n, v in values.items()}, int(total[0]), **options)

    def _totals(self, found: MetaGradients | None) -> list[float]:
        """Return tasks, losses, scores and failures, summed over all processes."""
        values = [0.0, 0.0, 0.0, 1.0]
        if found is not None:
            loss, score, finite = found.sums()
            if finite:
                values = [float(len(found.losses)), loss, score, 0.0]
        return sum_over_ranks(values, self.device)

    def _refuse(self, batch: TaskBatch, parameters: Sequence[Tensor], prefix: str) -> list[int]:
        """Raise an error that names the tasks that are not finite, or warn and return them."""
        data: Any = getattr(self._trainer, "datamodule", None)
        name = f"task {{}} of a {prefix} batch".format
        if hasattr(data, "task_name") and prefix == "train":
            name = data.task_name
        what, bad = blamed_tasks(batch, self.batch_loss, parameters, name)
        if not self.skip_nonfinite:
            raise AdaptationError(
                "MetaLearning: loss and gradient of every task must be finite, got "
                f"{what}; the weights are unchanged; check the data, lower the learning rates, or "
                "set skip_nonfinite=True"
            )
        warnings.warn(f"MetaLearning: skipped, because it is not finite: {what}", stacklevel=2)
        return bad

    def _processes(self) -> int:
        return 1 if self._trainer is None else int(self.trainer.world_size)

    def _log(self, values: dict[str, Any], tasks: int, **options: Any) -> None:
        if self._trainer is not None:
            self.log_dict(values, batch_size=tasks, prog_bar=True, **options)
