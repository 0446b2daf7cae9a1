"""ProtoMAML: the classifier of a prototypical network, followed by MAML's steps."""

import copy
import pickle

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML, PerTensorLR, ProtoMAML, ProtoNet
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier

WAYS, TASKS, BATCH = 3, 4, 6


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SequenceClassifier(WAYS, input_size=2, hidden_size=4).double()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    x, query_x = torch.randn(2, TASKS, BATCH, 5, 2, generator=generator, dtype=torch.float64)
    y = torch.arange(BATCH).remainder(WAYS).expand(TASKS, BATCH)
    return x, y, query_x, y


def test_before_any_step_it_is_a_prototypical_network(model, batch):
    x, y, query_x, _ = batch
    ours = ProtoMAML(model, 0.1).clone(tasks=TASKS)
    theirs = ProtoNet(model.encoder, WAYS).clone()
    ours.write(x, y)
    theirs.write(x, y)
    a, b = (learner(query_x).log_softmax(-1) for learner in (ours, theirs))
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_learn2learn_loop_equals_write_and_steps(model, batch):
    """The first adapt reads the labels from the loss and sets the head."""
    x, y, query_x, _ = (part[0] for part in batch)
    maml = ProtoMAML(model, 0.1)
    looped, written = maml.clone(), maml.clone()
    written.write(x, y)
    for step in range(3):
        looped.adapt(nn.functional.cross_entropy(looped(x), y))
        if step:
            written.adapt(nn.functional.cross_entropy(written(x), y))
    torch.testing.assert_close(looped(query_x), written(query_x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("learned_lr", [False, True])
@pytest.mark.parametrize("first_order", [False, True])
def test_tasks_at_once_equal_a_loop(model, batch, first_order, learned_lr):
    learners = []
    for run in ("loop", "once"):
        own = copy.deepcopy(model)
        lr = PerTensorLR(own, 0.2) if learned_lr else 0.2
        maml = ProtoMAML(own, lr, first_order=first_order)
        learners.append(maml)
        parts = list(zip(*batch, strict=True)) if run == "loop" else [batch]
        for x, y, query_x, query_y in parts:
            learner = maml.clone() if run == "loop" else maml.clone(tasks=TASKS)
            learner.write(x, y)
            for _ in range(2):
                learner.adapt(cross_entropy(learner(x), y))
            cross_entropy(learner(query_x), query_y).sum().backward()
    one, many = ({n: p.grad for n, p in learner.named_parameters()} for learner in learners)
    for name in one:
        if "head" in name and "lr" not in name:
            assert one[name] is None or not one[name].any()  # a task's head is not a meta-parameter
        else:
            torch.testing.assert_close(many[name], one[name], rtol=1e-9, atol=1e-12)


def test_the_meta_gradient_equals_the_formula(model, batch):
    """The reference computes one task and one step from the equations, with torch.func."""
    x, y, query_x, query_y = (part[0] for part in batch)
    maml = ProtoMAML(model, 0.3)
    learner = maml.clone()
    learner.write(x, y)
    learner.adapt(cross_entropy(learner(x), y))
    cross_entropy(learner(query_x), query_y).backward()

    theta = {n: p.detach().requires_grad_() for n, p in model.encoder.named_parameters()}

    def encode(parameters, x):
        return torch.func.functional_call(model.encoder, parameters, (x,))

    def loss(parameters, weight, bias, x, y):
        return nn.functional.cross_entropy(encode(parameters, x) @ weight.T + bias, y)

    means = torch.stack([encode(theta, x)[y == c].mean(0) for c in range(WAYS)])
    copies = {n: p.clone() for n, p in theta.items()}  # the head is made of theta, not of these
    start = [*copies.values(), 2 * means, -means.square().sum(-1)]
    steps = torch.autograd.grad(loss(copies, *start[-2:], x, y), start, create_graph=True)
    adapted = [p - 0.3 * g for p, g in zip(start, steps, strict=True)]
    value = loss(dict(zip(theta, adapted, strict=False)), *adapted[-2:], query_x, query_y)
    expected = torch.autograd.grad(value, list(theta.values()))
    for p, g in zip(model.encoder.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, g, rtol=1e-9, atol=1e-12)


def test_other_numbers_of_classes(model, batch):
    x = batch[0]
    y = torch.arange(BATCH).expand(TASKS, BATCH)
    learner = ProtoMAML(model, 0.1).clone(tasks=TASKS)
    learner.write(x, y, ways=BATCH)
    learner.adapt(cross_entropy(learner(x), y))
    assert learner(x).shape == (TASKS, BATCH, BATCH)
    assert model.head.weight.shape[0] == WAYS


def test_layers_without_the_task_axis(batch):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(1), nn.LayerNorm(10), nn.Linear(10, 4))
            self.head = nn.Linear(4, WAYS)

        def forward(self, x):
            return self.head(self.encoder(x))

    torch.manual_seed(0)
    model = Mean().double()
    x, y, query_x, _ = batch
    many = ProtoMAML(model, 0.1).clone(tasks=TASKS)
    many.write(x, y)
    many.adapt(cross_entropy(many(x), y))
    for n in range(TASKS):
        one = ProtoMAML(model, 0.1).clone()
        one.write(x[n], y[n])
        one.adapt(cross_entropy(one(x[n]), y[n]))
        torch.testing.assert_close(many(query_x)[n], one(query_x[n]), rtol=1e-9, atol=1e-12)


def test_a_frozen_encoder_still_adapts_its_head(model, batch):
    model.encoder.requires_grad_(False)
    x, y, *_ = batch
    learner = ProtoMAML(model, 1.0, allow_nograd=True).clone(tasks=TASKS)
    learner.write(x, y)
    before = cross_entropy(learner(x), y)
    for _ in range(5):
        learner.adapt(cross_entropy(learner(x), y))
    assert (cross_entropy(learner(x), y) < before).all()


def test_it_is_a_maml_and_clones_keep_the_class(model, batch):
    maml = ProtoMAML(model, 0.1)
    learner = maml.clone(tasks=TASKS)
    learner.write(*batch[:2])
    assert isinstance(learner, MAML)
    assert type(learner) is ProtoMAML
    assert not maml.has_prototypes
    assert not maml.clone().has_prototypes
    assert learner.clone().has_prototypes


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(model, batch, copied):
    maml = ProtoMAML(model, PerTensorLR(model, 0.1))
    other = copied(maml)
    other.load_state_dict(maml.state_dict())
    x, y, query_x, _ = batch
    outputs = []
    for each in (maml, other):
        learner = each.clone(tasks=TASKS)
        learner.write(x, y)
        learner.adapt(cross_entropy(learner(x), y))
        outputs.append(learner(query_x))
    assert torch.equal(*outputs)


# ------------------------------------------------------------------ errors


def test_a_model_needs_an_encoder():
    with pytest.raises(ArgumentTypeError, match=r"must have 'encoder', a torch\.nn\.Module"):
        ProtoMAML(nn.Linear(2, 2), 0.1)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (nn.Sequential(nn.Linear(4, 2)), r"must have 'head', a torch\.nn\.Linear"),
        (nn.Linear(4, 2, bias=False), "head must have a bias"),
    ],
)
def test_a_model_needs_a_linear_head_with_a_bias(head, message):
    with pytest.raises(ArgumentTypeError, match=message):
        ProtoMAML(nn.ModuleDict({"encoder": nn.Identity(), "head": head}), 0.1)


