"""Models as users write them, converted, against learn2learn's loop with torch's layers."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.nn import convert
from tests.algorithms.maml import user_cases
from tests.algorithms.maml.equality import HIDDEN, RUNS, SIZE, STEPS, TASKS, check


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", [n for n in user_cases.CASES if n not in user_cases.BEYOND_VMAP])
def test_values_and_meta_gradients_equal_learn2learns(name, run):
    check(user_cases.CASES[name], run)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("name", [n for n in user_cases.FIVE if n not in user_cases.BEYOND_VMAP])
def test_first_order_meta_gradients_equal_learn2learns(name, run):
    check(user_cases.first_order(user_cases.FIVE[name]), run)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
def test_dropout_between_layers_differs_between_tasks(cell):
    torch.manual_seed(0)
    layer = getattr(nn, cell)(SIZE, HIDDEN, 2, batch_first=True, dropout=0.5)
    model = convert(user_cases.Recurrent(layer))
    x = torch.randn(2, STEPS, SIZE).expand(TASKS, 2, STEPS, SIZE)
    y = MAML(model, lr=0.1).clone(tasks=TASKS)(x)
    assert len({tuple(row.flatten().tolist()) for row in y}) == TASKS
    y = MAML(model.eval(), lr=0.1).clone(tasks=TASKS)(x)
    torch.testing.assert_close(y, y[:1].expand_as(y))
