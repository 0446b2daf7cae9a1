"""One training on a task of bits: it says how it goes, and what it was when it ended."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.algorithmic.learners import LEARNERS, build, parameter_count
from benchmarks.algorithmic.settings import Settings
from benchmarks.algorithmic.tasks import Task, judge, optimum

_SMOOTHED_OVER = 1000  # sequences of the smoothed loss, an exponential average
_AVERAGED_EVERY = 10  # steps
_WORSE = 1.3  # times the loss at a rewind, and there is another, though it is soon
_NEAR, _KEPT_EVERY = 1.2, 50  # what a rewind goes back to: times the best loss, and steps
_ON_THE_WAY, _AT_THE_END = 1, 2  # seeds of the sequences that networks are judged on


class Diverged(RuntimeError):
    """Tells that a loss or a gradient is not finite any more."""


class LossCourse:
    """How the loss of a training goes, and whether what was reached lasts.

    Args:
        threshold: the smoothed loss under which the training has converged.
        batch: sequences of a step.

    Attributes:
        smoothed: the loss, averaged over about the last 1,000 sequences.
        best: the least of that, once there were as many.
        converged_at: how many sequences were seen when it was below the threshold first, or None.
        climb: how many times its best the smoothed loss has been since then, at the most, or None.
    """

    def __init__(self, threshold: float, batch: int) -> None:
        self.threshold = threshold
        self.kept = 1 - min(1.0, batch / _SMOOTHED_OVER)
        self.restart()

    def restart(self) -> None:
        """Forget all: the sequences are others from now on."""
        self.smoothed = self.best = math.nan
        self.converged_at: int | None = None
        self.climb: float | None = None
        self._steps = 0

    def add(self, nats: float, seen: int) -> None:
        """Take the loss of a step."""
        self._steps += 1
        # Until there were enough steps, of the same weight all.
        kept = min(self.kept, 1 - 1 / self._steps)
        self.smoothed = nats if self._steps == 1 else kept * self.smoothed + (1 - kept) * nats
        if self._steps * (1 - self.kept) <= 1:
            self.best = self.smoothed
        if self.climb is not None:
            self.climb = max(self.climb, self.smoothed / max(self.best, 1e-12))
        elif self.smoothed < self.threshold and self._steps * (1 - self.kept) >= 1:
            self.converged_at, self.climb = seen, 1.0
        self.best = min(self.best, self.smoothed)


class Rewinds:
    """Takes a training back to what it was near its best, when it loses what it has learned.

    A rare mistake of a network that makes none otherwise can undo in a step what it has learned,
    and finding it again can take as long as it took first. Each time the steps are to be half as
    long from then on, lest the same happen again.

    Args:
        climb: how many times its best the smoothed loss may be; past that, and past the threshold
            under which it has converged, the training goes back.
        batch: sequences of a step.
        parts: all that changes in the training and has a `state_dict`.

    Attributes:
        count: how often the training went back.
    """

    def __init__(self, climb: float, batch: int, *parts: nn.Module | torch.optim.Optimizer) -> None:
        self.climb, self.parts, self.count = climb, parts, 0
        self._pause = _SMOOTHED_OVER // batch  # steps in which the smoothed loss comes down again
        self._kept: list[dict[str, Any]] = []  # there is one as soon as it has converged
        self._steps = self._keep_from = self._back_from = 0
        self._last = math.inf  # the smoothed loss when it went back last

    @property
    def share(self) -> float:
        """What is left of the length of a step."""
        return 0.5**self.count

    def look(self, course: LossCourse) -> None:
        """Keep the parts while all goes well once it has converged; put them back if it does not.

        To be called after each step.
        """
        self._steps += 1
        if course.climb is None:
            return
        if course.smoothed <= _NEAR * course.best and self._steps >= self._keep_from:
            self._kept = [copy.deepcopy(part.state_dict()) for part in self.parts]
            self._keep_from = self._steps + _KEPT_EVERY
        elif course.smoothed > max(course.threshold, self.climb * course.best) and (
            self._steps >= self._back_from or course.smoothed > _WORSE * self._last
        ):
            for part, kept in zip(self.parts, self._kept, strict=True):
                part.load_state_dict(copy.deepcopy(kept))
            self.count += 1
            self._last = course.smoothed
            self._back_from = self._steps + self._pause


def check_finite(what: str, seen: int, model: nn.Module, loss: Tensor, norm: Tensor) -> None:
    """Raise a Diverged error that names the parameters whose gradients are not finite."""
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


def half_cosine(last: float, done: float) -> float:
    """Fall from 1 to `last` along half a cosine, as the share that is done grows from 0 to 1."""
    return last + (1 - last) * (1 + math.cos(math.pi * done)) / 2


def train(
    task: Task,
    settings: Settings,
    every: int,
    result: dict[str, Any],
    tell: Callable[[dict[str, Any]], None] = lambda point: None,
) -> nn.Module:
    """Train, put in `result` how it went, and return the network that was judged at the end.

    Ctrl-C, a loss that is not finite and the end of the minutes end the training; what it is then
    is judged. A step that would make the weights anything but finite is not taken.

    Args:
        task: what is trained on.
        settings: how.
        every: sequences between two looks at the measures.
        result: takes what is known at the start, then at each look, then at the end. `"ended"`
            says how: `"done"`, `"diverged"`, `"out of time"` or `"interrupted"`, which it also is
            until the end.
        tell: called with each look's measures.
    """
    torch.manual_seed(settings.seed)
    generator = Generator().manual_seed(settings.seed)
    model = build(settings, task.family)
    averaged = None
    if settings.averaging:
        averaged = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging**_AVERAGED_EVERY)
        )
    judged = model if averaged is None else averaged.module
    optimizer = torch.optim.Adam(
        model.parameters(), settings.rate, (0.9, settings.beta2), settings.epsilon, foreach=True
    )
    changing = [model, optimizer] if averaged is None else [model, optimizer, averaged]
    rewinds = Rewinds(settings.rewind, settings.batch, *changing)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: rewinds.share * half_cosine(settings.last, min(1, step / settings.steps)),
    )
    result |= {
        "network": LEARNERS[settings.memory].network,
        "parameters": parameter_count(model),
        "converged_below": task.converged,
        "ended": "interrupted",
        "points": [],
    }
    course, clipped, taken, seen = LossCourse(task.converged, settings.batch), 0, 0, 0
    most = task.least if settings.curriculum else task.most
    usual = math.inf  # the norm of the last gradients, smoothed
    start = time.perf_counter()

    def note(measures: dict[str, Any]) -> None:
        result["seconds"] = round(time.perf_counter() - start, 1)
        result["sequences"] = seen
        result["converged_at"], result["greatest_climb"] = course.converged_at, course.climb
        result["rewinds"] = rewinds.count
        point = {
            "sequences": seen,
            "seconds": result["seconds"],
            "loss": course.smoothed,
            "best_loss": course.best,
            "greatest_climb": course.climb,
            "clipped": clipped / max(1, taken),
            "most": most,
            **measures,
        }
        result["points"].append(point)
        tell(point)

    try:
        for step in range(1, settings.steps + 1):
            drawn = task.lesson(most).sequences(settings.batch, generator)
            outputs, _ = model(drawn.inputs)
            loss = binary_cross_entropy_with_logits(outputs[drawn.mask], drawn.targets[drawn.mask])
            nats = loss.item()
            if not nats < settings.enough:  # NaN is not enough
                optimizer.zero_grad()
                loss.backward()
                limit = min(settings.clip, settings.spike * usual)
                norm = clip_grad_norm_(model.parameters(), limit)
                check_finite(settings.memory, seen, model, loss, norm)
                length = min(norm.item(), limit)
                usual = length if usual == math.inf else 0.98 * usual + 0.02 * length
                clipped += bool(norm > limit)
                optimizer.step()
                taken += 1
            if averaged is not None and step % _AVERAGED_EVERY == 1:
                averaged.update_parameters(model)
            seen = step * settings.batch
            course.add(nats, seen)
            rewinds.look(course)
            schedule.step()
            if settings.curriculum and course.smoothed < settings.advance and most < task.most:
                most += 1
                course.restart()
            if step < settings.steps and time.perf_counter() - start > 60 * settings.minutes:
                result["ended"] = "out of time"
                break
            if seen % every < settings.batch and step < settings.steps:
                note(judge(judged, task, min(16, settings.judged), _ON_THE_WAY))
                clipped = taken = 0
        else:
            result["ended"] = "done"
    except KeyboardInterrupt:
        result["ended"] = "interrupted"
    except Diverged as error:
        result["ended"], result["diverged"] = "diverged", str(error)
    measures = judge(judged, task, settings.judged, _AT_THE_END)
    note(measures)
    result |= measures
    result["optimum"] = optimum(task, settings.judged, _AT_THE_END)
    aims = {name: point.aim for name, point in task.points.items() if point.aim is not None}
    if aims:
        result["aims"] = aims
        result["reached"] = all(measures["wrong_bits"][name] <= aim for name, aim in aims.items())
    return judged
