"""Tasks, clones, states and meta-gradients of MemoryLearner, and its hybrid with MAML."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional as F

from l2l_rnn.algorithms import MAML, MemoryLearner
from l2l_rnn.errors import AdaptationError
from l2l_rnn.functional import cross_entropy
from tests.algorithms.finite_differences import central_difference

TASKS = 4


def test_tasks_at_once_equal_a_loop(store, helpers):
    base = helpers.make(store)
    (x, y), (query, query_y) = helpers.data(TASKS), helpers.data(TASKS, seed=2)
    y = torch.stack([y[0].roll(n) for n in range(TASKS)])
    learner = base.clone(tasks=TASKS)
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
    scores = learner(query)
    parameters = list(base.parameters())
    together = torch.autograd.grad(cross_entropy(scores, query_y).sum(), parameters)
    total = 0
    for n in range(TASKS):
        one = base.clone()
        for _ in range(2):
            one.adapt(cross_entropy(one(x[n]), y[n]))
        helpers.assert_close(type(one.state)(*(part[n] for part in learner.state)), one.state)
        torch.testing.assert_close(scores[n], one(query[n]))
        total = total + cross_entropy(one(query[n]), query_y[n])
    apart = torch.autograd.grad(total, parameters)
    for (name, _), a, b in zip(base.named_parameters(), together, apart, strict=True):
        torch.testing.assert_close(a, b, msg=name)
        assert a.abs().max() > 0, name


def test_a_scalar_loss_is_the_sum_over_tasks(helpers):
    x, y = helpers.data(TASKS)
    one, other = helpers.make().clone(tasks=TASKS), helpers.make().clone(tasks=TASKS)
    one.adapt(cross_entropy(one(x), y))
    other.adapt(cross_entropy(other(x), y).sum())
    helpers.assert_close(one.state, other.state)


def test_the_meta_gradient_is_a_finite_difference(store, helpers):
    base = helpers.make(store)
    (x, y), (query, query_y) = helpers.data(), helpers.data(seed=2)

    def outer():
        learner = base.clone()
        for _ in range(2):
            learner.adapt(F.cross_entropy(learner(x), y))
        return F.cross_entropy(learner(query), query_y)

    outer().backward()
    parameters = list(base.parameters())
    directions = [torch.randn_like(p) for p in parameters]
    slope = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True))
    difference = central_difference(outer, parameters, directions)
    assert difference == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_first_order_ignores_how_errors_depend_on_parameters(helpers):
    whole, part = helpers.make("delta"), helpers.make("delta", first_order=True)
    (x, y), (query, query_y) = helpers.data(), helpers.data(seed=2)
    found = []
    for base in (whole, part):
        learner = base.clone()
        for _ in range(2):
            learner.adapt(F.cross_entropy(learner(x), y))
        loss = F.cross_entropy(learner(query), query_y)
        loss.backward()
        found.append((loss.detach(), base.module.log_scale.grad))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert not torch.allclose(found[0][1], found[1][1])


def test_clones_have_separate_memories(store, helpers):
    base = helpers.make(store)
    first, second = base.clone(), base.clone()
    first.write(*helpers.data())
    blank = base.module.store.blank()
    assert helpers.same(second.state, blank)
    assert helpers.same(base.state, blank)
    assert helpers.same(first.clone().state, blank)
    held = first.state
    second.write(*helpers.data(seed=3))
    assert first.state is held
    first.reset()
    assert helpers.same(first.state, blank)
    assert not helpers.same(second.state, blank)


def test_a_state_can_be_saved_and_restored(store, tmp_path, helpers):
    base = helpers.make(store)
    learner = base.clone()
    learner.write(*helpers.data())
    scores = learner(helpers.data(seed=2)[0])
    torch.save({k: v.detach() for k, v in learner.state._asdict().items()}, tmp_path / "state.pt")
    later = base.clone()
    later.state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.testing.assert_close(later(helpers.data(seed=2)[0]), scores)
    third = base.clone()
    third.state = learner.state
    assert third.state is learner.state


def test_detach_keeps_the_memory_without_its_graph(store, helpers):
    learner = helpers.make(store).clone()
    learner.write(*helpers.data())
    before = learner.state
    learner.detach()
    assert helpers.same(learner.state, before)
    assert not any(part.requires_grad for part in learner.state)
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(store, copied, helpers):
    base = helpers.make(store)
    base.write(*helpers.data())
    base(helpers.data()[0])
    other, fresh = copied(base), helpers.make(store, seed=9)
    assert helpers.same(other.state, base.state)
    fresh.load_state_dict(base.state_dict())
    assert helpers.same(fresh.state, base.state)
    wanted = base.clone()
    wanted.write(*helpers.data())
    for learner in (other.clone(), fresh.clone()):
        learner.write(*helpers.data())
        helpers.assert_close(learner.state, wanted.state)
    saved = [name for name in base.state_dict() if not name.startswith("module.")]
    assert saved == [f"adaptation.{name}" for name in base.state._fields]
    base.reset()
    assert all(name.startswith("module.") for name in base.state_dict())


def test_a_subclass_keeps_its_class_and_attributes(helpers):
    class Noted(MemoryLearner):
        pass

    learner = Noted(helpers.make().module)
    learner.note = "kept"
    clone = learner.clone(tasks=2)
    assert type(clone) is Noted
    assert clone.note == "kept"
    assert clone.tasks == 2


def test_the_hybrid_writes_and_takes_a_maml_step(helpers):
    x, y = helpers.data()
    plain, hybrid = (
        helpers.make("delta").clone(),
        helpers.make("delta", lr=0.3, adapts="encoder").clone(),
    )
    for learner in (plain, hybrid):
        learner.write(x, y)  # outputs of a blank memory have no gradient to the encoder
        learner.detach()
    maml = MAML(copy.deepcopy(helpers.make("delta").module), 0.3, adapts="encoder").clone()
    loss = F.cross_entropy(maml.module(x, plain.state), y)
    plain.adapt(F.cross_entropy(plain(x), y))
    hybrid.adapt(F.cross_entropy(hybrid(x), y))
    maml.adapt(loss, allow_unused=True)
    helpers.assert_close(hybrid.state, plain.state)
    for (name, p), q in zip(
        hybrid.module.named_parameters(), maml.module.parameters(), strict=True
    ):
        torch.testing.assert_close(p, q, msg=name)
    moved = {
        name
        for (name, p), q in zip(
            hybrid.module.named_parameters(), plain.module.parameters(), strict=True
        )
        if not torch.equal(p, q)
    }
    assert moved == {n for n, _ in hybrid.module.named_parameters() if n.startswith("encoder")}


@pytest.mark.parametrize("first_order", [False, True])
def test_hybrid_tasks_at_once_equal_a_loop(store, first_order, helpers):
    base = helpers.make(store, lr=0.3, first_order=first_order)
    (x, y), (query, query_y) = helpers.data(TASKS), helpers.data(TASKS, seed=2)
    learner = base.clone(tasks=TASKS)
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
    scores = learner(query)
    parameters = list(base.parameters())
    together = torch.autograd.grad(cross_entropy(scores, query_y).sum(), parameters)
    total = 0
    for n in range(TASKS):
        one = base.clone()
        for _ in range(2):
            one.adapt(cross_entropy(one(x[n]), y[n]))
        torch.testing.assert_close(scores[n], one(query[n]))
        total = total + cross_entropy(one(query[n]), query_y[n])
    for a, b in zip(together, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(a, b)
