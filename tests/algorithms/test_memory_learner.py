"""MemoryLearner: what it writes, what it leaves alone, and that it learns to learn."""

import copy
import pickle
import random

import pytest
import torch
from learn2learn.algorithms.base_learner import BaseLearner
from torch import nn
from torch.nn import functional as F

import l2l_rnn.memory
from examples.drop_in import fast_adapt
from l2l_rnn.algorithms import MAML, MemoryLearner
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.memory import (
    DeltaFastWeights,
    HebbianFastWeights,
    KeyValueMemory,
    LeastUsedMemory,
    MemoryNetwork,
    SlotMemory,
)
from l2l_rnn.models import MemoryModel, SequenceEncoder
from l2l_rnn.tasksets import get_tasksets

WAYS, TASKS, BATCH, KEY = 3, 4, 9, 4

STORES = {
    "key-value": lambda v, slots=20: KeyValueMemory(KEY, v, slots=slots, similarity="cosine"),
    "delta": lambda v, slots=0: DeltaFastWeights(KEY, v, features="unit"),
    "hebbian": lambda v, slots=0: HebbianFastWeights(KEY, v, decay=1.0, lr=0.1),
    "slot-memory": lambda v, slots=20: SlotMemory(KEY, v, slots=slots),
    "least-used": lambda v, slots=20: LeastUsedMemory(KEY, v, slots=slots),
    "memory-network": lambda v, slots=20: MemoryNetwork(KEY, v, slots=slots, hops=2),
}


def make(store="key-value", seed=0, values=WAYS, size=KEY, **options):
    torch.manual_seed(seed)
    encoder = SequenceEncoder(input_size=2, hidden_size=size, cell="gru")
    model = MemoryModel(encoder, STORES[store](values), regression=options.pop("regression", False))
    return MemoryLearner(model.double(), **options)


def data(*lead, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead, BATCH, 4, 2, generator=generator, dtype=torch.float64)
    x[..., 0, 2:, :] = float("nan")
    order = torch.randperm(BATCH, generator=generator)
    y = torch.arange(BATCH).remainder(WAYS)[order].expand(*lead, BATCH)
    return x, y


def same(state, other):
    return type(state) is type(other) and all(map(torch.equal, state, other))


def assert_close(state, other):
    assert type(state) is type(other)
    for a, b in zip(state, other, strict=True):
        torch.testing.assert_close(a, b)


@pytest.fixture(params=STORES)
def store(request):
    return request.param


def test_every_memory_can_be_learned_with():
    assert {type(make(2)) for make in STORES.values()} == set(l2l_rnn.memory.STORES.values())


# ------------------------------------------------------------------ what is written


def test_a_blank_memory_scores_every_class_alike(store):
    learner = make(store).clone()
    assert isinstance(learner, BaseLearner)
    scores = learner(data()[0])
    assert scores.shape == (BATCH, WAYS)
    assert scores.requires_grad
    if store != "memory-network":  # whose answer is made of the query as well
        assert (scores == 0).all()


def test_forward_reads_and_changes_nothing(store):
    learner = make(store).clone()
    (x, y), (query, _) = data(), data(seed=2)
    learner.adapt(F.cross_entropy(learner(x), y))
    state = learner.state
    kept = [part.clone() for part in state]
    first, second = learner(query), learner(query)
    assert torch.equal(first, second)
    with torch.no_grad():
        assert torch.equal(learner(query), first)
    assert learner.state is state
    assert all(map(torch.equal, state, kept))


def test_one_adapt_lowers_the_loss_of_the_support_set(store):
    learner, (x, y) = make(store).clone(), data()
    with torch.no_grad():
        learner.module.log_lr.fill_(-1.5)  # keys of an untrained encoder are much alike
    loss = F.cross_entropy(learner(x), y)
    learner.adapt(loss)
    change = F.cross_entropy(learner(x), y) - loss
    if store == "memory-network":  # which must learn its embeddings first
        assert change.abs() > 1e-3
    else:
        assert change < -0.01


