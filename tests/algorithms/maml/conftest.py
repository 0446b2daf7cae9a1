"""Models and tasks for MAML, and learn2learn's loop for comparison."""

import contextlib
import types
import warnings

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.functional import cross_entropy
from l2l_rnn.nn import convert

WAYS, TASKS = 3, 4


class TorchClassifier(nn.Module):
    """A typical model of a learn2learn user: torch's layers, the mean of all outputs, a head."""

    def __init__(self, layer=nn.LSTM, **options):
        super().__init__()
        self.lstm = layer(2, 5, batch_first=True, **options)
        self.head = nn.Linear(5 * (1 + options.get("bidirectional", False)), WAYS)

    def forward(self, x):
        return self.head(self.lstm(x)[0].mean(-2))


class TaskClassifier(TorchClassifier):
    """The same, with the task axis declared."""

    task_axis = True


class Extended(MAML):
    """A subclass with its own attribute, parameter, module and buffer."""

    def __init__(self, model, lr, note, **options):
        super().__init__(model, lr, **options)
        self.note = note
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.extra = nn.Linear(1, 1)
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x):
        return self.scale * super().forward(x)


def ours_and_theirs(dtype=torch.float64, layer=nn.LSTM, **options):
    """Return our model and torch's with the same parameters."""
    torch.manual_seed(0)
    theirs = TorchClassifier(layer, **options).to(dtype)
    ours = TaskClassifier(layer, **options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return convert(ours), theirs


def tasks(dtype=torch.float64, count=TASKS, seed=1):
    """Draw support and query sets `(N, B, S, F)` with labels `(N, B)`."""
    generator = torch.Generator().manual_seed(seed)
    batch = []
    for _ in range(2):
        batch.append(
            torch.randn(count, 6, 4, 2, generator=generator, dtype=torch.float64).to(dtype)
        )
        batch.append(torch.arange(6).remainder(WAYS).expand(count, 6))
    return batch


def loop(maml, batch, steps):
    """Run learn2learn's loop: adapt to each task and backpropagate its query loss."""
    losses = []
    for x, y, query_x, query_y in zip(*batch, strict=True):
        learner = maml.clone()
        for _ in range(steps):
            learner.adapt(nn.functional.cross_entropy(learner(x), y))
        losses.append(nn.functional.cross_entropy(learner(query_x), query_y))
        losses[-1].backward()
    return torch.stack(losses).detach()


def at_once(maml, batch, steps):
    """Run the same with all tasks in one learner."""
    x, y, query_x, query_y = batch
    learner = maml.clone(tasks=len(x))
    for _ in range(steps):
        learner.adapt(cross_entropy(learner(x), y))
    losses = cross_entropy(learner(query_x), query_y)
    losses.sum().backward()
    return losses.detach()


@contextlib.contextmanager
def learn2learn_may_warn():
    """Ignore the warnings of learn2learn's own MAML."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def gradients(model):
    """Return all gradients by parameter name."""
    return {name: p.grad for name, p in model.named_parameters()}


def close(ours, theirs, tolerance):
    """Compare two dictionaries of tensors relative to the largest value of each tensor."""
    assert list(ours) == list(theirs)
    for name in ours:
        error = (ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()
        assert error <= tolerance, f"{name}: relative error {error:.1e}"


def same_parameters(module, before):
    """Compare a module with a snapshot, bit for bit."""
    now = module.state_dict()
    return list(now) == list(before) and all(torch.equal(now[n], before[n]) for n in now)


def snapshot(module):
    """Copy the parameters and buffers of a module."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@pytest.fixture
def helpers():
    """The classes and functions above."""
    return types.SimpleNamespace(
        TorchClassifier=TorchClassifier,
        Extended=Extended,
        ours_and_theirs=ours_and_theirs,
        tasks=tasks,
        loop=loop,
        at_once=at_once,
        learn2learn_may_warn=learn2learn_may_warn,
        gradients=gradients,
        close=close,
        same_parameters=same_parameters,
        snapshot=snapshot,
    )


@pytest.fixture(params=[None, TASKS], ids=["one", "tasks"])
def adapting(request):
    """A learner, and a function that computes a loss for it to adapt to."""
    (ours, _), (x, y, *_) = ours_and_theirs(), tasks()
    learner = MAML(ours, lr=0.3).clone(tasks=request.param)
    if request.param is None:
        x, y = x[0], y[0]
    return learner, lambda: cross_entropy(learner(x), y)
