"""Generator of the tables in README.md and docs/, from the result files.

`python -m benchmarks.documents` updates all tables. A table is enclosed in `<!-- table: NAME -->`
and `<!-- end of table -->`; a test checks that each one is up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice

# isort: split
from benchmarks import memory_growth, report
from benchmarks.algorithmic import table as algorithmic
from benchmarks.serving import first_answer, user_store
from benchmarks.speed import adaptation, decoder, loading, memory, meta_step, user_meta_step
from benchmarks.speed.planning import __main__ as planning
from benchmarks.speed.training_overhead import __main__ as training_overhead
from l2l_rnn.files import replacing
from l2l_rnn.tasksets import list_tasksets

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "docs" / "choosing.md",
    ROOT / "docs" / "results.md",
    ROOT / "docs" / "results_applications.md",
    ROOT / "docs" / "tasksets.md",
)
TABLE = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def path_of(name: str) -> Path:
    """Return the file of an experiment's published result."""
    return ROOT / "benchmarks" / "results" / f"{name}-full.json"


def read(name: str) -> dict[str, Any]:
    """Return the published result of an experiment."""
    return json.loads(path_of(name).read_text("utf-8"))


def comparison() -> str:
    """Format a comparison of learn2learn scripts with and without this package."""
    speed, draws = read("speed"), read("loading")["seconds"]
    second_order = [row for row in speed["rows"] if not row["work"]["first_order"]]
    large, small = second_order[:2]

    def sizes(row: dict[str, Any]) -> str:
        return f"{row['work']['tasks']} tasks of {row['work']['batch']} sequences"

    def times(before: float, after: float, digits: int = 0) -> str:
        return f"{1000 * before:.{digits}f} ms | **{1000 * after:.{digits}f} ms**"

    lines = [
        "| | learn2learn alone | with l2l_rnn |",
        "| --- | --- | --- |",
        f"| second-order MAML step, LSTM, {sizes(large)} | "
        f"{times(large['seconds']['learn2learn'], large['seconds']['l2l_rnn'])} |",
        f"| the same, {sizes(small)} | "
        f"{times(small['seconds']['learn2learn'], small['seconds']['l2l_rnn'])} |",
        "| drawing 16 few-shot text tasks | "
        f"{times(draws[loading.PARTITIONED], draws['at once'], 1)} |",
        "| task sets of text, time series and algorithms, offline | none | "
        f"**{len(list_tasksets())}** |",
        "| learners with an external memory | none | **NTM, DNC, MANN, memory networks, fast "
        "weights** |",
        "| second-order MAML through an LSTM on a GPU | error, unless cuDNN is switched off | "
        "exact; not timed on a GPU yet |",
    ]
    return "\n".join(lines)


def highlights() -> str:
    """Format a summary of the results in six lines."""
    languages = read("languages")
    lags, waves = read("lags"), read("sinusoids")
    strokes, bits = read("strokes"), read("memory-tasks")
    seconds = read("adaptation")["seconds"]

    def score(result: dict[str, Any], name: str, column: str, **variant: str) -> str:
        (found,) = [
            method["scores"][column]
            for method in result["methods"]
            if method["name"] == name and method["variant"] == variant
        ]
        return report.score_text(result["spec"]["percent"], found)

    def copied(network: str) -> list[float]:
        return [
            run["wrong_bits"]["120"]
            for run in bits["runs"]
            if run["task"] == "copy" and run["settings"]["memory"] == network
        ]

    def names(name: str) -> str:
        return score(languages, name, column_of(languages, ways=5, shots=5))

    joined = "3 x LSTM ProtoNet, Gaussian prior, joined with TF-IDF"
    recall = {"tasks": "recall", "cell": "LSTM"}
    lines = [
        f"- **Languages, 5 shots**: accuracy {names(joined)}% with three ProtoNets joined with "
        f"TF-IDF, {names('LSTM pre-trained, fine-tuned')}% with a fine-tuned LSTM, "
        f"{names('TF-IDF n-grams, logistic regression')}% with TF-IDF alone.",
        f"- **The same by memory**: {names('LSTM memory learner')}% with 15 writes and no gradient "
        f"step. With 64 units, 15 writes take {1000 * seconds['hebbian, write 15 times']:.0f} ms, "
        f"five second-order MAML steps {1000 * seconds[adaptation.BASELINE]:.0f} ms.",
        f"- **Recall over 100 steps**: error {score(lags, 'MAML', '100 back', **recall)}% with "
        f"MAML and an LSTM, {score(lags, 'from scratch', '100 back', **recall)}% from scratch "
        "(chance level 80%).",
        f"- **Sine waves, 5 shots**: squared error {score(waves, 'ALPaCA', '5 shots')} with "
        f"ALPaCA, {score(waves, 'memory learner', '5 shots')} with the memory learner, "
        f"{score(waves, 'MAML', '5 shots')} with MAML.",
        "- **Copy**: three NTMs trained on up to 20 vectors copy 120 with at most "
        f"{max(copied('ntm')):.0f} wrong bits of 960 on average; an LSTM has "
        f"{max(copied('lstm')):.0f}.",
        f"- **Unseen characters**: the MANN is right for {score(strokes, 'MANN', '2nd')}% of "
        f"second and {score(strokes, 'MANN', '10th')}% of tenth items, an LSTM for "
        f"{score(strokes, 'LSTM', '2nd')}% and {score(strokes, 'LSTM', '10th')}%.",
    ]
    return "\n".join(lines)


