"""The benchmark of users' models: equal meta-gradients, tables and targets."""

import dataclasses
import json
import warnings
from pathlib import Path

import pytest
import torch

from benchmarks import documents
from benchmarks.speed import timing, user_meta_step
from benchmarks.speed.user_models import Sizes
from benchmarks.speed.user_tasks import MODELS, draw

SMALL = Sizes(tasks=3, batch=4, steps=6, features=3, hidden=4, vocab=7, ways=3, target_steps=3)


@pytest.mark.parametrize("name", MODELS)
def test_all_contestants_compute_the_same_gradients(name):
    entry = MODELS[name]
    models = {
        key: model.double() for key, model in user_meta_step.make_models(entry, SMALL).items()
    }
    data = [draw(SMALL, seed, torch.float64) for seed in (1, 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for step in user_meta_step.contestants(models, entry, data).values():
            step()
    expected = dict(models.pop("learn2learn").named_parameters())
    assert list(models) == [*user_meta_step.NAMES[1 : 3 + (entry.declared is not None)]]
    for model in models.values():
        found = dict(model.named_parameters())
        assert list(found) == list(expected)
        for path, parameter in found.items():
            wanted = expected[path].grad
            error, size = (parameter.grad - wanted).abs().max(), wanted.abs().max()
            assert error <= 1e-10 * size + 1e-14, path


def test_the_models_declare_nothing_and_use_only_torch():
    for entry in MODELS.values():
        model = entry.make(SMALL)
        assert not hasattr(model, "task_axis")
        assert {type(m).__module__.split(".")[0] for m in model.children()} == {"torch"}


def test_sequences_are_padded_and_targets_shifted():
    data = draw(dataclasses.replace(SMALL, tasks=20, steps=9))
    lengths = (data["tokens"] > 0).sum(-1)
    assert lengths.min() == 4
    assert lengths.max() == 9
    assert ((data["tokens"] > 0) == (torch.arange(9) < lengths.unsqueeze(-1))).all()
    assert torch.equal(data["shifted"][..., 1:], data["target"][..., :-1])
    assert torch.equal(
        data["series"], draw(dataclasses.replace(SMALL, tasks=20, steps=9))["series"]
    )


def test_a_quick_run_saves_what_it_prints(tmp_path, capsys):
    before = torch.get_num_threads()
    assert user_meta_step.main(["--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    assert torch.get_num_threads() == before
    result = json.loads((tmp_path / "user-models-quick.json").read_text())
    assert user_meta_step.table(result) in capsys.readouterr().out
    assert [row["work"]["model"] for row in result["rows"]] == [*MODELS]
    assert all(
        s > 0 for row in result["rows"] for rounds in row["seconds"].values() for s in rounds
    )


def row(threads=1, **seconds):
    work = {"model": "m", "threads": threads, "tasks": 16, "batch": 5}
    return {"work": work, "label": "GRU", "seconds": seconds}


def test_the_table_shows_medians_quartiles_and_ratios_within_rounds():
    rounds = {"learn2learn": [0.9, 1.2, 1.5], "loop": [0.5, 0.3, 0.4], "tasks": [0.3, 0.2, 0.1]}
    line = user_meta_step.table({"rows": [row(**rounds)]}).splitlines()[-1]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:2] == ["GRU; 16, 5", "1"]
    assert cells[2:6] == ["1200 (1050–1350)", "400 (350–450)", "200 (150–250)", "-"]
    assert cells[6:] == ["6.00 (4.50–10.50)", "1.67 (1.58–2.83)", "-"]


def test_missed_targets_are_named():
    fast = row(learn2learn=[3.1], loop=[1.1], tasks=[1.0], declared=[0.95])
    slow = row(2, learn2learn=[2.9], loop=[0.9], tasks=[1.0], declared=[0.8])
    lines = user_meta_step.missed_targets({"rows": [fast, slow]})
    assert [line.split(" times as fast as ")[1].split(",")[0] for line in lines] == [
        "learn2learn",
        "loop",
        "declared",
    ]
    assert all("threads: 2" in line for line in lines)


def test_the_document_names_missed_targets(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "path_of", lambda name: tmp_path / f"{name}.json")
    for loop, missed in ((2.0, 0), (0.5, 1)):
        result = {"rows": [row(learn2learn=[3.0], loop=[loop], tasks=[1.0], declared=[1.0])]}
        (tmp_path / "user-models.json").write_text(json.dumps(result))
        text = documents.user_models("user-models")
        assert text.startswith(user_meta_step.table(result))
        assert text.count("times as fast as loop") == missed


@pytest.mark.parametrize("path", [*timing.RESULTS.glob("user-models*-full.json")])
def test_the_published_result_is_complete_and_names_missed_targets(path):
    result = json.loads(path.read_text("utf-8"))
    assert {row["work"]["model"] for row in result["rows"]} == {*MODELS}
    assert {row["work"]["threads"] for row in result["rows"]} == {1, 2}
    assert {row["work"]["tasks"] for row in result["rows"]} == {16}
    document = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
    assert all(line in document for line in user_meta_step.missed_targets(result))


@pytest.mark.parametrize(
    "arguments",
    [["--repeats", "0"], ["--out", "/dev/null/folder"], ["--threads", "0"], ["--models", "none"]],
)
def test_bad_options(arguments):
    with pytest.raises(SystemExit):
        user_meta_step.main(["--quick", *arguments])
