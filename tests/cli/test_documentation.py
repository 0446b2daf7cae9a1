"""The commands in docs/command_line.md and in the helps run."""

import importlib
import re
import shlex
import shutil
from pathlib import Path

import pytest

from l2l_rnn.cli import main
from l2l_rnn.cli.arguments import read
from l2l_rnn.cli.program import COMMANDS
from tests.models.frozen.tiny import NAME as TINY_ENCODER

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command_line.md").read_text("utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
LINES = [line for block in BLOCKS for line in block.splitlines()]


def words(line):
    """Split a line into the command's arguments and the file that takes its output."""
    line, _, redirected = line.partition(" > ")
    program, *arguments = shlex.split(line, comments=True)
    assert program == "l2l-rnn"
    return arguments, redirected.strip()


def test_the_page_shows_every_command():
    assert {words(line)[0][0] for line in LINES} == set(COMMANDS)
    assert len(PAGE.splitlines()) <= 100


@pytest.mark.slow
def test_the_page_runs_from_its_first_command_to_the_last(
    posts, tmp_path, tiny, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(posts, "posts.csv")
    for name in ("labeled.csv", "new.csv"):
        shutil.copy(posts, name)
    for line in LINES:
        arguments, redirected = words(line)
        if arguments[0] == "encode":  # with an encoder that every environment can run
            arguments[1:2] = [TINY_ENCODER, "--max_length", "32"]
        if arguments[0] == "fit" and "--resume" not in arguments:
            arguments += [flag for flag in tiny if "--lr" not in flag]
        if arguments[0] == "evaluate":
            arguments += ["--tasks", "4", "--ways", "2", "--queries", "2"]
        capsys.readouterr()
        assert main(arguments) == 0, f"{line}\n{capsys.readouterr().err}"
        if redirected:
            Path(redirected).write_text(capsys.readouterr().out)
    assert (tmp_path / "predicted.csv").is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_are_valid(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"l2l_rnn.cli.commands.{COMMANDS[command][0]}")
    lines = [line for line in module.EXAMPLES.splitlines() if line.startswith("  l2l-rnn ")]
    assert len(lines) >= 2
    (tmp_path / "run.yaml").write_text("taskset: languages\n")
    for line in lines:
        arguments, _ = words(line.strip())
        assert arguments[0] == command
        if "--print_config" in arguments:
            assert main(arguments) == 0
            continue
        groups, given = read("l2l-rnn", "it", module.GROUPS, module.EXAMPLES, arguments[1:])
        assert len(groups) == len(module.GROUPS)
        assert given or len(arguments) == 1
