"""The benchmarks of the memories: what they measure, and that the plain loop computes the same."""

import json

import pytest
import torch

from benchmarks import memory_speed, memory_tasks
from benchmarks.plain_memories import PlainDNC, PlainNTM
from l2l_rnn.memory import DNC, NTM
from l2l_rnn.tasksets import Copy

SIZES = (3, 2, 6, 8, 4)  # features, outputs, hidden units, slots, width


def copy_controller(ours, plain):
    """Give the LSTM cell of torch our controller's weights, in its order of gates."""
    order = torch.arange(24).view(4, 6)[[0, 1, 3, 2]].flatten()  # i, f, o, g to i, f, g, o
    weight_back = ours.weight_back[order]
    plain.weight_ih.data = torch.cat([ours.weight_input[order], weight_back[:, :-6]], 1)
    plain.weight_hh.data = weight_back[:, -6:]
    plain.bias_ih.data, plain.bias_hh.data = ours.bias[order], torch.zeros(24)


def give(layer, weight, bias):
    layer.weight.data, layer.bias.data = weight, bias


def rows_of(memory):
    """The weights and biases of the heads' numbers, in the parts that share a function."""
    weights = memory.weight_heads.detach().split(memory._interface())
    return list(zip(weights, memory.bias_heads.detach().split(memory._interface()), strict=True))


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(2, 5, 3)


def test_the_plain_ntm_computes_the_same(x):
    torch.manual_seed(0)
    ours, plain = NTM(*SIZES), PlainNTM(*SIZES)
    ours.first_reads.data.zero_()  # the plain one does not learn them
    copy_controller(ours.controller, plain.cell)
    tanhs, sigmoids, softpluses, shifts = rows_of(ours)
    heads = [*plain.readers, *plain.writers]
    for n, head in enumerate(heads):
        give(head.key, *(t[4 * n : 4 * n + 4] for t in tanhs))
        give(head.gate, *(t[n : n + 1] for t in sigmoids))
        give(head.strength, *(t[n : n + 1] for t in softpluses))
        give(head.exponent, *(t[2 + n : 3 + n] for t in softpluses))
        give(head.shift, *(t[3 * n : 3 * n + 3] for t in shifts))
        head.first.data = ours.first_weights[n].detach()
    give(heads[1].add, *(t[8:] for t in tanhs))
    give(heads[1].erase, *(t[2:] for t in sigmoids))
    give(plain.output, ours.weight_output.detach(), ours.bias_output.detach())
    torch.testing.assert_close(plain(x), ours(x)[0], rtol=1e-4, atol=1e-5)


def test_the_plain_dnc_computes_the_same(x):
    torch.manual_seed(0)
    ours, plain = DNC(*SIZES), PlainDNC(*SIZES)
    copy_controller(ours.controller, plain.cell)
    rows, sigmoids, softpluses, modes = rows_of(ours)
    for n, layer in enumerate((plain.read_keys, plain.write_key, plain.vector)):
        give(layer, *(t[4 * n : 4 * n + 4] for t in rows))
    give(plain.erase, *(t[:4] for t in sigmoids))
    give(plain.free, *(t[4:5] for t in sigmoids))
    swapped = [t[[6, 5]] for t in sigmoids]  # there the write gate is first
    give(plain.gates, *swapped)
    give(plain.read_strengths, *(t[:1] for t in softpluses))
    give(plain.write_strength, *(t[1:] for t in softpluses))
    give(plain.modes, *modes)
    give(plain.output, ours.weight_output.detach(), ours.bias_output.detach())
    torch.testing.assert_close(plain(x), ours(x)[0], rtol=1e-3, atol=1e-4)


def test_a_quick_run_of_the_speeds(tmp_path, capsys):
    assert memory_speed.main(["--quick", "--batch", "1", "3", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "memory-speed-quick.json").read_text())
    assert [(row["kind"], row["batch"]) for row in result["rows"]] == [
        ("NTM", 1),
        ("NTM", 3),
        ("DNC", 1),
        ("DNC", 3),
    ]
    assert all(row["ratio"] > 0 for row in result["rows"])
    assert "| DNC | 3 |" in capsys.readouterr().out


# ---------------------------------------------------------------- training

SHORT = ["--sequences", "8", "--batch", "4", "--every", "4", "--hidden", "4", "--slots", "4"]


@pytest.mark.parametrize("memory", ["ntm", "dnc", "lstm"])
def test_a_short_training(memory, tmp_path, capsys):
    given = ["recall", "--memory", memory, *SHORT, "--width", "4", "--averaging", "0.9"]
    assert memory_tasks.main([*given, "--curriculum", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / f"memory-recall-{memory}-seed0.json").read_text())
    assert [point["sequences"] for point in result["points"]] == [4, 8]
    assert set(result["wrong_bits"]) == set(result["points"][0]["averaged"]) == {"2", "6", "12"}
    assert result["reached"] is False
    assert (tmp_path / f"memory-recall-{memory}-seed0.png").exists() == (memory != "lstm")
    assert "8 sequences" in capsys.readouterr().out


class Rule(torch.nn.Module):
    """The rule of copying, with every n-th bit wrong."""

    def forward(self, x):
        length = x.shape[1] // 2
        logits = torch.zeros(x.shape[0], x.shape[1], 8)
        logits[:, length + 1 :] = 2 * x[:, :length, :8] - 1
        logits[:, -1, 0] *= -1
        return logits, None


def test_wrong_bits_of_a_sequence():
    assert memory_tasks.wrong_bits(Rule(), Copy().at(5), 12) == 1.0


def test_what_is_not_finite_is_named():
    model = torch.nn.Linear(2, 1)
    fine = torch.tensor(1.0)
    model.weight.grad, model.bias.grad = torch.tensor([[1.0, torch.nan]]), torch.zeros(1)
    memory_tasks.check_finite("ntm", 8, model, fine, fine)
    with pytest.raises(memory_tasks.Diverged, match=r"ntm: the loss is inf after 8 sequences"):
        memory_tasks.check_finite("ntm", 8, model, fine / 0, fine)
    with pytest.raises(memory_tasks.Diverged, match=r"after 8 .* the gradients of weight are not"):
        memory_tasks.check_finite("ntm", 8, model, fine, fine * torch.nan)


def test_a_training_that_diverges_says_so(tmp_path, capsys):
    given = ["copy", *SHORT, "--width", "4", "--rate", "1e37", "--clip", "1e37"]
    assert memory_tasks.main([*given, "--sequences", "40", "--out", str(tmp_path)]) == 1
    result = json.loads((tmp_path / "memory-copy-ntm-seed0.json").read_text())
    assert "ntm: " in result["diverged"]
    assert result["diverged"] in capsys.readouterr().out
