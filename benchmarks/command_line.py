"""Command line of the few-shot experiments: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice
from benchmarks.experiments import EXPERIMENTS
from benchmarks.interruption import interruption
from l2l_rnn.errors import ArgumentError, MissingExtraError
from l2l_rnn.registry import hint

PROGRAM = "python -m benchmarks"
RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    name = getattr(options, "name", None)
    if name is not None and name not in EXPERIMENTS:
        known = "".join(f"\n  {line}" for line in EXPERIMENTS)
        parser.error(f"unknown experiment {name!r}{hint(name, EXPERIMENTS)} Known:{known}")
    commands = {"list": _list, "run": _run, "redraw": _redraw}
    try:
        return commands[options.command](options)
    except ArgumentError as error:
        parser.error(str(error))
    except BrokenPipeError:  # the reader of the output has gone, as in `list | head`
        sys.stdout = None
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Few-shot experiments with recurrent learners and baselines."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the experiments, and the task sets with their cards")
    plain = argparse.RawDescriptionHelpFormatter
    run = commands.add_parser(
        "run", help="run an experiment", formatter_class=plain, epilog=_experiments()
    )
    redraw = commands.add_parser(
        "redraw",
        help="redraw the figure of a saved result",
        formatter_class=plain,
        epilog=_experiments(),
    )
    for command in (run, redraw):
        command.add_argument("name", metavar="NAME", help="an experiment, see below")
        command.add_argument(
            "--out",
            type=Path,
            default=RESULTS,
            metavar="DIR",
            help="folder of the JSON file and the figure (default: benchmarks/results)",
        )
    _add_run_options(run)
    redraw.add_argument(
        "--form", choices=["quick", "default", "full"], default="full", help="(default: full)"
    )
    return parser


def _add_run_options(run: argparse.ArgumentParser) -> None:
    form = run.add_mutually_exclusive_group()
    form.add_argument(
        "--quick", action="store_true", help="smoke test of about a minute; scores are meaningless"
    )
    form.add_argument("--full", action="store_true", help="full run, as published in docs")
    seed = run.add_mutually_exclusive_group()
    seed.add_argument("--seed", type=int, default=0, metavar="S", help="random seed (default: 0)")
    seed.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        metavar="S",
        help="several random seeds, merged: means, and the range of the seeds' means",
    )
    run.add_argument(
        "--device",
        default="cpu",
        metavar="D",
        help="cpu, gpu (CUDA or, on a Mac, MPS), cuda:N or mps (default: cpu)",
    )
    run.add_argument(
        "--root",
        metavar="PATH",
        help="folder of the task sets' data, such as a copy of 20 Newsgroups (default: ~/data); "
        "for recommendation_file*, a file of ratings in a format of MovieLens",
    )
    run.add_argument(
        "--only",
        default="*",
        metavar="METHOD[,METHOD...]",
        help="run these methods; '*' stands for any text, as in 'LSTM*'; --resume adds the others",
    )
    run.add_argument(
        "--save",
        type=Path,
        metavar="DIR",
        help="save the learner of the only method, for l2l_rnn.training.Pretrained",
    )
    earlier = run.add_mutually_exclusive_group()
    earlier.add_argument(
        "--resume",
        action="store_true",
        help="keep the methods that an earlier run has finished, and run the others",
    )
    earlier.add_argument(
        "--restart", action="store_true", help="discard the methods of an unfinished run"
    )


def _experiments() -> str:
    width = max(map(len, EXPERIMENTS))
    lines = [
        f"  {name:{width}} {experiment.summary}\n  {'':{width}} training takes at most "
        f"{experiment.minutes['default']:g} minutes, with --full {experiment.minutes['full']:g}"
        for name, experiment in EXPERIMENTS.items()
    ]
    return "\n".join(["experiments:", *lines])


def _list(options: argparse.Namespace) -> int:
    from l2l_rnn.tasksets import list_tasksets

    width = max(map(len, EXPERIMENTS))
    for name, experiment in EXPERIMENTS.items():
        print(f"{name:{width}} {experiment.summary}")
    for name, card in list_tasksets().items():
        print(f"\ntask set {name}\n{textwrap.indent(str(card), '  ')}")
    return 0


def _run(options: argparse.Namespace) -> int:
    form = "quick" if options.quick else "full" if options.full else "default"
    minutes = EXPERIMENTS[options.name].minutes[form]
    interruption.saved = "No method was started."
    interruption.advice = f"Continue with: {_continuation(options)}"
    print(
        f"{options.name}, {form} form: at most {minutes:g} minutes of training, plus evaluation. "
        "Loading torch and learn2learn ...",
        file=sys.stderr,
        flush=True,
    )
    from benchmarks import report
    from benchmarks.few_shot import runner, seeds
    from benchmarks.few_shot.spec import ClassificationSpec, RecommendationSpec
    from benchmarks.few_shot.specs import SPECS
    from benchmarks.machine import device_of

    spec = SPECS[options.name]
    if options.root is not None:
        reads = isinstance(spec, RecommendationSpec) and spec.from_file
        if not isinstance(spec, ClassificationSpec) and not reads:
            raise ArgumentError(f"--root: {options.name} generates its tasks; drop the option")
        spec = dataclasses.replace(spec, root=options.root)
    if options.seeds and options.save is not None:
        raise ArgumentError("--save needs one seed, got --seeds; use --seed")
    try:
        device = device_of(options.device)
    except ArgumentError as error:
        raise ArgumentError(f"--device {options.device}: {error}") from error
    try:
        report.check_writable(options.out)
    except OSError as error:
        why = f"not writable ({error.strerror}); choose another folder"
        raise ArgumentError(f"--out {options.out}: {why}") from error
    how = {"only": options.only, "resume": options.resume, "restart": options.restart}
    try:
        if options.seeds:
            seeds.run_seeds(spec, form, options.seeds, device, options.out, **how)
        else:
            how["save"] = options.save
            runner.run(spec, form, options.seed, device, options.out, **how)
    except ArgumentError:
        raise
    except (OSError, ArithmeticError, MissingExtraError) as error:
        print(f"{PROGRAM}: error: {error}\n{interruption.message}", file=sys.stderr)
        return 1
    except BaseException:
        print(f"\n{interruption.message}", file=sys.stderr)
        raise
    return 0


def _continuation(options: argparse.Namespace) -> str:
    """Return the command that continues a run."""
    words = ["run", options.name]
    words += ["--quick"] * options.quick + ["--full"] * options.full
    if options.seeds:
        words += ["--seeds", *map(str, options.seeds)]
    given = {
        "seed": 0,
        "device": "cpu",
        "root": None,
        "only": "*",
        "out": RESULTS,
        "save": None,
    }
    for name, default in given.items():
        value: Any = getattr(options, name)
        if value != default:
            words += [f"--{name}", str(value)]
    return f"{PROGRAM} {shlex.join([*words, '--resume'])}"


def _redraw(options: argparse.Namespace) -> int:
    from benchmarks import report
    from benchmarks.few_shot.specs import SPECS

    path = options.out / f"{options.name}-{options.form}.json"
    if not path.is_file():
        raise ArgumentError(f"{path}: no such file; run the experiment first, or set --out")
    picture = path.with_suffix(".png")
    SPECS[options.name].picture(report.read_result(path), picture)
    print(f"wrote {picture}")
    return 0
