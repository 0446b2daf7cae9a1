"""Tables, notes and pictures of results."""

import copy
import json
from pathlib import Path

import pytest
import torch
from matplotlib.colors import to_rgb

from benchmarks import report
from benchmarks.few_shot.specs import SPECS
from benchmarks.report import bars, gradient_flow, style
from benchmarks.report.scores import cut_short, leaders
from l2l_rnn.errors import ArgumentError

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
TRAINING = {
    "ended_early": False,
    "pretraining_ended_early": False,
    "others": [],
    "points": [{"seconds": 1.0, "validation": 0.5}, {"seconds": 9.0, "validation": 0.6}],
}


def method(label, mean, ci95=0.1, **more):
    return {
        "label": label,
        "name": label,
        "variant": {},
        "group": "baseline",
        "scores": {"1 shot": {"mean": mean, "ci95": ci95, "tasks": 50}},
        "training": None,
        "training_seconds": 0.0,
        "seconds_per_task": 0.002,
        **more,
    }


def result_of(*methods, lower_is_better=False, form="full"):
    return {
        "spec": {
            "name": "example",
            "summary": "an example",
            "score": "accuracy",
            "percent": True,
            "lower_is_better": lower_is_better,
        },
        "form": form,
        "chance": 0.2,
        "columns": [{"name": "1 shot", "shots": 1}],
        "methods": list(methods),
    }


@pytest.fixture
def figures(monkeypatch):
    """The figures that are saved, kept open."""
    kept = []
    monkeypatch.setattr(style.plt, "close", kept.append)
    yield kept
    monkeypatch.undo()
    style.plt.close("all")


def test_interval_is_a_95_percent_confidence_interval():
    score = report.interval(torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert score["mean"] == 0.5
    assert score["ci95"] == pytest.approx(1.96 * (1 / 3) ** 0.5 / 2)
    assert report.interval(torch.tensor([0.25]))["ci95"] == 0


def test_the_time_per_task_is_never_zero():
    for seconds, text in ((0.0421, "42 ms"), (0.0011, "1 ms"), (0.00084, "840 µs")):
        result = result_of(method("m", 0.5, seconds_per_task=seconds))
        assert f"| {text} " in report.table(result)


def test_best_and_tied_scores_are_bold():
    methods = [method("a", 0.2, 0.01), method("b", 0.5, 0.03), method("c", 0.45, 0.03)]
    assert leaders(result_of(*methods), "1 shot") == {"b", "c"}
    assert leaders(result_of(*methods, lower_is_better=True), "1 shot") == {"a"}
    table = report.table(result_of(*methods))
    assert "| **50.0 ± 3.0** |" in table
    assert "| 20.0 ± 1.0     |" in table
    assert "lower is better" not in table
    assert "accuracy in %, lower is better" in report.table(
        result_of(*methods, lower_is_better=True)
    )


def test_paired_differences_decide_ties_and_are_printed_if_intervals_overlap():
    task_scores = torch.rand(100, generator=torch.Generator().manual_seed(0)).double() / 2
    scores = {
        "best": {"1 shot": task_scores + 0.1},
        "behind": {"1 shot": task_scores + 0.09},  # worse on every task
        "tied": {"1 shot": task_scores.flip(0) + 0.1},
        "far": {"1 shot": task_scores - 0.3},
    }
    methods = [
        method(
            label,
            0.0,
            scores={"1 shot": report.interval(values["1 shot"])},
            task_scores={"1 shot": values["1 shot"].tolist()},
        )
        for label, values in scores.items()
    ]
    overlapping = result_of(*copy.deepcopy(methods))
    assert leaders(overlapping, "1 shot") == {"best", "behind", "tied"}
    report.add_differences(methods, lower_is_better=False)
    result = result_of(*methods)
    assert leaders(result, "1 shot") == {"best", "tied"}
    notes = report.notes(result)
    assert "1 shot: -1.0 ± 0.0 for behind - best" in notes
    assert "for tied - best" in notes
    assert "for far" not in notes


def test_differences_are_from_the_best_of_the_methods_so_far():
    def row(label, *values):
        return method(
            label,
            0.0,
            scores={"1 shot": report.interval(torch.tensor(values))},
            task_scores={"1 shot": list(values)},
        )

    methods = [row("a", 0.25, 0.5), row("b", 0.5, 0.25)]
    for better in (row("c", 0.5, 0.5), row("d", 0.75, 1.0)):
        methods.append(better)
        report.add_differences(methods, lower_is_better=False)
        assert "difference" not in better["scores"]["1 shot"]
    means = [m["scores"]["1 shot"].get("difference", {}).get("mean") for m in methods]
    assert means == [-0.5, -0.5, -0.375, None]


def test_methods_are_compared_within_their_variant():
    methods = [
        method("x: a", 0.9, name="a", variant={"tasks": "x"}),
        method("y: a", 0.5, name="a", variant={"tasks": "y"}),
        method("y: b", 0.1, name="b", variant={"tasks": "y"}),
    ]
    result = result_of(*methods)
    assert leaders(result, "1 shot") == {"x: a", "y: a"}
    assert report.column_table(result, "1 shot").splitlines() == [
        "| tasks (accuracy in %) | a | b |",
        "| --- | ---: | ---: |",
        "| x | **90.0 ± 10.0** | - |",
        "| y | **50.0 ± 10.0** | 10.0 ± 10.0 |",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"ended_early": True},
        {"pretraining_ended_early": True},
        {"others": [{**TRAINING, "ended_early": True}]},
    ],
)
def test_a_training_that_stopped_at_its_time_limit_is_marked(change, tmp_path, figures):
    stopped = method("slow", 0.5, training={**TRAINING, **change}, training_seconds=60.0)
    done = method("done", 0.9, training=TRAINING, training_seconds=60.0)
    assert cut_short(stopped)
    assert not cut_short(done)
    result = result_of(stopped, done)
    lines = report.table(result).splitlines()
    assert "60 s (time limit)" in lines[2]
    assert "time limit" not in lines[3]
    assert "| **50.0 ± 10.0** (time limit) |" in report.column_table(result_of(stopped), "1 shot")
    assert "slow: training stopped at its time limit." in report.notes(result)
    report.bars_and_training(result, tmp_path / "picture.png")
    labels = [tick.get_text() for tick in figures[0].axes[0].get_yticklabels()]
    assert labels == ["baseline", "slow (time limit)", "done"]


