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
    generator = Generator().manual_seed(settings.seed)
    model = build(settings, task.family)
    averaged = None
    if settings.ema_decay:
        averaged = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay**_AVERAGED_EVERY)
        )
    evaluated = model if averaged is None else averaged.module
    optimizer = torch.optim.Adam(
        model.parameters(), settings.lr, (0.9, settings.beta2), settings.epsilon, foreach=True
    )
    parts = [model, optimizer] if averaged is None else [model, optimizer, averaged]
    best = BestWeights(settings.restore_above, settings.batch, *parts)

    def lr_factor(step: int) -> float:
        progress = min(1, step / settings.steps)
        return best.lr_factor * half_cosine(settings.final_lr_ratio, progress)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lr_factor)
    result |= {
        "network": NETWORKS[settings.memory].description,
        "parameters": parameter_count(model),
        "converged_below": task.converged_below,
        "ended": "interrupted",
        "points": [],
    }
    monitor, clipped, taken, seen = LossMonitor(task.converged_below, settings.batch), 0, 0, 0
    level = task.first_level if settings.curriculum else task.last_level
    recent_norm = math.inf  # norm of the gradient, smoothed over recent steps
    start = time.perf_counter()

    def record(measures: dict[str, Any]) -> None:
        result["seconds"] = round(time.perf_counter() - start, 1)
        result["sequences"] = seen
        result["converged_at"], result["max_climb"] = monitor.converged_at, monitor.climb
        result["restored"] = best.restored
        point = {
            "sequences": seen,
            "seconds": result["seconds"],
            "loss": monitor.smoothed,
            "best_loss": monitor.best,
            "max_climb": monitor.climb,
            "clipped": clipped / max(1, taken),
            "level": level,
            **measures,
        }
        result["points"].append(point)
        on_point(point)

    try:
        for step in range(1, settings.steps + 1):
            batch = task.at_level(level).sequences(settings.batch, generator)
            outputs, _ = model(batch.inputs)
            loss = binary_cross_entropy_with_logits(outputs[batch.mask], batch.targets[batch.mask])
            nats = loss.item()
            if not nats < settings.skip_below:  # also true if nats is NaN
                optimizer.zero_grad()
                loss.backward()
                limit = min(settings.clip, settings.relative_clip * recent_norm)
                norm = clip_grad_norm_(model.parameters(), limit)
                check_finite(settings.memory, seen, model, loss, norm)
                length = min(norm.item(), limit)
                recent_norm = (
                    length if recent_norm == math.inf else 0.98 * recent_norm + 0.02 * length
                )
                clipped += bool(norm > limit)
                optimizer.step()
                taken += 1
            if averaged is not None and step % _AVERAGED_EVERY == 1:
                averaged.update_parameters(model)
            seen = step * settings.batch
            monitor.add(nats, seen)
            best.update(monitor)
            schedule.step()
            advances = settings.curriculum and monitor.smoothed < settings.advance_below
            if advances and level < task.last_level:
                level += 1
                monitor.restart()
            if step < settings.steps and time.perf_counter() - start > 60 * settings.minutes:
                result["ended"] = "out of time"
                break
            if seen % every < settings.batch and step < settings.steps:
                count = min(_INTERIM_SEQUENCES, settings.evaluation_sequences)
                record(evaluate(evaluated, task, count, _INTERIM_SEED))
                clipped = taken = 0
        else:
            result["ended"] = "done"
    except KeyboardInterrupt:
        result["ended"] = "interrupted"
    except Diverged as error:
        result["ended"], result["diverged"] = "diverged", str(error)
    measures = evaluate(evaluated, task, settings.evaluation_sequences, _FINAL_SEED)
    record(measures)
    result |= measures
    result["optimum"] = optimum(task, settings.evaluation_sequences, _FINAL_SEED)
    goals = {name: one.goal for name, one in task.evaluations.items() if one.goal is not None}
    if goals:
        result["goals"] = goals
        result["reached"] = all(
            measures["wrong_bits"][name] <= goal for name, goal in goals.items()
        )
    return evaluated
