"""What every gradient-based learner must keep, run over all of them."""

import copy
import inspect
import pickle

import pytest
import torch
from torch import nn

import l2l_rnn.algorithms
from l2l_rnn.algorithms import (
    ANIL,
    BOIL,
    MAML,
    MAMLPlusPlus,
    MetaCurvature,
    MetaSGD,
    PerTensorLR,
    ProtoMAML,
    ProximalRegularizer,
    Reptile,
)
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import AdaptationError, ArgumentError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import LSTM, Embedding, Linear

WAYS, TASKS, BATCH, STEPS = 3, 4, 6, 2

LEARNERS = {
    "MAML": lambda model: MAML(model, 0.3),
    "MAML, first order": lambda model: MAML(model, 0.3, first_order=True),
    "MAML, clipped": lambda model: MAML(model, 0.3, max_grad_norm=0.5),
    "MAML, momentum": lambda model: MAML(model, 0.3, momentum=0.9),
    "MAML, learned pull": lambda model: MAML(
        model, 0.3, regularizer=ProximalRegularizer(model, 0.5)
    ),
    "MAML, learned rates": lambda model: MAML(model, PerTensorLR(model, 0.3, STEPS)),
    "MAML, meta-curvature": lambda model: MAML(model, MetaCurvature(model, 0.3)),
    "MAML of the recurrence": lambda model: MAML(model, 0.3, adapts="encoder.recurrence"),
    "MAML++": lambda model: MAMLPlusPlus(model, 0.3, STEPS),
    "MetaSGD": lambda model: MetaSGD(model, 0.3),
    "ANIL": lambda model: ANIL(model, 0.3),
    "ANIL, learned rates": lambda model: ANIL(model, PerTensorLR(model, 0.3)),
    "BOIL": lambda model: BOIL(model, 0.3),
    "ProtoMAML": lambda model: ProtoMAML(model, 0.3),
    "Reptile": lambda model: Reptile(model, 0.3),
}


def make(name, cell="lstm", seed=0):
    torch.manual_seed(seed)
    model = SequenceClassifier(WAYS, vocab_size=9, embedding_size=3, hidden_size=4, cell=cell)
    return LEARNERS[name](model.double())


@pytest.fixture(params=LEARNERS)
def name(request):
    return request.param


@pytest.fixture
def batch():
    """Ragged tokens: support and query `(N, B, S)` with labels `(N, B)`."""
    generator = torch.Generator().manual_seed(1)
    sequences = torch.randint(1, 9, (2, TASKS, BATCH, 5), generator=generator)
    lengths = torch.randint(1, 6, (2, TASKS, BATCH, 1), generator=generator)
    sequences = sequences.masked_fill(torch.arange(5) >= lengths, 0)
    y = torch.arange(BATCH).remainder(WAYS).expand(TASKS, BATCH)
    return sequences[0], y, sequences[1], y


def outer(learner, x, y):
    return learner.distance() if isinstance(learner, Reptile) else cross_entropy(learner(x), y)


def run(learner, batch, at_once, steps=STEPS):
    """Adapt, backpropagate the outer loss, return it for each task."""
    values = []
    for x, y, query_x, query_y in [batch] if at_once else zip(*batch, strict=True):
        clone = learner.clone(tasks=TASKS) if at_once else learner.clone()
        for _ in range(steps):
            clone.adapt(cross_entropy(clone(x), y))
        value = outer(clone, query_x, query_y)
        value.sum().backward()
        values.append(value.detach())
    return values[0] if at_once else torch.stack(values)


def gradients(learner):
    return {n: p.grad for n, p in learner.named_parameters() if p.grad is not None}


def test_every_learner_is_here():
    classes = {
        value
        for value in vars(l2l_rnn.algorithms).values()
        if inspect.isclass(value) and issubclass(value, MAML)
    }
    assert {type(make(name)) for name in LEARNERS} == classes


@pytest.mark.parametrize("cell", ["lstm", "mingru", "lru"])
def test_tasks_at_once_equal_a_loop(name, batch, cell):
    one, many = make(name, cell), make(name, cell)
    a, b = run(one, batch, at_once=False), run(many, batch, at_once=True)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    found, expected = gradients(many), gradients(one)
    assert set(found) >= set(expected)
    assert any(g.abs().max() > 0 for g in expected.values())
    for n in expected:
        torch.testing.assert_close(found[n], expected[n], rtol=1e-8, atol=1e-11)


