"""`l2l-rnn doctor`: what is installed, what is in use, and whether derivatives are exact."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from l2l_rnn.cli import signals
from l2l_rnn.cli.arguments import Output
from l2l_rnn.cli.installation.packages import missing_of_extras, versions
from l2l_rnn.cli.output import show, show_json


@dataclass(frozen=True)
class Checks:
    """Checks.

    Args:
        quick: skip the checks of derivatives, which take about two seconds
    """

    quick: bool = False


GROUPS = (Checks, Output)
EXAMPLES = """
  l2l-rnn doctor
  l2l-rnn doctor --quick
  l2l-rnn doctor --json > doctor.json
"""


def run(checks: Checks, output: Output) -> int:
    """Print a report, and return 1 if a derivative is wrong."""
    from l2l_rnn import __version__

    report: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "l2l_rnn": __version__,
        "packages": versions(),
        "extras": missing_of_extras(),
        "devices": _devices(),
        "threads": _threads(),
        "compiled_code": _compiled_code(),
        "derivatives": [] if checks.quick else _derivatives(),
    }
    signals.check()
    report["ok"] = all(check["passed"] for check in report["derivatives"])
    if output.json:
        show_json(report)
    else:
        _print(report)
    return 0 if report["ok"] else 1


def _devices() -> list[str]:
    import torch

    found = ["cpu"]
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        found.append(f"cuda:{number} ({torch.cuda.get_device_name(number)})")
    return found + ["mps"] * torch.backends.mps.is_available()


def _threads() -> dict[str, Any]:
    import torch

    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = torch.get_num_threads()
    advice = None
    if threads > cores:
        advice = f"more threads than cores; set OMP_NUM_THREADS={cores}"
    return {"torch": threads, "cores": cores, "advice": advice}


def _compiled_code() -> dict[str, dict[str, Any]]:
    """Return for each compiled module whether it is in use, and why not."""
    from l2l_rnn.functional.memory import compiled_passes as memory
    from l2l_rnn.functional.recurrence import compiled_passes as recurrence

    found: dict[str, dict[str, Any]] = {}
    for name, module, passes in (
        ("recurrence", "_rnn", recurrence),
        ("memory", "_memory", memory),
    ):
        why = None
        if not passes.compiled():
            if os.environ.get("L2L_RNN_COMPILED") == "0":
                why = "L2L_RNN_COMPILED=0 is set in the environment"
            elif find_spec(f"l2l_rnn.functional.{module}") is None:
                why = "it was not compiled; install a C compiler and reinstall l2l_rnn"
            else:
                why = "it does not load, or is from another version; reinstall l2l_rnn"
        found[name] = {"in_use": why is None, "why_not": why}
    return found


def _derivatives() -> list[dict[str, Any]]:
    from l2l_rnn.cli.installation.derivatives import check_derivatives

    start = time.perf_counter()
    found = [{**check._asdict(), "passed": check.passed} for check in check_derivatives()]
    found[-1]["seconds_of_all"] = round(time.perf_counter() - start, 2)
    return found


def _print(report: dict[str, Any]) -> None:
    show(f"l2l_rnn {report['l2l_rnn']}, Python {report['python']}, {report['platform']}")
    show("\npackages:")
    for name, version in report["packages"].items():
        show(f"  {name:18} {version or 'not installed'}")
    show("\nextras:")
    for extra, missing in report["extras"].items():
        fix = f"missing {', '.join(missing)}: pip install 'l2l_rnn[{extra}]'"
        show(f"  {extra:18} {fix if missing else 'installed'}")
    show(f"\ndevices: {', '.join(report['devices'])}")
    threads = report["threads"]
    advice = f"; {threads['advice']}" if threads["advice"] else ""
    show(f"threads: {threads['torch']} of torch, {threads['cores']} cores{advice}")
    show("\ncompiled code:")
    for name, state in report["compiled_code"].items():
        show(f"  {name:18} {'in use' if state['in_use'] else 'not in use: ' + state['why_not']}")
    if report["derivatives"]:
        show("\nderivatives (largest relative error):")
    for check in report["derivatives"]:
        mark = "ok    " if check["passed"] else "WRONG "
        show(f"  {mark} {check['error']:.1e}  {check['name']}")
    show("\neverything works" if report["ok"] else "\nreport this: derivatives are wrong here")
