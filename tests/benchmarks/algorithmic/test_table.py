"""The table of the algorithmic tasks: a row per run, medians over seeds, no run repeated."""

import json

import pytest

from benchmarks.algorithmic import run, runs, table
from benchmarks.algorithmic.networks import NETWORKS
from benchmarks.algorithmic.tasks import TASKS

SMALL = [
    "--sequences=4",
    "--batch=2",
    "--evaluation-sequences=1",
    "--hidden-size=4",
    "--slots=4",
    "--slot-size=4",
]
TWO = ["--tasks", "recall", "dynamic_ngrams", "--memories", "lstm", "delta", "--seeds", "0", "1"]


def lines_of(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]


def result_of(out, form="full"):
    return json.loads((out / f"memory-tasks-{form}.json").read_text())


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    assert table.main([*TWO, *SMALL, "--out", str(folder)]) == 0
    return folder


def test_each_run_has_a_row(out):
    result = result_of(out)
    assert not result["interrupted"]
    assert result["missing"] == result["with_other_settings"] == []
    header, rule, *lines = lines_of(table.table(result, each=True))
    assert header[:4] == ["task", "memory", "seed", "parameters"]
    assert set(rule) == {"---"}
    assert all(len(line) == len(header) for line in lines)
    assert [line[:3] for line in lines] == [
        *(["associative_recall", memory, seed] for seed in "01" for memory in ("lstm", "delta")),
        *(["dynamic_ngrams", memory, seed] for seed in "01" for memory in ("lstm", "delta")),
        ["dynamic_ngrams", "best predictor", "-"],
    ]
    run = json.loads((out / "memory-associative_recall-delta-seed1.json").read_text())
    text = [f"{n}: {cost:.{1 if cost >= 9.95 else 2}f}" for n, cost in run["cost"].items()]
    assert lines[3][3:6] == [str(run["parameters"]), ", ".join(text[:2]), ", ".join(text[2:])]
    assert lines[3][-3:] == ["never", "-", "done"]
    assert lines[4][6:8] == ["-", "-"]  # no wrong bits if bits are random
    best = run_of(result, "dynamic_ngrams", "lstm", 1)["optimum"]
    assert lines[-1][4:6] == [f"200: {best['200']:.1f}", f"400: {best['400']:.1f}"]
    assert "loss_curve" in run_of(result, "dynamic_ngrams", "lstm", 1)


def run_of(result, task, memory, seed):
    (found,) = [
        run
        for run in result["runs"]
        if (run["task"], run["settings"]["memory"], run["settings"]["seed"]) == (task, memory, seed)
    ]
    return found


