"""Clipping, momentum and non-finite gradients of the inner loop."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.errors import AdaptationError, ArgumentError
from l2l_rnn.functional import cross_entropy

TASKS = 4


def test_the_gradient_of_each_task_is_clipped_separately(make, batch):
    x, y, *_ = batch
    free, clipped = make("MAML"), make("MAML, clipped")
    weights = torch.tensor([1e-3, 1.0, 50.0, 1.0], dtype=torch.float64)  # of the tasks' losses
    moves = []
    for learner in (free, clipped):
        clone = learner.clone(tasks=TASKS)
        before = [p.detach().clone() for p in clone.module.parameters()]
        clone.adapt(weights * cross_entropy(clone(x), y))
        pairs = zip(clone.module.parameters(), before, strict=True)
        moves.append(torch.cat([(p - q).reshape(TASKS, -1) for p, q in pairs], 1).detach())
    lengths = moves[0].norm(dim=1) / 0.3
    scale = (0.5 / lengths).clamp_max(1)
    assert scale[0] == 1
    assert scale[2] < 0.5
    torch.testing.assert_close(moves[1], moves[0] * scale[:, None], rtol=1e-8, atol=1e-12)


def test_clipping_without_gradients():
    model = nn.Linear(2, 2)
    learner = MAML(model, 0.1, allow_unused=True, max_grad_norm=1.0).clone()
    learner.adapt(torch.ones((), requires_grad=True))
    pairs = zip(learner.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


def test_momentum_equals_torchs(make, batch):
    x, y = batch[0][0], batch[1][0]
    clone = make("MAML, momentum").clone(first_order=True)
    reference = make("MAML").module
    sgd = torch.optim.SGD(reference.parameters(), 0.3, momentum=0.9)
    for _ in range(4):
        clone.adapt(cross_entropy(clone(x), y))
        sgd.zero_grad()
        cross_entropy(reference(x), y).backward()
        sgd.step()
    for p, q in zip(clone.module.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("many", [False, True])
def test_a_non_finite_gradient_names_its_task(many):
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    learner = MAML(model, 0.1).clone(tasks=3 if many else None)
    x = torch.tensor([[[1.0]], [[0.0]], [[1.0]]])  # the square root has an infinite slope at 0
    value = learner(x if many else x[1]).abs().sqrt().reshape(3 if many else 1, -1).sum(1)
    before = [p.detach().clone() for p in learner.module.parameters()]
    message = "of task 1 is NaN" if many else "the gradient is NaN"
    with pytest.raises(AdaptationError, match=message):
        learner.adapt(value if many else value.sum())
    assert all(torch.equal(p, q) for p, q in zip(learner.module.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_grad_norm": 0}, "max_grad_norm must be a number above 0, got"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm must be a number above 0, got"),
        ({"momentum": 1.0}, "momentum must be a number of at least 0 and below 1, got"),
        ({"momentum": -0.1}, "momentum must be a number of at least 0 and below 1, got"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=message):
        MAML(nn.Linear(1, 1), 0.1, **options)
