"""ProtoNet against learn2learn's classifier, and `adapt` against `write`."""

import copy
import pickle

import pytest
import torch
from learn2learn.algorithms.base_learner import BaseLearner
from learn2learn.nn import PrototypicalClassifier
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.errors import AdaptationError
from l2l_rnn.functional import cross_entropy
from tests.algorithms.protonets import BATCH, TASKS, WAYS, data, make

LOSSES = {
    "cross_entropy": F.cross_entropy,
    "cross_entropy sum": lambda s, y: F.cross_entropy(s, y, reduction="sum"),
    "nll": lambda s, y: F.nll_loss(s.log_softmax(-1), y),
    "mse": lambda s, y: F.mse_loss(s, F.one_hot(y, WAYS).to(s)),
    "ours": cross_entropy,
    "hinge": F.multi_margin_loss,
    "smoothed": lambda s, y: F.cross_entropy(s, y, label_smoothing=0.1),
}


def written(learner, x, y):
    other = learner.clone()
    other.write(x, y)
    return other


def test_scores_equal_learn2learns():
    learner = make().clone()
    (x, y), (query, _) = data(), data(seed=2)
    learner.write(x, y)
    reference = PrototypicalClassifier(learner.module(x), y)
    torch.testing.assert_close(learner.prototypes, reference.prototypes)
    torch.testing.assert_close(learner(query), reference(learner.module(query)))


@pytest.mark.parametrize("loss", LOSSES)
def test_adapt_reads_the_labels_from_the_loss(loss):
    learner = make().clone()
    x, y = data()
    learner.adapt(LOSSES[loss](learner(x), y))
    torch.testing.assert_close(learner.prototypes, written(learner, x, y).prototypes)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_more_steps_on_one_support_set_change_nothing(loss, scale):
    """With a large scale, all labels have probability 1, and the loss has no gradient."""
    torch.manual_seed(0)
    learner = ProtoNet(nn.Linear(2, 5).double(), WAYS).clone()
    centers = torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]], dtype=torch.float64)
    y = torch.arange(BATCH).remainder(WAYS)
    x = scale * (centers[y] + 0.1 * torch.randn(BATCH, 2, dtype=torch.float64))
    wanted = written(learner, x, y).prototypes
    for _ in range(4):
        try:
            learner.adapt(LOSSES[loss](learner(x), y))
        except AdaptationError:  # an ambiguous loss must raise, not be misread
            break
        torch.testing.assert_close(learner.prototypes, wanted)
    else:
        return
    assert loss in ("mse", "smoothed")
    torch.testing.assert_close(learner.prototypes, wanted)


def test_a_support_set_in_slices():
    learner = make().clone()
    x, y = data()
    for part in (slice(0, 2), slice(2, 7), slice(7, 9)):
        learner.adapt(F.cross_entropy(learner(x[part]), y[part]))
    torch.testing.assert_close(learner.prototypes, written(learner, x, y).prototypes)
    other = make().clone()
    for part in (slice(0, 5), slice(5, 9)):
        other.write(x[part], y[part])
    torch.testing.assert_close(other.prototypes, learner.prototypes)


def test_sequences_that_the_loss_skips_are_not_written():
    """Without prototypes, a zero gradient cannot mean that the sequence is classified."""
    learner = make().clone()
    x, y = data()
    try:
        learner.adapt(F.cross_entropy(learner(x)[:5], y[:5]))
    except AdaptationError:
        return  # an error is acceptable too
    torch.testing.assert_close(learner.prototypes, written(learner, x[:5], y[:5]).prototypes)


