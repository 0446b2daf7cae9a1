"""Time of a loop that calls a recurrent layer or cell one step at a time, as decoders do.

`python -m benchmarks.speed.decoder` times three things with this package's layers and cells and
with torch's, interleaved in one process and on one thread:

- the loop without gradients;
- a training step: the loop and its backward pass;
- a second-order MAML step: `clone()`, one adaptation step and the backward pass of the loss on the
  query set, with our `MAML` and layers, and with learn2learn's `MAML` and torch's layers.

It also times a second-order step on many tasks: `clone(tasks=N)` against learn2learn's loop. All
times are CPU times. It prints a table of medians and saves them as JSON.
"""

from __future__ import annotations

import dataclasses
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import l2l_rnn  # imported first to silence gym's notice

# isort: split
import learn2learn
import torch
from torch import Tensor, nn

import l2l_rnn.functional
import l2l_rnn.nn
from benchmarks.speed import timing
from l2l_rnn.algorithms import MAML

KINDS = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
ORDERS = ("no gradients", "first", "second")
LR = 0.1


@dataclasses.dataclass(frozen=True)
class Work:
    """A loop of `steps` calls.

    Attributes:
        kind: name of the layer or cell, in `torch.nn` and in `l2l_rnn.nn`.
        batch, hidden, steps: `B`, `H` (also `F`), `S`.
        tasks: `N`, the number of tasks of a MAML step.
    """

    kind: str
    batch: int
    hidden: int
    steps: int = 16
    tasks: int = 1

    @property
    def label(self) -> str:
        return f"{self.kind} {self.tasks}, {self.batch}, {self.steps}, {self.hidden}"


SIZES = ((1, 32), (8, 64), (25, 128))
ROWS = [Work(kind, *size) for kind in KINDS for size in SIZES]
MANY = [Work(kind, 5, 64, tasks=16) for kind in KINDS]
QUICK = [Work("GRU", 2, 4, steps=2), Work("LSTMCell", 2, 4, steps=2)]


class Decoder(nn.Module):
    """Calls a recurrent layer or cell once for each step: x `(S, …, F)` -> outputs `(S, …, H)`."""

    task_axis = True

    def __init__(self, recurrence: nn.Module) -> None:
        super().__init__()
        self.recurrence = recurrence

    def forward(self, x: Tensor) -> Tensor:
        """Run over x, `(S, B, F)`; or `(N, S, B, F)` with a task axis, returned as such."""
        is_cell = isinstance(self.recurrence, nn.RNNCellBase)
        state, outputs = None, []
        for step in x.split(1, -3):
            if is_cell:
                state = self.recurrence(step.squeeze(-3), state)
                outputs.append(state[0] if isinstance(state, tuple) else state)
            else:
                y, state = self.recurrence(step, state)
                outputs.append(y.squeeze(-3))
        return torch.stack(outputs, -3)


def contestants(work: Work, order: str) -> dict[str, Callable[[], Any]]:
    """Return the functions to time; both have the same parameters and input."""
    torch.manual_seed(0)
    torchs = Decoder(getattr(nn, work.kind)(work.hidden, work.hidden))
    ours = Decoder(getattr(l2l_rnn.nn, work.kind)(work.hidden, work.hidden))
    ours.load_state_dict(torchs.state_dict())
    x = torch.randn(work.tasks, work.steps, work.batch, work.hidden)
    if order == "second":
        tasks = None if work.tasks == 1 else work.tasks
        return {
            "l2l_rnn": lambda: maml_step(MAML(ours, LR), x, tasks),
            "torch": lambda: maml_step(learn2learn.algorithms.MAML(torchs, LR), x),
        }
    call = without_gradients if order == "no gradients" else training_step
    return {"l2l_rnn": lambda: call(ours, x[0]), "torch": lambda: call(torchs, x[0])}


@torch.no_grad()
def without_gradients(model: nn.Module, x: Tensor) -> Tensor:
    """Run the loop."""
    return model(x)


def training_step(model: nn.Module, x: Tensor) -> Tensor:
    """Run the loop and its backward pass, and return the loss."""
    loss = model(x).square().mean()
    loss.backward()
    return loss


def maml_step(maml: Any, x: Tensor, tasks: int | None = None) -> Tensor:
    """Run a MAML step on every task, with the same support and query set; return the loss.

    Args:
        maml: our MAML or learn2learn's.
        x: the inputs, `(N, S, B, F)`.
        tasks: `N` to run all tasks at once, or None for a loop.
    """
    maml.zero_grad()
    if tasks is not None:
        learner = maml.clone(tasks=tasks)
        learner.adapt(learner(x).square().mean((1, 2, 3)))
        loss = learner(x).square().mean()
        loss.backward()
        return loss
    total = x.new_zeros(())
    for support in x:
        learner = maml.clone()
        learner.adapt(learner(support).square().mean())
        loss = learner(support).square().mean() / len(x)
        loss.backward()
        total += loss.detach()
    return total


def works(quick: bool) -> Iterator[tuple[Work, str]]:
    """Yield the work and the order of each row of the table."""
    for work in QUICK if quick else ROWS:
        for order in ORDERS:
            yield work, order
    for work in [dataclasses.replace(QUICK[-1], tasks=3)] if quick else MANY:
        yield work, "second"


def measure(work: Work, order: str, repeats: int) -> dict[str, Any]:
    """Measure the median CPU time of each contestant."""
    calls = contestants(work, order)
    seconds = timing.median_seconds(calls, repeats, warmup=2, clock=time.process_time)
    return {
        "work": dataclasses.asdict(work),
        "label": work.label,
        "order": order,
        "seconds": seconds,
        "ratio": seconds["l2l_rnn"] / seconds["torch"],
    }


def table(result: dict[str, Any]) -> str:
    """Format a result as a Markdown table."""
    lines = [
        "| layer or cell; tasks, sequences, steps, hidden units | order | torch, ms | l2l_rnn, ms "
        "| l2l_rnn / torch |",
        "|---|---|---:|---:|---:|",
    ]
    for row in result["rows"]:
        ours, torchs = (1000 * row["seconds"][name] for name in ("l2l_rnn", "torch"))
        cells = [row["label"], row["order"], f"{torchs:.2f}", f"{ours:.2f}", f"{row['ratio']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    options = timing.parse(timing.make_parser("decoder", __doc__, repeats=40), arguments)
    warnings.simplefilter("ignore")  # learn2learn's clones of torch's layers warn in every call
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result: dict[str, Any] = {
            **timing.environment(),
            "compiled": l2l_rnn.functional.compiled(),
            "repeats": options.repeats,
            "rows": [],
        }
        for work, order in works(options.quick):
            result["rows"].append(measure(work, order, options.repeats))
            row = result["rows"][-1]
            print(f"{row['label']}, {order}: {row['ratio']:.2f} times torch's time", flush=True)
    finally:
        torch.set_num_threads(threads)
    print("\n" + table(result))
    timing.write("decoder", options, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