def test_the_meta_gradient_is_a_finite_difference(name, batch):
    """Second-order learners: the outer loss changes as its gradient says."""
    learner = make(name)
    if learner.first_order:
        pytest.skip("a first-order learner leaves a part of the gradient out")
    run(learner, batch, at_once=True)
    generator = torch.Generator().manual_seed(2)
    slope, moves = 0.0, []
    for p in learner.parameters():
        if p.grad is not None:
            moves.append((p, torch.randn(p.shape, generator=generator, dtype=p.dtype)))
            slope += (p.grad * moves[-1][1]).sum().item()
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for p, direction in moves:
                p += step * direction
        ends.append(run(learner, batch, at_once=True).sum().item())
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_a_clone_keeps_the_class_and_leaves_the_initialisation(name, batch):
    learner = make(name)
    before = {n: p.detach().clone() for n, p in learner.named_parameters()}
    clone = learner.clone(tasks=TASKS)
    assert type(clone) is type(learner)
    for _ in range(2):
        clone.adapt(cross_entropy(clone(batch[0]), batch[1]))
    assert clone.steps_taken >= 1
    assert learner.steps_taken == 0
    assert all(torch.equal(p, before[n]) for n, p in learner.named_parameters())
    fresh = learner.clone(tasks=TASKS)
    assert fresh.steps_taken == 0
    assert not fresh._velocity


def test_a_clone_of_an_adapted_clone_goes_its_own_way(name, batch):
    learner = make(name).clone()
    x, y, query_x, _ = (part[0] for part in batch)
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
    before = learner(query_x)
    twin = learner.clone()
    torch.testing.assert_close(twin(query_x), before)
    twin.adapt(cross_entropy(twin(x), y))
    assert not torch.equal(twin(query_x), before)
    assert torch.equal(learner(query_x), before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(name, batch, copied):
    learner, other = make(name), make(name, seed=5)
    other.load_state_dict(learner.state_dict())
    expected = run(learner, batch, at_once=True)
    for twin in (copied(make(name)), other):
        assert torch.equal(run(twin, batch, at_once=True), expected)


def test_adapting_lowers_the_loss(name, batch):
    clone = make(name).clone(tasks=TASKS)
    x, y, *_ = batch
    clone.adapt(cross_entropy(clone(x), y))
    before = cross_entropy(clone(x), y)
    for _ in range(5):
        clone.adapt(cross_entropy(clone(x), y))
    assert cross_entropy(clone(x), y).sum() < before.sum()


@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_give_the_whole_batchs_gradients(name, batch, size):
    whole, chunked = make(name), make(name)
    run(whole, batch, at_once=True)
    for chunk in TaskBatch(*batch).chunks(size):
        learner = chunked.clone(tasks=len(chunk))
        for _ in range(STEPS):
            learner.adapt(cross_entropy(learner(chunk.support_x), chunk.support_y))
        outer(learner, chunk.query_x, chunk.query_y).sum().backward()
    for n, g in gradients(whole).items():
        torch.testing.assert_close(gradients(chunked)[n], g, rtol=1e-9, atol=1e-12)


# ------------------------------------------------------------------ what adapts


def test_only_what_is_named_adapts(batch):
    for name, moved in {
        "ANIL": {"head.weight", "head.bias"},
        "MAML of the recurrence": {
            f"encoder.recurrence.{p}_l0" for p in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        },
    }.items():
        learner = make(name)
        clone = learner.clone()
        clone.adapt(cross_entropy(clone(batch[0][0]), batch[1][0]))
        now = dict(clone.module.named_parameters())
        changed = {n for n, p in learner.module.named_parameters() if not torch.equal(p, now[n])}
        assert changed == moved


def test_layers_that_do_not_adapt_get_no_task_axis():
    clone = make("ANIL").clone(tasks=TASKS)
    assert clone.module.encoder.recurrence.weight_ih_l0.dim() == 2
    assert clone.module.head.weight.dim() == 3


def test_a_part_of_a_foreign_model_adapts(batch):
    """Layers that know no task axis run through vmap, all of their parameters with it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(1), nn.LayerNorm(20), nn.Linear(20, WAYS))
    many, one = (MAML(copy.deepcopy(model).double(), 0.3, adapts="3") for _ in range(2))
    a, b = run(many, batch, at_once=True), run(one, batch, at_once=False)
    torch.testing.assert_close(a, b)
    for n, g in gradients(one).items():
        torch.testing.assert_close(gradients(many)[n], g)


@pytest.mark.parametrize("adapts", ["heads", ["head", "body"], "encoder.recurrence.weight"])
def test_names_that_are_not_in_the_model(adapts):
    model = SequenceClassifier(WAYS, input_size=2)
    with pytest.raises(
        ArgumentError, match=r"^MAML: the model has no parameter .* and no module .*it has .*head"
    ):
        MAML(model, 0.1, adapts=adapts)


class Tied(nn.Module):
    """An embedding whose table is the output layer's weight, and a layer between them."""

    task_axis = True

    def __init__(self, bias):
        super().__init__()
        self.embedding, self.middle = Embedding(WAYS, 4), Linear(4, 4)
        self.head = Linear(4, WAYS, bias=bias)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.middle(self.embedding(tokens)).mean(-2))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("adapts", ["embedding", "head", "middle", ["head", "middle"]])
