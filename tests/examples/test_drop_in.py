"""The example scripts: learn2learn's loops with our models and task sets learn."""

import random
from pathlib import Path

import pytest
import torch

from examples import drop_in, drop_in_regression


@pytest.mark.parametrize("taskset", ["languages", "intents", "activity", "series", "strokes"])
def test_the_loop_trains(taskset, capsys):
    score = drop_in.main(taskset, shots=1, iterations=2, meta_batch_size=2)
    printed = capsys.readouterr().out
    assert "iteration 1" in printed
    assert 0 <= score <= 1
    assert f"test accuracy {score:.3f}, chance level 0.200" in printed


def test_classification_learns():
    assert drop_in.main("activity", iterations=30, meta_batch_size=4) > 0.25  # chance level 0.2


def test_every_parameter_gets_a_gradient(monkeypatch):
    gradients = []
    step = torch.optim.Adam.step

    def recorded(self, *args, **kwargs):
        gradients.append(
            [p.grad.abs().max().item() for g in self.param_groups for p in g["params"]]
        )
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.Adam, "step", recorded)
    state = random.getstate()
    drop_in.main(shots=1, iterations=1, meta_batch_size=1)
    random.setstate(state)
    assert min(gradients[0]) > 0


@pytest.mark.parametrize(
    ("taskset", "iterations", "bar"), [("sinusoids", 60, 4.0), ("dynamics", 60, 0.8)]
)
def test_regression_learns(taskset, iterations, bar):
    """Predicting 0 has an error of 4.25 on sine waves and of 0.86 on pendulums."""
    assert drop_in_regression.main(taskset, iterations=iterations) < bar


@pytest.mark.parametrize(
    ("script", "taskset", "other"),
    [
        (drop_in, "sinusoids", drop_in_regression),
        (drop_in_regression, "strokes", drop_in),
        (drop_in_regression, "copy", drop_in),
    ],
)
def test_a_task_set_of_the_wrong_kind_points_to_the_other_script(script, taskset, other):
    with pytest.raises(SystemExit, match=f"^{taskset} has no .*; use ") as stop:
        script.main(taskset, iterations=1)
    named = str(stop.value).rpartition(" ")[2]
    assert (Path(__file__).parents[2] / named).samefile(other.__file__)