def test_finished_runs_are_not_repeated(out, capsys):
    first = out / "memory-dynamic_ngrams-lstm-seed0.json"
    second = out / "memory-dynamic_ngrams-lstm-seed1.json"
    times = [path.stat().st_mtime_ns for path in (first, second)]
    cut = json.loads(second.read_text()) | {"ended": "interrupted"}
    second.write_text(json.dumps(cut))
    assert table.main([*TWO, *SMALL, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "8 runs, 7 already finished" in text
    assert table.table(result_of(out)) in text
    assert table.table(result_of(out), each=True) in text
    assert first.stat().st_mtime_ns == times[0]
    assert json.loads(second.read_text())["ended"] == "done"


def test_collect_trains_nothing_and_names_what_is_missing(out, capsys):
    given = ["--tasks", "recall", "--memories", "lstm", "ntm", "--seeds", "0", "--collect"]
    assert table.main([*given, *SMALL, "--lr=0.5", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "Missing: memory-associative_recall-ntm-seed0." in text
    assert "With other settings: memory-associative_recall-lstm-seed0." in text
    assert len(result_of(out)["runs"]) == 1


def test_a_run_without_all_lengths_is_repeated(out):
    (run,) = runs.runs_of(
        ["associative_recall"],
        ["lstm"],
        [0],
        {
            "sequences": 4,
            "batch": 2,
            "evaluation_sequences": 1,
            "hidden_size": 4,
            "slots": 4,
            "slot_size": 4,
        },
    )
    assert runs.is_done(run, out)
    path = out / "memory-associative_recall-lstm-seed0.json"
    found = json.loads(path.read_text())
    del found["points"][-1]["cost"]["12"]
    path.write_text(json.dumps(found))
    assert not runs.is_done(run, out)


def test_a_killed_run_shows_its_last_evaluation(tmp_path):
    settings = run.make_settings("copy", memory="lstm")
    point = {"sequences": 8, "loss": 0.5, "cost": {"10": 70.0, "20": None}}
    point["wrong_bits"] = {"10": 35.0, "20": 70.0}
    written = {"task": "copy", "settings": {"memory": "lstm", "seed": 0}, "points": [point]}
    written |= {"ended": "interrupted", "sequences": 8, "parameters": 5, "converged_at": None}
    path = tmp_path / "memory-copy-lstm-seed0.json"
    path.write_text(json.dumps(written | {"max_climb": None}))
    result = table.collect([("copy", settings)], tmp_path, "full", False)
    result["tasks"]["copy"]["longer"] = []
    (line,) = lines_of(table.table(result, each=True))[2:]
    assert line[4] == "10: 70.0, 20: inf"
    assert line[-1] == "interrupted at 8"


def test_a_diverged_run_is_in_the_table(tmp_path):
    given = ["--tasks", "recall", "--memories", "lstm", "--seeds", "0", "--lr=3e37"]
    given += [*SMALL[1:], "--sequences=400", "--clip=1e37", "--out", str(tmp_path)]
    assert table.main(given) == 0
    (line,) = lines_of(table.table(result_of(tmp_path)))[2:]
    assert line[-1].startswith("diverged at ")


def test_a_row_per_network_has_the_median_over_seeds():
    def run(seed, cost, converged_at, climb, **more):
        return {
            "task": "copy",
            "settings": {"memory": "ntm", "seed": seed},
            "parameters": 62536,
            "sequences": 40000,
            "cost": {"20": cost, "50": None if seed == 2 else 100 * cost},
            "wrong_bits": {"20": seed, "50": 3 * seed},
            "converged_at": converged_at,
            "max_climb": climb,
            "ended": "done",
            "optimum": {"20": 0.0, "50": 0.0},
            **more,
        }

    runs = [run(0, 0.5, 9000, 1.25), run(1, 0.25, 11000, 4.0)]
    result = {"tasks": {"copy": {"trained": ["20"], "longer": ["50"]}}, "runs": runs}
    runs.append(run(2, 700.0, None, None, ended="diverged", sequences=1200))
    (line,) = lines_of(table.table(result))[2:]
    assert line == [
        *["copy", "ntm", "62,536", "20: 0.50", "50: 50.0", "20: 1.00", "50: 3.00"],
        *["10,000 (2 of 3)", "4.0", "2 of 3 done; diverged at 1,200"],
    ]
    runs[0]["ended"] = "done"
    del runs[0]["wrong_bits"]["50"]  # evaluation_sequences differed there
    (line,) = lines_of(table.table(result | {"runs": runs[:2]}))[2:]
    assert line[6] == "50: 3.00"
    assert line[-3:] == ["10,000", "4.0", "2 of 2 done"]


@pytest.mark.slow
def test_several_runs_at_once(tmp_path, capsys):
    given = ["--tasks", "recall", "--memories", "lstm", "key-value", "--seeds", "4", "--jobs", "2"]
    assert table.main([*given, *SMALL, "--every=2", "--out", str(tmp_path)]) == 0
    assert "memory-associative_recall-lstm-seed4: exit status 0" in capsys.readouterr().out
    runs = result_of(tmp_path)["runs"]
    assert [run["settings"]["memory"] for run in runs] == ["lstm", "key-value"]
    assert all(len(run["loss_curve"]) == 2 for run in runs)
    log = tmp_path / "memory-associative_recall-key-value-seed4.log"
    assert "     2 sequences" in log.read_text()


def test_all_tasks_networks_and_seeds_are_run():
    every = runs.runs_of(list(TASKS), list(NETWORKS), [0, 1], {"hidden_size": 8})
    assert len(every) == len(set(every)) == 2 * len(TASKS) * len(NETWORKS)
    assert {settings.seed for _, settings in every[: len(every) // 2]} == {0}
    assert all(settings.sequences == TASKS[task].training["sequences"] for task, settings in every)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--tasks", "paste"], "invalid choice"),
        (["--batch", "0"], "batch must be above 0"),
        (["--out", "/dev/null/folder"], "not writable"),
    ],
)
def test_a_bad_command_line(given, text, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        table.main(["--out", str(tmp_path), *given])
    assert stop.value.code == 2
    assert text in capsys.readouterr().err