def test_tasks_at_once_equal_a_loop():
    maml = make()
    (x, y), (query, query_y) = data(TASKS), data(TASKS, seed=2)
    y = torch.stack([y[0].roll(n) for n in range(TASKS)])
    learner = maml.clone(tasks=TASKS)
    losses = cross_entropy(learner(x), y)
    assert losses.shape == (TASKS,)
    learner.adapt(losses)
    assert learner.prototypes.shape == (TASKS, WAYS, 4)
    scores = learner(query)
    together = torch.autograd.grad(
        cross_entropy(scores, query_y).sum(), list(maml.module.parameters())
    )
    total = 0
    for n in range(TASKS):
        one = maml.clone()
        one.adapt(cross_entropy(one(x[n]), y[n]))
        torch.testing.assert_close(learner.prototypes[n], one.prototypes)
        torch.testing.assert_close(scores[n], one(query[n]))
        total = total + cross_entropy(one(query[n]), query_y[n])
    apart = torch.autograd.grad(total, list(maml.module.parameters()))
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("how", ["adapt", "write"])
def test_gradients_reach_the_encoder_through_support_and_query(how):
    protonet = make()
    (x, y), (query, query_y) = data(), data(seed=2)
    learner = protonet.clone()
    if how == "adapt":
        learner.adapt(F.cross_entropy(learner(x), y))
    else:
        learner.write(x, y)
    F.cross_entropy(learner(query), query_y).backward()
    found = [p.grad for p in protonet.module.parameters()]

    reference = copy.deepcopy(protonet.module)
    classifier = PrototypicalClassifier(reference(x), y)
    F.cross_entropy(classifier(reference(query)), query_y).backward()
    for got, p in zip(found, reference.parameters(), strict=True):
        torch.testing.assert_close(got, p.grad)


def test_gradients_of_the_learn2learn_loop_add_up_over_tasks():
    protonet = make()
    total = [torch.zeros_like(p) for p in protonet.module.parameters()]
    for seed in (1, 3, 5):
        (x, y), (query, query_y) = data(seed=seed), data(seed=seed + 1)
        reference = copy.deepcopy(protonet.module)
        F.cross_entropy(
            PrototypicalClassifier(reference(x), y)(reference(query)), query_y
        ).backward()
        total = [t + p.grad for t, p in zip(total, reference.parameters(), strict=True)]
    for seed in (1, 3, 5):
        (x, y), (query, query_y) = data(seed=seed), data(seed=seed + 1)
        learner = protonet.clone()
        learner.adapt(F.cross_entropy(learner(x), y))
        F.cross_entropy(learner(query), query_y).backward()
    for p, wanted in zip(protonet.module.parameters(), total, strict=True):
        torch.testing.assert_close(p.grad, wanted)


def test_adapt_does_not_change_the_encoder():
    learner = make().clone()
    before = [p.clone() for p in learner.module.parameters()]
    x, y = data()
    learner.adapt(F.cross_entropy(learner(x), y))
    assert all(torch.equal(p, b) for p, b in zip(learner.module.parameters(), before, strict=True))


def test_clones_are_independent():
    protonet = make()
    first, second = protonet.clone(), protonet.clone()
    first.write(*data())
    assert protonet.prototypes is None
    assert second.prototypes is None
    held = first.prototypes
    assert first.clone().prototypes is None
    second.write(*data(seed=3))
    assert torch.equal(first.prototypes, held)
    first.reset()
    assert first.prototypes is None
    assert second.prototypes is not None


def test_a_subclass_keeps_its_class_and_attributes():
    class Noted(ProtoNet):
        pass

    learner = Noted(nn.Identity(), ways=2)
    learner.note = "kept"
    clone = learner.clone()
    assert type(clone) is Noted
    assert clone.note == "kept"
    assert clone.ways == 2
    assert isinstance(clone, BaseLearner)


