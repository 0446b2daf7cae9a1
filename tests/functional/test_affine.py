"""Affine maps and embeddings with a task axis against a loop over tasks."""

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn import functional

TASKS = 2


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("axes", [(5,), (2, 5), (2, 3, 5)])
def test_linear(bias, axes):
    x = torch.randn(TASKS, *axes, 4)
    weight, shift = torch.randn(TASKS, 6, 4), torch.randn(TASKS, 6) if bias else None
    y = functional.linear(x, weight, shift)
    for n in range(TASKS):
        alone = F.linear(x[n], weight[n], None if shift is None else shift[n])
        torch.testing.assert_close(y[n], alone)
        torch.testing.assert_close(
            functional.linear(x[n], weight[n], None if shift is None else shift[n]), alone
        )


@pytest.mark.parametrize("axes", [(), (5,), (2, 5)])
def test_embedding(axes):
    tokens, weight = torch.randint(0, 7, (TASKS, *axes)), torch.randn(TASKS, 7, 4)
    y = functional.embedding(tokens, weight)
    for n in range(TASKS):
        assert torch.equal(y[n], F.embedding(tokens[n], weight[n]))
        assert torch.equal(functional.embedding(tokens[n], weight[n]), y[n])
