"""Training loop of all methods: Adam with a cosine schedule, keeping the best parameters."""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.few_shot.progress import TrainingBar
from benchmarks.few_shot.spec import Training
from benchmarks.loop import StepTraining, fit


@dataclass
class History:
    """History of a training.

    Attributes:
        points: step, seconds, training loss and score, and validation score at each validation; the
            first validation is before any step.
        steps: number of steps.
        seconds: wall time, including validation.
        pretraining_seconds: wall time of the pre-training.
        pretraining_ended_early: whether the pre-training stopped at its time limit.
        paced_by_clock: whether the machine was so slow that the learning rate followed the time
            instead of the steps. The seed does not determine the result in this case.
        skipped: steps without an update because the gradient was not finite.
        ended_early: whether training stopped at its time limit.
        best: the best validation score; its parameters were kept.
        others: histories of the other networks of the same method.
    """

    points: list[dict[str, float | None]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    pretraining_seconds: float = 0.0
    pretraining_ended_early: bool = False
    paced_by_clock: bool = False
    skipped: int = 0
    ended_early: bool = False
    best: float | None = None
    others: list[History] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def started_from(self, earlier: History) -> History:
        """Return this history with the given one as its pre-training."""
        return replace(
            self,
            pretraining_seconds=earlier.seconds,
            pretraining_ended_early=earlier.ended_early,
        )


def combined(histories: list[History]) -> History:
    """Merge the histories of several networks: the points of the first, the seconds of all."""
    first, *others = histories
    seconds = sum(history.seconds for history in histories)
    return replace(first, seconds=seconds, others=others)


def run_training(
    module: nn.Module,
    training: Training,
    loss_of_step: Callable[[int, float], tuple[Tensor, Tensor]],
    validate: Callable[[], float],
    *,
    label: str,
    tasks_per_step: int,
    lower_is_better: bool = False,
) -> History:
    """Train a module and load the parameters with the best validation score.

    Args:
        module: the module to train.
        training: training settings.
        loss_of_step: returns a scalar loss and a score, given the step and the progress (0 to 1).
        validate: computes the validation score.
        label: label of the progress bar.
        tasks_per_step: number of tasks per step, for the progress bar.
        lower_is_better: whether scores are errors.
    """
    steps = MethodTraining(module, training, loss_of_step)
    with TrainingBar(label, training, tasks_per_step) as bar:
        best = BestOnValidation(validate, lower_is_better, bar, tasks_per_step)
        fit(steps, training.steps, (best,))
    module.load_state_dict(best.state)
    steps.history.seconds = steps.seconds
    return steps.history


class MethodTraining(StepTraining):
    """Adam with a cosine schedule and clipped gradients; steps without a finite one are skipped.

    Args:
        module, training, loss_of_step: as in `run_training`.
    """

    def __init__(
        self,
        module: nn.Module,
        training: Training,
        loss_of_step: Callable[[int, float], tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__(module)
        self.settings, self.loss_of_step = training, loss_of_step
        self.history = History()
        self.recent: deque[tuple[float, float]] = deque(maxlen=50)
        self.progress = 0.0
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall time since the start."""
        return time.perf_counter() - self.start

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.Adam(self.module.parameters(), self.settings.lr)

    def on_train_batch_start(self, batch: int, batch_idx: int) -> int | None:
        self.progress = batch / self.settings.steps
        elapsed = self.seconds / (60 * self.settings.minutes)
        if elapsed > self.progress + 0.1:  # too slow to finish; base the learning rate on time
            self.history.paced_by_clock, self.progress = True, elapsed
        self.history.ended_early = elapsed >= 1
        return -1 if self.history.ended_early else None  # -1 ends the training

    def training_step(self, step: int) -> Tensor:
        for group in self.optimizers(use_pl_optimizer=False).param_groups:
            group["lr"] = self.settings.lr * (1 + math.cos(math.pi * self.progress)) / 2
        loss, score = self.loss_of_step(step, self.progress)
        self.recent.append((loss.item(), score.item()))
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip)
        if not norm.isfinite():
            optimizer.zero_grad()  # without gradients, the optimizer does nothing
            self.history.skipped += 1


class BestOnValidation(Callback):
    """Validates at regular steps, and keeps the parameters with the best score.

    Args:
        validate, lower_is_better, tasks_per_step: as in `run_training`.
        bar: the progress bar.

    Attributes:
        state: the state dict with the best score.
    """

    def __init__(
        self,
        validate: Callable[[], float],
        lower_is_better: bool,
        bar: TrainingBar,
        tasks_per_step: int,
    ) -> None:
        self.validate, self.sign = validate, -1 if lower_is_better else 1
        self.bar, self.tasks_per_step = bar, tasks_per_step

    def on_train_start(self, trainer: Trainer, module: MethodTraining) -> None:
        self._record(module)

    def on_train_batch_end(
        self, trainer: Trainer, module: MethodTraining, outputs: Any, batch: int, batch_idx: int
    ) -> None:
        module.history.steps = batch + 1
        self.bar.update(self.tasks_per_step)
        if (batch + 1) % module.settings.validate_every == 0:
            self._record(module)

    def on_train_end(self, trainer: Trainer, module: MethodTraining) -> None:
        if module.history.points[-1]["step"] < module.history.steps:
            self._record(module)

    def _record(self, module: MethodTraining) -> None:
        """Validate, keep the parameters if they are the best, and add a point to the history."""
        history, validation = module.history, self.validate()
        finite = math.isfinite(validation)
        better = history.best is None or self.sign * validation >= self.sign * history.best
        if not history.points or (finite and better):
            self.state = copy.deepcopy(module.module.state_dict())
        if finite and better:
            history.best = validation
        means = [sum(values) / len(module.recent) for values in zip(*module.recent, strict=True)]
        loss, score = [m if math.isfinite(m) else None for m in means] or [None, None]
        history.points.append(
            {
                "step": history.steps,
                "seconds": module.seconds,
                "loss": loss,
                "score": score,
                "validation": validation if finite else None,
            }
        )
        shown = {"loss": loss, "score": score, "val": validation}
        self.bar.set_postfix({name: f"{v:.3f}" for name, v in shown.items() if v is not None})
