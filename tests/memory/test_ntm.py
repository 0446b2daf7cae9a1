"""The Neural Turing Machine against its equations, written out slot by slot."""

import copy

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.recurrence.reference import lstm_step
from l2l_rnn.memory import NTM
from l2l_rnn.memory.ntm import write_heads

DOUBLE = torch.float64


def small(**more):
    torch.manual_seed(0)
    sizes = {"hidden_size": 4, "slots": 5, "slot_size": 3} | more
    return NTM(2, 2, dtype=DOUBLE, **sizes)


def cosine(a, b):
    return (a @ b / (a.norm() * b.norm())).item()


def by_the_paper(ntm, x):
    """Compute outputs of a sequence `(S, F)` by the papers, one head and slot at a time."""
    state = ntm.blank()
    memory, weights, h, c = state.memory, list(state.weights), state.hidden, state.cell
    reads = list(state.reads)
    heads, size = len(weights), ntm.slot_size
    control = ntm.controller
    outputs = []
    for step in x:
        back = torch.cat([*reads, h]) if control.recurrent else torch.cat(reads)
        a = control.weight_input @ step + control.weight_back @ back + control.bias
        if control.recurrent:
            h, c = lstm_step(a, (h, c))
        else:
            h = a.tanh()
        numbers = ntm.weight_heads @ h + ntm.bias_heads
        rows, sigmoids, softpluses, shifts = numbers.split(ntm._interface())
        keys, adds = rows.tanh().view(-1, size).split([heads, ntm.write_heads])
        gates, erases = sigmoids.sigmoid().split([heads, ntm.write_heads * size])
        beta, gamma = F.softplus(softpluses).view(2, heads)
        gamma = gamma + 1
        shifts = shifts.view(heads, -1).softmax(-1)
        for n in range(heads):
            content = [beta[n].item() * cosine(keys[n], slot) for slot in memory]
            content = torch.tensor(content, dtype=DOUBLE).softmax(-1)
            gated = gates[n] * content + (1 - gates[n]) * weights[n]
            shifted = torch.zeros_like(gated)
            for i in range(ntm.slots):
                for j in range(-ntm.shift, ntm.shift + 1):
                    shifted[i] += gated[(i - j) % ntm.slots] * shifts[n, j + ntm.shift]
            powers = shifted ** gamma[n]
            weights[n] = powers / powers.sum()
        reads = [w @ memory for w in weights[: ntm.read_heads]]
        erases = erases.view(-1, size)
        for w, erase in zip(weights[ntm.read_heads :], erases, strict=True):
            memory = memory * (1 - torch.outer(w, erase))
        for w, add in zip(weights[ntm.read_heads :], adds, strict=True):
            memory = memory + torch.outer(w, add)
        outputs.append(ntm.weight_output @ torch.cat([h, *reads]) + ntm.bias_output)
    return torch.stack(outputs), memory


@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
@pytest.mark.parametrize("heads", [(1, 1), (2, 1), (1, 3), (3, 2)], ids=str)
@pytest.mark.parametrize("shift", [0, 1, 3])
def test_the_equations(controller, heads, shift):
    ntm = small(
        read_heads=heads[0],
        write_heads=heads[1],
        shift=shift,
        controller=controller,
        eps=1e-12,
    )
    for parameter in ntm.parameters():
        parameter.data.normal_(std=0.8)
    x = torch.randn(6, 2, dtype=DOUBLE)
    outputs, state = ntm(x.unsqueeze(0))
    wanted, memory = by_the_paper(ntm, x)
    torch.testing.assert_close(outputs[0], wanted, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(state.memory[0], memory, rtol=1e-6, atol=1e-7)


def test_it_starts_with_a_constant_memory_and_learned_reads_and_weights():
    ntm = small()
    state = ntm.blank(3)
    assert state.memory.unique().tolist() == [1e-6]
    torch.testing.assert_close(state.weights.sum(-1), torch.ones(3, 2, dtype=DOUBLE))
    assert state.weights.argmax(-1).eq(0).all()  # every head at the first slot
    outputs, _ = ntm(torch.randn(1, 2, 2, dtype=DOUBLE))
    outputs.sum().backward()
    assert ntm.first_reads.grad.abs().sum() > 0
    assert ntm.first_weights.grad.abs().sum() > 0


def test_heads_set_by_hand_write_their_input_and_move_on():
    ntm = small(slots=6, slot_size=4, hidden_size=2, controller="feedforward")
    for parameter in ntm.parameters():
        parameter.data.zero_()
    ntm.controller.weight_input.data.copy_(torch.eye(2) * 5)
    ntm.first_weights.data[:, 0] = 100
    numbers = ntm.bias_heads.data.split(ntm._interface())  # views
    numbers[1][:2] = -100  # gates: by location only
    numbers[2][2:] = 100  # gamma: as sharp as possible
    numbers[3].view(2, 3)[:, 2] = 100  # both heads move on by 1
    numbers[1][2:] = 100  # erase all
    rows = ntm.weight_heads.data[: 3 * 4].view(3, 4, 2)
    rows[2, :2] = torch.eye(2, dtype=DOUBLE) * 5  # the add vector is the controller's input
    x = torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]], dtype=DOUBLE)
    _, state = ntm(x)
    wanted = torch.full((6, 4), 1e-6, dtype=DOUBLE)
    wanted[1] = torch.tensor([1.0, -1.0, 0, 0])
    wanted[2] = torch.tensor([-1.0, 1.0, 0, 0])
    torch.testing.assert_close(state.memory[0], wanted, rtol=0, atol=1e-3)
    assert state.weights[0].argmax(-1).tolist() == [2, 2]


