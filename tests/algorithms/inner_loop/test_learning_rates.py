"""Learned learning rates and other transforms, and Meta-SGD against learn2learn's."""

import copy
import pickle
import warnings

import learn2learn
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, MetaCurvature, MetaSGD, PerElementLR, PerTensorLR
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError
from l2l_rnn.nn import LSTM, Linear
from tests.algorithms.finite_differences import central_difference

TASKS, STEPS = 3, 2


class Regressor(nn.Module):
    task_axis = True

    def __init__(self):
        super().__init__()
        self.lstm = LSTM(2, 4, batch_first=True)
        self.head = Linear(4, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0][..., -1, :]).squeeze(-1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Regressor().double()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(TASKS, 5, *axes, generator=generator, dtype=torch.float64)
        for axes in ((3, 2), (), (3, 2), ())
    ]


def error(outputs, y):
    return (outputs - y).square().mean(-1)


def loop(learner, batch, steps=STEPS):
    """Run learn2learn's loop: adapt to each task and backpropagate its query loss."""
    for x, y, query_x, query_y in zip(*batch, strict=True):
        clone = learner.clone()
        for _ in range(steps):
            clone.adapt(error(clone(x), y))
        error(clone(query_x), query_y).backward()


def at_once(learner, batch, steps=STEPS):
    x, y, query_x, query_y = batch
    clone = learner.clone(tasks=len(x))
    for _ in range(steps):
        clone.adapt(error(clone(x), y))
    error(clone(query_x), query_y).sum().backward()


def gradients(learner):
    return [p.grad for p in learner.parameters()]


TRANSFORMS = {
    "per tensor": lambda model: PerTensorLR(model, 0.3, steps=STEPS),
    "per tensor, one step": lambda model: PerTensorLR(model, 0.3),
    "per element": lambda model: PerElementLR(model, 0.3),
    "curvature": lambda model: MetaCurvature(model, 0.3),
}


@pytest.fixture(params=TRANSFORMS)
def lr(request, model):
    made = TRANSFORMS[request.param](model)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in made.parameters():
            p += 0.2 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return made


@pytest.mark.parametrize("run", [loop, at_once])
@pytest.mark.parametrize("first_order", [False, True])
def test_meta_sgd_equals_learn2learns(model, batch, run, first_order):
    ours = MetaSGD(model, 0.3, first_order=first_order)
    theirs = learn2learn.algorithms.MetaSGD(copy.deepcopy(model), 0.3, first_order=first_order)
    run(ours, batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop(theirs, batch)
    for a, b in zip(gradients(ours), gradients(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_tasks_at_once_equal_a_loop(model, lr, batch):
    one, many = (MAML(*copy.deepcopy((model, lr))) for _ in range(2))
    loop(one, batch)
    at_once(many, batch)
    assert all(g is not None and g.abs().max() > 0 for g in gradients(one))
    for a, b in zip(gradients(one), gradients(many), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_gradients_of_learned_learning_rates_are_finite_differences(model, lr, batch):
    """The outer loss changes with the learning rates as its gradient predicts."""
    learner = MAML(model, lr)
    x, y, query_x, query_y = batch

    def outer():
        clone = learner.clone(tasks=TASKS)
        for _ in range(STEPS):
            clone.adapt(error(clone(x), y))
        return error(clone(query_x), query_y).sum()

    outer().backward()
    for p in lr.parameters():
        direction = torch.randn(p.shape, generator=torch.Generator().manual_seed(3)).to(p)
        slope = central_difference(outer, [p], [direction])
        assert (p.grad * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_equal_learning_rates_are_plain_maml(model, batch):
    x, y = batch[:2]
    adapted = []
    for lr in (
        0.3,
        PerTensorLR(model, 0.3, steps=STEPS),
        PerElementLR(model, 0.3),
        MetaCurvature(model, 0.3),
        MetaCurvature(model, 0.3, diagonal_above=4),
    ):
        learner = MAML(model, lr).clone(tasks=TASKS)
        for _ in range(STEPS):
            learner.adapt(error(learner(x), y))
        adapted.append(list(learner.module.parameters()))
    for other in adapted[1:]:
        for a, b in zip(adapted[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_each_step_has_its_own_learning_rate(model, batch):
    lr = PerTensorLR(model, 0.1, steps=2)
    with torch.no_grad():
        lr.log_lr[1] = -torch.inf  # all steps after the first have learning rate 0
    learner = MAML(model, lr).clone(tasks=TASKS)
    seen = []
    for _ in range(3):
        learner.adapt(error(learner(batch[0]), batch[1]))
        seen.append([p.detach().clone() for p in learner.module.parameters()])
    assert not torch.equal(seen[0][0][0], model.lstm.weight_ih_l0)
    for later in seen[1:]:
        assert all(torch.equal(a, b) for a, b in zip(seen[0], later, strict=True))
    again = MAML(model, lr).clone(tasks=TASKS)
    assert again.steps_taken == 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(model, lr, copied, batch):
    learner = MAML(model, lr)
    other = copied(learner)
    with torch.no_grad():
        for p in other.parameters():
            p.zero_()
    other.load_state_dict(learner.state_dict())
    for each in (learner, other):
        at_once(each, batch)
    for a, b in zip(gradients(learner), gradients(other), strict=True):
        assert torch.equal(a, b)


def test_clones_keep_the_class(model):
    assert type(MetaSGD(model, 0.1).clone(tasks=2)) is MetaSGD


@pytest.mark.parametrize("lr", [0.0, -0.1, float("nan"), float("inf"), "0.1", None, True])
@pytest.mark.parametrize("kind", [PerTensorLR, PerElementLR, MetaCurvature, MetaSGD])
def test_bad_learning_rates(model, kind, lr):
    with pytest.raises(ArgumentError, match="lr must be a number above 0, got"):
        kind(model, lr)


@pytest.mark.parametrize("steps", [0, -1, 1.0, None, True])
def test_bad_steps(model, steps):
    with pytest.raises(ArgumentError, match="steps must be a positive integer"):
        PerTensorLR(model, 0.1, steps)


def test_a_model_must_be_a_module():
    with pytest.raises(ArgumentTypeError, match=r"^MetaSGD: model must be a torch.nn.Module"):
        MetaSGD("model", 0.1)


def test_learning_rates_of_another_model(model, batch):
    learner = MAML(model, PerTensorLR(nn.Linear(2, 2), 0.1)).clone(tasks=TASKS)
    before = [p.detach().clone() for p in learner.module.parameters()]
    with pytest.raises(AdaptationError, match=r"unknown parameter 'lstm\.weight_ih_l0'; create"):
        learner.adapt(error(learner(batch[0]), batch[1]))
    assert all(torch.equal(a, b) for a, b in zip(before, learner.module.parameters(), strict=True))
