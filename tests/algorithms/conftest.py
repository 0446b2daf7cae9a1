"""The learners that the contract tests cover, and their tasks."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import (
    ANIL,
    BOIL,
    LRD2,
    MAML,
    R2D2,
    DistributionalSignatures,
    FixedClassifier,
    MAMLPlusPlus,
    MemoryLearner,
    MetaCurvature,
    MetaSGD,
    NearestNeighbor,
    PerElementLR,
    PerTensorLR,
    ProtoMAML,
    ProtoNet,
    ProximalRegularizer,
    Reptile,
    RidgeCV,
    StackedLearner,
    TfIdfLearner,
)
from l2l_rnn.functional import cross_entropy
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier

WAYS, TASKS, BATCH, SIZE, STEPS = 3, 4, 6, 4, 2

# Every learner has an entry that makes it from a SequenceClassifier. The contract tests run over
# all entries. These learners take gradient steps:
GRADIENT_LEARNERS = {
    "MAML": lambda model: MAML(model, 0.3),
    "MAML, first order": lambda model: MAML(model, 0.3, first_order=True),
    "MAML, clipped": lambda model: MAML(model, 0.3, max_grad_norm=0.5),
    "MAML, momentum": lambda model: MAML(model, 0.3, momentum=0.9),
    "MAML, regularized": lambda model: MAML(
        model, 0.3, regularizer=ProximalRegularizer(model, 0.5)
    ),
    "MAML, all options": lambda model: MAML(
        model,
        0.3,
        max_grad_norm=0.1,
        momentum=0.9,
        regularizer=ProximalRegularizer(model, 0.5),
    ),
    "MAML, per-tensor lr": lambda model: MAML(model, PerTensorLR(model, 0.3, STEPS)),
    "MAML, per-element lr": lambda model: MAML(model, PerElementLR(model, 0.3)),
    "MAML, meta-curvature": lambda model: MAML(model, MetaCurvature(model, 0.3)),
    "MAML of the recurrence": lambda model: MAML(model, 0.3, adapts="encoder.recurrence"),
    "MAML++": lambda model: MAMLPlusPlus(model, 0.3, STEPS),
    "MetaSGD": lambda model: MetaSGD(model, 0.3),
    "ANIL": lambda model: ANIL(model, 0.3),
    "ANIL, per-tensor lr": lambda model: ANIL(model, PerTensorLR(model, 0.3)),
    "BOIL": lambda model: BOIL(model, 0.3),
    "ProtoMAML": lambda model: ProtoMAML(model, 0.3),
    "Reptile": lambda model: Reptile(model, 0.3),
}


def memory_learner(model, **options):
    memory = DeltaFastWeights(SIZE, WAYS, features="unit")
    return MemoryLearner(MemoryModel(model.encoder, memory), **options)


def stacked_learner(model):
    members = [ProtoNet(nn.Identity(), WAYS), R2D2(nn.Identity(), WAYS)]
    return StackedLearner(model.encoder, WAYS, members, [TfIdfLearner(WAYS, (1, 2))])


def signatures(model, frozen=False):
    vectors = model.encoder.embedding.requires_grad_(not frozen)
    learner = DistributionalSignatures(vectors, WAYS, vocab_size=9, hidden_size=SIZE)
    learner.eval()  # without dropout, whose random numbers differ between one and many tasks
    return learner.fit(torch.tensor([[2, 3, 3, 4, 5, 6, 6, 6, 7, 8, 0]]))


# These take no gradient steps, or do more than that:
OTHER_LEARNERS = {
    "ProtoNet": lambda model: ProtoNet(model.encoder, WAYS),
    "R2D2": lambda model: R2D2(model.encoder, WAYS),
    "LRD2": lambda model: LRD2(model.encoder, WAYS, regularization=0.1),
    "RidgeCV": lambda model: RidgeCV(model.encoder, WAYS, alphas=(0.1, 1.0)),
    "NearestNeighbor": lambda model: NearestNeighbor(model.encoder, WAYS),
    "FixedClassifier": lambda model: FixedClassifier(model, WAYS),
    "StackedLearner": stacked_learner,
    "DistributionalSignatures": lambda model: signatures(model),
    "DistributionalSignatures, frozen vectors": lambda model: signatures(model, frozen=True),
    "MemoryLearner": memory_learner,
    "MemoryLearner, hybrid": lambda model: memory_learner(model, lr=0.3),
}
LEARNERS = GRADIENT_LEARNERS | OTHER_LEARNERS


@pytest.fixture
def learners():
    """The constructors of all learners, by name."""
    return LEARNERS


@pytest.fixture(params=LEARNERS)
def name(request):
    """The name of a learner."""
    return request.param


@pytest.fixture(params=GRADIENT_LEARNERS)
def gradient_name(request):
    """The name of a learner that takes gradient steps."""
    return request.param


@pytest.fixture
def make():
    """A function that makes a learner, by name, from a small token classifier."""

    def make(name, cell="lstm", seed=0):
        torch.manual_seed(seed)
        model = SequenceClassifier(
            WAYS, vocab_size=9, embedding_size=3, hidden_size=SIZE, cell=cell
        )
        return LEARNERS[name](model.double()).double()

    return make


@pytest.fixture
def batch():
    """Ragged tokens: support and query sets `(N, B, S)` with labels `(N, B)`."""
    generator = torch.Generator().manual_seed(1)
    sequences = torch.randint(1, 9, (2, TASKS, BATCH, 5), generator=generator)
    lengths = torch.randint(1, 6, (2, TASKS, BATCH, 1), generator=generator)
    sequences = sequences.masked_fill(torch.arange(5) >= lengths, 0)
    y = torch.arange(BATCH).remainder(WAYS).expand(TASKS, BATCH)
    return sequences[0], y, sequences[1], y


@pytest.fixture
def outer_loss():
    """A function that returns the outer losses of an adapted learner on a query set."""

    def outer_loss(learner, x, y):
        return learner.distance() if isinstance(learner, Reptile) else cross_entropy(learner(x), y)

    return outer_loss


@pytest.fixture
def run(outer_loss):
    """A function that adapts, backpropagates and returns the outer loss of each task."""

    def run(learner, batch, at_once, steps=STEPS):
        losses = []
        for x, y, query_x, query_y in [batch] if at_once else zip(*batch, strict=True):
            clone = learner.clone(tasks=len(x)) if at_once else learner.clone()
            for _ in range(steps):
                clone.adapt(cross_entropy(clone(x), y))
            loss = outer_loss(clone, query_x, query_y)
            loss.sum().backward()
            losses.append(loss.detach())
        return losses[0] if at_once else torch.stack(losses)

    return run


@pytest.fixture
def gradients():
    """A function that returns the gradients of a module by parameter name."""
    return lambda module: {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
