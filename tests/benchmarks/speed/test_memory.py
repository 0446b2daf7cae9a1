"""The speed benchmark of the memories, and the plain loops that it compares them with."""

import json

import pytest
import torch

from benchmarks.speed import memory
from benchmarks.speed.plain_memories import PlainDNC, PlainNTM
from l2l_rnn.memory import DNC, NTM

SIZES = (3, 2, 6, 8, 4)  # features, outputs, hidden units, slots, slot size


def copy_controller(ours, plain):
    """Give the LSTM cell of torch our controller's weights."""
    weight_back = ours.weight_back.detach()
    plain.weight_ih.data = torch.cat([ours.weight_input.detach(), weight_back[:, :-6]], 1)
    plain.weight_hh.data = weight_back[:, -6:]
    plain.bias_ih.data, plain.bias_hh.data = ours.bias.detach(), torch.zeros(24)


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
    ours.first_reads.data.zero_()  # not learned in the plain one
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
    swapped = [t[[6, 5]] for t in sigmoids]  # in the plain one, the write gate comes first
    give(plain.gates, *swapped)
    give(plain.read_strengths, *(t[:1] for t in softpluses))
    give(plain.write_strength, *(t[1:] for t in softpluses))
    give(plain.modes, *modes)
    give(plain.output, ours.weight_output.detach(), ours.bias_output.detach())
    torch.testing.assert_close(plain(x), ours(x)[0], rtol=1e-3, atol=1e-4)


def test_a_quick_run_of_the_speeds(tmp_path, capsys):
    assert memory.main(["--quick", "--batch", "1", "3", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "memory-speed-quick.json").read_text())
    assert [(row["kind"], row["batch"]) for row in result["rows"]] == [
        ("NTM", 1),
        ("NTM", 3),
        ("DNC", 1),
        ("DNC", 3),
    ]
    assert all(row["ratio"] > 0 for row in result["rows"])
    assert "| DNC | 3 |" in capsys.readouterr().out
