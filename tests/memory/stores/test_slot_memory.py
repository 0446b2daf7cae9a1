"""The ring of slots on hand-computed examples."""

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import DNC, NTM, SlotMemory

DOUBLE = torch.float64


def test_slots_are_written_in_turn():
    store = SlotMemory(2, 1, slots=3, dtype=DOUBLE)
    keys, values = torch.randn(5, 2, dtype=DOUBLE), torch.randn(5, 1, dtype=DOUBLE)
    state = store.write(store.blank(), keys[:2], values[:2])
    assert store.examples(state).tolist() == [0, 1, -1]
    state = store.write(state, keys[2:], values[2:])
    assert store.examples(state).tolist() == [3, 4, 2]
    torch.testing.assert_close(state.memory, torch.cat([keys, values], -1)[[3, 4, 2]])


def test_reads_by_hand():
    store = SlotMemory(2, 1, slots=3, sharpness=2.0, dtype=DOUBLE)
    values = torch.tensor([[3.0], [5.0]], dtype=DOUBLE)
    state = store.write(store.blank(), 7 * torch.eye(2, dtype=DOUBLE), values)
    query = torch.tensor([[0.0, 0.5]], dtype=DOUBLE)  # cosines of 0 and 1
    share = torch.tensor(2.0, dtype=DOUBLE).sigmoid()
    wanted = torch.stack([1 - share, share, torch.zeros_like(share)]).unsqueeze(0)
    torch.testing.assert_close(store.read_weights(state, query), wanted)
    torch.testing.assert_close(store.read(state, query), 3 + 2 * share.view(1, 1))


@pytest.mark.parametrize("kind", [NTM, DNC])
def test_the_slots_of_a_controller_memory_are_the_same_store(kind):
    layer = kind(3, slots=4, slot_size=5, key_size=3, dtype=DOUBLE)
    store = SlotMemory(3, 2, slots=4, dtype=DOUBLE)
    keys, values = torch.randn(6, 3, dtype=DOUBLE), torch.randn(6, 2, dtype=DOUBLE)
    ours, wanted = (m.write(m.blank(), keys, values) for m in (layer, store))
    torch.testing.assert_close(ours.memory, wanted.memory)
    torch.testing.assert_close(layer.read(ours, keys), store.read(wanted, keys))
    assert torch.equal(layer.examples(ours), store.examples(wanted))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "slots must be a positive integer, got 0"),
        ({"sharpness": 0.0}, r"sharpness must be a number above 0, got 0\.0"),
        ({"eps": -1.0}, r"eps must be a number above 0, got -1\.0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=f"^SlotMemory: {message}"):
        SlotMemory(2, 1, **options)