def column_of(result: dict[str, Any], *, ways: int, shots: int) -> str:
    """Return the name of a column; without ways of its own, it has those of the experiment."""
    (name,) = [
        column["name"]
        for column in result["columns"]
        if (column.get("ways", result["spec"]["ways"]), column["shots"]) == (ways, shots)
    ]
    return name


def few_shot(name: str, column: str | None = None, compared: str = "") -> str:
    """Format a few-shot result with its notes.

    Args:
        name: the experiment.
        column: the only column; None for all.
        compared: what the names of the columns begin with whose paired differences are shown.
    """
    if not path_of(name).exists():
        return f"Not measured yet: `python -m benchmarks run {name} --full` makes this table."
    result = read(name)
    table = report.table(result) if column is None else report.column_table(result, column)
    notes = [
        f"  - {line.strip()}" if line.startswith(" ") else f"- {line}"
        for line in report.notes(result).splitlines()
        if not line.startswith(" ") or line.strip().startswith(compared)
    ]
    lines = [table, "", *notes]
    if "measures" in result["methods"][0]:
        lines += ["", "Character error rate, and chrF (both in %):", "", measures_table(result)]
    if result.get("curve"):
        ways = result["spec"]["ways"]
        lines += ["", f"By the number of shots, {ways} ways:", "", report.curve_table(result)]
    return "\n".join(lines)


