"""Time to the first answer in a new process, and to answers for later users.

`python -m benchmarks.serving.first_answer` starts new processes. Each one imports
`l2l_rnn.estimators`, loads the model `languages`, fits it to 25 names of five unseen languages and
predicts 50 names. The last process goes on with further users, who have other languages and names:

- fit: adapt to a user's 25 names;
- one answer: predict one name;
- 50 answers: predict 50 names at once.

It prints a table and saves medians, the accuracy for all users with its 95% interval, and how well
the unknown score tells names of the fitted languages from other inputs, as JSON. `--model` takes
the folder of another model of names.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SHOTS, QUERIES, WAYS = 5, 10, 5
OTHERS = {
    "digits": ["123", "4571", "90 210", "3.14159", "2026-01-02", "555-1234"],
    "emoji": ["😀", "🎉🎉", "🚀 🌕", "❤️", "👩‍🚀"],
    "other scripts": ["日本語", "中文", "東京都", "עברית", "שלום", "ไทย"],
    "keyboard": ["asdfghjkl", "qwertyuiop", "zxcvbnm", "jkdfhgkjdfhg", "xxxxxxxx"],
    "sentences": ["I would like to order a pizza", "please turn off the lights in the kitchen"],
}


def first_answer(model: str, tasks: list[Any]) -> dict[str, float]:
    """Return the seconds of the steps to the first answer; call it in a new process."""
    start, cpu = time.perf_counter(), time.process_time()
    from l2l_rnn.estimators import FewShotClassifier

    imported = time.perf_counter()
    classifier = FewShotClassifier.from_pretrained(model, unknown_above=None)
    loaded = time.perf_counter()
    (X, y), (queries, _) = tasks[0]
    classifier.fit(X, y)
    fitted = time.perf_counter()
    classifier.predict(queries)
    end = time.perf_counter()
    return {
        "import": imported - start,
        "load": loaded - imported,
        "fit": fitted - loaded,
        "predict": end - fitted,
        "first answer": end - start,
        "first answer, CPU time": time.process_time() - cpu,
    }


def later_users(model: str, tasks: list[Any], others: list[list[str]]) -> dict[str, Any]:
    """Return medians over users of the seconds of each call, accuracies and unknown scores."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from l2l_rnn.estimators import FewShotClassifier

    base = FewShotClassifier.from_pretrained(model, unknown_above=None)
    seconds: dict[str, list[float]] = {"fit": [], "one answer": [], "50 answers": []}
    accuracies, known = [], []
    unknown: dict[str, list[Any]] = {name: [] for name in ("other languages", *OTHERS)}
    for ((X, y), (queries, labels)), names in zip(tasks, others, strict=True):
        classifier = FewShotClassifier(base.model, unknown_above=None)
        times = [time.perf_counter()]
        classifier.fit(X, y)
        times.append(time.perf_counter())
        classifier.predict(queries[:1])
        times.append(time.perf_counter())
        predicted = classifier.predict(queries)
        times.append(time.perf_counter())
        for name, before, after in zip(seconds, times, times[1:], strict=False):
            seconds[name].append(after - before)
        accuracies.append(float((predicted == np.array(labels)).mean()))
        known.append(classifier.unknown_score(queries))
        for name, texts in {"other languages": names, **OTHERS}.items():
            unknown[name].append(classifier.unknown_score(texts))
    own = np.concatenate(known)
    areas = {}
    for name, scores in unknown.items():
        all_scores = np.concatenate([own, *scores])
        areas[name] = float(roc_auc_score(np.arange(len(all_scores)) >= len(own), all_scores))
    half = 1.96 * statistics.stdev(accuracies) / len(accuracies) ** 0.5 if tasks[1:] else 0.0
    return {
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "accuracy": {"mean": statistics.mean(accuracies), "half_interval": half},
        "unknown": {"area": areas, "fitted above 0.95": float((own > 0.95).mean())},
    }


def draw(tasks: int, seed: int = 0) -> tuple[list[Any], list[list[str]]]:
    """Return tasks of names with their languages, and names of other languages for each."""
    import random

    import numpy as np

    from l2l_rnn.data import TaskLoader
    from l2l_rnn.tasksets import get_tasksets

    taskset = get_tasksets("languages", test_ways=WAYS, test_samples=SHOTS + QUERIES).test
    source, loader = taskset.source, TaskLoader(taskset, tasks=1, shots=SHOTS, seed=seed)
    rng, found, others = random.Random(seed), [], []
    labels = np.asarray(source.labels)
    for _ in range(tasks):
        batch = next(loader)
        sides = []
        for indices in (batch.support_indices, batch.query_indices):
            rows = [int(i) for i in indices[0]]
            sides.append(
                ([source.texts[i] for i in rows], [str(source.classes[labels[i]]) for i in rows])
            )
        found.append(sides)
        chosen = {labels[int(i)] for i in batch.support_indices[0]}
        rest = [int(i) for i in np.flatnonzero(~np.isin(labels, list(chosen)))]
        others.append([source.texts[i] for i in rng.sample(rest, WAYS * QUERIES)])
    return found, others


def table(result: dict[str, Any]) -> str:
    """Format the medians as a Markdown table."""
    lines = ["| step | ms |", "|---|---:|"]
    rows = {**result["first"], **{f"later user: {n}": s for n, s in result["later"].items()}}
    return "\n".join([*lines, *(f"| {name} | {1000 * s:.1f} |" for name, s in rows.items())])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    from benchmarks.serving import models
    from benchmarks.speed import timing

    parser = timing.make_parser("first_answer", __doc__, repeats=5, package="benchmarks.serving")
    models.add_model_option(parser)
    parser.add_argument("--users", type=int, default=600, metavar="N", help="(default: 600)")
    options = timing.parse(parser, arguments)
    models.check_model(parser, options.model)
    users = 3 if options.quick else options.users
    tasks, others = draw(users)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    runs = []
    for repeat in range(options.repeats):
        last = repeat == options.repeats - 1
        work = {"model": options.model, "tasks": tasks if last else tasks[:1], "later": last}
        work["others"] = others if last else []
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.serving.first_answer", "--child"],
            input=json.dumps(work),
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            return 1
        runs.append(json.loads(run.stdout.splitlines()[-1]))
    firsts = [run["first"] for run in runs]
    result = {
        **timing.environment(),
        "work": {"ways": WAYS, "shots": SHOTS, "queries": QUERIES, "users": users},
        "model": Path(options.model).name,
        "repeats": options.repeats,
        "first": {name: statistics.median(f[name] for f in firsts) for name in firsts[0]},
        "later": runs[-1]["later"]["seconds"],
        "accuracy": runs[-1]["later"]["accuracy"],
        "unknown": runs[-1]["later"]["unknown"],
    }
    print(table(result))
    accuracy = result["accuracy"]
    print(
        f"Accuracy for {users} users: {100 * accuracy['mean']:.1f} ± "
        f"{100 * accuracy['half_interval']:.1f}%. Area under the ROC curve of the unknown score: "
        + ", ".join(f"{name} {area:.2f}" for name, area in result["unknown"]["area"].items())
    )
    timing.write("first_answer", options, result)
    return 0


def _child() -> int:
    """Do the work of a new process: read it from the standard input, print times as JSON."""
    work = json.loads(sys.stdin.read())
    warnings.simplefilter("ignore")
    result: dict[str, Any] = {"first": first_answer(work["model"], work["tasks"])}
    if work["later"]:
        result["later"] = later_users(work["model"], work["tasks"], work["others"])
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(_child() if sys.argv[1:] == ["--child"] else main())
