"""The least used memory on hand-computed examples."""

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import LeastUsedMemory


def small(slots=3, decay=0.5):
    return LeastUsedMemory(2, 1, slots=slots, decay=decay, sharpness=200.0).double()


def pairs(*pairs):
    keys = torch.tensor([[float(a), float(b)] for (a, b), _ in pairs], dtype=torch.float64)
    return keys, torch.tensor([[float(v)] for _, v in pairs], dtype=torch.float64)


def test_the_least_used_is_overwritten():
    memory = small()
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
    memory = small(slots=2)
    many = pairs(((1, 0), 1), ((0, 1), 2), ((1, 1), 3), ((2, 1), 4), ((1, 2), 5))
    state = memory.write(memory.blank(), *many)
    assert state.memory.tolist() == [[1, 2, 5], [2, 1, 4]]
    assert state.overwritten == 3
    again = memory.write(state, *many)
    assert again.overwritten == 3 + 5


def test_a_key_reads_its_value():
    memory = small()
    state = memory.write(memory.blank(), *pairs(((1, 0), 3), ((0, 1), 5)))
    found = memory.read(state, torch.tensor([[0, 2.0], [4.0, 0]], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([[5.0], [3.0]], dtype=torch.float64))
    weights = memory.read_weights(state, torch.tensor([[1.0, 1.0]], dtype=torch.float64))
    torch.testing.assert_close(weights.tolist(), [[0.5, 0.5, 0.0]])  # the empty slot is not read


def test_examples_are_numbered_by_usage():
    memory = small()
    state = memory.write(memory.blank(), *pairs(((1, 0), 3), ((0, 1), 5)))
    assert memory.examples(state).tolist() == [0, 1, -1]
    state = memory.write(state, *pairs(((1, 1), 7), ((-1, 0), 9)))
    assert memory.examples(state).tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "slots must be a positive integer, got 0"),
        ({"decay": 1.0}, r"decay must be a number of at least 0 and below 1, got 1\.0"),
        ({"decay": -0.1}, "decay must be a number of at least 0"),
        ({"sharpness": 0.0}, r"sharpness must be a number above 0, got 0\.0"),
        ({"eps": 0.0}, r"eps must be a number above 0, got 0\.0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=f"^LeastUsedMemory: {message}"):
        LeastUsedMemory(2, 1, **options)