@pytest.mark.parametrize("form", ["quick", "full"])
def test_a_quick_run_is_marked_in_notes_and_figure(form, tmp_path, figures):
    result = result_of(method("m", 0.5, training=TRAINING), form=form)
    report.bars_and_training(result, tmp_path / "picture.png")
    texts = [text.get_text() for text in figures[0].texts]
    for text in (*texts, report.notes(result)):
        assert ("scores are meaningless" in text) == (form == "quick" or text == "")
    assert len(texts) == (2 if form == "quick" else 1)


def test_a_method_has_one_color_in_both_panels(tmp_path, figures):
    result = json.loads((RESULTS / "languages-full.json").read_text("utf-8"))
    report.bars_and_training(result, tmp_path / "picture.png")
    panels, lines = figures[0].axes, {}
    for axes in panels:
        lines |= {line.get_label(): line.get_color() for line in axes.get_lines()}
    colors = bars.colors_of(result["methods"])
    for entry in result["methods"]:
        if entry["training"]:
            assert lines[style.label_text(entry)] == colors[entry["label"]]
    drawn = {to_rgb(patch.get_facecolor()) for patch in panels[0].patches}
    assert drawn == {to_rgb(color) for color in colors.values()}


def test_a_method_has_one_color_in_all_panels_of_the_lag_figure(tmp_path, figures):
    result = json.loads((RESULTS / "lags-full.json").read_text("utf-8"))
    assert SPECS["lags"].picture is gradient_flow.scores_and_gradient_flow
    gradient_flow.scores_and_gradient_flow(result, tmp_path / "picture.png")
    (legend,) = figures[0].legends
    entries = zip(legend.texts, legend.legend_handles, strict=True)
    named = {text.get_text(): line for text, line in entries}
    methods = dict.fromkeys(entry["name"] for entry in result["methods"])
    for axes in figures[0].axes[:4]:
        curves = [line for line in axes.get_lines() if len(line.get_xdata()) == 4]
        assert [line.get_color() for line in curves] == [named[m].get_color() for m in methods]


def test_a_result_is_written_and_read(tmp_path):
    result = result_of(method("m", 0.5))
    data, picture = report.write_result(result, tmp_path, report.bars_and_training)
    assert {data, picture} == set(tmp_path.iterdir())
    assert data.name == "example-full.json"
    assert report.read_result(data) == result


def test_a_result_has_one_writer_at_a_time(tmp_path):
    with (
        report.only_writer(tmp_path / "a.json"),
        report.only_writer(tmp_path / "b.json"),
        pytest.raises(ArgumentError, match=r"another run is writing to .*a\.json; wait until"),
        report.only_writer(tmp_path / "a.json"),
    ):
        pass
    with report.only_writer(tmp_path / "a.json"):
        pass
