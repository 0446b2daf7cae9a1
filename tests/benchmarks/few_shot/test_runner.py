"""Runner of the benchmarks, with small networks."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.baselines.published import PublishedScores
from benchmarks.few_shot.methods.maml import ProtoMAMLMethod
from benchmarks.few_shot.methods.method import CannotRun, ClassificationMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.optional import require

CPU = torch.device("cpu")
MODEL = {"embedding_size": 8, "hidden_size": 8}
TRAINING = Training(
    steps=4, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=2, validation_tasks=4
)
METRIC = Entry("metric", "meta-learned", ProtoNetMethod, {"model": MODEL, "training": TRAINING})


def spec_of(*entries: Entry, tasks: int = 6, curve: tuple[int, ...] = ()):
    return dataclasses.replace(
        SPECS["languages"],
        test_tasks={"quick": tasks},
        entries={"quick": entries},
        more_ways=(),
        curve=curve,
        curve_tasks={"quick": 4},
    )


def without_times(result):
    """Return the parts of a result that a second run with the same seed must reproduce."""
    kept = []
    for method in result["methods"]:
        points = [
            {k: v for k, v in point.items() if k != "seconds"}
            for point in method["training"]["points"]
        ]
        kept.append((method["label"], method["scores"], points))
    return kept


def test_a_run_writes_json_and_picture_and_is_reproducible(tmp_path, capsys):
    start = {"inner_lr": 0.1, "inner_steps": 2, "test_steps": 2}
    maml = Entry(
        "start", "meta-learned", ProtoMAMLMethod, {"model": MODEL, "training": TRAINING, **start}
    )
    spec = spec_of(METRIC, maml)
    first = runner.run(spec, "quick", 5, CPU, tmp_path / "a")
    table = report.table(first)
    assert table in capsys.readouterr().out
    assert json.loads((tmp_path / "a/languages-quick.json").read_text()) == first
    assert (tmp_path / "a/languages-quick.png").read_bytes().startswith(b"\x89PNG")
    assert first["columns"] == [{"name": "1 shot", "shots": 1}, {"name": "5 shots", "shots": 5}]
    for method in first["methods"]:
        assert set(method["scores"]) == {"1 shot", "5 shots"}
        assert method["training"]["steps"] == TRAINING.steps
        assert not method["training"]["ended_early"]
    assert {"seed", "device", "versions", "date", "threads", "seconds"} <= set(first)

    again = runner.run(spec, "quick", 5, CPU, tmp_path / "b")
    assert without_times(again) == without_times(first)
    other = runner.run(spec, "quick", 6, CPU, tmp_path / "c")
    assert without_times(other) != without_times(first)


class Fixed(ClassificationMethod):
    """Is right for all queries, or for half of them."""

    def __init__(self, problem, label, *, right):
        super().__init__(problem, label)
        self.right = right

    def predict(self, batch):
        targets = nn.functional.one_hot(batch.query_y, 5)
        first = targets.shape[1] // 2
        if self.right == "half":
            targets = torch.cat([targets[:, :first], 1 - targets[:, first:]], 1)
        return targets.float()


class Random(ClassificationMethod):
    """Has random scores that depend on the labels only."""

    def predict(self, batch):
        generator = torch.Generator().manual_seed(len(self.label))
        return torch.rand(*batch.query_y.shape, 5, generator=generator)


class Missing(Fixed):
    """Cannot run here."""

    def train(self):
        if self.right == "package":
            require("no_such_package", extra="text", purpose="the row")
        raise CannotRun("vectors.npy is missing; run encode first")


def test_differences_from_the_best_are_paired(tmp_path):
    entries = [Entry(right, "baseline", Fixed, {"right": right}) for right in ("half", "all")]
    result = runner.run(spec_of(*entries), "quick", 0, CPU, tmp_path)
    half, best = (method["scores"]["1 shot"] for method in result["methods"])
    assert best["mean"] == 1
    assert "difference" not in best
    assert half["difference"]["mean"] == pytest.approx(half["mean"] - 1)
    assert half["difference"]["ci95"] == pytest.approx(half["ci95"])


def test_methods_that_cannot_run_are_skipped_and_recorded(tmp_path, capsys):
    entries = [
        Entry("no package", "baseline", Missing, {"right": "package"}),
        METRIC,
        Entry("no file", "transfer", Missing, {"right": "file"}),
    ]
    result = runner.run(spec_of(*entries), "quick", 0, CPU, tmp_path)
    assert [row["label"] for row in result["methods"]] == ["metric"]
    assert result["unfinished"] == []
    assert set(result["skipped"]) == {"no package", "no file"}
    assert result["skipped"]["no file"] == "vectors.npy is missing; run encode first"
    assert "no_such_package" in result["skipped"]["no package"]
    printed = capsys.readouterr().out
    assert "no file: skipped. vectors.npy is missing; run encode first" in printed
    assert "- no file" not in report.table(result)
    assert json.loads((tmp_path / "languages-quick.json").read_text()) == result


def test_a_skipped_method_is_tried_again_when_the_run_is_resumed(tmp_path, monkeypatch):
    entries = [Entry("later", "baseline", Missing, {"right": "file"}), METRIC]
    first = runner.run(spec_of(*entries), "quick", 0, CPU, tmp_path, only="later")
    assert list(first["skipped"]) == ["later"]
    assert first["unfinished"] == ["metric"]
    monkeypatch.setattr(Missing, "train", lambda self: None)
    result = runner.run(spec_of(*entries), "quick", 0, CPU, tmp_path, resume=True)
    assert [row["label"] for row in result["methods"]] == ["later", "metric"]
    assert result["skipped"] == {}


def test_a_method_with_fewer_tasks_is_compared_on_the_shared_ones(tmp_path):
    entries = [
        Entry("b", "baseline", Random),
        Entry("tt", "transfer", Random),
        Entry("rrr", "meta-learned", Random, tasks=4),
    ]
    result = runner.run(spec_of(*entries, tasks=12), "quick", 0, CPU, tmp_path)
    again = runner.run(spec_of(*entries, tasks=4), "quick", 0, CPU, tmp_path / "four")
    slow, alone = (found["methods"][2]["scores"]["5 shots"] for found in (result, again))
    assert slow["tasks"] == 4
    assert slow["mean"] == alone["mean"]
    assert {label: d["tasks"] for label, d in slow["differences"].items()} == {"b": 4, "tt": 4}
    expected = {
        label: {name: d[name] for name in ("mean", "ci95")}
        for label, d in slow["differences"].items()
    }
    assert alone["differences"] == expected
    assert "rrr: the first 4 of 12 test tasks." in report.notes(result)
    assert "rrr: the first" not in report.notes(again)
    notes = report.notes(result).splitlines()
    after = notes[notes.index(next(line for line in notes if "best transfer" in line)) + 1 :]
    assert [line.split(": ")[0].strip() for line in after] == ["1 shot"] * 2 + ["5 shots"] * 2
    assert "for rrr - tt" in after[0]
    assert "for rrr - b" in after[1]


def test_published_scores_are_shown_and_never_compared(tmp_path):
    options = {"scores": {"5 shots": 0.999}, "source": "A. Author, 2020, table 1"}
    entries = [
        Entry("half", "baseline", Fixed, {"right": "half"}),
        Entry("Author et al.", "published", PublishedScores, options),
    ]
    result = runner.run(spec_of(*entries), "quick", 0, CPU, tmp_path)
    half, published = result["methods"]
    assert published["scores"] == {"5 shots": {"mean": 0.999}}
    assert published["source"] == "A. Author, 2020, table 1"
    assert "difference" not in half["scores"]["5 shots"]
    lines = report.table(result).splitlines()
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == [
        "Author et al.",
        "published",
        "-",
        "99.9",
        "-",
        "-",
    ]
    assert "**" in lines[2]
    assert "Author et al.: published by A. Author, 2020, table 1; not compared." in report.notes(
        result
    )
    assert (tmp_path / "languages-quick.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_over_shots_is_evaluated_and_printed(tmp_path, capsys):
    entries = [
        Entry("a", "baseline", Random),
        Entry("slow one", "baseline", Random, curve=False),
        METRIC,
    ]
    result = runner.run(spec_of(*entries, curve=(1, 3)), "quick", 0, CPU, tmp_path)
    points = [{"name": f"curve, {text}", "most": 3, "tasks": 4} for text in ("1 shot", "3 shots")]
    assert result["curve"] == [{**p, "shots": n} for p, n in zip(points, (1, 3), strict=True)]
    names = ["1 shot", "5 shots"], ["curve, 1 shot", "curve, 3 shots"]
    rows = {row["label"]: row["scores"] for row in result["methods"]}
    assert list(rows["a"]) == list(rows["metric"]) == [*names[0], *names[1]]
    assert list(rows["slow one"]) == names[0]
    assert rows["metric"]["curve, 3 shots"]["tasks"] == 4
    assert set(rows["metric"]["curve, 3 shots"]["differences"]) == {"a"}
    table = report.curve_table(result)
    assert table in capsys.readouterr().out
    lines = table.splitlines()
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == [
        "method (accuracy in %)",
        "1 shot",
        "3 shots",
    ]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["a", "metric"]
