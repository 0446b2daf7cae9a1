"""Runs with several seeds, and their merged result."""

import dataclasses
import json

import pytest
import torch

from benchmarks import report
from benchmarks.few_shot import seeds
from benchmarks.few_shot.methods.baselines.published import PublishedScores
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.spec import Entry
from benchmarks.few_shot.specs import SPECS
from l2l_rnn.errors import ArgumentError

CPU = torch.device("cpu")


class Noise(ClassificationMethod):
    """Has random scores that depend on the seed of the problem."""

    def predict(self, batch):
        generator = torch.Generator().manual_seed(self.problem.seed + len(self.label))
        return torch.rand(*batch.query_y.shape, 5, generator=generator)


@pytest.fixture
def spec(small):
    published = {"scores": {"1 shot": 0.5}, "source": "A. Author, 2020"}
    entries = (
        Entry("paper", "published", PublishedScores, published),
        Entry("a", "baseline", Noise),
        Entry("few", "transfer", Noise, tasks=3),
        small.entries[2],  # a ProtoNet
    )
    return dataclasses.replace(
        SPECS["languages"],
        test_tasks={"quick": 6},
        entries={"quick": entries},
        more_ways=(),
        curve=(),
        picture=lambda result, path: path.touch(),
    )


def row(result, label):
    return next(row for row in result["methods"] if row["label"] == label)


def test_a_merged_score_is_the_mean_over_the_seeds(spec, tmp_path, capsys):
    result = seeds.run_seeds(spec, "quick", (0, 3), CPU, tmp_path)
    folder = tmp_path / "languages-quick-seeds"
    each = [json.loads((folder / s / "languages-quick.json").read_text()) for s in ("0", "3")]
    assert [one["seed"] for one in each] == result["seeds"] == [0, 3]
    for label in ("a", "few", "metric"):
        for column in ("1 shot", "5 shots"):
            score = row(result, label)["scores"][column]
            own = [row(one, label) for one in each]
            means = [other["scores"][column]["mean"] for other in own]
            assert score["seeds"] == pytest.approx(means)
            assert score["mean"] == pytest.approx(sum(means) / 2)
            joined = [score for other in own for score in other["task_scores"][column]]
            assert score["tasks"] == len(joined)
            tensor = torch.tensor(joined, dtype=torch.float64)
            assert score["ci95"] == pytest.approx(report.interval(tensor)["ci95"])
    assert "task_scores" not in row(result, "a")
    assert row(result, "paper")["scores"] == {"1 shot": {"mean": 0.5}}
    assert len(row(result, "metric")["training"]["others"]) == 1
    assert json.loads((tmp_path / "languages-quick.json").read_text()) == result

    # Differences are paired within each seed, also for a method with fewer tasks.
    scores = [[row(one, name)["task_scores"]["5 shots"] for name in ("few", "a")] for one in each]
    pairs = [x - y for few, a in scores for x, y in zip(few, a[:3], strict=True)]
    difference = row(result, "few")["scores"]["5 shots"]["differences"]["a"]
    assert difference["mean"] == pytest.approx(sum(pairs) / 6)
    assert difference["tasks"] == 6

    printed = capsys.readouterr().out
    assert "Means over the seeds 0, 3; in parentheses, the range of their means." in printed
    low, high = sorted(row(result, "a")["scores"]["1 shot"]["seeds"])
    assert f"({100 * low:.1f} to {100 * high:.1f})" in report.table(result)


def test_finished_seeds_are_kept(spec, tmp_path):
    first = seeds.run_seeds(spec, "quick", (1,), CPU, tmp_path)
    with pytest.raises(ArgumentError, match="is finished; add --resume to use it"):
        seeds.run_seeds(spec, "quick", (1, 2), CPU, tmp_path)
    both = seeds.run_seeds(spec, "quick", (1, 2), CPU, tmp_path, resume=True)
    mean = row(first, "a")["scores"]["1 shot"]["mean"]
    assert row(both, "a")["scores"]["1 shot"]["seeds"][0] == mean
    again = seeds.run_seeds(spec, "quick", (1,), CPU, tmp_path, restart=True)
    assert row(again, "a")["scores"] == row(first, "a")["scores"]


def test_seeds_are_merged_when_all_methods_are_finished(spec, tmp_path):
    some = {"only": "a,few", "resume": True}
    assert seeds.run_seeds(spec, "quick", (0, 1), CPU, tmp_path, **some) is None
    assert not (tmp_path / "languages-quick.json").exists()
    result = seeds.run_seeds(spec, "quick", (0, 1), CPU, tmp_path, resume=True)
    assert [method["label"] for method in result["methods"]] == ["paper", "a", "few", "metric"]


def test_seeds_with_other_settings_are_refused(spec, tmp_path):
    seeds.run_seeds(spec, "quick", (0,), CPU, tmp_path)
    fewer = dataclasses.replace(spec, entries={"quick": spec.entries["quick"][:2]})
    with pytest.raises(ArgumentError, match="'metric': was run, is no longer in the experiment"):
        seeds.run_seeds(fewer, "quick", (0,), CPU, tmp_path, resume=True)
    with pytest.raises(ArgumentError, match="--seeds must differ, got 2 2"):
        seeds.run_seeds(spec, "quick", (2, 2), CPU, tmp_path)
