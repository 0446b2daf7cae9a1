"""The differentiable neural computer against its equations, written out slot by slot."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.recurrence.reference import lstm_step
from l2l_rnn.memory import DNC

DOUBLE = torch.float64


def small(**more):
    torch.manual_seed(0)
    sizes = {"hidden_size": 4, "slots": 5, "slot_size": 3} | more
    return DNC(2, 2, dtype=DOUBLE, **sizes)


def content(memory, key, strength):
    lengths = memory.norm(dim=-1) * key.norm()
    similar = torch.where(lengths > 0, memory @ key / lengths.clamp_min(1e-300), 0)
    return (strength * similar).softmax(-1)


def by_the_paper(dnc, x):
    """Compute outputs of a sequence `(S, F)` by the paper, one head and slot at a time."""
    slots, size, units = dnc.slots, dnc.slot_size, dnc.hidden_size
    heads = range(dnc.read_heads)

    def zeros(*shape):
        return torch.zeros(shape, dtype=DOUBLE)

    memory, usage, last, writes = zeros(slots, size), zeros(slots), zeros(slots), zeros(slots)
    links, weights = zeros(slots, slots), [zeros(slots) for _ in heads]
    reads, h, c = [zeros(size) for _ in heads], zeros(units), zeros(units)
    control = dnc.controller
    outputs = []
    for step in x:
        a = control.weight_input @ step + control.bias
        a = a + control.weight_back @ torch.cat([*reads, h])
        h, c = lstm_step(a, (h, c))
        numbers = dnc.weight_heads @ h + dnc.bias_heads
        rows, sigmoids, softpluses, modes = numbers.split(dnc._interface())
        *keys, write_key, vector = rows.view(-1, size)
        erase, free, gates = sigmoids.sigmoid().split([size, dnc.read_heads, 2])
        strengths = 1 + F.softplus(softpluses)
        modes = modes.view(3, -1).softmax(0)

        usage = usage + writes - usage * writes
        for r in heads:
            usage = usage * (1 - free[r] * weights[r])
        allocation, product = zeros(slots), 1.0
        for slot in (usage * 2**16).round().argsort(stable=True).tolist():
            allocation[slot] = (1 - usage[slot]) * product
            product = product * usage[slot]
        found = content(memory, write_key, strengths[-1])
        writes = gates[1] * (gates[0] * allocation + (1 - gates[0]) * found)
        memory = memory * (1 - torch.outer(writes, erase)) + torch.outer(writes, vector)
        linked = zeros(slots, slots)
        for p in range(slots):
            for q in range(slots):
                if p != q:
                    kept = (1 - writes[p] - writes[q]) * links[p, q]
                    linked[p, q] = kept + writes[p] * last[q]
        links, last = linked, (1 - writes.sum()) * last + writes
        for r in heads:
            backward, forward = links.T @ weights[r], links @ weights[r]
            now = content(memory, keys[r], strengths[r])
            weights[r] = modes[0, r] * backward + modes[1, r] * now + modes[2, r] * forward
            reads[r] = weights[r] @ memory
        outputs.append(dnc.weight_output @ torch.cat([h, *reads]) + dnc.bias_output)
    return torch.stack(outputs), memory, links


@pytest.mark.parametrize("heads", [1, 3])
def test_the_equations(heads):
    dnc = small(read_heads=heads, eps=1e-12)
    for parameter in dnc.parameters():
        parameter.data.normal_(std=0.8)
    x = torch.randn(7, 2, dtype=DOUBLE)
    outputs, state = dnc(x.unsqueeze(0))
    wanted, memory, links = by_the_paper(dnc, x)
    torch.testing.assert_close(outputs[0], wanted, rtol=0, atol=1e-7)
    # Slots with equal usage, as in a blank memory, may be taken in another order.
    ours, theirs = state.memory[0, :, 0].argsort(), memory[:, 0].argsort()
    torch.testing.assert_close(state.memory[0, ours], memory[theirs], rtol=0, atol=1e-7)
    found, wanted = state.links[0, ours][:, ours], links[theirs][:, theirs]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-7)


def set_by_hand(writing=100.0, allocating=100.0):
    """Return a DNC that writes a constant to its allocated slots and frees none."""
    dnc = small(controller="feedforward")
    for parameter in dnc.parameters():
        parameter.data.zero_()
    rows, sigmoids, _, modes = dnc.bias_heads.data.split(dnc._interface())  # views
    rows[-3:] = 2.0  # the write vector
    sigmoids[:3], sigmoids[3] = 100, -100  # erase all, free nothing
    sigmoids[4], sigmoids[5] = allocating, writing
    modes[:] = torch.tensor([-100.0, -100.0, 100.0])  # read the slots written after it
    return dnc


def test_every_write_takes_a_new_slot_until_all_are_in_use():
    dnc, taken = set_by_hand(), []
    state = dnc.blank(1)
    for _ in range(5):
        _, state = dnc.step(torch.zeros(1, 2, dtype=DOUBLE), state)
        taken.append(state.write_weights[0].argmax().item())
        assert state.write_weights[0].max().item() == pytest.approx(1, abs=1e-4)
    assert sorted(taken) == list(range(5))
    torch.testing.assert_close(
        state.memory[0], torch.full((5, 3), 2.0, dtype=DOUBLE), rtol=0, atol=1e-4
    )
    for earlier, later in itertools.pairwise(taken):
        assert state.links[0, later, earlier].item() == pytest.approx(1, abs=1e-4)
    assert state.precedence[0].argmax().item() == taken[-1]
    _, state = dnc.step(torch.zeros(1, 2, dtype=DOUBLE), state)
    assert state.write_weights.abs().max().item() < 1e-4  # no slot is free


def test_a_closed_write_gate_leaves_the_memory_alone():
    dnc = set_by_hand(writing=-100.0)
    _, state = dnc(torch.randn(1, 4, 2, dtype=DOUBLE))
    torch.testing.assert_close(state.memory, dnc.blank(1).memory)
    assert state.usage.max() < 1e-5


def test_slots_written_as_a_store_are_in_use():
    dnc = small(slot_size=4)
    keys, values = torch.randn(2, 3, 2, dtype=DOUBLE)
    state = dnc.write(dnc.blank(), keys, values)
    assert state.usage.tolist() == [1, 1, 1, 0, 0]
    state = dnc.write(state, keys, values)
    assert state.usage.tolist() == [1, 1, 1, 1, 1]
    assert state.written.item() == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slots": 0}, "slots must be a positive integer, got 0"),
        ({"read_heads": 0}, "read_heads must be a positive integer, got 0"),
        ({"controller": "rnn"}, "unknown controller 'rnn'. Known: lstm, feedforward"),
        ({"key_size": 4}, "key_size must be less than slot_size=3"),
    ],
)
def test_bad_options(wrong, message):
    with pytest.raises(ArgumentError, match=f"^DNC: {message}"):
        small(**wrong)
