"""`l2l-rnn evaluate`: the scores of a saved model on test tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from l2l_rnn.cli import signals
from l2l_rnn.cli.arguments import Model, Output
from l2l_rnn.cli.fitting.contradictions import check_data, out_of_range, unknown_names
from l2l_rnn.cli.fitting.settings import DataSettings
from l2l_rnn.cli.output import log, show, show_json, show_table
from l2l_rnn.cli.usage import refuse


@dataclass(frozen=True)
class EvaluationSettings:
    """Evaluation.

    Args:
        shots: labeled examples of each class; several give one row each
        tasks: test tasks
        ways: classes of a task
        queries: examples of each class to predict
        adaptation_steps: gradient steps or writes; those of the model by default
        scores: scores of classes: accuracy, f1, ece, brier, nll; of values: error, mse, mae
        split: part of the tasks, with the classes that fit saved; test, or all for --data
        compare: another model; prints the paired difference on the same tasks
        seed: seed of the test tasks; the classes of --split are those of fit
        device: cpu, gpu, cuda:N or mps
    """

    shots: list[int] | int = 5
    tasks: int = 600
    ways: int = 5
    queries: int = 10
    adaptation_steps: int | None = None
    scores: list[str] | str | None = None
    split: Literal["train", "validation", "test", "all"] | None = None
    compare: str | None = None
    seed: int = 0
    device: str = "cpu"


GROUPS = (Model, DataSettings, EvaluationSettings, Output)
EXAMPLES = """
  l2l-rnn evaluate languages --taskset languages --shots 1,5 --tasks 600
  l2l-rnn evaluate posts-model --data new-posts.csv --text text --label label
  l2l-rnn evaluate posts-model --data posts.csv --text text --label label --split test
  l2l-rnn evaluate one-model --taskset intents --compare another-model
  l2l-rnn evaluate languages --taskset languages --scores accuracy f1 ece --json
"""


def run(model: Model, data: DataSettings, settings: EvaluationSettings, output: Output) -> int:
    """Print the scores for each number of shots."""
    shots = [settings.shots] if isinstance(settings.shots, int) else settings.shots
    problems = [*check_data(data), *unknown_names(taskset=data.taskset), *out_of_range(settings)]
    if settings.split == "all" and data.data is None:
        problems.append("--split all is only for --data")
    if data.tokenizer is not None:
        problems.append("--tokenizer is not a setting of evaluate: the model has its own")
    refuse(problems)
    log("importing torch")
    from l2l_rnn.cli.installation.devices import usable_device
    from l2l_rnn.cli.saved_models.evaluation import evaluated
    from l2l_rnn.training import compare

    signals.check()
    device = usable_device(settings.device)
    names = [model.model] if settings.compare is None else [model.model, settings.compare]
    results = []
    for number in shots:
        found = []
        for name in names:
            log(f"evaluating {name} with {number} shots on {settings.tasks} tasks")
            found.append((name, evaluated(name, data, settings, number, device)))
        paired = None if len(found) == 1 else compare(found[0][1], found[1][1])
        results.append((number, found, paired))
    if output.json:
        show_json([_as_json(*result) for result in results])
    else:
        _show(results)
    return 0


def _as_json(shots: int, found: list[Any], paired: Any) -> dict[str, Any]:
    result: dict[str, Any] = {
        "shots": shots,
        "models": [{"model": name, **evaluation.to_json()} for name, evaluation in found],
    }
    if paired is not None:
        names = ("score", "mean", "ci95", "significant")
        result["difference"] = {name: getattr(paired, name) for name in names}
    return result


def _show(results: list[Any]) -> None:
    rows = [
        (name, shots, evaluation.tasks, *_cells(evaluation))
        for shots, found, _ in results
        for name, evaluation in found
    ]
    scores = results[0][1][0][1].summary()
    show_table(rows, ("model", "shots", "tasks", *scores, "ms per task"))
    for shots, found, paired in results:
        if paired is not None:
            show(f"{found[0][0]} minus {found[1][0]}, {shots} shots: {paired}")


def _cells(evaluation: Any) -> list[str]:
    scores = [f"{one['mean']:.3f} ± {one['ci95']:.3f}" for one in evaluation.summary().values()]
    return [*scores, f"{1000 * evaluation.seconds_per_task:.1f}"]
