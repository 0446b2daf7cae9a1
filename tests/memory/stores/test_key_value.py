"""The key-value memory on hand-computed examples."""

import math

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import KeyValueMemory

ONE_HOT = torch.eye(3, dtype=torch.float64)
VALUES = torch.tensor([[3.0, -1.0], [5.0, 2.0], [7.0, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize("similarity", ["dot", "cosine", "distance"])
def test_one_hop_with_one_hot_keys_returns_the_bound_value(similarity):
    memory = KeyValueMemory(3, 2, similarity=similarity).double()
    with torch.no_grad():
        memory.embedding.copy_(10 * ONE_HOT)
        if memory.log_sharpness is not None:
            memory.log_sharpness.fill_(math.log(100))
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    torch.testing.assert_close(memory.read(state, ONE_HOT), VALUES)
    torch.testing.assert_close(memory.read(state, ONE_HOT.flip(0)), VALUES.flip(0))


def test_read_weights_by_hand():
    memory = KeyValueMemory(1, 1, slots=4).double()
    keys = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    state = memory.write(memory.blank(), keys, 10 * keys)
    query = torch.tensor([[math.log(2)]], dtype=torch.float64)
    weights = memory.read_weights(state, query)
    torch.testing.assert_close(weights.tolist(), [[0.0, 1 / 7, 2 / 7, 4 / 7]])
    torch.testing.assert_close(memory.read(state, query).item(), (20 + 80) / 7)


def test_two_hops_by_hand():
    """The read of the first lookup leads the second lookup to another slot."""
    memory = KeyValueMemory(2, 2, hops=2).double()
    keys = torch.eye(2, dtype=torch.float64)
    values = torch.tensor([[0.0, 5.0], [9.0, 9.0]], dtype=torch.float64)
    with torch.no_grad():
        memory.embedding.copy_(50 * keys)
        memory.value_embeddings.copy_(50 * keys)
        memory.hop_matrices.copy_(keys)
    state = memory.write(memory.blank(), keys, values)
    torch.testing.assert_close(memory.read(state, keys[:1]).tolist(), [[9.0, 9.0]])


def test_permuted_classes_permute_the_answer():
    torch.manual_seed(0)
    memory = KeyValueMemory(3, 2, similarity="cosine").double()
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    swapped = memory.write(memory.blank(), ONE_HOT, VALUES.flip(1))
    queries = torch.randn(4, 3).double()
    torch.testing.assert_close(memory.read(state, queries).flip(1), memory.read(swapped, queries))


def test_the_oldest_example_is_lost_and_counted():
    memory = KeyValueMemory(3, 2, slots=2).double()
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    assert (state.written, state.overwritten) == (3, 1)
    assert memory.examples(state).tolist() == [1, 2]
    kept = memory.write(memory.blank(), ONE_HOT[1:], VALUES[1:])
    assert kept.overwritten == 0
    torch.testing.assert_close(memory.read(state, ONE_HOT), memory.read(kept, ONE_HOT))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "dots"}, "unknown similarity 'dots'; did you mean 'dot'"),
        ({"slots": 0}, "slots must be a positive integer, got 0"),
        ({"hops": 0}, "hops must be a positive integer"),
        ({"embedding_size": -1}, "embedding_size must be a positive integer"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=f"^KeyValueMemory: {message}"):
        KeyValueMemory(3, 2, **options)