def differences(name: str, label: str, compared: str) -> str:
    """Format the paired differences of a method from the baselines and the best transfer method."""
    result = read(name)
    (method,) = [row for row in result["methods"] if row["label"] == label]
    columns = [c["name"] for c in result["columns"] if c["name"].startswith(compared)]
    found = [method["scores"][column]["differences"] for column in columns]
    lines = [f"| {label}, minus | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for other in found[0]:
        cells = [f"{part[other]['mean']:+.3f} ± {part[other]['ci95']:.3f}" for part in found]
        lines.append(f"| {other} | {' | '.join(cells)} |")
    return "\n".join(lines)


def measures_table(result: dict[str, Any]) -> str:
    """Format the character error rate and chrF of translations, lower and higher is better."""
    columns = [column["name"] for column in result["columns"]]
    lines = [f"| method | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for method in result["methods"]:
        cells = [
            " / ".join(
                f"{100 * method['measures'][column][name]['mean']:.1f}"
                for name in ("character error rate", "chrF")
            )
            for column in columns
        ]
        lines.append(f"| {method['label']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def user_models(name: str) -> str:
    """Format the speed of users' models, and the targets that it misses."""
    result = read(name)
    missed = [f"- {line}" for line in user_meta_step.missed_targets(result)]
    return "\n".join(
        [user_meta_step.table(result), *(["", "Below target:", "", *missed] if missed else [])]
    )


def kills() -> str:
    """Format the kills of a training, and what differs from an unbroken one."""
    result = read("kill-and-resume")
    lines = ["| killed in the phase | times |", "|---|---:|"]
    lines += [f"| {phase} | {times} |" for phase, times in result["kills_by_moment"].items()]
    different = [part for part, same in result["identical"].items() if not same]
    verdict = f"Different: {', '.join(different)}." if different else "All bits are identical."
    return "\n".join([*lines, "", verdict])


def transfer() -> str:
    """Format the best methods of several experiments, with and without meta-learning."""
    ways = ("5 ways, 1 shot", "5 ways, 5 shots")
    shots = ("1 shot", "5 shots")
    rows = (
        ("languages of names", "languages", ways),
        ("commands of unseen intents", "intents", ways),
        ("commands in unseen languages", "intents_languages", shots),
        ("newsgroups", "newsgroups", shots),
        ("numbers in words (exact match)", "translation", ("5 pairs", "20 pairs", "100 pairs")),
        ("series of unseen datasets", "series", ("3 ways, 1 shot", "3 ways, 5 shots")),
        ("exercises of a person", "activity", shots),
        ("forecasts (error)", "forecasting", ("MASE, drawn", "MASE, recorded")),
        ("motion of a body (error)", "dynamics", ("cart-pole, 10", "cart-pole, 100")),
        ("control of a body (% of the true model)", "control", ("pendulum", "arm")),
        ("sine waves (squared error)", "sinusoids", shots[1:]),
    )
    results = [(title, read(name), columns) for title, name, columns in rows]
    return report.transfer_table(results, without=("true model",))


TABLES: dict[str, Callable[[], str]] = {
    "transfer": transfer,
    "comparison": comparison,
    "highlights": highlights,
    "tasksets": lambda: report.tasksets_table(list_tasksets()),
    "languages": lambda: few_shot("languages"),
    "intents": lambda: few_shot("intents"),
    "intents_languages": lambda: few_shot("intents_languages"),
    "newsgroups": lambda: few_shot("newsgroups"),
    "translation": lambda: few_shot("translation"),
    "translation_names": lambda: few_shot("translation_names"),
    "lags": lambda: few_shot("lags", "100 back"),
    "sinusoids": lambda: few_shot("sinusoids"),
    "harmonics": lambda: few_shot("harmonics"),
    "series": lambda: few_shot("series"),
    "series_classes": lambda: few_shot("series_classes"),
    "activity": lambda: few_shot("activity"),
    "activity_drift": lambda: few_shot("activity_drift"),
    "forecasting": lambda: few_shot("forecasting", compared="MASE"),
    "forecasting-differences": lambda: differences("forecasting", "ALPaCA, adapted", "MASE"),
    "recommendation": lambda: few_shot("recommendation", compared="RMSE"),
    "recommendation_ranking": lambda: few_shot(
        "recommendation_ranking", compared="NDCG@10 of liked"
    ),
    "recommendation_file": lambda: few_shot("recommendation_file", compared="RMSE"),
    "dynamics": lambda: few_shot("dynamics"),
    "control": lambda: few_shot("control"),
    "bandits": lambda: few_shot("bandits"),
    "grid": lambda: few_shot("grid"),
    "planning": lambda: planning.table(read("planning")),
    "strokes": lambda: few_shot("strokes"),
    "languages_by_instance": lambda: few_shot("languages_by_instance"),
    "memory-tasks": lambda: algorithmic.table(read("memory-tasks"), each=True),
    "speed": lambda: meta_step.table(read("speed")),
    "user-models": lambda: user_models("user-models"),
    "user-models-keep-memory": lambda: user_models("user-models-keep-memory"),
    "decoder": lambda: decoder.table(read("decoder")),
    "memory-speed": lambda: memory.table(read("memory-speed")),
    "adaptation": lambda: adaptation.table(read("adaptation")),
    "loading": lambda: loading.table(read("loading")),
    "training-overhead": lambda: training_overhead.table(read("training-overhead")),
    "memory-growth": lambda: memory_growth.table(read("memory-growth")),
    "kill-and-resume": kills,
    "first_answer": lambda: first_answer.table(read("first_answer")),
    "user_store": lambda: user_store.table(read("user_store")),
}


def refresh(text: str) -> str:
    """Return a document with updated tables."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[4]}", text)


def main() -> int:
    """Update the tables of all documents and return the exit status."""
    for path in DOCUMENTS:
        text = refresh(path.read_text("utf-8"))
        with replacing(path) as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
