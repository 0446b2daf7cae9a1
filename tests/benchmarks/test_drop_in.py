"""learn2learn's own loop, with our model and task set, learns."""

import random

import torch

from benchmarks import drop_in


def test_the_loop_trains(capsys):
    score = drop_in.main(shots=1, iterations=2, meta_batch_size=2)
    told = capsys.readouterr().out
    assert "iteration 1" in told
    assert 0 <= score <= 1
    assert f"meta-test accuracy {score:.3f}" in told


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
