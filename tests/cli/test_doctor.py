"""`l2l-rnn doctor`."""

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from l2l_rnn.cli import main
from l2l_rnn.cli.installation import derivatives, packages
from l2l_rnn.cli.installation.derivatives import check_derivatives
from l2l_rnn.nn import LSTM

ROOT = Path(__file__).parents[2]


def test_the_report(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert report["ok"]
    assert len(report["derivatives"]) == 3
    assert report["devices"][0] == "cpu"
    assert report["threads"]["torch"] >= 1
    assert set(report["compiled_code"]) == {"recurrence", "memory"}
    assert {"text", "hub", "plots"} <= set(report["extras"])
    assert "dev" not in report["extras"]


def test_the_text(capsys):
    assert main(["doctor", "--quick"]) == 0
    shown = capsys.readouterr().out
    assert f"torch              {torch.__version__.partition('+')[0]}" in shown
    assert "everything works" in shown
    assert "derivatives" not in shown


def test_checks_are_reproducible_and_leave_the_generator():
    state = torch.get_rng_state()
    assert check_derivatives() == check_derivatives()
    assert torch.equal(state, torch.get_rng_state())


class Wrong(LSTM):
    """An LSTM whose gradient is 0.1% too large."""

    def forward(self, x, *rest):
        outputs, state = super().forward(x, *rest)
        return outputs + 0.002 * (outputs - outputs.detach()), state


def test_a_wrong_derivative_has_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(derivatives, "LSTM", Wrong)
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "WRONG" in shown
    assert "report this" in shown


def test_a_derivative_that_is_nan_does_not_pass():
    assert not derivatives.Check("x", float("nan"), 1.0).passed


@pytest.mark.slow
def test_it_says_why_compiled_code_is_off():
    done = subprocess.run(
        [sys.executable, "-m", "l2l_rnn", "doctor", "--quick", "--json"],
        cwd=ROOT,
        env={**os.environ, "L2L_RNN_COMPILED": "0"},
        capture_output=True,
        text=True,
        check=True,
    )
    state = json.loads(done.stdout)["compiled_code"]["recurrence"]
    assert not state["in_use"]
    assert "L2L_RNN_COMPILED=0" in state["why_not"]


def test_a_missing_extra_comes_with_the_command(monkeypatch, capsys):
    monkeypatch.setattr(
        "l2l_rnn.cli.commands.doctor.missing_of_extras", lambda: {"series": ["sktime"], "text": []}
    )
    main(["doctor", "--quick"])
    shown = capsys.readouterr().out
    assert "missing sktime: pip install 'l2l_rnn[series]'" in shown
    assert "text               installed" in shown


def test_extras_and_packages_are_those_of_setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", "utf-8")
    extras = set(parser["options.extras_require"])
    assert set(packages.missing_of_extras()) == extras - {"benchmarks", "peers", "dev"}
    assert {"cli", "estimators", "training"} <= extras
    named = {
        re.match(r"[\w.-]+", line)[0]
        for extra in ("cli", "estimators", "training")
        for line in parser["options.extras_require"][extra].split("\n")
        if line.strip()
    }
    assert named <= set(packages.PACKAGES)


@pytest.mark.parametrize("installed", [True, False])
def test_extras_come_from_the_metadata_without_a_checkout(installed, monkeypatch, tmp_path):
    def requires(name):
        if not installed:
            raise packages.PackageNotFoundError(name)
        return ['a>=1; extra == "one"', "b-c<2 ; extra == 'two'", "core"]

    monkeypatch.setattr(packages, "requires", requires)
    monkeypatch.setattr(packages, "_SETUP", tmp_path / "setup.cfg")
    expected = {"one": ["a"], "two": ["b-c"]} if installed else {}
    assert packages.missing_of_extras() == expected
    (tmp_path / "setup.cfg").write_text(
        "[metadata]\nname = another\n[options.extras_require]\nx =\n    y\n"
    )
    assert packages.missing_of_extras() == expected
