"""MANN: where it writes and what it reads, on examples worked out by hand."""

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import MANN


def store(slots=3, decay=0.5):
    return MANN(None, slots=slots, key_size=2, value_size=1, decay=decay, sharpness=200.0).double()


def pairs(*pairs):
    keys = torch.tensor([[float(a), float(b)] for (a, b), _ in pairs], dtype=torch.float64)
    return keys, torch.tensor([[float(v)] for _, v in pairs], dtype=torch.float64)


def test_the_least_used_is_overwritten():
    memory = store()
    state = memory.write(memory.blank(), *pairs(((1, 0), 3), ((0, 1), 5), ((1, 1), 7)))
    assert state.memory.tolist() == [[1, 0, 3], [0, 1, 5], [1, 1, 7]]
    assert state.usage.tolist() == [0.25, 0.5, 1]
    assert state.overwritten == 0
    state = memory.write(state, *pairs(((-1, 0), 9)))
    assert state.memory.tolist() == [[-1, 0, 9], [0, 1, 5], [1, 1, 7]]
    assert state.usage.tolist() == [1.125, 0.25, 0.5]
    assert state.overwritten == 1
    seldom = state._replace(usage=torch.tensor([2.0, 3.0, 0.5], dtype=torch.float64))
    assert memory.write(seldom, *pairs(((0, 0), 4))).memory[2].tolist() == [0, 0, 4]


def test_more_pairs_than_slots_are_counted():
    memory = store(slots=2)
    many = pairs(((1, 0), 1), ((0, 1), 2), ((1, 1), 3), ((2, 1), 4), ((1, 2), 5))
    state = memory.write(memory.blank(), *many)
    assert state.memory.tolist() == [[1, 2, 5], [2, 1, 4]]
    assert state.overwritten == 3
    again = memory.write(state, *many)
    assert again.overwritten == 3 + 5


def test_a_key_reads_its_value():
    memory = store()
    state = memory.write(memory.blank(), *pairs(((1, 0), 3), ((0, 1), 5)))
    found = memory.read(state, torch.tensor([[0, 2.0], [4.0, 0]], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([[5.0], [3.0]], dtype=torch.float64))
    weights = memory.attention(state, torch.tensor([[1.0, 1.0]], dtype=torch.float64))
    torch.testing.assert_close(weights.tolist(), [[0.5, 0.5, 0.0]])  # the empty slot is not read


def steered(gate):
    """A layer of one head that writes tanh(1) everywhere; `gate` is g's logit."""
    memory = MANN(1, 1, slots=3, key_size=1, value_size=1, reads=1, decay=0.5).double()
    with torch.no_grad():
        memory.weight_heads.zero_()
        memory.bias_heads.copy_(torch.tensor([1.0, 1.0, gate]))
    return memory


def test_a_step_by_hand():
    """Least used slots are written in turn; reading weighs slots alike once they hold the same."""
    memory = steered(gate=-800.0)
    x, written = torch.zeros(1, 4, 1, dtype=torch.float64), torch.tensor(1.0).double().tanh()
    _, state = memory(x[:, :2])
    rows = state.memory[0]
    torch.testing.assert_close(rows[:2], written.expand(2, 2))
    assert not rows[2].any()
    strength = memory.log_sharpness.exp() * (2 * written**2) / (2 * written**2 + 1e-4)
    share = strength.exp() / (2 * strength.exp() + 1)
    torch.testing.assert_close(state.read_weights[0, 0, 0], share.squeeze())
    torch.testing.assert_close(state.found[0, 0], (2 * share * written).squeeze())
    assert state.overwritten.tolist() == [0]
    _, state = memory(x)
    assert state.used.all()
    assert state.overwritten.tolist() == [1]


def test_an_open_gate_writes_where_it_read():
    """The second write adds to what was read, and wipes another slot."""
    memory = steered(gate=60.0)
    start = memory.blank(1)
    attention = torch.tensor([[[1.0, 0.0, 0.0]]], dtype=torch.float64)
    memory_rows = torch.ones(1, 3, 2, dtype=torch.float64)
    usage = torch.tensor([[3.0, 2.0, 1.0]], dtype=torch.float64)
    start = start._replace(read_weights=attention, memory=memory_rows, usage=usage)
    _, state = memory.step(torch.zeros(1, 1, dtype=torch.float64), start)
    written = torch.tensor(1.0).double().tanh()
    torch.testing.assert_close(
        state.memory[0, :, 0], torch.stack([1 + written, *[written * 0 + 1], written * 0])
    )
    wanted = 0.5 * usage[0] + state.read_weights[0, 0] + attention[0, 0]
    torch.testing.assert_close(state.usage[0], wanted)


def test_heads_write_slots_of_their_own():
    torch.manual_seed(0)
    memory = MANN(2, hidden_size=4, slots=5, key_size=2, value_size=1, reads=2)
    _, state = memory(torch.randn(3, 2, 2))
    assert state.used.sum(-1).tolist() == [4, 4, 4]
    _, state = memory(torch.randn(3, 3, 2), state)
    assert state.overwritten.tolist() == [5, 5, 5]


def test_it_learns_to_recall_what_it_was_told_once():
    """Two cues, each told its bit in this episode; asked for one of them, by its cue alone."""
    torch.manual_seed(0)
    memory = MANN(4, 1, 16, slots=8, key_size=4, value_size=4, reads=1)
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
        x, wanted = episodes(32)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(memory(x)[0][:, -1], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, wanted = episodes(200)
    assert ((memory(x)[0][:, -1] > 0) == (wanted > 0.5)).float().mean() > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reads": 4, "slots": 3}, "reads must be at most slots=3.*got 4"),
        ({"decay": 1.0}, r"decay must lie in \[0, 1\), got 1.0"),
        ({"decay": -0.1}, "decay"),
        ({"sharpness": 0.0}, "sharpness must be positive, got 0.0"),
        ({"slots": 0}, "slots must be a positive integer, got 0"),
        ({"reads": 0}, "reads must be a positive integer"),
        ({"hidden_size": 0}, "hidden_size must be a positive integer"),
        ({"output_size": 0}, "output_size must be a positive integer"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=message):
        MANN(3, **options)