@pytest.mark.parametrize("calls", [1, 3])
def test_write_is_what_adapt_does_with_cross_entropy(store, calls):
    maml = make(store)
    (x, y), (query, _) = data(), data(seed=2)
    one, other = maml.clone(), maml.clone()
    for _ in range(calls):
        one.adapt(F.cross_entropy(one(x), y))
        other.write(x, y)
    assert_close(one.state, other.state)
    torch.testing.assert_close(one(query), other(query))


def test_writing_several_times_is_several_writes(store):
    one, other = make(store).clone(), make(store).clone()
    one.write(*data(), times=3)
    for _ in range(3):
        other.write(*data())
    assert_close(one.state, other.state)
    with pytest.raises(ArgumentError, match="times must be a positive integer, got 0"):
        one.write(*data(), times=0)


def test_write_is_what_adapt_does_with_a_squared_error(store):
    maml = make(store, values=2, regression=True)
    x, y = data()[0], torch.randn(BATCH, 2).double()
    one, other = maml.clone(), maml.clone()
    for _ in range(2):
        one.adapt(mean_squared_error(one(x), y))
        other.write(x, y)
    assert_close(one.state, other.state)


def test_what_is_written_is_label_minus_prediction():
    learner = make("key-value").clone()
    x, y = data()
    learner.adapt(F.cross_entropy(learner(x), y))
    wanted = F.one_hot(y, WAYS).double() - 1 / WAYS
    torch.testing.assert_close(learner.state.values[-BATCH:], wanted)
    torch.testing.assert_close(learner.state.keys[-BATCH:], learner.module.encoder(x))


@pytest.mark.parametrize("part", [slice(0, 3), slice(0, 9)])
def test_what_is_written_does_not_depend_on_how_many_there_are(part):
    """Nor on whether the loss is a mean or a sum, said which."""
    x, y = data()
    one, other = make().clone(), make(reduction="sum").clone()
    one.adapt(F.cross_entropy(one(x[part]), y[part]))
    other.adapt(F.cross_entropy(other(x[part]), y[part], reduction="sum"))
    assert_close(one.state, other.state)


def test_the_hebbian_memory_takes_a_gradient_step_on_a_linear_head():
    """`A <- A + eta e k^T` with `e = -dL/dy` is a step down the gradient of `y = A k`."""
    learner = make("hebbian").clone()
    with torch.no_grad():
        learner.module.log_scale.zero_()
    x, y = data()
    keys = learner.module.encoder(x)
    head = torch.zeros(WAYS, KEY, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        learner.adapt(F.cross_entropy(learner(x), y, reduction="mean"))
        loss = F.cross_entropy(keys @ head.mT, y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, head, retain_graph=True)
        head = head - 0.1 * gradient
    torch.testing.assert_close(learner.state.weights, head)


def test_several_adapt_calls_add_up(store):
    torch.manual_seed(0)
    learner = make(store, values=1, regression=True).clone()
    x, y = data()[0], torch.randn(BATCH, 1).double()
    with torch.no_grad():
        learner.module.log_lr.fill_(-1.5)
    losses = []
    for _ in range(6):
        loss = mean_squared_error(learner(x), y)
        losses.append(loss.item())
        learner.adapt(loss)
    if store in ("delta", "hebbian"):
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 0.95 * losses[0]
    else:
        assert learner.state[0].shape == learner.module.store.blank()[0].shape
        assert len(set(losses)) == 6


def test_the_support_set_in_slices():
    """From a blank memory each slice must be written before it is seen."""
    learner, whole = make("key-value").clone(), make("key-value").clone()
    x, y = data()
    whole.adapt(F.cross_entropy(whole(x), y))
    for part in (slice(0, 4), slice(4, 9)):
        learner.adapt(F.cross_entropy(learner(x[part]), y[part]))
    assert learner.state.written == whole.state.written == BATCH
    torch.testing.assert_close(learner.state.keys, whole.state.keys)


@pytest.mark.parametrize("store", [s for s in STORES if s != "memory-network"])
def test_classes_that_change_places_change_their_scores_alike(store):
    maml = make(store)
    (x, y), (query, _) = data(), data(seed=2)
    order = torch.tensor([2, 0, 1])
    one, other = maml.clone(), maml.clone()
    for _ in range(2):
        one.adapt(F.cross_entropy(one(x), y))
        other.adapt(F.cross_entropy(other(x), order[y]))
    torch.testing.assert_close(other(query)[:, order], one(query))


@pytest.mark.parametrize("calls", [1, 2])
def test_more_examples_than_slots_are_counted(store, calls):
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=2, hidden_size=KEY)
    memory = STORES[store](WAYS, slots=6)
    learner = MemoryLearner(MemoryModel(encoder, memory).double()).clone(tasks=2)
    x, y = data(2)
    for _ in range(calls):
        learner.adapt(cross_entropy(learner(x), y))
    state = learner.state
    if isinstance(memory, l2l_rnn.memory.SlotStore):
        assert state.overwritten.tolist() == [calls * BATCH - 6] * 2
        assert state.written.tolist() == [calls * BATCH] * 2
    else:  # there are no slots: all examples share the fast weights
        assert state.weights.shape == (2, WAYS, KEY)


