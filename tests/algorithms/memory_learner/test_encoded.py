"""Encoding a support set once equals encoding it at every call; stale vectors are rejected."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import Encoded, MemoryLearner
from l2l_rnn.errors import AdaptationError, ArgumentError, ShapeError
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.models import MemoryModel, SequenceEncoder
from tests.algorithms.finite_differences import central_difference

WAYS, BATCH, SIZE, TASKS = 3, 9, 4, 2
STALE = r"x was encoded by another learner, or before .* changed; encode it again with"


def encoded(learner, x):
    return learner.encode(x)


def plain(learner, x):
    return x


@pytest.fixture
def calls(monkeypatch):
    """A list of the sequences that encoders were called on, in order."""
    seen, forward = [], SequenceEncoder.forward

    def recorded(self, x):
        seen.append(x)
        return forward(self, x)

    monkeypatch.setattr(SequenceEncoder, "forward", recorded)
    return seen


def adapt(learner, x, y, times=3):
    for _ in range(times):
        learner.adapt(cross_entropy(learner(x), y))


# ------------------------------------------------------------------ equal to the plain loop


@pytest.mark.parametrize("tasks", [None, TASKS])
@pytest.mark.parametrize("first_order", [False, True], ids=["second-order", "first-order"])
def test_values_and_gradients_equal_the_plain_loop(store, first_order, tasks, calls, helpers):
    base = helpers.make(store, first_order=first_order)
    lead = () if tasks is None else (tasks,)
    (x, y), (query, query_y) = helpers.data(*lead), helpers.data(*lead, seed=2)
    found = []
    for prepare in (encoded, plain):
        calls.clear()
        learner = base.clone(tasks=tasks)
        adapt(learner, prepare(learner, x), y)
        scores = learner(query)
        loss = cross_entropy(scores, query_y).sum()
        gradients = torch.autograd.grad(loss, base.parameters())
        found.append((scores, *learner.state, *gradients, len(calls)))
    (*ours, once), (*expected, often) = found
    assert (once, often) == (2, 4)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert torch.equal(ours[0], expected[0])
    assert all(gradient.abs().max() > 0 for gradient in ours[-3:])


def test_the_meta_gradient_is_a_finite_difference(helpers):
    base, (x, y), (query, query_y) = helpers.make("delta"), helpers.data(), helpers.data(seed=2)

    def outer():
        learner = base.clone()
        adapt(learner, learner.encode(x), y)
        return F.cross_entropy(learner(query), query_y)

    outer().backward()
    parameters = list(base.parameters())
    directions = [torch.randn_like(p) for p in parameters]
    slope = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True))
    difference = central_difference(outer, parameters, directions)
    assert difference == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("regression", [False, True])
def test_write_takes_encoded_sequences(regression, calls, helpers):
    base, (x, y) = helpers.make("delta", regression=regression), helpers.data(TASKS)
    y = torch.randn(TASKS, BATCH, WAYS, dtype=torch.float64) if regression else y
    loss = mean_squared_error if regression else cross_entropy
    states = []
    for prepare in (encoded, plain):
        learner = base.clone(tasks=TASKS)
        x_or_encoded = prepare(learner, x)
        learner.write(x_or_encoded, y, times=2)
        learner.adapt(loss(learner(x_or_encoded), y))
        states.append(learner.state)
    assert len(calls) == 1 + 2
    torch.testing.assert_close(*states)


def test_encoding_changes_nothing(helpers):
    learner, (x, y) = helpers.make("delta").clone(), helpers.data()
    learner.write(x, y)
    scores, state = learner(x), learner.state
    learner.encode(x)
    assert learner.state is state
    learner.adapt(F.cross_entropy(scores, y))  # the last outputs are still there to learn from


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_an_empty_batch(tasks, helpers):
    learner = helpers.make("delta").clone(tasks=tasks)
    x, y = helpers.data() if tasks is None else helpers.data(tasks)
    empty = learner.encode(x[..., :0, :, :])
    learner.write(empty, y[..., :0])
    scores = learner(empty)
    assert scores.shape == (*y.shape[:-1], 0, WAYS)
    learner.adapt(cross_entropy(scores, y[..., :0]))
    torch.testing.assert_close(learner.state, helpers.make("delta").clone(tasks=tasks).state)


def test_dropout_masks_are_those_of_the_encoding_call(helpers):
    learner, (x, y) = helpers.make("delta", dropout=0.5).clone(), helpers.data()
    learner.write(x, y)
    vectors = learner.encode(x)
    assert torch.equal(learner(vectors), learner(vectors))
    assert not torch.equal(learner(vectors), learner(x))


# ------------------------------------------------------------------ gradient modes


def test_vectors_encoded_without_gradients_have_none(helpers):
    base, (x, y) = helpers.make("delta"), helpers.data()
    learner = base.clone()
    with torch.no_grad():
        vectors = learner.encode(x)
        expected = learner(x)
        assert torch.equal(learner(vectors), expected)
    adapt(learner, vectors, y, 2)
    learner(vectors).sum().backward()
    assert all(p.grad is None for p in base.module.encoder.parameters())
    assert base.module.log_scale.grad.abs() > 0


def test_inference_mode(helpers):
    base, (x, y) = helpers.make("delta"), helpers.data()
    learner = base.clone()
    with torch.inference_mode():
        vectors = learner.encode(x)
        assert torch.equal(learner(vectors), learner(x))
        learner.write(vectors, y)
    with torch.no_grad():
        assert learner(vectors).shape == (BATCH, WAYS)
    with pytest.raises(ArgumentError, match=r"^MemoryLearner: x was encoded in .*inference_mode"):
        learner(vectors)
    with torch.inference_mode():  # the parameters of the clone are inference tensors too
        learner = base.clone()
        learner.write(learner.encode(x), y)


def test_a_graph_that_backward_freed_needs_encoding_again(helpers):
    base, (x, y) = helpers.make("delta"), helpers.data()
    learner = base.clone()
    vectors = learner.encode(x)
    adapt(learner, vectors, y, 1)
    learner(vectors).sum().backward()
    learner.detach()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        learner(vectors).sum().backward()
    learner(learner.encode(x)).sum().backward()


# ------------------------------------------------------------------ stale vectors


def other_learner(learner, helpers):
    return learner.clone()


def deep_copy(learner, helpers):
    with torch.no_grad():
        return copy.deepcopy(learner.clone())


def gradient_step(learner, helpers):
    x, y = helpers.data()
    learner.adapt(cross_entropy(learner(x), y))
    return learner


def change_in_place(learner, helpers):
    with torch.no_grad():
        next(learner.module.encoder.parameters()).mul_(2)
    return learner


def load_parameters(learner, helpers):
    learner.load_state_dict({name: 2 * p for name, p in learner.state_dict().items()})
    return learner


def replace_the_encoder(learner, helpers):
    learner.module.encoder = nn.Identity()
    return learner


STALE_WAYS = [
    other_learner,
    deep_copy,
    gradient_step,
    change_in_place,
    load_parameters,
    replace_the_encoder,
]


@pytest.mark.parametrize("make_stale", STALE_WAYS, ids=lambda each: each.__name__)
def test_stale_vectors_are_rejected(make_stale, helpers):
    (x, y), learner = helpers.data(), helpers.make("delta", lr=0.5).clone()
    learner.write(x, y)
    vectors = learner.encode(x)
    learner = make_stale(learner, helpers)
    state = learner.state
    with pytest.raises(ArgumentError, match=rf"^MemoryLearner: {STALE}"):
        learner(vectors)
    with pytest.raises(ArgumentError, match=rf"^MemoryLearner\.write: {STALE}"):
        learner.write(vectors, y)
    torch.testing.assert_close(learner.state, state, rtol=0, atol=0)
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        learner.adapt(torch.ones((), requires_grad=True))


def test_a_step_outside_the_encoder_keeps_vectors_valid(helpers):
    """A hybrid that adapts another part of the model equals the plain loop."""
    (x, y), found = helpers.data(), []
    for prepare in (encoded, plain):
        learner = helpers.make("delta", lr=0.5, adapts="log_scale").clone()
        learner.write(x, y)
        adapt(learner, prepare(learner, x), y)
        found.append(learner(x))
    assert torch.equal(*found)


def test_an_optimizer_step_makes_vectors_stale(helpers):
    base, (x, y) = helpers.make("delta"), helpers.data()
    optimizer = torch.optim.SGD(base.parameters(), 0.1)
    vectors = base.encode(x)
    base.write(vectors, y)
    F.cross_entropy(base(vectors), y).backward()
    optimizer.step()
    base.detach()
    with pytest.raises(ArgumentError, match=STALE):
        base(vectors)


def test_inputs_must_have_the_learners_tasks(helpers):
    x, _ = helpers.data(TASKS)
    learner = helpers.make("delta").clone(tasks=TASKS + 1)
    with pytest.raises(ShapeError, match=r"^MemoryLearner\.encode: x must be \(N, B, …\) with N=3"):
        learner.encode(x)
    # An encoder without parameters: any learner may encode for any other.
    model = MemoryModel(Features(), helpers.make_store("delta", WAYS))
    vectors = MemoryLearner(model).clone(tasks=TASKS).encode(torch.ones(TASKS, BATCH, SIZE))
    assert MemoryLearner(model).clone(tasks=TASKS)(vectors).shape == (TASKS, BATCH, WAYS)
    with pytest.raises(
        ShapeError, match=r"^MemoryLearner: x must be \(B, …\), got shape \(2, 9, 4\)"
    ):
        MemoryLearner(model).clone()(vectors)


class Features(nn.Identity):
    output_size = SIZE


# ------------------------------------------------------------------ copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_learner_that_encoded_can_be_copied(copied, helpers):
    base, (x, y) = helpers.make("delta"), helpers.data()
    base.write(base.encode(x), y)
    base(base.encode(x))
    twin = copied(base)
    torch.testing.assert_close(twin(twin.encode(x)), base(base.encode(x)))


def test_vectors_cannot_be_replaced(helpers):
    vectors = helpers.make("delta").encode(helpers.data()[0])
    assert isinstance(vectors, Encoded)
    with pytest.raises(AttributeError):
        vectors.vectors = vectors.vectors + 1
