"""The one training loop of the benchmarks: Adam, a falling rate, the best by validation."""

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
from tqdm import tqdm

from benchmarks.few_shot.spec import Training


@dataclass
class History:
    """What a training did.

    Attributes:
        points: at each validation, the first before any step: step, seconds, training loss and
            score, validation score.
        steps: updates made.
        seconds: wall time, validation included.
        pretraining_seconds: wall time of an earlier training that this one started from.
        paced_by_clock: whether the machine was so slow that the learning rate fell with the time
            and not with the steps; the seed then repeats the run no more.
        skipped: steps without an update, as the gradient was not finite.
        ended_early: whether the time ran out before the steps.
        best: the best validation score, whose parameters were kept.
        others: trainings of further networks that belong to the same method.
    """

    points: list[dict[str, float | None]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    pretraining_seconds: float = 0.0
    paced_by_clock: bool = False
    skipped: int = 0
    ended_early: bool = False
    best: float | None = None
    others: list[History] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def all_of(histories: list[History]) -> History:
    """Take the trainings of several networks as one: the first's course, and the others in it."""
    first, *others = histories
    seconds = sum(history.seconds for history in histories)
    return replace(first, seconds=seconds, others=others)


def train(
    module: nn.Module,
    training: Training,
    loss_of_step: Callable[[int, float], tuple[Tensor, Tensor]],
    validate: Callable[[], float],
    *,
    label: str,
    tasks_per_step: int,
    lower_is_better: bool = False,
) -> History:
    """Train a module and leave it with the parameters that were best on the validation tasks.

    Args:
        module: whose parameters are trained.
        training: how.
        loss_of_step: from the step and how much of the training is over, 0 to 1, to a scalar loss
            and a score, with gradients on.
        validate: computes the validation score.
        label: what the progress bar is called.
        tasks_per_step: how many tasks a step counts for in the bar's rate.
        lower_is_better: whether scores are errors.
    """
    optimizer = torch.optim.Adam(module.parameters(), training.lr)
    history = History()
    best_state = copy.deepcopy(module.state_dict())
    recent: deque[tuple[float, float]] = deque(maxlen=50)
    start = time.perf_counter()
    bar = tqdm(total=training.steps * tasks_per_step, desc=label, unit="task", dynamic_ncols=True)

    def look() -> None:
        """Validate, keep the parameters if they are the best, and note how far the training is."""
        nonlocal best_state
        validation = validate()
        sign = -1 if lower_is_better else 1
        known = math.isfinite(validation)
        if known and (history.best is None or sign * validation >= sign * history.best):
            history.best = validation
            best_state = copy.deepcopy(module.state_dict())
        means = [sum(values) / len(recent) for values in zip(*recent, strict=True)]
        mean = [m if math.isfinite(m) else None for m in means] or [None, None]
        history.points.append(
            {
                "step": history.steps,
                "seconds": time.perf_counter() - start,
                "loss": mean[0],
                "score": mean[1],
                "validation": validation if known else None,
            }
        )
        shown = {"loss": mean[0], "score": mean[1], "val": validation}
        bar.set_postfix(
            {name: f"{value:.3f}" for name, value in shown.items() if value is not None}
        )

    with bar:
        look()
        for step in range(training.steps):
            progress = step / training.steps
            late = (time.perf_counter() - start) / (60 * training.minutes)
            if late > progress + 0.1:  # too slow a machine: the time, not the seed, decides
                history.paced_by_clock, progress = True, late
            history.ended_early = late >= 1
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
                look()
        if history.points[-1]["step"] < history.steps:
            look()
    module.load_state_dict(best_state)
    history.seconds = time.perf_counter() - start
    return history