def test_a_subclass_keeps_its_own_parameters():
    class Scaled(ProtoNet):
        def __init__(self, model, ways):
            super().__init__(model, ways)
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            return self.scale * super().forward(x)

    protonet = Scaled(nn.Identity(), ways=2)
    learner = protonet.clone()
    learner.write(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
    learner(torch.tensor([[1.0]])).sum().backward()
    assert protonet.scale.grad.item() == -10


def test_without_prototypes_all_classes_have_the_same_score():
    scores = make().clone()(data()[0])
    assert scores.shape == (BATCH, WAYS)
    assert (scores == 0).all()
    assert scores.requires_grad


def test_a_query_without_gradients():
    learner = make().clone()
    (x, y), (query, _) = data(), data(seed=2)
    learner.adapt(F.cross_entropy(learner(x), y))
    wanted = learner(query)
    with torch.no_grad():
        assert torch.equal(learner(query), wanted)


def test_write_without_gradients():
    learner = make().clone()
    with torch.no_grad():
        learner.write(*data())
        scores = learner(data(seed=2)[0])
    assert scores.shape == (BATCH, WAYS)
    assert not learner.prototypes.requires_grad


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dict(copied):
    protonet = make()
    other = copied(protonet)
    a, b = protonet.clone(), other.clone()
    for learner in (a, b):
        learner.write(*data())
    assert torch.equal(a.prototypes, b.prototypes)
    fresh = make(seed=9)
    fresh.load_state_dict(protonet.state_dict())
    assert torch.equal(fresh.module(data()[0]), protonet.module(data()[0]))
    assert all(name.startswith("module.") for name in protonet.state_dict())


def test_a_learner_can_be_copied_after_a_call():
    learner = ProtoNet(nn.Linear(2, 3), ways=2)
    learner(torch.zeros(4, 2))
    assert copy.deepcopy(learner)._last is None


# ------------------------------------------------------------------ classes without support


@pytest.mark.parametrize("with_prior", [False, True])
@pytest.mark.parametrize("call", ["write", "adapt"])
def test_an_absent_class_is_never_predicted(call, with_prior):
    """Each task has its own absent classes; zero is the nearest prototype of every query."""
    prior = None
    if with_prior:
        prior = GaussianPrior(2).fit(torch.randn(60, 2), torch.arange(60) % 20)
    generator = torch.Generator().manual_seed(0)
    x = 50 + torch.randn(3, 8, 2, generator=generator)
    query = torch.randn(3, 20, 2, generator=generator)
    y = torch.tensor([[0, 1], [1, 2], [2, 2]]).repeat(1, 4)
    learner = ProtoNet(nn.Linear(2, 2), 4, prior).clone(tasks=3)
    learner.write(x, y) if call == "write" else learner.adapt(cross_entropy(learner(x), y).mean())
    scores = learner(query)
    for n, present in enumerate([{0, 1}, {1, 2}, {2}]):
        assert set(scores[n].argmax(-1).tolist()) <= present
        absent = [c for c in range(4) if c not in present]
        assert not scores[n].softmax(-1)[:, absent].any()
    one = ProtoNet(learner.module, 4, prior).clone()
    one.write(x[0], y[0])
    torch.testing.assert_close(one(query[0]), scores[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("far", [1.0, 1e4, 1e12])
def test_the_loss_of_an_absent_label_is_finite(dtype, far):
    learner = ProtoNet(nn.Linear(2, 2).to(dtype), 3).clone()
    x = far * torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    learner.write(x, torch.tensor([0, 0, 2, 2]))
    scores = learner(x)
    assert (scores.argmax(-1) != 1).all()
    loss = F.cross_entropy(scores, torch.tensor([0, 1, 1, 2]))
    assert 45 < loss < torch.inf
    loss.backward()
    assert all(p.grad.isfinite().all() for p in learner.module.parameters() if p.is_leaf)


def test_classes_may_come_one_after_the_other():
    """`adapt` reads the label of a class that is still absent."""
    x, y = data()
    whole, parts = make().clone(), make().clone()
    whole.write(x, y)
    for c in range(WAYS):
        parts.adapt(F.cross_entropy(parts(x[y == c]), y[y == c]))
    torch.testing.assert_close(parts.prototypes, whole.prototypes)
