"""Time of answers for one of 10,000 users whose states are on disk.

`python -m benchmarks.serving.user_store` adds users to a `UserStore`, each with five names of five
languages, for two kinds of personal state:

- prototypes: the class means of the model `languages`;
- memory: the slots of a `MemoryLearner` with an encoder that is not trained, which takes as long as
  a trained one.

For users drawn at random it then times: the answer for one name, with the user's state read from
disk; answers for 100 users at once; and one more example, which is on disk when the call returns.
It compares the answers of users, after the file was closed and opened again with a newly loaded
model, with those of classifiers that were kept in memory. It prints a table and saves medians and
the slowest times as JSON. `--model` takes the folder of another model of names.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice

# isort: split
import numpy as np
import torch

from benchmarks.serving import models
from benchmarks.speed import timing
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.estimators import FewShotClassifier, UserStore
from l2l_rnn.memory import KeyValueMemory
from l2l_rnn.models import MemoryModel, SequenceEncoder
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import Pretrained

WAYS, SHOTS, AT_ONCE, KEPT, HIDDEN = 5, 5, 100, 200, 64
Examples = tuple[list[str], list[str]]


def memory_model(model: Pretrained, hidden: int = HIDDEN) -> Pretrained:
    """Return a model with a memory, for the same texts; its weights are always the same."""
    generator = torch.get_rng_state()
    torch.manual_seed(0)
    encoder = SequenceEncoder(
        vocab_size=len(model.inputs.pipeline), hidden_size=hidden, bidirectional=True
    )
    store = KeyValueMemory(encoder.output_size, 2 * WAYS, slots=4 * WAYS * SHOTS)
    learner = MemoryLearner(MemoryModel(encoder, store)).eval()
    torch.set_rng_state(generator)
    return Pretrained(learner, model.inputs)


def draw(users: int, seed: int = 0) -> dict[str, Examples]:
    """Return the names and languages of each user."""
    source = get_tasksets("languages").test.source
    rng, labels = random.Random(seed), np.asarray(source.labels)
    rows = {c: np.flatnonzero(labels == c).tolist() for c in np.unique(labels).tolist()}
    found = {}
    for number in range(users):
        chosen = rng.sample(sorted(rows), WAYS)
        picked = [(c, row) for c in chosen for row in rng.sample(rows[c], SHOTS)]
        names = [source.texts[row] for _, row in picked]
        found[f"user {number}"] = (names, [str(source.classes[c]) for c, _ in picked])
    return found


def measure(
    make: Callable[[], Pretrained], users: dict[str, Examples], repeats: int, folder: Path
) -> dict[str, Any]:
    """Add users to a store, and time its calls.

    Args:
        make: loads the model.
        users: the examples of each user.
        repeats: number of calls to time.
        folder: where to put the file.
    """
    path, names, rng = folder / "users.db", list(users), random.Random(0)
    kept = names[:: max(1, len(names) // KEPT)]
    options: dict[str, Any] = {"unknown_above": None}
    store, start = UserStore(path, make(), **options), time.perf_counter()
    for first in range(0, len(names), AT_ONCE):
        store.partial_fit_many({user: users[user] for user in names[first : first + AT_ONCE]})
    adding = time.perf_counter() - start
    queries = {user: users[rng.choice(names)][0][:3] for user in kept}
    before = {
        user: FewShotClassifier(store.model, **options).fit(*users[user]).predict_proba(X)
        for user, X in queries.items()
    }
    store.close()
    size, model = path.stat().st_size, make()
    start = time.perf_counter()
    store = UserStore(path, model, **options)
    opening = time.perf_counter() - start
    identical = all(
        np.array_equal(store.predict_proba(user, X), before[user]) for user, X in queries.items()
    )
    seconds: dict[str, list[float]] = {
        "one answer": [],
        "one of 100 at once": [],
        "one example": [],
    }
    for _ in range(repeats):
        user, text = rng.choice(names), [users[rng.choice(names)][0][0]]
        start = time.perf_counter()
        store.predict(user, text)
        seconds["one answer"].append(time.perf_counter() - start)
    for _ in range(max(1, repeats // 20)):
        some = rng.sample(names, min(AT_ONCE, len(names)))
        start = time.perf_counter()
        store.predict_many({user: users[user][0][:1] for user in some})
        seconds["one of 100 at once"].append((time.perf_counter() - start) / len(some))
    for _ in range(max(1, repeats // 5)):
        user = rng.choice(names)
        X, y = users[user]
        start = time.perf_counter()
        store.partial_fit(user, X[:1], y[:1])
        seconds["one example"].append(time.perf_counter() - start)
    store.close()
    return {
        "users": len(names),
        "bytes_per_user": size / len(names),
        "seconds_to_add_a_user": adding / len(names),
        "seconds_to_open": opening,
        "identical_answers": identical,
        "compared_users": len(queries),
        "median": {name: statistics.median(values) for name, values in seconds.items()},
        "slowest": {name: max(values) for name, values in seconds.items()},
        "within_20_ms": sum(s < 0.02 for s in seconds["one answer"]) / repeats,
    }


def table(result: dict[str, Any]) -> str:
    """Format the times as a Markdown table."""
    lines = [
        "| state | users | bytes each | one answer, ms | slowest, ms | of 100 at once, ms | "
        "one example, ms | identical |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for name, row in result["states"].items():
        median = {key: 1000 * value for key, value in row["median"].items()}
        lines.append(
            f"| {name} | {row['users']:,} | {row['bytes_per_user']:,.0f} | "
            f"{median['one answer']:.1f} | {1000 * row['slowest']['one answer']:.1f} | "
            f"{median['one of 100 at once']:.1f} | {median['one example']:.1f} | "
            f"{'yes' if row['identical_answers'] else 'no'} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = timing.make_parser("user_store", __doc__, repeats=500, package="benchmarks.serving")
    models.add_model_option(parser)
    parser.add_argument("--users", type=int, default=10_000, metavar="N", help="(default: 10000)")
    options = timing.parse(parser, arguments)
    models.check_model(parser, options.model)
    users = draw(20 if options.quick else options.users)
    states: dict[str, Callable[[], Pretrained]] = {
        "prototypes": lambda: Pretrained.from_pretrained(options.model),
        "memory": lambda: memory_model(Pretrained.from_pretrained(options.model)),
    }
    measured = {}
    for name, make in states.items():
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
            measured[name] = measure(make, users, options.repeats, Path(folder))
    result = {
        **timing.environment(),
        "work": {"ways": WAYS, "shots": SHOTS, "hidden": HIDDEN},
        "model": Path(options.model).name,
        "repeats": options.repeats,
        "states": measured,
    }
    print(table(result))
    timing.write("user_store", options, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