@pytest.mark.parametrize("tasks", [None, 2])
def test_an_empty_support_is_written_and_reads_a_blank_memory(store, tasks):
    learner = make(store).clone(tasks=tasks)
    x, y = data() if tasks is None else data(tasks)
    none, nothing = x[..., :0, :, :], y[..., :0]
    learner.write(none, nothing)
    for reduction in ("mean", "sum"):  # the mean of nothing is NaN
        scores = learner(none)
        assert scores.shape == (*y.shape[:-1], 0, WAYS)
        learner.adapt(
            F.cross_entropy(scores.flatten(0, -2), nothing.flatten(), reduction=reduction)
        )
    learner.adapt(cross_entropy(learner(none), nothing))
    blank = make(store).clone(tasks=tasks)
    assert same(learner.state, blank.state)
    assert torch.equal(learner(x), blank(x))
    learner.adapt(cross_entropy(learner(none), nothing))
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))


def test_an_empty_support_in_regression_leaves_the_head():
    learner = make(values=2, regression=True).clone()
    x = data()[0]
    learner.adapt(mean_squared_error(learner(x[:0]), torch.zeros(0, 2).double()))
    module = learner.module
    torch.testing.assert_close(learner(x), module.head(module.encoder(x)))


# ------------------------------------------------------------------ tasks, clones, gradients


def test_tasks_at_once_equal_a_loop(store):
    maml = make(store)
    (x, y), (query, query_y) = data(TASKS), data(TASKS, seed=2)
    y = torch.stack([y[0].roll(n) for n in range(TASKS)])
    learner = maml.clone(tasks=TASKS)
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
    scores = learner(query)
    parameters = list(maml.parameters())
    together = torch.autograd.grad(cross_entropy(scores, query_y).sum(), parameters)
    total = 0
    for n in range(TASKS):
        one = maml.clone()
        for _ in range(2):
            one.adapt(cross_entropy(one(x[n]), y[n]))
        assert_close(type(one.state)(*(part[n] for part in learner.state)), one.state)
        torch.testing.assert_close(scores[n], one(query[n]))
        total = total + cross_entropy(one(query[n]), query_y[n])
    apart = torch.autograd.grad(total, parameters)
    for (name, _), a, b in zip(maml.named_parameters(), together, apart, strict=True):
        torch.testing.assert_close(a, b, msg=name)
        assert a.abs().max() > 0, name


def test_a_scalar_loss_is_the_sum_over_tasks():
    x, y = data(TASKS)
    one, other = make().clone(tasks=TASKS), make().clone(tasks=TASKS)
    one.adapt(cross_entropy(one(x), y))
    other.adapt(cross_entropy(other(x), y).sum())
    assert_close(one.state, other.state)


def test_the_meta_gradient_is_a_finite_difference(store):
    maml = make(store)
    (x, y), (query, query_y) = data(), data(seed=2)

    def outer():
        learner = maml.clone()
        for _ in range(2):
            learner.adapt(F.cross_entropy(learner(x), y))
        return F.cross_entropy(learner(query), query_y)

    outer().backward()
    moves = [(p, torch.randn_like(p)) for p in maml.parameters()]
    slope = sum((p.grad * move).sum().item() for p, move in moves)
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for p, move in moves:
                p += step * move
        ends.append(outer().item())
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_first_order_leaves_out_how_errors_depend_on_parameters():
    whole, part = make("delta"), make("delta", first_order=True)
    (x, y), (query, query_y) = data(), data(seed=2)
    found = []
    for maml in (whole, part):
        learner = maml.clone()
        for _ in range(2):
            learner.adapt(F.cross_entropy(learner(x), y))
        loss = F.cross_entropy(learner(query), query_y)
        loss.backward()
        found.append((loss.detach(), maml.module.log_scale.grad))
    torch.testing.assert_close(found[0][0], found[1][0])
    assert not torch.allclose(found[0][1], found[1][1])


