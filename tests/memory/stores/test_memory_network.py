"""The end-to-end memory network on hand-computed examples."""

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import MemoryNetwork

ONE_HOT = torch.eye(3, dtype=torch.float64)
VALUES = torch.tensor([[3.0, -1.0], [5.0, 2.0], [7.0, 0.5]], dtype=torch.float64)


def test_embeddings_set_by_hand_return_the_bound_value():
    memory = MemoryNetwork(3, 2, embedding_size=5, hops=1, temporal=False).double()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.zero_()
        memory.query_embedding[:3] = 10 * ONE_HOT
        memory.input_embedding[:3, :3] = 10 * ONE_HOT
        memory.output_embedding[3:, 3:] = torch.eye(2)
        memory.answer[:, 3:] = torch.eye(2)
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    torch.testing.assert_close(memory.read(state, ONE_HOT), VALUES)


def test_hops_by_hand():
    """Between hops, `u <- H u + o`, where `o` is the output embedding of the only example."""
    torch.manual_seed(0)
    memory = MemoryNetwork(2, 1, embedding_size=3, slots=2, hops=3).double()
    key, value, query = (torch.randn(1, n, dtype=torch.float64) for n in (2, 1, 2))
    state = memory.write(memory.blank(), key, value)
    c = memory.output_embedding @ torch.cat([key, value], 1)[0] + memory.output_ages[0]
    u = memory.query_embedding @ query[0] + c
    for _ in range(2):
        u = memory.hop_matrix @ u + c
    torch.testing.assert_close(memory.read(state, query)[0], memory.answer @ u)


def test_the_order_of_writes_matters_only_with_the_temporal_encoding():
    torch.manual_seed(0)
    memory = MemoryNetwork(2, 1, slots=3).double()
    keys, values = torch.randn(3, 2).double(), torch.randn(3, 1).double()
    query = torch.randn(1, 2).double()
    forward = memory.read(memory.write(memory.blank(), keys, values), query)
    back = memory.read(memory.write(memory.blank(), keys.flip(0), values.flip(0)), query)
    assert not torch.allclose(forward, back)
    without = MemoryNetwork(2, 1, slots=3, temporal=False).double()
    forward = without.read(without.write(without.blank(), keys, values), query)
    back = without.read(without.write(without.blank(), keys.flip(0), values.flip(0)), query)
    torch.testing.assert_close(forward, back)


def test_the_oldest_example_is_lost_and_counted():
    torch.manual_seed(0)
    memory = MemoryNetwork(3, 2, slots=2).double()
    state = memory.write(memory.blank(), ONE_HOT, VALUES)
    assert (state.written, state.overwritten) == (3, 1)
    assert memory.examples(state).tolist() == [1, 2]
    kept = memory.write(memory.blank(), ONE_HOT[1:], VALUES[1:])
    assert kept.overwritten == 0
    torch.testing.assert_close(memory.read(state, ONE_HOT), memory.read(kept, ONE_HOT))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 0}, "slots must be a positive integer, got 0"),
        ({"hops": 1.5}, r"hops must be a positive integer, got 1\.5"),
        ({"embedding_size": -1}, "embedding_size must be a positive integer"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=f"^MemoryNetwork: {message}"):
        MemoryNetwork(3, 2, **options)
