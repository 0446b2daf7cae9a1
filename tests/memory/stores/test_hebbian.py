"""Hebbian fast weights on hand-computed examples."""

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.memory import HebbianFastWeights


def test_writes_and_reads_by_hand():
    memory = HebbianFastWeights(2, 1, decay=0.5, lr=2.0)
    keys = torch.eye(2)
    state = memory.write(memory.blank(), keys, torch.tensor([[3.0], [5.0]]))
    assert memory.read(state, keys).tolist() == [[3.0], [10.0]]
    assert memory.write(state, keys[:1], torch.tensor([[1.0]])).weights.tolist() == [[3.5, 5.0]]


def test_the_kernel_decays_with_age():
    memory = HebbianFastWeights(2, 1, decay=0.5, lr=2.0)
    assert memory.kernel(torch.tensor([[1.0, 3.0]]), torch.eye(2)).tolist() == [[1.0, 6.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.1}, r"decay must be a number of at least 0 and of at most 1, got 1\.1"),
        ({"lr": 0.0}, r"lr must be a number above 0, got 0\.0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=f"^HebbianFastWeights: {message}"):
        HebbianFastWeights(4, 2, **options)
