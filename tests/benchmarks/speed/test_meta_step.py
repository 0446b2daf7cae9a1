"""All three contestants of the speed benchmark compute the same meta-gradients."""

import dataclasses
import json
import warnings

import pytest
import torch

from benchmarks.speed import contestants, meta_step

CPU = torch.device("cpu")
SMALL = contestants.Work(tasks=3, batch=2, steps=4, features=2, hidden=3, inner_steps=2)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_all_contestants_compute_the_same_gradients(cell, first_order, monkeypatch):
    work = dataclasses.replace(SMALL, cell=cell, first_order=first_order)
    models = contestants.make_models(work, CPU)
    monkeypatch.setattr(contestants, "make_models", lambda *given: models)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, step in contestants.contestants(work, CPU).items():
            step()
            found[name] = [p.grad for p in models[name].parameters()]
    for name in ("vmap", "l2l_rnn"):
        for a, b in zip(found[name], found["learn2learn"], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_quick_run_saves_what_it_prints(tmp_path, capsys):
    with warnings.catch_warnings():
        assert meta_step.main(["--quick", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "speed-quick.json").read_text())
    assert meta_step.table(result) in capsys.readouterr().out
    assert [row["work"]["first_order"] for row in result["rows"]] == [False, True]
    assert all(s > 0 for row in result["rows"] for s in row["seconds"].values())


def test_the_figure_of_the_sweeps(tmp_path):
    seconds = {"learn2learn": 2.0, "vmap": 1.5, "l2l_rnn": 0.5}
    points = [{"value": value, "seconds": seconds} for value in (1, 4)]
    rows = [{"label": SMALL.label}]
    result = {"rows": rows, "sweeps": {"tasks": points, "steps": points}}
    meta_step.redraw(result, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_an_unwritable_out_is_rejected(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        meta_step.main(["--quick", "--out", str(tmp_path / "file" / "folder")])