def test_tied_parameters_adapt_together_by_either_name(adapts, bias):
    torch.manual_seed(0)
    model = Tied(bias).double()
    x = torch.randint(0, WAYS, (TASKS, BATCH, 5))
    y = torch.arange(BATCH).remainder(WAYS).expand(TASKS, BATCH)
    found = []
    for at_once in (True, False):
        learner = MAML(copy.deepcopy(model), 0.3, adapts=adapts)
        assert ("embedding.weight" in learner.adapted) == (adapts != "middle")
        run(learner, (x, y, x.flip(1), y), at_once)
        found.append(gradients(learner))
        clone = learner.clone(tasks=TASKS)
        assert clone.module.head.weight is clone.module.embedding.weight
    for n in found[1]:
        torch.testing.assert_close(found[0][n], found[1][n], rtol=1e-9, atol=1e-12)


def test_nothing_but_the_head():
    with pytest.raises(ArgumentError, match=r"^BOIL: the model has no parameters outside 'head'"):
        BOIL(nn.ModuleDict({"head": nn.Linear(2, 2)}), 0.1)


# ------------------------------------------------------------------ clipping and momentum


def test_each_tasks_gradient_is_clipped_by_itself(batch):
    x, y, *_ = batch
    free, clipped = make("MAML"), make("MAML, clipped")
    weights = torch.tensor([1e-3, 1.0, 50.0, 1.0], dtype=torch.float64)  # of the tasks' losses
    moves = []
    for learner in (free, clipped):
        clone = learner.clone(tasks=TASKS)
        before = [p.detach().clone() for p in clone.module.parameters()]
        clone.adapt(weights * cross_entropy(clone(x), y))
        pairs = zip(clone.module.parameters(), before, strict=True)
        moves.append(torch.cat([(p - q).reshape(TASKS, -1) for p, q in pairs], 1).detach())
    lengths = moves[0].norm(dim=1) / 0.3
    scale = (0.5 / lengths).clamp_max(1)
    assert scale[0] == 1
    assert scale[2] < 0.5
    torch.testing.assert_close(moves[1], moves[0] * scale[:, None], rtol=1e-8, atol=1e-12)


