"""The proximal regularizer."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, PerTensorLR, ProximalRegularizer
from l2l_rnn.errors import AdaptationError, ArgumentError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.nn import LSTM


def test_the_penalty_is_proportional_to_the_distance_from_the_start(make, batch):
    """It adds `lambda_j (phi_j - theta_j)` to the gradient of each tensor."""
    x, y = batch[0][0], batch[1][0]
    free, regularized = make("MAML"), make("MAML, regularized")
    regularizer = regularized.regularizer
    with torch.no_grad():
        regularizer.log_strengths += torch.arange(len(regularizer.names)) / 3
    strengths = dict(zip(regularizer.names, regularizer.log_strengths.exp(), strict=True))
    clones = [free.clone(), regularized.clone()]
    for clone in clones:
        clone.adapt(cross_entropy(clone(x), y))
    once = [dict(clone.module.named_parameters()) for clone in clones]
    for clone in clones:
        clone.adapt(cross_entropy(clone(x), y))
    for n, p in clones[0].module.named_parameters():
        torch.testing.assert_close(once[0][n], once[1][n])  # the distance is 0 at the first step
        distance = once[0][n] - dict(free.module.named_parameters())[n]
        expected = p - 0.3 * strengths[n] * distance
        torch.testing.assert_close(dict(clones[1].module.named_parameters())[n], expected)


def test_a_recurrent_layer_as_the_model_raises_no_warning():
    """Warnings are errors here. learn2learn treats modules with flatten_parameters differently."""
    layer = LSTM(2, 3)
    regularizer = ProximalRegularizer(layer, 1.0)
    learner = MAML(layer, PerTensorLR(layer, 0.1), regularizer=regularizer).clone()
    learner.adapt(learner(torch.zeros(4, 1, 2))[0].sum())


@pytest.mark.parametrize("strength", [0, -1, float("inf"), "1", None, True])
def test_bad_strengths(strength):
    with pytest.raises(ArgumentError, match="strength must be a number above 0, got"):
        ProximalRegularizer(nn.Linear(1, 1), strength)


def test_only_a_clone_has_a_start():
    model = nn.Linear(1, 1)
    learner = MAML(model, 0.1, regularizer=ProximalRegularizer(model, 1.0))
    with pytest.raises(AdaptationError, match=r"^MAML\.adapt: .*; call clone\(\) first"):
        learner.adapt(learner(torch.ones(1, 1)).sum())


def test_a_regularizer_of_another_model():
    other = ProximalRegularizer(nn.Sequential(nn.Linear(1, 1)), 1.0)
    learner = MAML(nn.Linear(1, 1), 0.1, regularizer=other).clone()
    with pytest.raises(AdaptationError, match="unknown parameter 'weight'; create the regularizer"):
        learner.adapt(learner(torch.ones(1, 1)).sum())
