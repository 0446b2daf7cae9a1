"""`l2l-rnn fit`: train a learner, evaluate it, and save it."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Collection
from typing import Any

from l2l_rnn.cli import signals
from l2l_rnn.cli.arguments import Output
from l2l_rnn.cli.fitting.contradictions import check_settings
from l2l_rnn.cli.fitting.run_folder import (
    check_new,
    locked,
    resumed,
    saved_settings,
    write_settings,
)
from l2l_rnn.cli.fitting.settings import (
    DataSettings,
    EncoderSettings,
    FolderSettings,
    LearnerSettings,
    TrainingSettings,
)
from l2l_rnn.cli.output import log, show, show_json

GROUPS = (DataSettings, LearnerSettings, EncoderSettings, TrainingSettings, FolderSettings, Output)
EXAMPLES = """
  l2l-rnn fit --taskset languages --out languages-model
  l2l-rnn fit --data posts.csv --text text --label label --out posts-model
  l2l-rnn fit --data posts.csv --text title body --label topic --learner maml --shots 1 --out m
  l2l-rnn fit --taskset languages --print_config > run.yaml
  l2l-rnn fit --config run.yaml --lr 0.001 --out slower
  l2l-rnn fit --out slower --resume     # after a stop, with the settings of the run
"""


def run(*groups: Any, given: Collection[str]) -> int:
    """Train, or continue to train, and print the evaluation on the test split."""
    folder, output = groups[-2:]
    if folder.out is not None and folder.resume:
        _import()
        with locked(folder.out) as path:
            saved = saved_settings(path)
            now = {name: value for name, value in _flat(groups).items() if name in given}
            groups = _groups(resumed(saved, now))
            return _run(path, groups, output, saved_before=True)
    check_settings(*groups[:-1])
    _import()
    with locked(folder.out) as path:
        check_new(path)
        return _run(path, groups, output, saved_before=False)


def _import() -> None:
    """Import torch and Lightning before the folder is touched."""
    log("importing torch")
    importlib.import_module("l2l_rnn.cli.fitting.training_run")
    signals.check()


def _flat(groups: Any) -> dict[str, Any]:
    return {name: value for group in groups for name, value in dataclasses.asdict(group).items()}


def _groups(settings: dict[str, Any]) -> tuple[Any, ...]:
    """Return the groups of saved settings; those of a newer version may be missing."""
    return tuple(
        group(**{f.name: settings[f.name] for f in dataclasses.fields(group) if f.name in settings})
        for group in GROUPS
    )


def _run(path: Any, groups: Any, output: Output, *, saved_before: bool) -> int:
    data, learner_settings, encoder, training, *_ = groups
    import torch

    from l2l_rnn.cli.fitting.learners import make_learner
    from l2l_rnn.cli.fitting.results import is_finished, save_run
    from l2l_rnn.cli.fitting.tasks import open_tasks
    from l2l_rnn.cli.fitting.training_run import train
    from l2l_rnn.cli.installation.devices import usable_device

    device = usable_device(training.device)
    if saved_before and is_finished(path):
        log(f"the run in {path} is finished; nothing to do")
    else:
        tasks = open_tasks(
            data,
            ways=training.ways,
            train_ways=training.train_ways or training.ways,
            shots=training.shots,
            queries=training.queries,
            seed=training.seed,
        )
        if tasks.rows is not None:
            log(tasks.rows.described())
        torch.manual_seed(training.seed)
        learner, steps = make_learner(
            learner_settings,
            encoder,
            vocab_size=tasks.tasksets.vocab_size,
            input_size=tasks.tasksets.input_size,
            outputs=tasks.outputs,
            regression=tasks.regression,
        )
        count = sum(parameter.numel() for parameter in learner.parameters())
        log(
            f"training {learner_settings.learner} with {count:,} parameters on {tasks.name}: "
            f"{training.steps} steps of {training.tasks} tasks"
        )
        if not saved_before:
            write_settings(path, _flat(groups))
        training = dataclasses.replace(training, device=device)
        taken = train(learner, tasks, training, steps, path, resume=saved_before)
        save_run(path, learner, tasks, training, steps, taken)
    return _report(path, output)


def _report(path: Any, output: Output) -> int:
    from l2l_rnn.cli.fitting.results import result_of

    result = result_of(path)
    if output.json:
        show_json(result)
    else:
        show(f"{result['text']}\nsaved in {path}")
    return 0
