"""What learn2learn's own unit tests check of MAML and Meta-SGD, on our learners.

The model has torch's layers, a buffer and no recurrence. The same checks run on it after
`nn.convert`, with every learner that takes gradient steps, and with learn2learn's learners.
"""

import copy

import learn2learn
import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import (
    ANIL,
    BOIL,
    MAML,
    MAMLPlusPlus,
    MetaCurvature,
    MetaSGD,
    PerElementLR,
    PerTensorLR,
    ProximalRegularizer,
)
from l2l_rnn.errors import AdaptationError
from l2l_rnn.nn import convert

LR, SIZE, UNITS, ROWS = 0.01, 10, 20, 7
OURS = {
    "MAML": lambda model, **options: MAML(model, LR, **options),
    "MAML, momentum": lambda model, **options: MAML(model, LR, momentum=0.5, **options),
    "MAML, clipped": lambda model, **options: MAML(model, LR, max_grad_norm=1.0, **options),
    "MAML, regularized": lambda model, **options: MAML(
        model, LR, regularizer=ProximalRegularizer(model, 0.1), **options
    ),
    "MAML, per-tensor lr": lambda model, **options: MAML(model, PerTensorLR(model, LR), **options),
    "MAML, per-element lr": lambda model, **options: MAML(
        model, PerElementLR(model, LR), **options
    ),
    "MAML, meta-curvature": lambda model, **options: MAML(
        model, MetaCurvature(model, LR), **options
    ),
    "MAML++": lambda model, **options: MAMLPlusPlus(model, LR, **options),
    "MetaSGD": lambda model, **options: MetaSGD(model, LR, **options),
    "ANIL": lambda model, **options: ANIL(model, LR, head="4", **options),
    "BOIL": lambda model, **options: BOIL(model, LR, head="4", **options),
}
THEIRS = {
    "learn2learn's MAML": lambda model, **options: learn2learn.algorithms.MAML(
        model, LR, **options
    ),
    "learn2learn's MetaSGD": lambda model, **options: learn2learn.algorithms.MetaSGD(
        model, LR, **options
    ),
}
LEARNERS = OURS | THEIRS


@pytest.fixture(params=[False, True], ids=["torch's layers", "converted"])
def model(request):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(SIZE, UNITS),
        nn.ReLU(),
        nn.Linear(UNITS, UNITS),
        nn.Sigmoid(),
        nn.Linear(UNITS, UNITS),
        nn.Softmax(-1),
    )
    model.register_buffer("spare", torch.zeros(1, 2, 3, 4))
    return (convert(model) if request.param else model).double()


@pytest.fixture
def x():
    return torch.randn(ROWS, SIZE, dtype=torch.float64)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("name", LEARNERS)
def test_clones_compute_what_the_model_computes(name, first_order, model, x):
    learner = LEARNERS[name](model, first_order=first_order)
    for clone in (learner.clone(), learner.clone(), learner.clone().clone()):
        torch.testing.assert_close(clone(x), model(x), rtol=0, atol=1e-12)
        assert all(torch.equal(b, torch.zeros_like(b)) for b in clone.buffers())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_clone_backpropagates_to_the_model(name, model, x):
    LEARNERS[name](model).clone()(x).norm().backward()
    assert all(p.grad.norm() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_step_lowers_the_loss_and_backpropagates(name, model, x):
    learner = LEARNERS[name](model)
    clone = learner.clone()
    before = clone(x).norm()
    clone.adapt(before)
    after = clone(x).norm()
    assert after <= before
    after.backward()
    assert all(p.grad.norm() > 0 for p in model.parameters())
    learned = [p for n, p in learner.named_parameters() if n.startswith("lrs")]
    assert all(p.grad.norm() > 0 for p in learned)


@pytest.mark.parametrize("name", ["MAML", "MAML, momentum", "MAML, clipped", *list(THEIRS)[:1]])
def test_a_first_order_gradient_is_that_at_the_adapted_parameters(name, model, x):
    clone = LEARNERS[name](model, first_order=True).clone()
    for _ in range(3):
        clone.adapt(clone(x).norm())
    twin = copy.deepcopy(model)
    for ours, theirs in zip(clone.module.parameters(), twin.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    clone(x).norm().backward()
    twin(x).norm().backward()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-10)


def norms(learner, every=1):
    return sum(p.norm() for p in list(learner.module.parameters())[::every])


@pytest.mark.parametrize("name", [*OURS, *list(THEIRS)[:1]])
def test_a_loss_of_some_parameters_with_allow_unused(name, model):
    clone = LEARNERS[name](model, allow_unused=True).clone()
    clone.adapt(norms(clone, every=2))
    norms(clone, every=2).backward()
    assert model[0].weight.grad is not None
    assert model[0].bias.grad is None or not model[0].bias.grad.any()


@pytest.mark.parametrize(
    "name", ["MAML", "MAML, momentum", "MAML, per-tensor lr", "MetaSGD", "BOIL"]
)
def test_a_frozen_parameter_needs_permission(name, model):
    frozen = model[2].weight.requires_grad_(False)
    before = frozen.clone()
    clone = LEARNERS[name](model, allow_unused=False, allow_nograd=False).clone()
    loss = norms(clone)
    with pytest.raises(AdaptationError, match="requires_grad=False"):
        clone.adapt(loss)
    unused = {"allow_unused": True} if name == "BOIL" else {}
    clone.adapt(loss, allow_nograd=True, **unused)
    norms(clone).backward()
    assert frozen.grad is None
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    permitted = LEARNERS[name](model, allow_nograd=True).clone()
    permitted.adapt(norms(permitted))
    assert torch.equal(model[2].weight, before)
    assert torch.equal(permitted.module[2].weight, before)


@pytest.mark.parametrize("kind", [MetaSGD, learn2learn.algorithms.MetaSGD])
def test_meta_sgd_has_a_learning_rate_for_each_element(kind, model):
    learner = kind(model, lr=LR)
    count = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in learner.parameters()) == 2 * count
    assert [alpha.shape for alpha in learner.lrs] == [p.shape for p in model.parameters()]
    assert all(torch.equal(alpha, torch.full_like(alpha, LR)) for alpha in learner.lrs)
    assert len(learner.clone().lrs) == len(learner.lrs)


@pytest.mark.parametrize("name", ["MAML", "MetaSGD", "MAML++", *list(THEIRS)[:1]])
def test_modules_that_share_parameters(name):
    """A convolutional network whose parts are attributes, and also parts of another attribute."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()]
            self.body = nn.Sequential(*layers)
            self.head = nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1))
            self.network = nn.Sequential(self.body, self.head)

        def forward(self, x):
            return self.network(x)

    module = Shared().double()
    clone = LEARNERS[name](module).clone()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    before = clone(x).square().sum()
    clone.adapt(before)
    assert clone.module.network[0][0].weight is clone.module.body[0].weight
    after = clone(x).square().sum()
    assert after < before
    norms(clone).backward()
    assert all(p.grad is not None for p in module.parameters())