def test_a_clone_never_sees_anothers_memory(store):
    maml = make(store)
    first, second = maml.clone(), maml.clone()
    first.write(*data())
    blank = maml.module.store.blank()
    assert same(second.state, blank)
    assert same(maml.state, blank)
    assert same(first.clone().state, blank)
    held = first.state
    second.write(*data(seed=3))
    assert first.state is held
    first.reset()
    assert same(first.state, blank)
    assert not same(second.state, blank)


def test_a_personal_memory_is_kept_and_taken_up_again(store, tmp_path):
    maml = make(store)
    learner = maml.clone()
    learner.write(*data())
    scores = learner(data(seed=2)[0])
    torch.save({k: v.detach() for k, v in learner.state._asdict().items()}, tmp_path / "state.pt")
    later = maml.clone()
    later.state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.testing.assert_close(later(data(seed=2)[0]), scores)
    third = maml.clone()
    third.state = learner.state
    assert third.state is learner.state


def test_detach_keeps_the_memory_and_forgets_its_graph(store):
    learner = make(store).clone()
    learner.write(*data())
    before = learner.state
    learner.detach()
    assert same(learner.state, before)
    assert not any(part.requires_grad for part in learner.state)
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dict(store, copied):
    maml = make(store)
    maml.write(*data())
    maml(data()[0])
    other, fresh = copied(maml), make(store, seed=9)
    assert same(other.state, maml.state)
    fresh.load_state_dict(maml.state_dict())
    wanted = maml.clone()
    wanted.write(*data())
    for learner in (other.clone(), fresh.clone()):
        learner.write(*data())
        assert_close(learner.state, wanted.state)
    assert all(name.startswith("module.") for name in maml.state_dict())


def test_a_subclass_keeps_its_class_and_parameters():
    class Noted(MemoryLearner):
        pass

    learner = Noted(make().module)
    learner.note = "kept"
    clone = learner.clone(tasks=2)
    assert type(clone) is Noted
    assert clone.note == "kept"
    assert clone.tasks == 2


# ------------------------------------------------------------------ the hybrid


def test_the_hybrid_writes_and_takes_the_step_of_maml():
    x, y = data()
    plain, hybrid = make("delta").clone(), make("delta", lr=0.3, adapts="encoder").clone()
    for learner in (plain, hybrid):
        learner.write(x, y)  # of a blank memory the outputs have no gradient in the encoder
        learner.detach()
    maml = MAML(copy.deepcopy(make("delta").module), 0.3, adapts="encoder").clone()
    loss = F.cross_entropy(maml.module(x, plain.state), y)
    plain.adapt(F.cross_entropy(plain(x), y))
    hybrid.adapt(F.cross_entropy(hybrid(x), y))
    maml.adapt(loss, allow_unused=True)
    assert_close(hybrid.state, plain.state)
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
def test_hybrid_tasks_at_once_equal_a_loop(store, first_order):
    maml = make(store, lr=0.3, first_order=first_order)
    (x, y), (query, query_y) = data(TASKS), data(TASKS, seed=2)
    learner = maml.clone(tasks=TASKS)
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
    scores = learner(query)
    parameters = list(maml.parameters())
    together = torch.autograd.grad(cross_entropy(scores, query_y).sum(), parameters)
    total = 0
    for n in range(TASKS):
        one = maml.clone()
        for _ in range(2):
            one.adapt(cross_entropy(one(x[n]), y[n]))
        torch.testing.assert_close(scores[n], one(query[n]))
        total = total + cross_entropy(one(query[n]), query_y[n])
    for a, b in zip(together, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(a, b)


# ------------------------------------------------------------------ it learns


def test_meta_training_goes_from_chance_to_nearly_right_on_unseen_classes():
    """What tells classes apart is faint beside what does not, in five features of noise."""
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=7, hidden_size=16, cell="gru", pooling="mean")
    memory = KeyValueMemory(16, 5, similarity="cosine")
    maml = MemoryLearner(MemoryModel(encoder, memory))

    def tasks(count):
        """Sequences `(N, classes, samples, S, F)`; a class is a direction in two features."""
        angles = (torch.rand(count, 5) * 0.6 + torch.arange(5)) * (2 * torch.pi / 5)
        noise = torch.randn(count, 5, 4, 3, 7) * torch.tensor([0.1, 0.1, 3, 3, 3, 3, 3])
        noise[..., 0] += angles.cos()[..., None, None]
        noise[..., 1] += angles.sin()[..., None, None]
        return noise

    def solve(count):
        x = tasks(count)
        y = torch.arange(5).repeat_interleave(2).expand(count, 10)
        support, query = x[:, :, :2].flatten(1, 2), x[:, :, 2:].flatten(1, 2)
        learner = maml.clone(tasks=count)
        learner.adapt(cross_entropy(learner(support), y))
        scores = learner(query)
        return cross_entropy(scores, y).mean(), (scores.argmax(-1) == y).float().mean().item()

    assert solve(100)[1] < 0.45
    optimizer = torch.optim.Adam(maml.parameters(), 1e-2)
    for _ in range(80):
        loss, _ = solve(8)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert solve(100)[1] > 0.9


