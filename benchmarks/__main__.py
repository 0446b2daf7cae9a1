"""Few-shot experiments: `python -m benchmarks list`, `run NAME` and `redraw NAME`."""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice

RESULTS = Path(__file__).parent / "results"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)

    from benchmarks.few_shot.specs import SPECS  # imported here because learn2learn takes seconds

    if options.command == "list":
        _list(SPECS)
        return 0
    if options.name not in SPECS:
        near = difflib.get_close_matches(options.name, SPECS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        parser.error(f"unknown experiment {options.name!r}{hint} Known: {', '.join(SPECS)}")
    command = _redraw if options.command == "redraw" else _run
    return command(parser, SPECS[options.name], options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the experiments, and the task sets with their cards")
    run = commands.add_parser("run", help="run an experiment")
    redraw = commands.add_parser("redraw", help="redraw the figure of a saved result")
    for command in (run, redraw):
        command.add_argument("name", metavar="NAME", help="an experiment; see `list`")
        command.add_argument(
            "--out",
            type=Path,
            default=RESULTS,
            metavar="DIR",
            help="folder of the JSON file and the figure (default: benchmarks/results)",
        )
    form = run.add_mutually_exclusive_group()
    form.add_argument(
        "--quick", action="store_true", help="smoke test of about a minute; scores are meaningless"
    )
    form.add_argument("--full", action="store_true", help="full run, as published in docs")
    run.add_argument("--seed", type=int, default=0, metavar="S", help="random seed (default: 0)")
    text = "cpu, cuda or cuda:N (default: cpu)"
    run.add_argument("--device", default="cpu", metavar="D", help=text)
    redraw.add_argument(
        "--form", choices=["quick", "default", "full"], default="full", help="(default: full)"
    )
    return parser


def _list(specs: dict[str, Any]) -> None:
    from l2l_rnn.tasksets import list_tasksets

    width = max(map(len, specs))
    for name, spec in specs.items():
        print(f"{name:{width}} {spec.summary}")
    for name, card in list_tasksets().items():
        print(f"\ntask set {name}\n{textwrap.indent(str(card), '  ')}")


def _run(parser: argparse.ArgumentParser, spec: Any, options: argparse.Namespace) -> int:
    import torch

    from benchmarks import report
    from benchmarks.few_shot import runner

    try:
        device = torch.device(options.device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device {options.device}: {str(error).splitlines()[0]}")
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: not writable ({error.strerror}); choose another folder")
    form = "quick" if options.quick else "full" if options.full else "default"
    result = runner.run(spec, form, options.seed, device, options.out)
    return 130 if result["interrupted"] else 0


def _redraw(parser: argparse.ArgumentParser, spec: Any, options: argparse.Namespace) -> int:
    from benchmarks import report

    path = options.out / f"{spec.name}-{options.form}.json"
    if not path.is_file():
        parser.error(f"{path}: no such file; run the experiment first, or set --out")
    result = report.read_result(path)
    picture = path.with_suffix(".png")
    spec.picture(result, picture)
    print(f"wrote {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
