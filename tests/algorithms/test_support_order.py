"""No learner depends on the order of its support set, unless it is asked to."""

import inspect

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.memory import STORES, SlotStore
from l2l_rnn.models import MemoryModel

WAYS, SHOTS, SIZE, TASKS = 3, 5, 4, 2
BATCH = WAYS * SHOTS
ORDERS = {
    "interleaved": torch.arange(BATCH).reshape(WAYS, SHOTS).mT.flatten(),
    "reversed": torch.arange(BATCH).flip(0),
    "random": torch.randperm(BATCH, generator=torch.Generator().manual_seed(3)),
}


@pytest.fixture(params=ORDERS)
def order(request):
    return ORDERS[request.param]


class Features(nn.Identity):
    output_size = SIZE


def memory_learner(store, slots=32, regression=False, **options):
    """Make a learner of vectors; a store with slots holds two sets of the default size."""
    torch.manual_seed(0)
    kind = STORES[store]
    held = {"slots": slots} if issubclass(kind, SlotStore) else {}
    model = MemoryModel(Features(), kind(SIZE, WAYS, **held), regression=regression).double()
    with torch.no_grad():
        for parameter in model.store.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return MemoryLearner(model, **options)


def support(*lead, seed=1):
    """Draw similar vectors, class by class."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.5 + torch.randn(*lead, BATCH, SIZE, generator=generator, dtype=torch.float64)
    return x, torch.arange(WAYS).repeat_interleave(SHOTS).expand(*lead, BATCH)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_every_learner(name, tasks, make, batch):
    x, y, query, _ = (part[:tasks] if tasks else part[0] for part in batch)
    shuffled = torch.randperm(y.shape[-1], generator=torch.Generator().manual_seed(0))
    by_class = y.reshape(-1, y.shape[-1])[0].argsort(stable=True)
    outputs = []
    for rows in (torch.arange(y.shape[-1]), shuffled, by_class):
        learner = make(name).clone(tasks=tasks)
        for _ in range(3):
            learner.adapt(cross_entropy(learner(x[..., rows, :]), y[..., rows]))
        outputs.append(learner(query))
    for other in outputs[1:]:
        close(other, outputs[0])


@pytest.mark.parametrize("calls", [1, 2, 4])  # 15 sequences: the third set runs out of 32 slots
@pytest.mark.parametrize("store", STORES)
def test_every_store(store, calls, order):
    (x, y), (query, _) = support(TASKS), support(TASKS, seed=2)
    outputs = []
    for rows in (torch.arange(BATCH), order):
        adapting, writing = (memory_learner(store).clone(tasks=TASKS) for _ in range(2))
        for _ in range(calls):
            adapting.adapt(cross_entropy(adapting(x[:, rows]), y[:, rows]))
        writing.write(x[:, rows], y[:, rows], calls)
        close(adapting(query), writing(query))
        outputs.append(writing(query))
    close(*outputs)


@pytest.mark.parametrize("store", STORES)
def test_regression(store, order):
    (x, _), (query, _) = support(), support(seed=2)
    y = x[:, :WAYS].sin()
    outputs = []
    for rows in (torch.arange(BATCH), order):
        learner = memory_learner(store, regression=True).clone()
        for _ in range(3):
            learner.adapt(mean_squared_error(learner(x[rows]), y[rows]))
        outputs.append(learner(query))
    close(*outputs)


def test_the_order_matters_where_the_user_asks_for_it(order):
    (x, y), (query, _) = support(), support(seed=2)
    outputs = []
    for rows in (torch.arange(BATCH), order):
        learner = memory_learner("delta", in_order=True).clone()
        learner.write(x[rows], y[rows])
        outputs.append(learner(query))
    assert (outputs[0] - outputs[1]).abs().max() > 0.01
    assert inspect.signature(MemoryLearner).parameters["in_order"].default is False


def test_class_by_class_does_not_favor_the_last_class():
    """Similar keys: written one by one, each class overwrites most of the classes before it."""
    generator = torch.Generator().manual_seed(0)
    centers = 1 + 0.3 * torch.randn(WAYS, 1, SIZE, generator=generator, dtype=torch.float64)
    noise = 0.05 * torch.randn(WAYS, SHOTS, SIZE, generator=generator, dtype=torch.float64)
    x, y = (centers + noise).flatten(0, 1), torch.arange(WAYS).repeat_interleave(SHOTS)
    accuracies = []
    for in_order in (True, False):
        learner = memory_learner("delta", in_order=in_order).clone()
        learner.module.store.features = "unit"
        learner.write(x, y)
        accuracies.append((learner(x).argmax(-1) == y).double().mean().item())
    assert accuracies[1] > accuracies[0]


@pytest.mark.parametrize("store", [n for n, kind in STORES.items() if issubclass(kind, SlotStore)])
def test_a_support_set_that_does_not_fit_into_the_slots(store):
    x, y = support()
    learner = memory_learner(store, slots=BATCH - 1).clone()
    scores = learner(x)
    for call in (lambda: learner.write(x, y), lambda: learner.adapt(cross_entropy(scores, y))):
        with pytest.raises(ArgumentError, match="15 examples does not fit into 14 slots"):
            call()
    assert torch.equal(learner(x), scores)
    in_order = memory_learner(store, slots=BATCH - 1, in_order=True).clone()
    in_order.write(x, y, times=1)
    assert (in_order.state.written, in_order.state.overwritten) == (BATCH, 1)