def test_meta_training_learns_to_regress():
    """A task weighs two numbers of the first step; always answering 0 has an error of 2."""
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=2, hidden_size=16, cell="gru")
    memory = DeltaFastWeights(16, 1, features="unit")
    maml = MemoryLearner(MemoryModel(encoder, memory, regression=True))

    def solve(count):
        x, weights = torch.randn(count, 20, 3, 2), torch.randn(count, 1, 2)
        y = (x[:, :, 0] * weights).sum(-1, keepdim=True)
        learner = maml.clone(tasks=count)
        learner.adapt(mean_squared_error(learner(x[:, :10]), y[:, :10]))
        return mean_squared_error(learner(x[:, 10:]), y[:, 10:]).mean()

    assert solve(100) > 1.5
    optimizer = torch.optim.Adam(maml.parameters(), 1e-2)
    for _ in range(100):
        loss = solve(16)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert solve(100) < 0.8


def test_it_runs_in_learn2learns_unchanged_loop():
    state = random.getstate()
    random.seed(0)
    torch.manual_seed(0)
    tasksets = get_tasksets("languages", train_ways=3, train_samples=4, test_ways=3, test_samples=4)
    encoder = SequenceEncoder(vocab_size=tasksets.vocab_size, embedding_size=8, hidden_size=8)
    maml = MemoryLearner(MemoryModel(encoder, DeltaFastWeights(8, 3, features="unit")))
    optimizer = torch.optim.Adam(maml.parameters(), 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        error, score = fast_adapt(
            tasksets.train.sample(), maml.clone(), nn.CrossEntropyLoss(), 2, 2, "cpu"
        )
        error.backward()
        for parameter in maml.parameters():
            parameter.grad.data.mul_(0.5)
            assert parameter.grad.abs().max() > 0
        optimizer.step()
        assert 0 <= score <= 1
    random.setstate(state)


# ------------------------------------------------------------------ errors


@pytest.fixture
def learner():
    learner = make().clone(tasks=TASKS)
    learner.write(*data(TASKS))
    return learner


def unchanged(learner, before):
    assert learner.state is before
    x, y = data(TASKS, seed=4)
    learner.adapt(cross_entropy(learner(x), y))
    assert not same(learner.state, before)


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (torch.full((TASKS, BATCH), WAYS), ArgumentError, r"must lie in 0 … 2, got 3 … 3"),
        (torch.full((TASKS, BATCH), -1), ArgumentError, r"got -1 … -1"),
        (torch.zeros(TASKS, 2).long(), ShapeError, r"y must have shape \(4, 9\).*got \(4, 2\)"),
        (torch.zeros(TASKS, BATCH), ArgumentTypeError, r"labels must be integers, got"),
    ],
)
def test_bad_labels_change_nothing(learner, labels, error, message):
    before = learner.state
    with pytest.raises(error, match=message) as caught:
        learner.write(data(TASKS)[0], labels)
    assert str(caught.value).startswith("MemoryLearner.write: ")
    unchanged(learner, before)


