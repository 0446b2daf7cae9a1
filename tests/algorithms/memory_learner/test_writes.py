"""The writes of MemoryLearner."""

import pytest
import torch
from learn2learn.algorithms.base_learner import BaseLearner
from torch.nn import functional as F

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.errors import AdaptationError, ArgumentError
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.memory import SlotStore
from l2l_rnn.models import MemoryModel, SequenceEncoder

WAYS, BATCH, KEY = 3, 9, 4


def test_a_blank_memory_gives_all_classes_the_same_score(store, helpers):
    learner = helpers.make(store).clone()
    assert isinstance(learner, BaseLearner)
    scores = learner(helpers.data()[0])
    assert scores.shape == (BATCH, WAYS)
    assert scores.requires_grad
    if store != "memory-network":  # its read also depends on the query itself
        assert (scores == 0).all()


def test_forward_reads_and_changes_nothing(store, helpers):
    learner = helpers.make(store).clone()
    (x, y), (query, _) = helpers.data(), helpers.data(seed=2)
    learner.adapt(F.cross_entropy(learner(x), y))
    state = learner.state
    kept = [part.clone() for part in state]
    first, second = learner(query), learner(query)
    assert torch.equal(first, second)
    with torch.no_grad():
        assert torch.equal(learner(query), first)
    assert learner.state is state
    assert all(map(torch.equal, state, kept))


def test_one_adapt_lowers_the_loss_of_the_support_set(store, helpers):
    learner, (x, y) = helpers.make(store).clone(), helpers.data()
    with torch.no_grad():
        learner.module.log_lr.fill_(-1.5)  # an untrained encoder gives similar keys
    loss = F.cross_entropy(learner(x), y)
    learner.adapt(loss)
    change = F.cross_entropy(learner(x), y) - loss
    if store == "memory-network":  # it must learn its embeddings first
        assert change.abs() > 1e-3
    else:
        assert change < -0.01


@pytest.mark.parametrize("calls", [1, 3])
def test_write_equals_adapt_with_cross_entropy(store, calls, helpers):
    base = helpers.make(store)
    (x, y), (query, _) = helpers.data(), helpers.data(seed=2)
    one, other = base.clone(), base.clone()
    for _ in range(calls):
        one.adapt(F.cross_entropy(one(x), y))
        other.write(x, y, times=1)
    helpers.assert_close(one.state, other.state)
    torch.testing.assert_close(one(query), other(query))


def test_times_repeats_the_write(store, helpers):
    one, other = helpers.make(store).clone(), helpers.make(store).clone()
    one.write(*helpers.data())  # three times by default
    for _ in range(3):
        other.write(*helpers.data(), times=1)
    helpers.assert_close(one.state, other.state)
    with pytest.raises(ArgumentError, match="times must be a positive integer, got 0"):
        one.write(*helpers.data(), times=0)


def test_write_equals_adapt_with_the_squared_error(store, helpers):
    base = helpers.make(store, values=2, regression=True)
    x, y = helpers.data()[0], torch.randn(BATCH, 2).double()
    one, other = base.clone(), base.clone()
    for _ in range(2):
        one.adapt(mean_squared_error(one(x), y))
        other.write(x, y, times=1)
    helpers.assert_close(one.state, other.state)


def test_adapt_writes_label_minus_prediction(helpers):
    learner = helpers.make("key-value").clone()
    x, y = helpers.data()
    learner.adapt(F.cross_entropy(learner(x), y))
    wanted = F.one_hot(y, WAYS).double() - 1 / WAYS
    torch.testing.assert_close(learner.state.values[-BATCH:], wanted)
    torch.testing.assert_close(learner.state.keys[-BATCH:], learner.module.encoder(x))


@pytest.mark.parametrize("part", [slice(0, 3), slice(0, 9)])
def test_written_values_do_not_depend_on_the_number_of_sequences(part, helpers):
    """With the right `reduction`, a mean and a sum write the same values too."""
    x, y = helpers.data()
    one, other = helpers.make().clone(), helpers.make(reduction="sum").clone()
    one.adapt(F.cross_entropy(one(x[part]), y[part]))
    other.adapt(F.cross_entropy(other(x[part]), y[part], reduction="sum"))
    helpers.assert_close(one.state, other.state)