@pytest.mark.parametrize("call", ["write", "adapt"])
def test_the_initialization_is_never_written(model, batch, call):
    maml = ProtoMAML(model, 0.1)
    x, y = batch[0][0], batch[1][0]
    with pytest.raises(AdaptationError, match=r"call clone\(\) first"):
        maml.write(x, y) if call == "write" else maml.adapt(cross_entropy(maml(x), y))
    assert not maml.has_prototypes
    assert all(p.is_leaf for p in maml.parameters())


def test_clones_and_copies_do_not_keep_the_last_outputs(model, batch):
    maml = ProtoMAML(model, 0.1)
    x, y = batch[0][0], batch[1][0]
    loss = cross_entropy(maml(x), y)
    assert copy.deepcopy(maml)._last is None
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        maml.clone().adapt(loss)


def test_adapt_before_any_output(model):
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        ProtoMAML(model, 0.1).clone().adapt(torch.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize("call", ["write", "adapt"])
def test_a_class_without_support(model, batch, call):
    """It is never predicted, before and after gradient steps, and its part of the head is 0."""
    x, y, query, _ = batch
    y = y.clamp_max(1)
    learner = ProtoMAML(model, 0.1).clone(tasks=TASKS)
    learner.write(x, y) if call == "write" else learner.adapt(cross_entropy(learner(x), y))
    assert learner.has_prototypes
    for _ in range(3):
        assert (learner(query).argmax(-1) != 2).all()
        assert not learner.module.head.weight[:, 2].any()
        assert not learner.module.head.bias[:, 2].any()
        learner.adapt(cross_entropy(learner(x), y))


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (torch.zeros(TASKS, BATCH), ArgumentTypeError),
        (torch.zeros(TASKS, 2, dtype=torch.long), ShapeError),
        (torch.full((TASKS, BATCH), WAYS), ArgumentError),
    ],
)
def test_bad_labels(model, batch, labels, error):
    learner = ProtoMAML(model, 0.1).clone(tasks=TASKS)
    with pytest.raises(error, match=r"^ProtoMAML\.write: "):
        learner.write(batch[0], labels)
    assert not learner.has_prototypes


@pytest.mark.parametrize("step", ["first", "second"])
def test_a_nan_loss_changes_nothing(model, batch, step):
    x, y, query_x, _ = batch
    learner = ProtoMAML(model, 0.1).clone(tasks=TASKS)
    if step == "second":
        learner.write(x, y)
    before = learner(query_x)
    with pytest.raises(AdaptationError, match=r"finite|nan"):
        learner.adapt(cross_entropy(learner(x), y) * torch.nan)
    assert learner.has_prototypes == (step == "second")
    assert torch.equal(learner(query_x), before)
