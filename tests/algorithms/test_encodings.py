"""The memory learner encodes a support set once, and what it finds is what encoding anew finds."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.algorithms.encodings import LastEncoding
from l2l_rnn.functional import cross_entropy
from l2l_rnn.memory import DeltaFastWeights, HebbianFastWeights, KeyValueMemory
from l2l_rnn.models import MemoryModel, SequenceEncoder
from l2l_rnn.nn import LearnedDropout

WAYS, SIZE = 3, 4
STORES = {
    "key-value": lambda: KeyValueMemory(SIZE, WAYS, slots=20, similarity="cosine"),
    "delta": lambda: DeltaFastWeights(SIZE, WAYS, features="unit"),
    "hebbian": lambda: HebbianFastWeights(SIZE, WAYS),
}


def make(store="delta", dropout=0.0, **options):
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=2, hidden_size=SIZE, cell="gru", dropout=dropout)
    return MemoryLearner(MemoryModel(encoder, STORES[store]()).double(), **options)


def data(seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 5, 2, generator=generator, dtype=torch.float64)
    x[0, 3:] = float("nan")
    return x, torch.tensor([0, 1, 2, 0, 1, 2])


def anew(base, **options):
    """A clone that encodes at every call."""
    learner = base.clone(**options)
    learner._encoding = LastEncoding(keeps=False)
    return learner


@pytest.fixture
def encodings(monkeypatch):
    """The sequences that encoders were given, in their order."""
    seen, forward = [], SequenceEncoder.forward

    def noted(self, x):
        seen.append(x)
        return forward(self, x)

    monkeypatch.setattr(SequenceEncoder, "forward", noted)
    return seen


def adapt(learner, x, y, times=3):
    for _ in range(times):
        learner.adapt(F.cross_entropy(learner(x), y))


# ------------------------------------------------------------------ the same, for less


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("first_order", [False, True])
def test_values_and_second_order_gradients_are_those_of_encoding_anew(
    store, first_order, encodings
):
    base = make(store, first_order=first_order)
    (x, y), (query, query_y) = data(), data(2)
    found = []
    for learner in (base.clone(), anew(base)):
        encodings.clear()
        adapt(learner, x, y)
        scores = learner(query)
        gradients = torch.autograd.grad(F.cross_entropy(scores, query_y), base.parameters())
        found.append((scores, *learner.state, *gradients, len(encodings)))
    (*ours, once), (*wanted, often) = found
    assert (once, often) == (2, 4)
    for a, b in zip(ours, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert torch.equal(ours[0], wanted[0])


def test_the_gradient_is_a_finite_difference():
    base, (x, y), (query, query_y) = make(), data(), data(2)

    def outer():
        learner = base.clone()
        adapt(learner, x, y)
        return F.cross_entropy(learner(query), query_y)

    outer().backward()
    moves = [(p, torch.randn_like(p)) for p in base.parameters()]
    slope = sum((p.grad * move).sum().item() for p, move in moves)
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for p, move in moves:
                p += step * move
        ends.append(outer().item())
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_tasks_at_once_and_writes_encode_once_too(encodings):
    base, (x, y) = make(), data()
    many, labels = x.expand(2, *x.shape).clone(), y.expand(2, 6)
    ours, wanted = base.clone(tasks=2), anew(base, tasks=2)
    for learner in (ours, wanted):
        for _ in range(2):
            learner.adapt(cross_entropy(learner(many), labels))
        learner.write(many, labels)
    assert len(encodings) == 1 + 3
    torch.testing.assert_close(ours.state, wanted.state)


def test_a_second_query_between_is_encoded_and_so_is_the_support_set_again(encodings):
    base, (x, y), (query, _) = make(), data(), data(2)
    ours, wanted = base.clone(), anew(base)
    for learner in (ours, wanted):
        adapt(learner, x, y, 1)
        learner(query)
        adapt(learner, x, y, 2)
    assert [seen is x for seen in encodings[:3]] == [True, False, True]
    assert len(encodings) == 3 + 4
    torch.testing.assert_close(ours.state, wanted.state)


# ------------------------------------------------------------------ what makes it encode anew


def evaluate(learner, x):
    learner.eval()


def change_x(learner, x):
    with torch.no_grad():
        x[1, 0, 0] += 1


def change_x_behind_torchs_back(learner, x):
    x.numpy()[1, 0, 0] += 1


def replace_what_x_holds(learner, x):
    x.data = x.data + 1


def change_a_parameter(learner, x):
    with torch.no_grad():
        next(learner.module.encoder.parameters()).mul_(2)


def replace_a_parameter(learner, x):
    layer = learner.module.encoder.recurrence
    name, p = next(iter(layer._parameters.items()))
    layer._parameters[name] = (p * 2).detach().requires_grad_()


def replace_what_a_parameter_holds(learner, x):
    p = next(learner.module.encoder.parameters())
    p.data = p.data * 2


def load_parameters(learner, x):
    learner.load_state_dict({name: 2 * p for name, p in learner.state_dict().items()})


def replace_a_layer(learner, x):
    learner.module.encoder.pooling = SequenceEncoder(
        input_size=2, hidden_size=SIZE, pooling="mean"
    ).pooling


def forget(learner, x):
    learner.reset()


def detach(learner, x):
    learner.detach()


def take_up_a_state(learner, x):
    learner.state = learner.state


# What a learner does at its calls, and a script may do to it or to x between them.
CHANGES = [
    evaluate,
    change_x,
    change_x_behind_torchs_back,
    replace_what_x_holds,
    change_a_parameter,
    replace_a_parameter,
    replace_what_a_parameter_holds,
    load_parameters,
    replace_a_layer,
    forget,
    detach,
    take_up_a_state,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_may_change_the_vectors_makes_them_anew(change, encodings):
    base = make()
    with torch.no_grad():
        base.module.log_lr.fill_(1)
    (x, y), (z, _) = data(), data()
    found = []
    for learner, sequences in ((base.clone(), x), (anew(base), z)):
        learner.write(sequences, y)
        learner(sequences)
        change(learner, sequences)
        with torch.enable_grad():
            found.append(learner(sequences))
    assert len(encodings) == 2 + 3
    assert torch.equal(*found)


def test_frozen_parameters_are_encoded_anew():
    """Parameters of a clone that take no gradient, which only leaves can come to be."""
    with torch.no_grad():
        learner = make().clone()
    x = data()[0]
    for p in learner.module.encoder.parameters():
        p.requires_grad_()
    first = learner._encoding.vectors(learner.module.encoder, x)
    assert learner._encoding.vectors(learner.module.encoder, x) is first
    learner.module.encoder.requires_grad_(False)
    assert not learner._encoding.vectors(learner.module.encoder, x).requires_grad


def test_an_equal_tensor_is_not_the_same(encodings):
    learner, (x, _) = make().clone(), data()
    learner(x)
    learner(x.clone())
    assert len(encodings) == 2


def test_vectors_without_a_graph_are_not_taken_for_those_with_one():
    base, (x, y) = make(), data()
    learner = base.clone()
    with torch.no_grad():
        learner(x)
    adapt(learner, x, y, 1)
    with torch.no_grad():
        assert not learner(x).requires_grad
    adapt(learner, x, y, 1)
    other = anew(base)
    adapt(other, x, y, 2)
    torch.testing.assert_close(learner.state, other.state)
    learner(x).sum().backward()
    assert all(p.grad is not None for p in base.module.encoder.parameters())


def test_backward_after_backward_needs_no_retained_graph():
    """A graph that a backward pass may have freed is not used again."""
    base, (x, y), (query, query_y) = make(), data(), data(2)
    gradients = []
    for learner in (base.clone(), anew(base)):
        base.zero_grad()
        learner.write(x, y)
        learner.detach()
        for _ in range(2):
            F.cross_entropy(learner(query), query_y).backward()
        gradients.append([p.grad.clone() for p in base.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)
    assert any(g.abs().max() > 0 for g in gradients[0])


def test_backward_through_several_adapts_then_on(encodings):
    base, (x, y), (query, query_y) = make(), data(), data(2)
    gradients = []
    for learner in (base.clone(), anew(base)):
        base.zero_grad()
        for _ in range(2):
            adapt(learner, x, y, 2)
            F.cross_entropy(learner(query), query_y).backward()
            learner.detach()
        gradients.append([p.grad.clone() for p in base.parameters() if p.grad is not None])
    torch.testing.assert_close(*gradients)
    assert len(encodings) == 4 + 6


@pytest.mark.parametrize("dropout", [0.5, LearnedDropout(0.5)], ids=["dropout", "learned"])
def test_what_is_random_is_drawn_anew(dropout):
    learner, (x, y) = make(dropout=dropout).clone(), data()
    learner.write(x, y)
    assert not torch.equal(learner(x), learner(x))
    learner.eval()
    assert torch.equal(learner(x), learner(x))
    learner.train()
    assert not torch.equal(learner(x), learner(x))


def test_a_hybrid_step_makes_the_vectors_anew():
    base, (x, y) = make(lr=0.5), data()
    found = []
    for learner in (base.clone(), anew(base)):
        adapt(learner, x, y)
        found.append(learner(x))
    assert torch.equal(*found)


# ------------------------------------------------------------------ encoders it does not know


class Counting(nn.Module):
    """Gives something else at every call."""

    output_size = SIZE

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x):
        self.calls.append(len(self.calls))
        return torch.full((len(x), SIZE), float(len(self.calls)), dtype=x.dtype)


def hooked(encoder):
    encoder.register_forward_hook(lambda module, inputs, output: output * torch.rand(()))


def shadowed(encoder):
    encoder.forward = lambda x: torch.rand(len(x), SIZE)


class Doubled(nn.Module):
    def forward(self, x):
        return x * torch.rand(())


def parametrized(encoder):
    parametrize.register_parametrization(encoder[0], "weight", Doubled())


@pytest.mark.parametrize("spoil", [hooked, shadowed, parametrized])
def test_layers_that_were_tampered_with(spoil):
    encoder, x, last = nn.Sequential(nn.Linear(3, SIZE)), torch.randn(2, 3), LastEncoding()
    assert last.vectors(encoder, x) is last.vectors(encoder, x)
    spoil(encoder)
    assert not torch.equal(last.vectors(encoder, x), last.vectors(encoder, x))


def test_foreign_layers_and_recurrent_layers_of_torch_run_at_every_call():
    x, last = torch.randn(2, 4, 3), LastEncoding()
    counting = Counting()
    assert [last.vectors(counting, x)[0, 0].item() for _ in range(3)] == [1, 2, 3]
    theirs = nn.LSTM(3, SIZE)
    assert last.vectors(theirs, x)[0] is not last.vectors(theirs, x)[0]


def test_running_statistics_go_on_running():
    encoder, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    x, last = torch.randn(4, 3) + 5, LastEncoding()
    for _ in range(3):
        last.vectors(encoder, x)
        other(x)
    assert encoder.num_batches_tracked == 3
    torch.testing.assert_close(encoder.running_mean, other.running_mean)
    encoder.eval()
    assert last.vectors(encoder, x) is last.vectors(encoder, x)


def test_how_torch_computes_counts():
    encoder, x, last = nn.Linear(3, SIZE), torch.randn(2, 3), LastEncoding()
    first = last.vectors(encoder, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert last.vectors(encoder, x).dtype == torch.bfloat16
    assert last.vectors(encoder, x) is not first
    mapped = torch.func.vmap(lambda z: last.vectors(encoder, z) + last.vectors(encoder, z))(x)
    torch.testing.assert_close(mapped, 2 * encoder(x))
    with torch.inference_mode():
        assert last.vectors(encoder, x).is_inference()
    assert last.vectors(encoder, x).requires_grad
    assert last.vectors(nn.Identity(), x) is x


# ------------------------------------------------------------------ who keeps what


def test_clones_and_copies_start_without():
    base, (x, y) = make(), data()
    base(x)
    assert base._encoding._kept is None
    learner = base.clone()
    learner.write(x, y)
    other = learner.clone()
    assert learner._encoding._kept is not None
    assert other._encoding._kept is None
    learner.detach()
    assert learner._encoding._kept is None
    with torch.no_grad():
        plain = base.clone()
        plain.write(x, y)
    for copied in (copy.deepcopy(plain), pickle.loads(pickle.dumps(plain))):
        assert copied._encoding._kept is None
        torch.testing.assert_close(copied(x), plain(x))
        assert plain._encoding._kept is not None


def test_the_learner_that_holds_the_initialisation_encodes_at_every_call(encodings):
    """Optimisers and scripts change its parameters, through `.data` too."""
    base, (x, y) = make(), data()
    base.write(x, y)
    before = base(x)
    for p in base.module.encoder.parameters():
        p.data.mul_(2)
    assert not torch.equal(base(x), before)
    assert len(encodings) == 3


def test_nothing_is_kept_alive():
    base = make()
    gc.disable()
    try:
        learner, (x, y) = base.clone(), data()
        adapt(learner, x, y, 2)
        vectors, there = weakref.ref(learner._encoding._kept.vectors), weakref.ref(learner)
        F.cross_entropy(learner(x), y).backward()  # forgets what it went through
        assert learner._encoding._kept is None
        learner(x)
        del learner
        assert there() is None
        assert vectors() is None

        learner = base.clone()
        with torch.no_grad():
            learner(x)
        assert learner._encoding._kept is not None
        del x
        assert learner._encoding._kept is None
    finally:
        gc.enable()
