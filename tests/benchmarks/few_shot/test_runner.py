"""Runner of the benchmarks, with small networks."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.maml import ProtoMAMLMethod
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.specs import SPECS

CPU = torch.device("cpu")
MODEL = {"embedding_size": 8, "hidden_size": 8}
TRAINING = Training(
    steps=4, minutes=1, tasks=2, shots=(1, 2), queries=2, validate_every=2, validation_tasks=4
)
METRIC = Entry("metric", "meta-learned", ProtoNetMethod, {"model": MODEL, "training": TRAINING})


def spec_of(*entries: Entry, tasks: int = 6):
    return dataclasses.replace(
        SPECS["languages"], test_tasks={"quick": tasks}, entries={"quick": entries}
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


def test_differences_from_the_best_are_paired(tmp_path):
    class Fixed(ClassificationMethod):
        def __init__(self, problem, label, *, right):
            super().__init__(problem, label)
            self.right = right

        def predict(self, batch):
            targets = nn.functional.one_hot(batch.query_y, 5)
            first = targets.shape[1] // 2
            if self.right == "half":
                targets = torch.cat([targets[:, :first], 1 - targets[:, first:]], 1)
            return targets.float()

    entries = [Entry(right, "baseline", Fixed, {"right": right}) for right in ("half", "all")]
    result = runner.run(spec_of(*entries), "quick", 0, CPU, tmp_path)
    half, best = (method["scores"]["1 shot"] for method in result["methods"])
    assert best["mean"] == 1
    assert "difference" not in best
    assert half["difference"]["mean"] == pytest.approx(half["mean"] - 1)
    assert half["difference"]["ci95"] == pytest.approx(half["ci95"])
