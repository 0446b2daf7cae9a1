"""Fixtures of the tests of training."""

import pytest
import torch

from l2l_rnn.tasksets import get_tasksets
from tests.training.cases import LEARNERS, WAYS


@pytest.fixture(scope="session")
def tasksets():
    return get_tasksets(
        "languages", train_ways=WAYS, train_samples=4, test_ways=WAYS, test_samples=4
    )


@pytest.fixture
def make_learner(tasksets):
    """A function that makes a learner by name, always with the same parameters."""

    def make(name="MAML"):
        torch.manual_seed(0)
        return LEARNERS[name](tasksets.vocab_size)

    return make
