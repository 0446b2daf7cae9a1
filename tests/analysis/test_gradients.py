"""Gradient flow in networks with a known flow."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.analysis import gradient_flow
from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import RNN


class Last(nn.Module):
    """A linear network of one unit, `h_t = w h_{t-1} + x_t`, that returns its last state."""

    task_axis = True

    def __init__(self, weight, batch_first=True):
        super().__init__()
        self.recurrence = RNN(1, 1, nonlinearity="relu", bias=False, batch_first=batch_first)
        with torch.no_grad():
            self.recurrence.weight_ih_l0.fill_(1)
            self.recurrence.weight_hh_l0.fill_(weight)

    def forward(self, x):
        return self.recurrence(x)[1]


@pytest.mark.parametrize("weight", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("batch_first", [True, False])
def test_it_decays_with_the_recurrent_weight(weight, batch_first):
    x = torch.rand(*((3, 8) if batch_first else (8, 3)), 1) + 0.1
    flow = gradient_flow(Last(weight, batch_first), x, torch.sum)
    torch.testing.assert_close(flow, weight ** torch.arange(8.0))


def test_ragged_sequences_are_aligned_at_their_ends():
    model = SequenceClassifier(2, input_size=1, hidden_size=3).double()
    x = torch.randn(3, 5, 1, dtype=torch.float64)
    x[0, 2:] = torch.nan
    x[1, 4:] = torch.nan
    flow = gradient_flow(model, x)
    alone = [gradient_flow(model, x[b : b + 1, :n]) for b, n in enumerate((2, 4, 5))]
    expected = [torch.stack([f[k] for f in alone if len(f) > k]).mean() for k in range(5)]
    torch.testing.assert_close(flow, torch.stack(expected))


def test_a_learner_of_many_tasks():
    model = SequenceClassifier(2, vocab_size=7, hidden_size=3).double()
    x = torch.randint(1, 7, (2, 3, 4))
    learner = MAML(model, 0.1).clone(tasks=2)
    torch.testing.assert_close(gradient_flow(learner, x), gradient_flow(model, x))


def test_no_hooks_or_gradients_remain():
    model = Last(0.5)
    x = torch.rand(2, 3, 1)
    with torch.no_grad():
        gradient_flow(model, x)
    assert not model.recurrence._forward_pre_hooks
    assert all(p.grad is None for p in model.parameters())
    assert not x.requires_grad


def test_a_model_without_a_recurrence():
    with pytest.raises(ArgumentError, match=r"Linear has no recurrent layer .*convert"):
        gradient_flow(nn.Linear(2, 2), torch.zeros(1, 2))


def test_inputs_that_are_not_a_batch_of_sequences():
    layer = RNN(1, 1)
    packed = nn.utils.rnn.pack_sequence([torch.ones(2, 1), torch.ones(1, 1)])
    for given in (packed, torch.ones(5, 1)):
        with pytest.raises(ArgumentError, match="must read a padded batch"):
            gradient_flow(layer, given, lambda outputs: outputs[1].sum())
    assert not layer._forward_pre_hooks


def test_several_outputs_need_a_loss():
    with pytest.raises(ArgumentError, match="several tensors; pass loss="):
        gradient_flow(RNN(1, 1), torch.ones(5, 2, 1))


def test_a_learner_that_runs_under_vmap():
    class Foreign(nn.Module):
        def __init__(self):
            super().__init__()
            self.recurrence = RNN(1, 2, batch_first=True)

        def forward(self, x):
            return self.recurrence(x)[0]

    learner = MAML(Foreign(), 0.1).clone(tasks=2)
    with pytest.raises(ArgumentError, match=r"outside torch\.func"):
        gradient_flow(learner, torch.ones(2, 3, 4, 1))


def test_the_first_call_counts():
    """The layer that is called first counts, not the one that was created first."""

    class Stacked(nn.Module):
        def __init__(self):
            super().__init__()
            self.top, self.bottom = RNN(1, 1), RNN(2, 1)

        def forward(self, x):
            return self.top(self.bottom(x)[0])[0][-1]

    assert gradient_flow(Stacked(), torch.randn(6, 3, 2)).shape == (6,)


def test_a_recurrent_layer_that_is_not_called():
    model = nn.Linear(2, 2)
    model.extra = RNN(2, 2)
    with pytest.raises(ArgumentError, match="did not call its recurrent layer"):
        gradient_flow(model, torch.zeros(1, 2))