def test_what_is_no_tensor(learner):
    before = learner.state
    x, y = data(TASKS)
    with pytest.raises(
        ArgumentTypeError, match=r"^MemoryLearner\.write: y must be a tensor, got l"
    ):
        learner.write(x, y.tolist())
    for call in (learner, lambda x: learner.write(x, y)):
        with pytest.raises(ArgumentTypeError, match=r"^SequenceEncoder: x must be a tensor, got l"):
            call(x.tolist())
    unchanged(learner, before)


def test_labels_outside_of_the_ways_in_a_loss(learner):
    before = learner.state
    x, y = data(TASKS)
    with pytest.raises(ArgumentError, match=r"labels must lie in 0 … 2, as there are C=3 classes"):
        learner.adapt(cross_entropy(learner(x), y + 1))
    unchanged(learner, before)


def test_targets_of_a_regression_must_fit():
    learner = make(values=2, regression=True).clone()
    with pytest.raises(ShapeError, match=r"y must have shape \(9, 2\).*got \(9, 1\)"):
        learner.write(data()[0], torch.zeros(BATCH, 1))


def test_adapt_needs_outputs_first(learner):
    before = learner.state
    with pytest.raises(AdaptationError, match=r"no outputs to learn from.*is unchanged"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))
    x, y = data(TASKS)
    loss = cross_entropy(learner(x), y)
    learner(x)  # the loss is not of these outputs
    with pytest.raises(AdaptationError, match="does not depend on the learner's last outputs"):
        learner.adapt(loss)
    learner.adapt(cross_entropy(learner(x), y))
    after = learner.state
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(loss)
    learner(x)
    with pytest.raises(AdaptationError, match="does not depend on the learner's last outputs"):
        learner.adapt(next(learner.parameters()).sum())
    unchanged(learner, after)
    assert not same(before, after)


@pytest.mark.parametrize("reduced", [False, True])
def test_nan_in_the_loss_names_the_task(learner, reduced):
    before = learner.state
    x, y = data(TASKS)
    losses = cross_entropy(learner(x), y) * torch.tensor([1.0, float("nan"), 1.0, float("inf")])
    with pytest.raises(AdaptationError, match=r"loss of task 1, 3 is NaN or infinite.*unchanged"):
        learner.adapt(losses.sum() if reduced else losses)
    unchanged(learner, before)


def test_nan_in_the_loss_of_one_task():
    learner = make().clone()
    before = learner.state
    x, y = data()
    with pytest.raises(AdaptationError, match="the loss is NaN or infinite"):
        learner.adapt(F.cross_entropy(learner(x), y) * float("nan"))
    assert same(learner.state, before)


def test_what_would_be_infinite_is_not_written(learner):
    before = learner.state
    x, y = data(TASKS)
    scores = learner(x)
    losses = cross_entropy(scores, y)
    steep = (scores - scores.detach())[1].square().sum().sqrt()  # 0, with a derivative of 0 / 0
    with pytest.raises(AdaptationError, match="would be written of task 1 is NaN or infinite"):
        learner.adapt(torch.stack([losses[0], losses[1] + steep, *losses[2:]]))
    unchanged(learner, before)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (torch.Tensor.detach, AdaptationError, "the loss has no graph"),
        (lambda loss: 1.0, ArgumentTypeError, "loss must be a tensor, got float"),
        (lambda loss: loss[:2], ShapeError, r"a scalar or \(4,\), got shape \(2,\)"),
    ],
)
def test_a_bad_loss_changes_nothing(learner, spoil, error, message):
    before = learner.state
    x, y = data(TASKS)
    with pytest.raises(error, match=message):
        learner.adapt(spoil(cross_entropy(learner(x), y)))
    unchanged(learner, before)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_gradients_must_be_on(learner, off):
    before = learner.state
    x, y = data(TASKS)
    with pytest.raises(AdaptationError), off():
        learner.adapt(cross_entropy(learner(x), y))
    scores = cross_entropy(learner(x), y)
    with pytest.raises(AdaptationError, match="gradients are off"), off():
        learner.adapt(scores)
    unchanged(learner, before)


