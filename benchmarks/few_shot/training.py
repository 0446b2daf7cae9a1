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
from torch import Tensor, nn

from benchmarks.few_shot.progress import TrainingBar
from benchmarks.few_shot.spec import Training


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
    optimizer = torch.optim.Adam(module.parameters(), training.lr)
    history = History()
    best_state = copy.deepcopy(module.state_dict())
    recent: deque[tuple[float, float]] = deque(maxlen=50)
    start = time.perf_counter()
    bar = TrainingBar(label, training, tasks_per_step)

    def record() -> None:
        """Validate, save the parameters if they are the best, and add a point to the history."""
        nonlocal best_state
        validation = validate()
        sign = -1 if lower_is_better else 1
        finite = math.isfinite(validation)
        if finite and (history.best is None or sign * validation >= sign * history.best):
            history.best = validation
            best_state = copy.deepcopy(module.state_dict())
        means = [sum(values) / len(recent) for values in zip(*recent, strict=True)]
        loss, score = [m if math.isfinite(m) else None for m in means] or [None, None]
        history.points.append(
            {
                "step": history.steps,
                "seconds": time.perf_counter() - start,
                "loss": loss,
                "score": score,
                "validation": validation if finite else None,
            }
        )
        shown = {"loss": loss, "score": score, "val": validation}
        bar.set_postfix(
            {name: f"{value:.3f}" for name, value in shown.items() if value is not None}
        )

    with bar:
        record()
        for step in range(training.steps):
            progress = step / training.steps
            elapsed = (time.perf_counter() - start) / (60 * training.minutes)
            if elapsed > progress + 0.1:  # too slow to finish, so base the learning rate on time
                history.paced_by_clock, progress = True, elapsed
            history.ended_early = elapsed >= 1
            if history.ended_early:
                break
            for group in optimizer.param_groups:
                group["lr"] = training.lr * (1 + math.cos(math.pi * progress)) / 2
            loss, score = loss_of_step(step, progress)
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(module.parameters(), training.clip)
            if norm.isfinite():
                optimizer.step()
            else:
                history.skipped += 1
            recent.append((loss.item(), score.item()))
            history.steps = step + 1
            bar.update(tasks_per_step)
            if (step + 1) % training.validate_every == 0:
                record()
        if history.points[-1]["step"] < history.steps:
            record()
    module.load_state_dict(best_state)
    history.seconds = time.perf_counter() - start
    return history
