"""The benchmark of the Trainer's overhead: equal steps, the table and the targets."""

import json
import warnings

import pytest

from benchmarks.speed.training_overhead import __main__ as command
from benchmarks.speed.training_overhead import steps
from benchmarks.speed.training_overhead.steps import Sizes


def test_both_take_the_same_steps():
    tasksets, sizes = steps.make_tasksets(), Sizes("maml", 2, 4, 1)
    made = []
    make_learner = steps.make_learner
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(steps, "make_learner", lambda *a: made.append(make_learner(*a)) or made[-1])
        row = steps.measure(sizes, tasksets, repeats=2)
    bare, trained = (dict(learner.named_parameters()) for learner in made)
    for name, value in bare.items():
        assert value.allclose(trained[name], atol=1e-6), name
    assert {kind: len(times) for kind, times in row["seconds"].items()} == {"bare": 2, "trainer": 2}


@pytest.mark.slow
def test_a_quick_run_writes_its_result(tmp_path, capsys):
    assert command.main(["--quick", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "training-overhead-quick.json").read_text())
    assert [row["work"]["learner"] for row in result["rows"]] == ["maml", "memory"]
    (memory,) = result["memory"]
    assert all(10**8 < size < 10**10 for size in memory["bytes"])
    assert "| maml; 2, 4 |" in capsys.readouterr().out


def row(bare, trainer):
    seconds = {"bare": [bare] * 3, "trainer": [trainer] * 3}
    work = {"learner": "maml", "tasks": 2, "hidden": 4, "steps": 1}
    return {"work": work, "seconds": seconds, "cpu_seconds": seconds}


def test_missed_targets_are_named():
    good = {"learner": "maml", "steps": [200, 2000], "bytes": [100, 102]}
    assert command.missed_targets({"rows": [row(0.15, 0.1515)], "memory": [good]}) == []
    bad = {"learner": "memory", "steps": [200, 2000], "bytes": [100, 104]}
    assert command.missed_targets({"rows": [row(0.15, 0.16)], "memory": [bad]}) == [
        "maml, 2 tasks: 10.00 ms, above 2 ms",
        "maml, 2 tasks: 6.7 %, above 5 %",
        "memory of memory: +4.0 %, above 3 %",
    ]
    assert command.missed_targets({"rows": [row(0.001, 0.002)], "memory": []}) == []
