"""The table of the best meta-learners beside transfer learning and baselines."""

import pytest

from benchmarks.report import transfer_table


def method(label, group, mean, gains=None):
    score = {"mean": mean, "ci95": 0.01, "tasks": 9}
    if gains is not None:
        score["differences"] = {n: {"mean": g, "ci95": 0.02} for n, g in gains.items()}
    return {"label": label, "group": group, "variant": {}, "scores": {"1 shot": score}}


def result(sign, **learner):
    """A result where larger scores are better (sign 1), or smaller ones (sign -1)."""
    return {
        "spec": {"percent": False, "lower_is_better": sign < 0},
        "methods": [
            method("nearest", "baseline", sign * 2.0),
            method("oracle", "baseline", sign * 9.0),
            method("on a subset", "baseline", sign * 5.0),
            method("fine-tuned", "transfer", sign * 3.0),
            method("weak", "meta-learned", sign * 1.0, {"nearest": sign * 1.0}),
            method("best", "meta-learned", sign * 4.0, **learner),
        ],
    }


@pytest.mark.parametrize("sign", [1, -1])
def test_the_closest_methods_and_the_gains_over_them(sign):
    gains = {"nearest": 2.0, "oracle": -5.0, "on a subset": 0.5, "fine-tuned": 1.0}
    found = result(sign, gains={name: sign * gain for name, gain in gains.items()})
    lines = transfer_table([("tasks", found, ["1 shot"])], without=["oracle"]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells[0] == "tasks, 1 shot"
    assert cells[1].startswith("best: ")
    assert cells[2].startswith("fine-tuned: ")
    assert cells[3] == "+1.000 ± 0.020"
    assert cells[4].startswith("on a subset: ")  # not the best mean, which is of other tasks
    assert cells[5] == "+0.500 ± 0.020"


def test_without_a_transfer_method():
    lines = transfer_table([("tasks", result(1, gains={"nearest": 2.0}), ["1 shot"])]).splitlines()
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells[2:4] == ["-", "-"]
    assert cells[4].startswith("nearest: ")
