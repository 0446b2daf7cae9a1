"""learn2learn's own loops, with our models and task sets, learn."""

import random

import pytest
import torch

from examples import drop_in, drop_in_regression


@pytest.mark.parametrize("taskset", ["languages", "intents", "activity", "series", "strokes"])
def test_the_loop_trains(taskset, capsys):
    score = drop_in.main(taskset, shots=1, iterations=2, meta_batch_size=2)
    told = capsys.readouterr().out
    assert "iteration 1" in told
    assert 0 <= score <= 1
    assert f"meta-test accuracy {score:.3f}" in told


def test_it_learns():
    assert drop_in.main("activity", iterations=30, meta_batch_size=4) > 0.25  # a guess gets 0.2


def test_every_parameter_is_reached(monkeypatch):
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
    """A sine wave's mean squared error is 4.25 for one who answers 0; a pendulum's 0.86."""
    assert drop_in_regression.main(taskset, iterations=iterations) < bar


@pytest.mark.parametrize(
    ("script", "taskset"),
    [(drop_in, "sinusoids"), (drop_in_regression, "strokes"), (drop_in_regression, "copy")],
)
def test_a_task_set_of_the_other_kind(script, taskset):
    with pytest.raises(SystemExit, match=f"{taskset} .*see benchmarks/drop_in"):
        script.main(taskset, iterations=1)
