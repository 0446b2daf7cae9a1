"""`python -m benchmarks`: list, run, redraw, and its errors."""

import json

import pytest

from benchmarks import __main__ as command_line
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.tasksets import list_tasksets

COMMITTED = [n for n in SPECS if (command_line.RESULTS / f"{n}-full.json").exists()]


def test_list_names_every_experiment_and_task_set(capsys):
    assert command_line.main(["list"]) == 0
    printed = capsys.readouterr().out
    for name, spec in SPECS.items():
        assert name in printed
        assert spec.summary in printed
    for name, card in list_tasksets().items():
        assert f"task set {name}\n  task: {card.task}" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "langauges"], "did you mean 'languages'?"),
        (["redraw", "langauges"], "did you mean 'languages'?"),
        (["redraw", "languages"], "run the experiment first"),
        (["run", "languages", "--device", "warp"], "--device warp"),
        (["run", "languages", "--quick", "--full"], "not allowed with"),
        (["run"], "NAME"),
    ],
)
def test_a_bad_command_line_gets_one_clear_error(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command_line.main([*arguments, *(["--out", str(tmp_path)] if arguments[1:] else [])])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unwritable_directory_is_reported_before_training(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SystemExit) as stop:
        command_line.main(["run", "languages", "--quick", "--out", str(blocked)])
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert "not writable" in printed.err
    assert printed.out == ""


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
    assert not result["interrupted"]
    assert result["spec"]["lower_is_better"] == spec.lower_is_better
    for key in ("label", "name", "variant", "group"):
        assert [m[key] for m in result["methods"]] == [getattr(e, key) for e in entries]