def test_writes_of_several_heads_do_not_depend_on_their_order():
    memory = torch.randn(2, 5, 3, dtype=DOUBLE)
    weights, erases = torch.rand(2, 2, 5, dtype=DOUBLE), torch.rand(2, 2, 3, dtype=DOUBLE)
    adds = torch.randn(2, 2, 3, dtype=DOUBLE)
    found = write_heads(memory, weights, erases, adds)
    turned = write_heads(memory, weights.flip(1), erases.flip(1), adds.flip(1))
    torch.testing.assert_close(found, turned)
    nothing = torch.zeros_like
    torch.testing.assert_close(write_heads(memory, nothing(weights), erases, adds), memory)


def test_an_idle_write_head_changes_nothing():
    memory, weights = torch.randn(5, 3, dtype=DOUBLE), torch.rand(1, 5, dtype=DOUBLE)
    erases, adds = torch.rand(1, 3, dtype=DOUBLE), torch.randn(1, 3, dtype=DOUBLE)
    with_idle = [torch.cat([t, torch.zeros_like(t)]) for t in (weights, erases, adds)]
    torch.testing.assert_close(
        write_heads(memory, weights, erases, adds), write_heads(memory, *with_idle)
    )


# ---------------------------------------------------------------- a store


def test_more_examples_than_slots_overwrite_the_oldest():
    ntm = small(slots=3, slot_size=4)
    keys = torch.eye(2, dtype=DOUBLE).repeat(4, 1)[:5]
    values = torch.arange(10, dtype=DOUBLE).view(5, 2)
    state = ntm.write(ntm.blank(), keys, values)
    assert state.written.item() == 5
    rows = torch.cat([keys, values], -1)
    assert state.memory.tolist() == [rows[3].tolist(), rows[4].tolist(), rows[2].tolist()]


def test_a_blank_store_reads_0_from_no_slot():
    ntm = small(slot_size=4)
    queries = torch.randn(3, 2, dtype=DOUBLE)
    assert ntm.read(ntm.blank(), queries).eq(0).all()
    assert ntm.read_weights(ntm.blank(), queries).eq(0).all()


def test_read_weights_rank_the_examples_by_similarity():
    ntm = small(slot_size=4, slots=8)
    keys = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]], dtype=DOUBLE)
    state = ntm.write(ntm.blank(), keys, torch.zeros(4, 2, dtype=DOUBLE))
    found = ntm.read_weights(state, keys[:1])
    assert found[0].argsort(descending=True, stable=True)[:4].tolist() == [0, 1, 2, 3]
    assert found[0, 4:].eq(0).all()
    assert found.sum().item() == pytest.approx(1)


def test_the_sizes_of_keys_and_values():
    assert (small(slot_size=7).key_size, small(slot_size=7).value_size) == (3, 4)
    assert (small(slot_size=7, key_size=6).key_size, small(slot_size=7, key_size=6).value_size) == (
        6,
        1,
    )


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be a positive integer, got 0"),
        ({"slots": 2.0}, "slots must be a positive integer, got 2.0"),
        ({"slots": True}, "slots must be a positive integer, got True"),
        ({"slot_size": 1}, "slot_size must be an integer of at least 2, got 1"),
        ({"read_heads": 0}, "read_heads must be a positive integer, got 0"),
        ({"write_heads": 0}, "write_heads must be a positive integer, got 0"),
        ({"write_heads": None}, "write_heads must be a positive integer, got None"),
        ({"shift": -1}, "shift must be a non-negative integer, got -1"),
        ({"controller": "gru"}, "unknown controller 'gru'. Known: lstm, feedforward"),
        ({"key_size": 3}, "key_size must be less than slot_size=3"),
        ({"key_size": 0}, "key_size must be a positive integer, got 0"),
        ({"eps": 0.0}, "eps must be a number above 0, got 0.0"),
    ],
)
def test_bad_options(wrong, message):
    with pytest.raises(ArgumentError, match=f"^NTM: {message}"):
        small(**wrong)


def test_a_learn2learn_clone():
    """Gradients through learn2learn's clone of the module reach the original parameters."""
    import learn2learn

    ntm = small()
    clone = learn2learn.clone_module(ntm)
    clone(torch.randn(1, 3, 2, dtype=DOUBLE))[0].sum().backward()
    assert ntm.weight_heads.grad.abs().sum() > 0
    assert copy.deepcopy(ntm).blank(2).memory.shape == (2, 5, 3)
