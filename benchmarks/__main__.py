"""The command line: `python -m benchmarks list` and `python -m benchmarks run NAME`."""

from __future__ import annotations

import argparse
import difflib
import sys
import textwrap
from pathlib import Path

import l2l_rnn  # noqa: F401 - first, so that gym's notice stays unprinted


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name the experiments, and the task sets with their cards")
    run = commands.add_parser("run", help="run one experiment")
    run.add_argument("name", metavar="NAME", help="what `list` names")
    form = run.add_mutually_exclusive_group()
    form.add_argument("--quick", action="store_true", help="a smoke run of under a minute")
    form.add_argument("--full", action="store_true", help="the run whose result the README shows")
    run.add_argument("--seed", type=int, default=0, metavar="S", help="of everything drawn (0)")
    run.add_argument("--device", default=None, metavar="D", help="cpu, cuda or cuda:N (cpu)")
    run.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "results",
        metavar="DIR",
        help="where the JSON and the picture go (benchmarks/results)",
    )
    options = parser.parse_args(arguments)

    from benchmarks.few_shot.specs import SPECS  # late: importing learn2learn takes seconds
    from l2l_rnn.tasksets import list_tasksets

    if options.command == "list":
        width = max(map(len, SPECS))
        for name, spec in SPECS.items():
            print(f"{name:{width}} {spec.summary}")
        for name, card in list_tasksets().items():
            print(f"\ntask set {name}\n{textwrap.indent(str(card), '  ')}")
        return 0
    if options.name not in SPECS:
        near = difflib.get_close_matches(options.name, SPECS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        parser.error(f"unknown experiment {options.name!r}{hint} Known: {', '.join(SPECS)}")

    import torch

    from benchmarks import report
    from benchmarks.few_shot import runner

    try:
        device = torch.device(options.device or "cpu")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device {options.device}: {str(error).splitlines()[0]}")
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(
            f"--out {options.out}: cannot write there ({error.strerror}); name another folder"
        )
    form_name = "quick" if options.quick else "full" if options.full else "default"
    result = runner.run(SPECS[options.name], form_name, options.seed, device, options.out)
    return 130 if result["interrupted"] else 0


if __name__ == "__main__":
    sys.exit(main())
