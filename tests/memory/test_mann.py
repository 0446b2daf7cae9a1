"""The writes and reads of a MANN on hand-computed examples."""

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import MANN, LeastUsedMemory


def steered(gate):
    """Return a layer with one head that writes tanh(1) to every slot; `gate` is the logit of g."""
    memory = MANN(1, 1, slots=3, slot_size=2, read_heads=1, decay=0.5).double()
    with torch.no_grad():
        memory.weight_heads.zero_()
        memory.bias_heads.copy_(torch.tensor([1.0, 1.0, gate]))
    return memory


def test_a_step_by_hand():
    """Least used slots are written in turn, and slots with equal contents get equal weights."""
    memory = steered(gate=-800.0)
    x, written = torch.zeros(1, 4, 1, dtype=torch.float64), torch.tensor(1.0).double().tanh()
    _, state = memory(x[:, :2])
    rows = state.memory[0]
    torch.testing.assert_close(rows[:2], written.expand(2, 2))
    assert not rows[2].any()
    strength = memory.log_sharpness.exp() * (2 * written**2) / (2 * written**2 + 1e-4)
    share = strength.exp() / (2 * strength.exp() + 1)
    torch.testing.assert_close(state.read_weights[0, 0, 0], share.squeeze())
    torch.testing.assert_close(state.reads[0, 0, 0], (2 * share * written).squeeze())
    assert state.overwritten.tolist() == [0]
    _, state = memory(x)
    assert state.used.all()
    assert state.overwritten.tolist() == [1]


def test_an_open_gate_writes_to_the_slot_that_was_read():
    """The write adds to the slot that was read, and clears another one."""
    memory = steered(gate=60.0)
    start = memory.blank(1)
    read_weights = torch.tensor([[[1.0, 0.0, 0.0]]], dtype=torch.float64)
    memory_rows = torch.ones(1, 3, 2, dtype=torch.float64)
    usage = torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64)
    start = start._replace(read_weights=read_weights, memory=memory_rows, usage=usage)
    _, state = memory.step(torch.zeros(1, 1, dtype=torch.float64), start)
    written = torch.tensor(1.0).double().tanh()
    torch.testing.assert_close(
        state.memory[0, :, 0], torch.stack([1 + written, *[written * 0 + 1], written * 0])
    )
    wanted = 0.5 * usage[0] + state.read_weights[0, 0] + read_weights[0, 0]
    torch.testing.assert_close(state.usage[0], wanted)


def test_each_head_writes_its_own_slot():
    torch.manual_seed(0)
    memory = MANN(2, hidden_size=4, slots=5, slot_size=3, read_heads=2)
    _, state = memory(torch.randn(3, 2, 2))
    assert state.used.sum(-1).tolist() == [4, 4, 4]
    _, state = memory(torch.randn(3, 3, 2), state)
    assert state.overwritten.tolist() == [5, 5, 5]


def test_it_learns_to_recall_a_single_observation():
    """An episode shows two cues with a bit each, then one of the cues; the target is its bit."""
    torch.manual_seed(0)
    memory = MANN(4, 1, 16, slots=8, slot_size=8, read_heads=1)
    optimizer = torch.optim.Adam(memory.parameters(), 2e-2)

    def episodes(count):
        bits = torch.randint(0, 2, (count, 2)).float()
        asked = torch.randint(0, 2, (count,))
        x = torch.zeros(count, 3, 4)
        for cue in (0, 1):
            x[:, cue, cue], x[:, cue, 2] = 1, 2 * bits[:, cue] - 1
        x[torch.arange(count), 2, asked], x[:, 2, 3] = 1, 1
        return x, bits.gather(1, asked.unsqueeze(1))

    for _ in range(80):
        x, targets = episodes(32)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(memory(x)[0][:, -1], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, targets = episodes(200)
    assert ((memory(x)[0][:, -1] > 0) == (targets > 0.5)).float().mean() > 0.95


def test_the_slots_are_a_least_used_memory():
    mann = MANN(3, slots=4, slot_size=6, key_size=4)
    store = LeastUsedMemory(4, 2, slots=4)
    keys, values = torch.randn(6, 4), torch.randn(6, 2)
    ours, wanted = (m.write(m.blank(), keys, values) for m in (mann, store))
    for part in ("memory", "usage", "used", "overwritten"):
        torch.testing.assert_close(getattr(ours, part), getattr(wanted, part))
    torch.testing.assert_close(mann.read(ours, keys), store.read(wanted, keys))
    assert torch.equal(mann.examples(ours), store.examples(wanted))


def test_after_steps_the_slots_hold_no_examples():
    mann = MANN(3, slots=4, slot_size=4)
    state = mann.write(mann.blank(), torch.randn(3, 2), torch.randn(3, 2))
    _, state = mann.step(torch.randn(3), state)
    with pytest.raises(ArgumentError, match=r"^MANN: the state must come only from blank\(\)"):
        mann.examples(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"read_heads": 4, "slots": 3}, "read_heads must be at most slots=3.*got 4"),
        ({"decay": 1.0}, r"decay must be a number of at least 0 and below 1, got 1\.0"),
        ({"decay": -0.1}, "decay"),
        ({"sharpness": 0.0}, r"sharpness must be a number above 0, got 0\.0"),
        ({"slots": 0}, "slots must be a positive integer, got 0"),
        ({"read_heads": 0}, "read_heads must be a positive integer"),
        ({"slot_size": 1}, "slot_size must be an integer of at least 2, got 1"),
        ({"key_size": 32}, "key_size must be less than slot_size=32"),
        ({"contents": "all"}, "unknown contents 'all'"),
        ({"controller": "gru"}, "unknown controller 'gru'"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer"),
        ({"output_size": 0}, "output_size must be a positive integer"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=message):
        MANN(3, **options)
