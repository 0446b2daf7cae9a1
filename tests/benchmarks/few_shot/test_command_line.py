"""`python -m benchmarks`: list, run, redraw, and its errors."""

import json
import subprocess
import sys

import pytest

from benchmarks import command_line
from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.methods.families.family_baselines import FamilyFineTuned
from benchmarks.few_shot.specs import SPECS
from benchmarks.few_shot.time_left import time_limits
from l2l_rnn.tasksets import list_tasksets

COMMITTED = [n for n in SPECS if (command_line.RESULTS / f"{n}-full.json").exists()]
ROOT = command_line.RESULTS.parents[1]


def error_of(capsys, *arguments):
    """The message of a command that must end with exit status 2."""
    with pytest.raises(SystemExit) as stop:
        command_line.main([*map(str, arguments)])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_list_names_every_experiment_and_task_set(capsys):
    assert command_line.main(["list"]) == 0
    printed = capsys.readouterr().out
    for name, spec in SPECS.items():
        assert name in printed
        assert spec.summary in printed
    for name, card in list_tasksets().items():
        assert f"task set {name}\n  task: {card.task}" in printed


def test_the_light_table_agrees_with_the_specs():
    assert list(EXPERIMENTS) == list(SPECS)
    for name, experiment in EXPERIMENTS.items():
        spec = SPECS[name]
        assert spec.summary == experiment.summary
        for form, entries in spec.entries.items():
            minutes = sum(time_limits(entries).values()) / 60
            assert experiment.minutes[form] == pytest.approx(minutes)


@pytest.mark.parametrize("command", ["run", "redraw"])
def test_help_lists_the_experiments_without_importing_torch(command):
    script = (
        "import sys\n"
        "from benchmarks.command_line import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print('torch' in sys.modules)\n"
    )
    help_of = subprocess.run(
        [sys.executable, "-c", script, command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert help_of.stdout.splitlines()[-1] == "False"
    for name, experiment in EXPERIMENTS.items():
        assert f"  {name} " in help_of.stdout
        assert experiment.summary in help_of.stdout


def test_a_reader_may_go_away():
    script = f"{sys.executable} -m benchmarks list | head -1"
    shown = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("languages ")
    assert shown.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "langauges"], "did you mean 'languages'"),
        (["redraw", "langauges"], "did you mean 'languages'"),
        (["redraw", "languages"], "run the experiment first"),
        (["run", "languages", "--device", "warp"], "--device warp"),
        (["run", "languages", "--quick", "--full"], "not allowed with"),
        (["run", "languages", "--resume", "--restart"], "not allowed with"),
        (["run", "languages", "--only", "LSTM protonet, MAML"], "unknown method 'MAML'"),
        (["run", "sinusoids", "--only", "Meta-SDG"], "did you mean 'Meta-SGD'?"),
        (["run"], "NAME"),
    ],
)
def test_a_bad_command_line_gets_one_clear_error(arguments, message, tmp_path, capsys):
    more = ["--out", tmp_path] if arguments[1:] else []
    assert message in error_of(capsys, *arguments, *more)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_directory_is_reported_before_training(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert "not writable" in error_of(capsys, "run", "languages", "--quick", "--out", blocked)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ArithmeticError("the scores are not finite"), "the scores are not finite"),
    ],
)
def test_a_failure_says_how_to_continue(error, message, tmp_path, capsys, monkeypatch):
    def fail(self, column):
        raise error

    monkeypatch.setattr(FamilyFineTuned, "evaluate", fail)
    words = ["run", "sinusoids", "--quick", "--only", "from scratch,pre*", "--out", str(tmp_path)]
    assert command_line.main(words) == 1
    path = tmp_path / "sinusoids-quick-partial.json"
    assert capsys.readouterr().err.splitlines()[-3:] == [
        f"python -m benchmarks: error: {message}",
        f"1 of 9 methods are finished and saved in {path}: from scratch.",
        "Continue with: python -m benchmarks run sinusoids --quick --only 'from scratch,pre*' "
        f"--out {tmp_path} --resume",
    ]


@pytest.mark.parametrize("name", COMMITTED)
def test_redraw_draws_a_committed_result(name, tmp_path, capsys):
    source = command_line.RESULTS / f"{name}-full.json"
    copy = tmp_path / source.name
    copy.write_bytes(source.read_bytes())
    assert command_line.main(["redraw", name, "--out", str(tmp_path)]) == 0
    picture = copy.with_suffix(".png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_results_match_their_specs(name):
    spec = SPECS[name]
    result = json.loads((command_line.RESULTS / f"{name}-full.json").read_text("utf-8"))
    entries = spec.entries["full"]
    assert not result.get("interrupted")
    assert not result.get("unfinished")
    assert result["spec"]["lower_is_better"] == spec.lower_is_better
    for key in ("label", "name", "variant", "group"):
        assert [m[key] for m in result["methods"]] == [getattr(e, key) for e in entries]
