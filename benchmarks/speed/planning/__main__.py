"""Command line of the benchmark."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import l2l_rnn  # imported first to silence gym's notice

# isort: split
import torch
from torch import Tensor

from benchmarks.speed import planning, timing
from l2l_rnn.algorithms import MAML, ALPaCA
from l2l_rnn.control import CrossEntropyPlanner, Pendulum, RandomActions, record
from l2l_rnn.models import DynamicsModel

CANDIDATES, HORIZON, ITERATIONS, TRANSITIONS, HIDDEN = 40, 15, 3, 100, 48
TARGET = 20.0  # plans a second, of one body

Step = Callable[[Tensor, Tensor], Tensor]


def steppers(bodies: Pendulum) -> dict[str, Step]:
    """Return the models to plan with: they compute next states from states and actions."""
    generator = torch.Generator().manual_seed(0)
    policy = RandomActions(bodies.action_size, hold=4, generator=generator)
    found = record(bodies, policy, TRANSITIONS, generator=generator)
    torch.manual_seed(0)
    model = DynamicsModel(2, 1, angles=bodies.angles, hidden_size=HIDDEN)
    model.fit_moments(*found[:3])
    x, y = model.inputs(*found[:2]), model.targets(found.states, found.following)
    alpaca = ALPaCA(model.encoder, outputs=2).clone(tasks=len(x))
    with torch.no_grad():
        alpaca.write(x, y)
    maml = MAML(model, lr=0.01, first_order=True).clone(tasks=len(x))
    maml.adapt((maml(x) - y).square().mean((-1, -2)))
    return {
        "true physics": bodies.step,
        "network, ALPaCA": model.stepper(alpaca),
        "network, MAML": model.stepper(maml),
    }


def planner() -> CrossEntropyPlanner:
    """Return a planner for pendulums."""
    return CrossEntropyPlanner(
        Pendulum().reward, 1, candidates=CANDIDATES, horizon=HORIZON, iterations=ITERATIONS
    )


def measure(count: int, repeats: int) -> list[dict[str, Any]]:
    """Time the plans of a number of bodies."""
    bodies = Pendulum.draw(count, torch.Generator().manual_seed(1))
    states, singles = bodies.start(), [bodies[n : n + 1] for n in range(count)]
    together, alone = steppers(bodies), [steppers(body) for body in singles]
    rows = []
    for name, step in together.items():
        one, several = planner(), [planner() for _ in singles]

        def at_once(one: CrossEntropyPlanner = one, step: Step = step) -> None:
            one.plan(states, step)

        def loop(name: str = name, several: list[CrossEntropyPlanner] = several) -> None:
            for n, each in enumerate(several):
                each.plan(states[n : n + 1], alone[n][name])

        calls = {"at once": at_once} if count == 1 else {"at once": at_once, "loop": loop}
        seconds = timing.median_seconds(calls, repeats, clock=time.process_time)
        rows.append({"model": name, "bodies": count, "seconds": seconds})
    return rows


def table(result: dict[str, Any]) -> str:
    """Format a result as a Markdown table."""
    lines = [
        "| model | bodies | plans of one body a second | in a loop over bodies | speed-up |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        once, loop = row["seconds"]["at once"], row["seconds"].get("loop")
        more = "| |" if loop is None else f"{row['bodies'] / loop:.0f} | {loop / once:.1f} |"
        lines.append(f"| {row['model']} | {row['bodies']} | {row['bodies'] / once:.0f} | {more}")
    return "\n".join(lines)


def missed_targets(result: dict[str, Any]) -> list[str]:
    """Return a line for each model that plans for one body more slowly than the target."""
    return [
        f"{row['model']}: {1 / row['seconds']['at once']:.1f} plans a second, below {TARGET:g}"
        for row in result["rows"]
        if row["bodies"] == 1 and row["seconds"]["at once"] > 1 / TARGET
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = timing.make_parser("planning", planning.__doc__, repeats=21)
    options = timing.parse(parser, arguments)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        counts = (1, 2) if options.quick else (1, 20)
        rows = [row for count in counts for row in measure(count, options.repeats)]
    finally:
        torch.set_num_threads(before)
    result: dict[str, Any] = {
        **timing.environment(),
        "threads": 1,
        "compiled": l2l_rnn.functional.compiled(),
        "repeats": options.repeats,
        "plan": {"candidates": CANDIDATES, "steps": HORIZON, "iterations": ITERATIONS},
        "rows": rows,
    }
    timing.write("planning", options, result)
    print(table(result))
    for line in missed_targets(result):
        print(f"missed: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
