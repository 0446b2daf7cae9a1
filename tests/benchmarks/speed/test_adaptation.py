"""The adaptation benchmark: equal tasks for all contestants, and saved results."""

import json

import pytest
import torch

from benchmarks.speed import adaptation
from l2l_rnn.algorithms import MAML, MemoryLearner


def test_every_way_adapts_to_the_same_tasks():
    found = {name: call() for name, call in adaptation.contestants(hidden=2, tasks=2).items()}
    maml = found.pop(adaptation.BASELINE)
    assert isinstance(maml, MAML)
    assert not maml.first_order
    for kind in ("R2D2", "LRD2"):
        adapted, written = (found.pop(f"{kind}, {how}") for how in ("adapt once", "write"))
        assert adapted.weight.requires_grad
        torch.testing.assert_close(adapted, written)
    assert found.pop(adaptation.ENCODED).requires_grad
    served = {name: found.pop(f"{name}, no gradients") for name in adaptation.SERVED}
    for name, one in served.items():
        state = [*one.state] if isinstance(one, MemoryLearner) else [one.weight, one.bias]
        assert not any(part.requires_grad for part in state)
        if name in found:
            torch.testing.assert_close([*found[name].state], state)
    assert all(type(learner) is MemoryLearner for learner in found.values())
    for memory in adaptation.OPTIONS:
        one, several, written = (
            found[f"{memory}, {how}"].state
            for how in ("adapt 1 time", "adapt 5 times", "write 5 times")
        )
        torch.testing.assert_close(several, written, rtol=1e-2, atol=1e-3)
        assert not torch.equal(one[-1], several[-1])


def test_a_quick_run_saves_what_it_prints(tmp_path, capsys):
    assert adaptation.main(["--quick", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "adaptation-quick.json").read_text())
    assert adaptation.table(result) in capsys.readouterr().out
    assert all(value > 0 for value in result["seconds"].values())
    assert result["times_faster"][adaptation.BASELINE] == 1


@pytest.mark.parametrize("arguments", [["--repeats", "0"], ["--out", "/dev/null/folder"]])
def test_bad_options(arguments):
    with pytest.raises(SystemExit):
        adaptation.main(["--quick", *arguments])
