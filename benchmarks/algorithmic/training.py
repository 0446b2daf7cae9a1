"""Training of a network on an algorithmic task."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.algorithmic.loss_monitor import BestWeights, LossMonitor
from benchmarks.algorithmic.networks import NETWORKS, build
from benchmarks.algorithmic.settings import Settings
from benchmarks.algorithmic.tasks import Task, evaluate, optimum
from benchmarks.loop import StepTraining, fit
from benchmarks.sizes import parameter_count

_AVERAGED_EVERY = 10  # steps between updates of the averaged weights
_INTERIM_SEQUENCES = 16  # sequences per length in an evaluation during training
_INTERIM_SEED, _FINAL_SEED = 1, 2  # random seeds of the evaluation sequences


class Diverged(RuntimeError):
    """A loss or a gradient is not finite."""


def check_finite(what: str, seen: int, model: nn.Module, loss: Tensor, norm: Tensor) -> None:
    """Check that the loss and the norm of the gradients are finite.

    Raises:
        Diverged: one is not finite; the message names the parameters.
    """
    if not loss.isfinite():
        raise Diverged(f"{what}: the loss is {loss.item()} after {seen} sequences")
    if not norm.isfinite():
        names = [
            name
            for name, parameter in model.named_parameters()
            if parameter.grad is not None and not parameter.grad.isfinite().all()
        ]
        raise Diverged(
            f"{what}: after {seen} sequences the gradients of {', '.join(names)} are not finite"
        )


def half_cosine(final: float, progress: float) -> float:
    """Return a factor that decays from 1 to `final` along half a cosine as progress goes to 1."""
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


class AlgorithmTraining(StepTraining):
    """Trains a network on random sequences of a task, and evaluates it at regular intervals.

    Args:
        task, settings, every, result, on_point: as in `train`.
    """

    automatic_optimization = False

    def __init__(
        self,
        task: Task,
        settings: Settings,
        every: int,
        result: dict[str, Any],
        on_point: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__(build(settings, task.family))
        self.task, self.settings, self.every = task, settings, every
        self.result, self.on_point = result, on_point
        self.generator = Generator().manual_seed(settings.seed)
        self.averaged = None
        if settings.ema_decay:
            decay = settings.ema_decay**_AVERAGED_EVERY
            self.averaged = AveragedModel(self.module, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.monitor = LossMonitor(task.converged_below, settings.batch)
        self.level = task.first_level if settings.curriculum else task.last_level
        self.clipped, self.taken, self.seen = 0, 0, 0
        self.recent_norm = math.inf  # norm of the gradient, smoothed over recent steps
        self.start = time.perf_counter()

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated: the averaged one, if weights are averaged."""
        return self.module if self.averaged is None else self.averaged.module

    def configure_optimizers(self) -> dict[str, Any]:
        settings = self.settings
        optimizer = torch.optim.Adam(
            self.module.parameters(),
            settings.lr,
            (0.9, settings.beta2),
            settings.epsilon,
            foreach=True,
        )
        parts = [self.module, optimizer]
        if self.averaged is not None:
            parts.append(self.averaged)
        self.best = BestWeights(settings.restore_above, settings.batch, *parts)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _lr_factor(self, step: int) -> float:
        progress = min(1, step / self.settings.steps)
        return self.best.lr_factor * half_cosine(self.settings.final_lr_ratio, progress)

    def training_step(self, batch: int) -> None:
        step, settings = batch + 1, self.settings
        sequences = self.task.at_level(self.level).sequences(settings.batch, self.generator)
        outputs, _ = self.module(sequences.inputs)
        mask = sequences.mask
        loss = binary_cross_entropy_with_logits(outputs[mask], sequences.targets[mask])
        nats = loss.item()
        if not nats < settings.skip_below:  # also true if nats is NaN
            self._update(loss)
        if self.averaged is not None and step % _AVERAGED_EVERY == 1:
            self.averaged.update_parameters(self.module)
        self.seen = step * settings.batch
        self.monitor.add(nats, self.seen)
        self.best.update(self.monitor)
        self.lr_schedulers().step()
        advances = settings.curriculum and self.monitor.smoothed < settings.advance_below
        if advances and self.level < self.task.last_level:
            self.level += 1
            self.monitor.restart()
        if step == settings.steps:
            self.result["ended"] = "done"
        elif time.perf_counter() - self.start > 60 * settings.minutes:
            self.result["ended"] = "out of time"
            self.trainer.should_stop = True
        elif self.seen % self.every < settings.batch:
            count = min(_INTERIM_SEQUENCES, settings.evaluation_sequences)
            self.record(evaluate(self.evaluated, self.task, count, _INTERIM_SEED))
            self.clipped = self.taken = 0

    def _update(self, loss: Tensor) -> None:
        """Take a step along the gradient, clipped to its recent norm."""
        settings, optimizer = self.settings, self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        self.manual_backward(loss)
        limit = min(settings.clip, settings.relative_clip * self.recent_norm)
        norm = clip_grad_norm_(self.module.parameters(), limit)
        check_finite(settings.memory, self.seen, self.module, loss, norm)
        length = min(norm.item(), limit)
        recent = self.recent_norm
        self.recent_norm = length if recent == math.inf else 0.98 * recent + 0.02 * length
        self.clipped += bool(norm > limit)
        optimizer.step()
        self.taken += 1

    def record(self, measures: dict[str, Any]) -> None:
        """Add an evaluation to the result."""
        result, monitor = self.result, self.monitor
        result["seconds"] = round(time.perf_counter() - self.start, 1)
        result["sequences"] = self.seen
        result["converged_at"], result["max_climb"] = monitor.converged_at, monitor.climb
        result["restored"] = self.best.restored
        point = {
            "sequences": self.seen,
            "seconds": result["seconds"],
            "loss": monitor.smoothed,
            "best_loss": monitor.best,
            "max_climb": monitor.climb,
            "clipped": self.clipped / max(1, self.taken),
            "level": self.level,
            **measures,
        }
        result["points"].append(point)
        self.on_point(point)


