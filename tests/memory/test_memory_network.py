"""Memory networks on examples worked out by hand."""

import math

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import KeyValueMemory, MemoryNetwork

ONE_HOT = torch.eye(3, dtype=torch.float64)
VALUES = torch.tensor([[3.0, -1.0], [5.0, 2.0], [7.0, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize("similarity", ["dot", "cosine", "distance"])
def test_one_hop_with_one_hot_keys_returns_the_bound_value(similarity):
    memory = KeyValueMemory(None, 3, 2, similarity=similarity).double()
    with torch.no_grad():
        memory.embedding.copy_(10 * ONE_HOT)
        if memory.log_sharpness is not None:
            memory.log_sharpness.fill_(math.log(100))
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    torch.testing.assert_close(memory.read(state, ONE_HOT), VALUES)
    torch.testing.assert_close(memory.read(state, ONE_HOT.flip(0)), VALUES.flip(0))


def test_a_memory_network_can_return_the_bound_value():
    memory = MemoryNetwork(None, 3, 2, embedding_size=5, hops=1, temporal=False).double()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.zero_()
        memory.query_embedding[:3] = 10 * ONE_HOT
        memory.input_embedding[:3, :3] = 10 * ONE_HOT
        memory.output_embedding[3:, 3:] = torch.eye(2)
        memory.answer[:, 3:] = torch.eye(2)
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    torch.testing.assert_close(memory.read(state, ONE_HOT), VALUES)


def test_attention_by_hand():
    memory = KeyValueMemory(None, 1, 1, slots=4).double()
    keys = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    state = memory.write(memory.blank(), keys, 10 * keys)
    query = torch.tensor([[math.log(2)]], dtype=torch.float64)
    weights = memory.attention(state, query)
    torch.testing.assert_close(weights.tolist(), [[0.0, 1 / 7, 2 / 7, 4 / 7]])
    torch.testing.assert_close(memory.read(state, query).item(), (20 + 80) / 7)


def test_two_hops_by_hand():
    """What the first look-up finds leads the second to another slot."""
    memory = KeyValueMemory(None, 2, 2, hops=2).double()
    keys = torch.eye(2, dtype=torch.float64)
    values = torch.tensor([[0.0, 5.0], [9.0, 9.0]], dtype=torch.float64)
    with torch.no_grad():
        memory.embedding.copy_(50 * keys)
        memory.value_embeddings.copy_(50 * keys)
        memory.hop_matrices.copy_(keys)
    state = memory.write(memory.blank(), keys, values)
    torch.testing.assert_close(memory.read(state, keys[:1]).tolist(), [[9.0, 9.0]])


def test_hops_of_a_memory_network_by_hand():
    """`u <- H u + o` between hops; with one item `o` is its output embedding."""
    torch.manual_seed(0)
    memory = MemoryNetwork(None, 2, 1, embedding_size=3, slots=2, hops=3).double()
    key, value, query = (torch.randn(1, n, dtype=torch.float64) for n in (2, 1, 2))
    state = memory.write(memory.blank(), key, value)
    c = memory.output_embedding @ torch.cat([key, value], 1)[0] + memory.output_ages[0]
    u = memory.query_embedding @ query[0] + c
    for _ in range(2):
        u = memory.hop_matrix @ u + c
    torch.testing.assert_close(memory.read(state, query)[0], memory.answer @ u)


def test_the_temporal_encoding_tells_old_from_new():
    torch.manual_seed(0)
    memory = MemoryNetwork(None, 2, 1, slots=3).double()
    keys, values = torch.randn(3, 2).double(), torch.randn(3, 1).double()
    query = torch.randn(1, 2).double()
    forward = memory.read(memory.write(memory.blank(), keys, values), query)
    back = memory.read(memory.write(memory.blank(), keys.flip(0), values.flip(0)), query)
    assert not torch.allclose(forward, back)
    without = MemoryNetwork(None, 2, 1, slots=3, temporal=False).double()
    forward = without.read(without.write(without.blank(), keys, values), query)
    back = without.read(without.write(without.blank(), keys.flip(0), values.flip(0)), query)
    torch.testing.assert_close(forward, back)


@pytest.mark.parametrize("kind", [KeyValueMemory, MemoryNetwork])
def test_the_oldest_is_lost_and_counted(kind):
    torch.manual_seed(0)
    memory = kind(None, 3, 2, slots=2).double()
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    assert state.written == 3
    assert state.overwritten == 1
    kept = memory.write(memory.blank(), ONE_HOT[1:], VALUES[1:])
    assert kept.overwritten == 0
    torch.testing.assert_close(memory.read(state, ONE_HOT), memory.read(kept, ONE_HOT))


def test_values_that_change_places_change_the_answer_alike():
    torch.manual_seed(0)
    memory = KeyValueMemory(None, 3, 2, similarity="cosine").double()
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    swapped = memory.write(memory.blank(), ONE_HOT, VALUES.flip(1))
    queries = torch.randn(4, 3).double()
    torch.testing.assert_close(memory.read(state, queries).flip(1), memory.read(swapped, queries))


def test_a_layer_reads_before_it_writes():
    torch.manual_seed(0)
    memory = KeyValueMemory(2, 2, 2, slots=2).double()
    x = torch.randn(1, 4, 2).double()
    y, state = memory(x)
    assert not y[0, 0].any()
    _, _, values = memory.projection(x)
    torch.testing.assert_close(y[0, 1], values[0, 0])  # the only item so far
    torch.testing.assert_close(state.values[0], values[0, 2:])
    assert state.written.tolist() == [4]
    changed = x.clone()
    changed[0, 0] += 1  # out of the two slots when the last step reads
    again, _ = memory(changed)
    torch.testing.assert_close(again[0, 3], y[0, 3])
    assert not torch.allclose(again[0, 2], y[0, 2])


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (KeyValueMemory, {"similarity": "dots"}, "similarity must be 'dot', 'cosine' or"),
        (KeyValueMemory, {"slots": 0}, "KeyValueMemory: slots must be a positive integer, got 0"),
        (KeyValueMemory, {"hops": 0}, "hops must be a positive integer"),
        (MemoryNetwork, {"hops": 1.5}, "MemoryNetwork: hops must be a positive integer, got 1.5"),
        (MemoryNetwork, {"embedding_size": -1}, "embedding_size must be a positive integer"),
    ],
)
def test_bad_options(kind, options, message):
    with pytest.raises(ArgumentError, match=message):
        kind(None, **options)