def test_momentum_is_torchs(batch):
    x, y = batch[0][0], batch[1][0]
    clone = make("MAML, momentum").clone(first_order=True)
    reference = make("MAML").module
    sgd = torch.optim.SGD(reference.parameters(), 0.3, momentum=0.9)
    for _ in range(4):
        clone.adapt(cross_entropy(clone(x), y))
        sgd.zero_grad()
        cross_entropy(reference(x), y).backward()
        sgd.step()
    for p, q in zip(clone.module.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


def test_the_pull_leads_back_to_the_start(batch):
    """The inner gradient gains strength times the way gone, tensor by tensor."""
    x, y = batch[0][0], batch[1][0]
    free, pulled = make("MAML"), make("MAML, learned pull")
    with torch.no_grad():
        pulled.regularizer.log_strengths += torch.arange(len(pulled.regularizer.names)) / 3
    regularizer = pulled.regularizer
    strengths = dict(zip(regularizer.names, regularizer.log_strengths.exp(), strict=True))
    clones = [free.clone(), pulled.clone()]
    for clone in clones:
        clone.adapt(cross_entropy(clone(x), y))
    once = [dict(clone.module.named_parameters()) for clone in clones]
    for clone in clones:
        clone.adapt(cross_entropy(clone(x), y))
    for n, p in clones[0].module.named_parameters():
        torch.testing.assert_close(once[0][n], once[1][n])  # the first step starts there
        gone = once[0][n] - dict(free.module.named_parameters())[n]
        expected = p - 0.3 * strengths[n] * gone
        torch.testing.assert_close(dict(clones[1].module.named_parameters())[n], expected)


def test_weights_of_the_steps_end_at_the_last():
    maml = MAMLPlusPlus(nn.Linear(1, 1), 0.1, steps=4)
    torch.testing.assert_close(maml.step_weights(0.0), torch.full((4,), 0.25))
    torch.testing.assert_close(maml.step_weights(1.0), torch.tensor([0.0, 0.0, 0.0, 1.0]))
    half = maml.step_weights(0.5)
    torch.testing.assert_close(half, torch.tensor([0.125, 0.125, 0.125, 0.625]))
    with pytest.raises(
        ArgumentError, match=r"progress must be .* at least 0 and of at most 1, got 1\.5"
    ):
        maml.step_weights(1.5)


@pytest.mark.parametrize("strength", [0, -1, float("inf"), "1", None, True])
def test_bad_pulls(strength):
    with pytest.raises(ArgumentError, match="strength must be a number above 0, got"):
        ProximalRegularizer(nn.Linear(1, 1), strength)


def test_nothing_to_clip():
    model = nn.Linear(2, 2)
    learner = MAML(model, 0.1, allow_unused=True, max_grad_norm=1.0).clone()
    learner.adapt(torch.ones((), requires_grad=True))
    pairs = zip(learner.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)


@pytest.mark.parametrize("use", ["pull", "distance"])
def test_the_start_is_a_clones(use):
    model = nn.Linear(1, 1)
    pulled, reptile = (
        MAML(model, 0.1, regularizer=ProximalRegularizer(model, 1.0)),
        Reptile(model, 0.1),
    )
    with pytest.raises(AdaptationError, match=r"call clone\(\) first"):
        pulled.adapt(pulled(torch.ones(1, 1)).sum()) if use == "pull" else reptile.distance()


def test_a_recurrent_layer_of_its_own_warns_of_nothing():
    """Warnings are errors here; learn2learn looks at whatever has flatten_parameters."""
    layer = LSTM(2, 3)
    learner = MAML(
        layer, PerTensorLR(layer, 0.1), regularizer=ProximalRegularizer(layer, 1.0)
    ).clone()
    learner.adapt(learner(torch.zeros(4, 1, 2))[0].sum())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_grad_norm": 0}, "max_grad_norm must be a number above 0, got"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm must be a number above 0, got"),
        ({"momentum": 1.0}, "momentum must be a number of at least 0 and below 1, got"),
        ({"momentum": -0.1}, "momentum must be a number of at least 0 and below 1, got"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ArgumentError, match=message):
        MAML(nn.Linear(1, 1), 0.1, **options)


@pytest.mark.parametrize("many", [False, True])
def test_a_gradient_that_is_not_finite_names_its_task(many):
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    learner = MAML(model, 0.1).clone(tasks=3 if many else None)
    x = torch.tensor([[[1.0]], [[0.0]], [[1.0]]])  # the root's slope at 0 is infinite
    value = learner(x if many else x[1]).abs().sqrt().reshape(3 if many else 1, -1).sum(1)
    before = [p.detach().clone() for p in learner.module.parameters()]
    message = "of task 1 is NaN" if many else "the gradient is NaN"
    with pytest.raises(AdaptationError, match=message):
        learner.adapt(value if many else value.sum())
    assert all(torch.equal(p, q) for p, q in zip(learner.module.parameters(), before, strict=True))
