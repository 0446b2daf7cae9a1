"""The recommender: derivatives, the task axis, padding, and what its baselines are."""

import copy
import pickle

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import ANIL, MAML, MemoryLearner
from l2l_rnn.errors import ArgumentError, ShapeError, UnknownNameError
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import ItemEncoder, MemoryModel, Recommender

ITEMS, TASKS, K, Q = 9, 3, 4, 5


def made(dtype=torch.float64, **options):
    """A small recommender with random parameters, so that no part of it is zero."""
    torch.manual_seed(0)
    model = Recommender(ITEMS, 3, 4, **options).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def data(seed=1, dtype=torch.float64, tasks=TASKS):
    """Support and query set of each task: ids and ratings."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.rand(tasks, ITEMS - 2, generator=generator).argsort(-1) + 2
    x = ids[:, : K + Q].unsqueeze(-1)
    y = torch.randint(1, 6, x.shape, generator=generator).to(dtype)
    return x[:, :K], y[:, :K], torch.cat([x[:, K:], x[:, :2]], 1), y[:, K:]


def outputs_of(model, sx, sy, qx):
    """All that a model computes for a support and a query set."""
    states = model.read(sx, sy)
    return model(qx, states[..., -1:, :]), model(sx, states[..., :-1, :]), model.scores(states)


def test_first_and_second_derivatives():
    model = made()
    sx, sy, qx = (part[:2, :3] for part in data()[:3])
    names = [name for name, _ in model.named_parameters()]

    def function(sy, *values):
        given = dict(zip(names, values, strict=True))

        def call(method, *args):
            # functional_call runs forward alone, so another method is called through a wrapper.
            return torch.func.functional_call(
                Method(model, method), {f"model.{n}": v for n, v in given.items()}, args
            )

        states = call("read", sx, sy)
        scores = call("scores", states[:, -1:])[..., 2:]
        return call("forward", qx, states[:, -1:]), scores

    values = [p.detach().requires_grad_() for p in model.parameters()]
    inputs = (sy.requires_grad_(), *values)
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


class Method(nn.Module):
    def __init__(self, model, name):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, *args):
        return getattr(self.model, self.name)(*args)


@pytest.mark.parametrize("cell", ["gru", "lstm", "mingru"])
@pytest.mark.parametrize("adapts", [None, "head", "ranking"])
def test_many_tasks_equal_a_loop(adapts, cell):
    sx, sy, qx, _ = data()
    found = []
    for together in (True, False):
        model = made(cell=cell)
        learner = MAML(model, lr=0.1, adapts=adapts, allow_unused=True)
        parts = [(sx, sy, qx)] if together else [(sx[n], sy[n], qx[n]) for n in range(TASKS)]
        results, loss = [], 0.0
        for support, ratings, query in parts:
            clone = learner.clone(tasks=TASKS) if together else learner.clone()
            for _ in range(2):
                states = clone.read(support, ratings)
                error = mean_squared_error(clone(support, states[..., :-1, :]), ratings)
                items = support.squeeze(-1)
                error = error + cross_entropy(clone.scores(states[..., :-1, :])[..., 2:], items - 2)
                clone.adapt(error)
            states = clone.read(support, ratings)
            results.append((clone(query, states[..., -1:, :]), clone.scores(states)[..., 2:]))
            loss = loss + sum(part.sin().sum() for part in results[-1])
        loss.backward()
        gradients = [torch.zeros(1) if p.grad is None else p.grad for p in model.parameters()]
        stacked = [
            part[0] if together else torch.stack(part) for part in zip(*results, strict=True)
        ]
        found.append([*stacked, *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_padding_and_what_follows_change_nothing():
    model = made()
    sx, sy, qx, _ = data()
    expected = [model.read(sx[n, :k], sy[n, :k]) for n, k in enumerate((4, 2, 1))]
    x, y = sx.clone(), sy.clone()
    for n, k in enumerate((4, 2, 1)):
        x[n, k:], y[n, k:] = 0, torch.nan
    states = model.read(x, y)
    assert states.shape == (TASKS, K + 1, 4)
    for n, k in enumerate((4, 2, 1)):
        torch.testing.assert_close(states[n, : k + 1], expected[n])
        assert torch.equal(states[n, k:], states[n, k : k + 1].expand(K + 1 - k, -1))
    gradients = torch.autograd.grad(states.sum(), model.recurrence.parameters())
    assert all(g.isfinite().all() for g in gradients)
    later = model.read(torch.cat([sx, qx[:, :1]], 1), torch.cat([sy, sy[:, :1]], 1))
    torch.testing.assert_close(later[:, :-1], model.read(sx, sy))


def test_no_ratings_and_one_rating():
    model = made()
    sx, sy, qx, _ = data()
    none = model.read(sx[:, :0], sy[:, :0])
    assert none.shape == (TASKS, 1, 4)
    torch.testing.assert_close(model(qx, none), model(qx))
    padded = model.read(torch.zeros_like(sx), sy)
    assert torch.equal(padded, torch.zeros(TASKS, K + 1, 4, dtype=torch.float64))
    assert model.read(sx[0, :1], sy[0, :1]).shape == (2, 4)
    assert model(qx[:, :0], none).shape == (TASKS, 0, 1)


def test_baselines_are_shrunk_means_and_popularity():
    model = Recommender(5, 2, 3)
    x, y = torch.tensor([[2], [2], [3]]), torch.tensor([[5.0], [4.0], [1.0]])
    model.fit_baselines(x, y, shrinkage=1.0)
    mean = 10 / 3
    expected = torch.tensor([(9 - 2 * mean) / 3, (1 - mean) / 2, 0.0]) + mean
    query = torch.tensor([[2], [3], [4]])
    torch.testing.assert_close(model(query).squeeze(-1), expected)
    torch.testing.assert_close(model(torch.tensor([[1]])).item(), mean)  # an unknown item
    scores = model.scores(torch.zeros(1, 3))[0]
    torch.testing.assert_close(scores[2:].exp() * 8, torch.tensor([3.0, 2.0, 1.0]))
    assert scores[:2].tolist() == [-torch.inf] * 2
    with pytest.raises(ShapeError, match="x and y must have one shape"):
        model.fit_baselines(x, y[:2])


def test_it_learns_to_read_a_user():
    """Users who rate all items alike, high or low: the first ratings tell the others."""
    torch.manual_seed(0)
    model = Recommender(ITEMS, 4, 8)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for step in range(60):
        sx, sy, qx, _ = data(step, torch.float32, tasks=16)
        level = torch.tensor([1.0, 5.0] * 8).view(16, 1, 1)
        loss = (model(qx, model.read(sx, level.expand_as(sy))[:, -1:]) - level).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_copies_precisions_and_no_grad(dtype):
    model = made(dtype, scale=(0.5, 5))
    sx, sy, qx, _ = data(dtype=dtype)
    expected = outputs_of(model, sx, sy, qx)
    assert all(part.dtype == dtype for part in expected)
    fresh = Recommender(ITEMS, 3, 4, scale=(0.5, 5)).to(dtype)
    fresh.load_state_dict(model.state_dict())
    copies = (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), fresh)
    for other in copies:
        with torch.no_grad():
            assert all(map(torch.equal, outputs_of(other, sx, sy, qx), expected))


def test_learners_take_the_parts():
    sx, sy, qx, _ = data(dtype=torch.float32)
    model = made(torch.float32)
    assert sorted(ANIL(model, lr=0.1, head="ranking").adapted) == ["ranking.weight"]
    store = DeltaFastWeights(model.encoder.output_size, 1, features="unit")
    learner = MemoryLearner(MemoryModel(model.encoder, store, regression=True)).clone(tasks=TASKS)
    before = learner(qx)
    learner.write(sx, sy - 3)
    assert learner(qx).shape == (TASKS, Q, 1)
    assert not torch.equal(learner(qx), before)


def test_bad_input():
    model = made()
    sx, sy, qx, _ = data()
    for call, error, message in (
        (lambda: Recommender(2), ArgumentError, "items must be an integer of at least 3, got 2"),
        (lambda: Recommender(9, scale=(5, 1)), ArgumentError, "highest rating of scale must be"),
        (lambda: Recommender(9, scale=5), ArgumentError, "scale must be the lowest and the"),
        (lambda: Recommender(9, cell="grü"), UnknownNameError, "did you mean 'gru'"),
        (lambda: ItemEncoder(9)(sx.squeeze(-1)), ShapeError, r"\(…, B, 1\), got shape \(3, 4\)"),
        (lambda: model.read(sx, sy[:, :2]), ShapeError, "y must have a rating for each item"),
        (lambda: model(qx, model.read(sx, sy)[:, :2]), ShapeError, "states must have one state"),
        (lambda: model(qx + ITEMS), ArgumentError, "must be from 0 to 8"),
    ):
        with pytest.raises(error, match=message):
            call()
