"""The planning benchmark: a quick run, and what it reports as missed."""

import json

from benchmarks.speed.planning import __main__ as command


def test_a_quick_run_saves_what_it_prints(tmp_path, capsys):
    assert command.main(["--quick", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "planning-quick.json").read_text())
    assert command.table(result) in capsys.readouterr().out
    assert [row["bodies"] for row in result["rows"]] == [1, 1, 1, 2, 2, 2]
    for row in result["rows"]:
        assert set(row["seconds"]) == ({"at once"} if row["bodies"] == 1 else {"at once", "loop"})
        row["seconds"]["at once"] = 0.01 if row["model"] == "true physics" else 0.1
    lines = command.missed_targets(result)
    assert lines[0] == "network, ALPaCA: 10.0 plans a second, below 20"
    assert len(lines) == 2
