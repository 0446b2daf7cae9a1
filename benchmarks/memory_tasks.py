"""Whether a network with memory learns to copy and to recall, how far it reaches, and if it lasts.

`python -m benchmarks.memory_tasks copy --memory ntm` trains on random sequences of bits (the tasks
of Graves et al. 2014) and counts wrong bits of a sequence at the lengths trained on and beyond.
`lstm` in the place of `ntm` is a network of like size without a memory. It prints a line every so
often, writes all of them as JSON, and draws where the memory wrote and read in one sequence.

The training stops with a `Diverged` error that names what is no longer finite, and where.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - first, so that gym's notice stays unprinted

# isort: split
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks import report
from benchmarks.runner import device_name, versions
from l2l_rnn.analysis import trace_memory
from l2l_rnn.memory import DNC, NTM, Memory
from l2l_rnn.nn import LSTM, Linear
from l2l_rnn.tasksets import AssociativeRecall, BitSequences, Copy

MEMORIES = {"ntm": NTM, "dnc": DNC}
CONVERGED = 0.01  # nats a bit, of the smoothed loss


class Diverged(RuntimeError):
    """Tells that a loss or a gradient is not finite any more."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A family of sequences and where a network trained on it is judged.

    Attributes:
        family: what it is trained on.
        at: the family at one length.
        upto: the family up to a length.
        aims: the lengths that it is judged at, with the wrong bits that are aimed at.
        least, most: the range of lengths of the training.
    """

    family: BitSequences
    at: Callable[[int], BitSequences]
    upto: Callable[[int], BitSequences]
    aims: dict[int, float]
    least: int
    most: int


TASKS = {
    "copy": Task(
        Copy(),
        lambda length: Copy().at(length),
        lambda most: Copy(lengths=(1, most)),
        {10: 0.1, 20: 0.1, 50: 2, 120: 20},
        1,
        20,
    ),
    "recall": Task(
        AssociativeRecall(),
        lambda items: AssociativeRecall().at(items),
        lambda most: AssociativeRecall(items=(2, most)),
        {2: 1, 6: 1, 12: 3},
        2,
        6,
    ),
}


@dataclasses.dataclass
class Settings:
    """How to train.

    Attributes:
        memory: `"ntm"`, `"dnc"` or `"lstm"`.
        rate, last: Adam's step size falls in a straight line from `rate` to `rate * last`.
        epsilon, beta2: Adam's.
        clip: the greatest norm of a gradient.
        averaging: how much of the averaged weights is kept at a step, 0 for no averaging; the
            averaged weights are then those that are judged.
        curriculum: whether to begin with the shortest sequences.
        hidden, slots, width, controller, least_length: of the memory.
    """

    memory: str = "ntm"
    sequences: int = 40_000
    batch: int = 8
    rate: float = 1e-3
    last: float = 0.1
    clip: float = 10.0
    epsilon: float = 1e-8
    beta2: float = 0.999
    averaging: float = 0.99
    curriculum: bool = False
    hidden: int = 100
    slots: int = 128
    width: int = 20
    controller: str = "lstm"
    least_length: float = 1e-6
    seed: int = 0


class PlainLSTM(nn.Module):
    """A stack of LSTM layers with a linear map of their outputs."""

    def __init__(self, inputs: int, outputs: int, hidden: int, layers: int = 1) -> None:
        super().__init__()
        self.layers = LSTM(inputs, hidden, layers, batch_first=True)
        self.head = Linear(hidden, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        h, state = self.layers(x)
        return self.head(h), state


def build(settings: Settings, family: BitSequences) -> nn.Module:
    """Make the network that is named."""
    inputs, outputs = family.input_size, family.output_size
    if settings.memory == "lstm":
        return PlainLSTM(inputs, outputs, hidden=120)  # about as many parameters as the NTM
    sizes = (settings.hidden, settings.slots, settings.width)
    more = {"controller": settings.controller, "least_length": settings.least_length}
    return MEMORIES[settings.memory](inputs, outputs, *sizes, **more)


def wrong_bits(model: nn.Module, family: BitSequences, batch: int, seed: int = 1) -> float:
    """Count the wrong bits of a sequence, on average over a batch that is the same at each call."""
    drawn = family.sequences(batch, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        outputs, _ = model(drawn.inputs)
    wrong = (outputs > 0) != (drawn.targets > 0.5)
    return wrong[drawn.mask].sum().item() / batch


def check_finite(what: str, seen: int, model: nn.Module, loss: Tensor, norm: Tensor) -> None:
    """Raise a Diverged error that names the parameters whose gradients are not finite."""
    if not loss.isfinite():
        raise Diverged(f"{what}: the loss is {loss.item()} after {seen} sequences")
    if not norm.isfinite():
        names = [n for n, p in model.named_parameters() if not p.grad.isfinite().all()]
        raise Diverged(
            f"{what}: after {seen} sequences the gradients of {', '.join(names)} are not finite"
        )


def train(task: Task, settings: Settings, every: int, result: dict[str, Any]) -> nn.Module:
    """Train, note in `result["points"]` how it goes, and return what was judged at the end."""
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    model = build(settings, task.family)
    averaged = None
    if settings.averaging:
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.averaging))
    optimizer = torch.optim.Adam(
        model.parameters(), settings.rate, (0.9, settings.beta2), settings.epsilon
    )
    steps = settings.sequences // settings.batch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 - (1 - settings.last) * min(1, step / steps)
    )
    result["parameters"] = sum(p.numel() for p in model.parameters())
    smoothed, best, climb, since, clipped = math.nan, math.inf, 1.0, 0, 0
    most = task.least if settings.curriculum else task.most
    start = time.perf_counter()

    def note(seen: int) -> None:
        point = {
            "sequences": seen,
            "seconds": round(time.perf_counter() - start, 1),
            "loss": smoothed,
            "best_loss": best,
            "greatest_climb": climb,
            "clipped": clipped / since,
            "most": most,
            "wrong_bits": {n: wrong_bits(model, task.at(n), 16) for n in task.aims},
        }
        if averaged is not None:
            point["averaged"] = {n: wrong_bits(averaged, task.at(n), 16) for n in task.aims}
        result["points"].append(point)
        print(line(point), flush=True)

    try:
        for step in range(1, steps + 1):
            drawn = task.upto(most).sequences(settings.batch, generator)
            outputs, _ = model(drawn.inputs)
            loss = binary_cross_entropy_with_logits(outputs[drawn.mask], drawn.targets[drawn.mask])
            optimizer.zero_grad()
            loss.backward()
            norm = clip_grad_norm_(model.parameters(), settings.clip)
            check_finite(settings.memory, (step - 1) * settings.batch, model, loss, norm)
            optimizer.step()
            schedule.step()
            if averaged is not None:
                averaged.update_parameters(model)
            clipped += bool(norm > settings.clip)
            since += 1
            nats = loss.item()
            smoothed = nats if math.isnan(smoothed) else 0.98 * smoothed + 0.02 * nats
            if settings.curriculum and smoothed < 0.2 and most < task.most:
                most, smoothed = most + 1, math.nan
            if best < CONVERGED:
                climb = max(climb, smoothed / best)
            best = min(best, smoothed)  # a NaN, at a new length, is not less
            if step * settings.batch % every < settings.batch or step == steps:
                note(step * settings.batch)
                clipped = since = 0
    except KeyboardInterrupt:
        print("\nInterrupted: judged as it is now.")
        result["interrupted"] = True
    judged = model if averaged is None else averaged.module
    result["wrong_bits"] = {n: wrong_bits(judged, task.at(n), 100, 2) for n in task.aims}
    result["reached"] = all(result["wrong_bits"][n] <= aim for n, aim in task.aims.items())
    return judged


def picture(model: nn.Module, task: Task, path: Path) -> None:
    """Draw what a memory does in one sequence of the greatest length of the training."""
    drawn = task.at(task.most).sequences(1, torch.Generator().manual_seed(3))
    trace = trace_memory(model, drawn.inputs[0])
    outputs = np.where(drawn.mask[0].unsqueeze(-1), 1 / (1 + np.exp(-trace.outputs)), 0)
    dataclasses.replace(trace, outputs=outputs).draw(path)  # what is asked for, as shares of 1


def line(point: dict[str, Any]) -> str:
    """Format how a training goes."""
    parts = [
        f"{point['sequences']:6d} sequences {point['seconds']:6.0f} s loss {point['loss']:.5f}"
    ]
    for name in ("wrong_bits", "averaged"):
        if name in point:
            parts.append(name + " " + " ".join(f"{n}: {w:.2f}" for n, w in point[name].items()))
    if point["greatest_climb"] > 1:
        parts.append(f"climbed {point['greatest_climb']:.1f} times")
    return ", ".join([*parts, f"most {point['most']}", f"clipped {point['clipped']:.0%}"])


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, train, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_tasks", description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--memory", choices=[*MEMORIES, "lstm"], default="ntm")
    for field in dataclasses.fields(Settings)[1:]:
        if isinstance(field.default, bool):
            parser.add_argument(f"--{field.name}", action="store_true")
        else:
            name = f"--{field.name.replace('_', '-')}"
            parser.add_argument(name, type=type(field.default), default=field.default)
    parser.add_argument("--every", type=int, default=1000, metavar="S", help="sequences a line")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = vars(parser.parse_args(arguments))
    try:
        report.check_writable(options["out"])
    except OSError as error:
        parser.error(f"--out {options['out']}: cannot write there ({error.strerror})")
    task, out, every = options.pop("task"), options.pop("out"), options.pop("every")
    settings = Settings(**options)
    stem = f"memory-{task}-{settings.memory}-seed{settings.seed}"
    result: dict[str, Any] = {
        "task": task,
        "settings": dataclasses.asdict(settings),
        "date": datetime.date.today().isoformat(),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "points": [],
    }
    status = 0
    try:
        model = train(TASKS[task], settings, every, result)
        print(f"wrong bits at the end: {result['wrong_bits']}")
        if isinstance(model, Memory):
            picture(model, TASKS[task], out / f"{stem}.png")
    except Diverged as error:
        result["diverged"] = str(error)
        print(error)
        status = 1
    if result.get("interrupted"):
        status = 130
    text = json.dumps(result, indent=1) + "\n"
    report.replace(out / f"{stem}.json", lambda path: path.write_text(text, "utf-8"))
    return status


if __name__ == "__main__":
    sys.exit(main())