def test_the_hebbian_memory_takes_a_gradient_step_on_a_linear_head(helpers):
    """`A <- A + eta e k^T` with `e = -dL/dy` is a step down the gradient of `y = A k`."""
    learner = helpers.make("hebbian").clone()
    with torch.no_grad():
        learner.module.log_scale.zero_()
    x, y = helpers.data()
    keys = learner.module.encoder(x)
    head = torch.zeros(WAYS, KEY, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        learner.adapt(F.cross_entropy(learner(x), y, reduction="mean"))
        loss = F.cross_entropy(keys @ head.mT, y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, head, retain_graph=True)
        head = head - 0.1 * gradient
    torch.testing.assert_close(learner.state.weights, head)


def test_several_adapt_calls_add_up(store, helpers):
    torch.manual_seed(0)
    learner = helpers.make(store, values=1, regression=True).clone()
    x, y = helpers.data()[0], torch.randn(BATCH, 1).double()
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


def test_a_support_set_in_slices(helpers):
    """All sequences are written, whether in one slice or in two."""
    learner, whole = helpers.make("key-value").clone(), helpers.make("key-value").clone()
    x, y = helpers.data()
    whole.adapt(F.cross_entropy(whole(x), y))
    for part in (slice(0, 4), slice(4, 9)):
        learner.adapt(F.cross_entropy(learner(x[part]), y[part]))
    assert learner.state.written == whole.state.written == BATCH
    torch.testing.assert_close(learner.state.keys, whole.state.keys)


def test_permuted_classes_permute_their_scores(key_matching_store, helpers):
    base = helpers.make(key_matching_store)
    (x, y), (query, _) = helpers.data(), helpers.data(seed=2)
    order = torch.tensor([2, 0, 1])
    one, other = base.clone(), base.clone()
    for _ in range(2):
        one.adapt(F.cross_entropy(one(x), y))
        other.adapt(F.cross_entropy(other(x), order[y]))
    torch.testing.assert_close(other(query)[:, order], one(query))


@pytest.mark.parametrize("calls", [1, 2])
def test_overwritten_slots_are_counted(store, calls, helpers):
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=2, hidden_size=KEY)
    memory = helpers.make_store(store, WAYS, slots=6)
    model = MemoryModel(encoder, memory).double()
    learner = MemoryLearner(model, in_order=True).clone(tasks=2)
    x, y = helpers.data(2)
    for _ in range(calls):
        learner.adapt(cross_entropy(learner(x), y))
    state = learner.state
    if isinstance(memory, SlotStore):
        assert state.written.tolist() == [calls * BATCH] * 2
        assert state.overwritten.tolist() == [calls * BATCH - 6] * 2
    else:  # no slots: all examples share the fast weights
        assert state.weights.shape == (2, WAYS, KEY)


@pytest.mark.parametrize("tasks", [None, 2])
def test_an_empty_support_set_leaves_the_memory_blank(store, tasks, helpers):
    learner = helpers.make(store).clone(tasks=tasks)
    x, y = helpers.data() if tasks is None else helpers.data(tasks)
    none, nothing = x[..., :0, :, :], y[..., :0]
    learner.write(none, nothing)
    for reduction in ("mean", "sum"):  # the mean of no losses is NaN
        scores = learner(none)
        assert scores.shape == (*y.shape[:-1], 0, WAYS)
        learner.adapt(
            F.cross_entropy(scores.flatten(0, -2), nothing.flatten(), reduction=reduction)
        )
    learner.adapt(cross_entropy(learner(none), nothing))
    blank = helpers.make(store).clone(tasks=tasks)
    assert helpers.same(learner.state, blank.state)
    assert torch.equal(learner(x), blank(x))
    learner.adapt(cross_entropy(learner(none), nothing))
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))


def test_an_empty_support_set_in_regression(helpers):
    learner = helpers.make(values=2, regression=True).clone()
    x = helpers.data()[0]
    learner.adapt(mean_squared_error(learner(x[:0]), torch.zeros(0, 2).double()))
    module = learner.module
    torch.testing.assert_close(learner(x), module.head(module.encoder(x)))