def train(
    task: Task,
    settings: Settings,
    every: int,
    result: dict[str, Any],
    on_point: Callable[[dict[str, Any]], None] = lambda point: None,
) -> nn.Module:
    """Train a network, record the training in `result`, and return the evaluated network.

    Ctrl-C, a loss or gradient that is not finite, and the time limit end training early. The
    network is evaluated in any case.

    Args:
        task: the task.
        settings: training settings.
        every: sequences between two evaluations.
        result: dict to update at the start and after each evaluation. `"ended"` is `"done"`,
            `"diverged"`, `"out of time"` or `"interrupted"`, which is also its value until training
            ends.
        on_point: called with the measures of each evaluation.
    """
    torch.manual_seed(settings.seed)
    training = AlgorithmTraining(task, settings, every, result, on_point)
    result |= {
        "network": NETWORKS[settings.memory].description,
        "parameters": parameter_count(training.module),
        "converged_below": task.converged_below,
        "ended": "interrupted",
        "points": [],
    }
    try:
        fit(training, settings.steps)
    except KeyboardInterrupt:
        result["ended"] = "interrupted"
    except Diverged as error:
        result["ended"], result["diverged"] = "diverged", str(error)
    measures = evaluate(training.evaluated, task, settings.evaluation_sequences, _FINAL_SEED)
    training.record(measures)
    result |= measures
    result["optimum"] = optimum(task, settings.evaluation_sequences, _FINAL_SEED)
    goals = {name: one.goal for name, one in task.evaluations.items() if one.goal is not None}
    if goals:
        result["goals"] = goals
        result["reached"] = all(
            measures["wrong_bits"][name] <= goal for name, goal in goals.items()
        )
    return training.evaluated
