"""A training that is killed again and again, compared with an unbroken one.

`python -m benchmarks.faults.kill_and_resume` trains second-order MAML with `training.fit`, sends
SIGKILL to the process at random moments, and starts it again, until it was killed 50 times. Then it
lets the training end. There are four kinds of moments:

- import: anywhere in the first seconds of a new interpreter;
- start: within a fifth of a second of a process that has imported everything;
- step: after a random number of steps, within a step;
- write: while a checkpoint is being written, its hidden temporary file having just appeared.

The last and the best checkpoint of both trainings are then compared bit for bit: parameters,
optimizer, learning rates, random number generators, position in the data, and the losses of all
steps. The script saves what it found as JSON, and exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import operator
import random
import re
import struct
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice

# isort: split
import numpy as np
import torch

from benchmarks import machine
from benchmarks.faults.problem import EVERY, STEPS_LOG
from benchmarks.faults.processes import Process, Starter, new_interpreter
from l2l_rnn.files import write_json
from l2l_rnn.training import SafeCheckpointIO, latest_good

TRAIN, PREPARE = "benchmarks.faults.problem:train", "benchmarks.faults.problem:prepare"
PARTS: dict[str, tuple[str, ...]] = {
    "parameters": ("state_dict",),
    "optimizer": ("optimizer_states",),
    "learning rates": ("lr_schedulers",),
    "losses of all steps": ("callbacks", "History"),
    "position in the data": ("TaskData",),
    "whole checkpoint": (),
}
_TEMPORARY = re.compile(r"\.(last|best|previous)\.ckpt\.[0-9a-f]{16}")

Start = Callable[[], Process]


@dataclass
class Kill:
    """A process that was killed.

    Attributes:
        moment: the kind of moment.
        began_at: the step from which it trained; None if it did not come so far.
        step: the last step that any process has taken so far.
        unfinished: files that it has left half-written.
        resumable: whether it has left a checkpoint. Damaged ones do not count.
        damaged: checkpoints that it has left damaged.
    """

    moment: str
    began_at: int | None
    step: int
    unfinished: list[str]
    resumable: bool
    damaged: list[str]


def kill_and_resume(
    folder: Path,
    kills: int,
    start: Start,
    start_new: Start,
    *,
    seed: int = 0,
    imports: float = 8.0,
    most_steps: int = 40,
) -> list[Kill]:
    """Kill a training at random moments, restart it each time, and then let it finish.

    Args:
        folder: the folder of the training.
        kills: how often to kill it.
        start: starts the training in a process that has imported everything.
        start_new: starts it in a new interpreter.
        seed: random seed of the moments.
        imports: seconds within which a new interpreter is killed.
        most_steps: steps within which a process is killed in a step.

    Raises:
        RuntimeError: the training ended before it was killed as often, or failed.
    """
    draw, found = random.Random(seed), []
    while len(found) < kills:
        moment = draw.choices(("import", "start", "step", "write"), (1, 2, 4, 5))[0]
        before = len(_lines(folder))
        process = start_new() if moment == "import" else start()
        _wait(moment, draw, folder, process, imports, most_steps)
        if process.ended():
            status = process.wait()
            raise RuntimeError(
                f"the training ended with status {status} after {len(found)} kills; see "
                f"{process.log}"
            )
        process.kill()
        if process.wait() != -9:
            raise RuntimeError(f"the training ended while it was killed; see {process.log}")
        lines = _lines(folder)
        began = [int(line.split()[1]) for line in lines[before:] if line.startswith("from")]
        steps = [int(line) for line in lines if line.isdecimal()]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            good = latest_good(folder)
        found.append(
            Kill(
                moment,
                began[0] if began else None,
                max(steps, default=0),
                sorted(name[1:10] for name in _temporary(folder)),
                good is not None,
                [str(warning.message) for warning in caught],
            )
        )
    if status := start().wait(3600):
        raise RuntimeError(f"the training ended with status {status}")
    return found


def compare(one: Path, other: Path) -> dict[str, list[str]]:
    """Return where the checkpoints of two trainings differ in a bit, by what their entries are."""
    found: dict[str, list[str]] = {}
    for name in ("last.ckpt", "best.ckpt"):
        a, b = (SafeCheckpointIO().load_checkpoint(folder / name) for folder in (one, other))
        for checkpoint in (a, b):
            del checkpoint["l2l_rnn"]["written"]  # the time
        for part, key in PARTS.items():
            values = [functools.reduce(operator.getitem, key, tree) for tree in (a, b)]
            found.setdefault(part, []).extend(differences(*values, name))
    return found


def differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Yield the places where two values of checkpoints differ, in type or in a bit."""
    if type(a) is not type(b):
        yield path
    elif isinstance(a, dict):
        if list(a) != list(b):
            yield path
        for key in a.keys() & b.keys():
            yield from differences(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        if len(a) != len(b):
            yield path
        for n, (one, other) in enumerate(zip(a, b, strict=False)):
            yield from differences(one, other, f"{path}[{n}]")
    elif not _equal(a, b):
        yield path


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and _bytes(a) == _bytes(b)
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    return bool(a == b)


def _wait(
    moment: str,
    draw: random.Random,
    folder: Path,
    process: Process,
    imports: float,
    most_steps: int,
) -> None:
    """Wait until a moment comes or the process ends."""
    after, count = draw.random(), draw.randint(1, max(1, most_steps // EVERY - 2))
    if moment in ("import", "start"):
        process.ended(after * (imports if moment == "import" else 0.2))
        return
    if moment == "step":
        target = len(_lines(folder)) + draw.randint(1, most_steps)
        while len(_lines(folder)) < target and not process.ended():
            time.sleep(0.001)
        time.sleep(after * 0.02)
        return
    seen = set(_temporary(folder))  # those that an earlier kill has left
    while count and not process.ended():
        new = set(_temporary(folder)) - seen
        count -= bool(new)
        seen |= new
        time.sleep(0 if count == 1 else 0.0002)
    time.sleep(after * 0.001)


def _lines(folder: Path) -> list[str]:
    log = folder / STEPS_LOG
    return log.read_text().splitlines() if log.exists() else []


def _temporary(folder: Path) -> list[str]:
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return [name for name in names if _TEMPORARY.fullmatch(name)]


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.faults.kill_and_resume",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=50, help="how often to kill; default 50")
    parser.add_argument("--steps", type=int, default=1500, help="steps of training; default 1500")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the moments; default 0")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the JSON")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, Starter(TRAIN, PREPARE) as starter:
        folder, log = Path(name), Path(name) / "output.txt"
        broken, whole = folder / "broken", folder / "whole"
        command = ("-m", "benchmarks.faults.problem", str(broken), str(options.steps))
        try:
            kills = kill_and_resume(
                broken,
                options.kills,
                lambda: starter.start(log, str(broken), options.steps),
                lambda: new_interpreter(log, *command),
                seed=options.seed,
            )
            if status := starter.start(log, str(whole), options.steps).wait(3600):
                raise RuntimeError(f"the unbroken training ended with status {status}")
        except (RuntimeError, TimeoutError):
            print(log.read_text(), file=sys.stderr)
            raise
        found = compare(broken, whole)
        result = {
            "date": datetime.date.today().isoformat(),
            "device": machine.device_name(torch.device("cpu")),
            "threads": 1,
            "versions": machine.versions(),
            "settings": {
                "steps": options.steps,
                "every_n_steps": EVERY,
                "kills": options.kills,
                "seed": options.seed,
            },
            "identical": {part: not places for part, places in found.items()},
            "differences": {part: places[:5] for part, places in found.items() if places},
            "most_steps_repeated": most_repeated(kills),
            "steps_repeated": sum(line.isdecimal() for line in _lines(broken)) - options.steps,
            "kills_by_moment": {
                moment: sum(kill.moment == moment for kill in kills)
                for moment in ("import", "start", "step", "write")
            },
            "kills_with_a_file_half_written": sum(bool(kill.unfinished) for kill in kills),
            "damaged_checkpoints": sum(len(kill.damaged) for kill in kills),
            "kills": [asdict(kill) for kill in kills],
        }
    path = options.out / "kill-and-resume-full.json"
    write_json(path, result, indent=1)
    print({name: value for name, value in result.items() if name != "kills"})
    print(f"saved as {path}")
    return 0 if all(result["identical"].values()) else 1


def most_repeated(kills: list[Kill]) -> int:
    """Return the largest number of steps that a process had to repeat."""
    reached, most = 0, 0
    for kill in kills:
        if kill.began_at is not None:
            most = max(most, reached - kill.began_at)
        reached = kill.step
    return most


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


if __name__ == "__main__":
    sys.exit(main())