def test_a_state_must_be_this_models_and_task_counts(learner):
    before = learner.state
    for other, error, message in (
        (
            make("delta").clone(tasks=TASKS).state,
            ArgumentTypeError,
            "state must be of type ItemState",
        ),
        (make().clone(tasks=2).state, ShapeError, "keys must have shape"),
        (make().clone().state, ShapeError, "keys must have shape"),
        (make(values=5).clone(tasks=TASKS).state, ShapeError, "values must have shape"),
        (make().float().clone(tasks=TASKS).state, ArgumentTypeError, "must be torch.float64"),
        (
            {"weights": torch.zeros(2)},
            ArgumentError,
            "must have keys, values, written, got weights",
        ),
        (None, ArgumentTypeError, "got NoneType"),
        (tuple(before), ArgumentTypeError, "state must be of type ItemState, got tuple"),
        (
            {name: part.tolist() for name, part in before._asdict().items()},
            ArgumentTypeError,
            "the state's keys must be a tensor, got list",
        ),
    ):
        with pytest.raises(error, match=message):
            learner.state = other
    unchanged(learner, before)


def test_a_state_of_another_model_or_task_count_in_every_memory(store):
    learner = make(store).clone(tasks=TASKS)
    learner.write(*data(TASKS))
    before = learner.state
    other = make("delta" if store != "delta" else "hebbian").clone(tasks=TASKS).state
    with pytest.raises(
        ArgumentTypeError, match=r"state must be of type \w+, got \w+; take it from blank"
    ):
        learner.state = other
    for tasks in (None, TASKS + 1):
        with pytest.raises(ShapeError, match="must have shape"):
            learner.state = make(store).clone(tasks=tasks).state
    if store != "memory-network":  # whose slots are of the embedding's size, whatever the values'
        with pytest.raises(ShapeError, match="must have shape"):
            learner.state = make(store, values=WAYS + 1).clone(tasks=TASKS).state
    assert learner.state is before


def test_inputs_must_have_the_learners_tasks(learner):
    before = learner.state
    for x in (data()[0], data(2)[0]):
        with pytest.raises(ShapeError, match=r"x must be \(N, B, …\) with N=4 tasks first"):
            learner(x)
    with pytest.raises(ShapeError, match=r"x must be \(B, …\), got shape \(4, 9, 4, 2\)"):
        make().clone()(data(TASKS)[0])
    unchanged(learner, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "none"}, "reduction must be 'mean' or 'sum', got 'none'"),
        ({"lr": float("nan")}, "lr must be a finite number or None"),
        ({"lr": "fast"}, "lr must be a finite number"),
        ({"adapts": "encoder"}, "give lr="),
        ({"lr": 0.1, "adapts": "encoder.nothing"}, "has no parameter 'encoder.nothing'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=message):
        make(**options)


@pytest.mark.parametrize("tasks", [0, -1, 2.0, True, "2"])
def test_bad_task_counts(tasks):
    with pytest.raises(ArgumentError, match="tasks must be a positive integer"):
        make().clone(tasks=tasks)
    with pytest.raises(ArgumentError, match="holds 2 tasks already"):
        make().clone(tasks=2).clone(tasks=2)


def test_models_that_will_not_do():
    with pytest.raises(ArgumentTypeError, match=r"must be a models\.MemoryModel, got Linear"):
        MemoryLearner(nn.Linear(2, 2))
    with pytest.raises(ArgumentTypeError, match="encoder must be a module with an output_size"):
        MemoryModel(nn.Linear(2, 2), STORES["delta"](3))
    encoder = SequenceEncoder(input_size=2, hidden_size=4)
    with pytest.raises(ArgumentTypeError, match=r"store must be a memory\.Store, got Linear"):
        MemoryModel(encoder, nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match="scale must be a number above 0, got 0"):
        MemoryModel(encoder, STORES["delta"](3), scale=0)
    encoder.foreign = nn.Linear(2, 2)
    learner = MemoryLearner(MemoryModel(encoder, STORES["delta"](3)), lr=0.1)
    with pytest.raises(ArgumentTypeError, match="layers that know no task axis"):
        learner.clone(tasks=2)
