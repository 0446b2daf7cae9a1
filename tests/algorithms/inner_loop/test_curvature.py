"""Meta-Curvature against its definition and learn2learn's; learn2learn's GBML with our models."""

import copy
import warnings

import learn2learn
import pytest
import torch
from learn2learn.optim.transforms import KroneckerTransform, MetaCurvatureTransform
from torch import nn

from l2l_rnn.algorithms import MAML, MetaCurvature
from l2l_rnn.errors import AdaptationError, ArgumentError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import Embedding, Linear
from tests.algorithms.finite_differences import central_difference

WAYS, TASKS = 3, 4


class Holder(nn.Module):
    """A module with parameters of given shapes."""

    def __init__(self, *shapes):
        super().__init__()
        self.held = nn.ParameterList(
            nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in shapes
        )


def randomized(transform, seed=3):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in transform.parameters():
            p += 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return transform


def classifier(cell="lstm", seed=0):
    torch.manual_seed(seed)
    return SequenceClassifier(WAYS, input_size=2, hidden_size=4, cell=cell).double()


@pytest.fixture
def batch():
    """Support and query `(N, B, S, F)` with labels `(N, B)`."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, TASKS, 6, 4, 2, generator=generator, dtype=torch.float64)
    y = torch.arange(6).remainder(WAYS).expand(TASKS, 6)
    x[..., 0] += y.unsqueeze(-1)
    return x[0], y, x[1], y


# ------------------------------------------------------------------ the definition


@pytest.mark.parametrize("tasks", [None, 3])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (3, 3), (2, 3, 4), (2, 1, 3, 2)])
def test_it_is_a_product_along_each_axis(shape, tasks):
    curvature = randomized(MetaCurvature(Holder(shape), 0.5))
    gradient = torch.randn(shape if tasks is None else (tasks, *shape), dtype=torch.float64)
    (step,) = curvature(0, {"held.0": gradient}).values()
    assert step.shape == gradient.shape
    matrices = list(curvature.matrices[0])
    assert [m.shape for m in matrices] == [(n, n) for n in shape or (1,)]
    whole = matrices[0]
    for matrix in matrices[1:]:
        whole = torch.kron(whole, matrix)
    flat = gradient.reshape(-1, whole.shape[0])
    torch.testing.assert_close(step.reshape_as(flat), 0.5 * flat @ whole.mT)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (3, 5), (2, 3, 5)])
def test_a_long_axis_has_a_diagonal(shape):
    short = randomized(MetaCurvature(Holder(shape), 0.5, diagonal_above=4))
    assert [m.shape for m in short.matrices[0]] == [(n, n) if n < 5 else (n,) for n in shape]
    whole = MetaCurvature(Holder(shape), 0.5)
    with torch.no_grad():
        for matrix, given in zip(whole.matrices[0], short.matrices[0], strict=True):
            matrix.copy_(given.diag() if given.dim() == 1 else given)
    gradients = {"held.0": torch.randn(2, *shape, dtype=torch.float64)}
    torch.testing.assert_close(short(0, gradients), whole(0, gradients))


def test_tied_parameters_have_one_set_of_matrices(batch):
    class Tied(nn.Module):
        task_axis = True

        def __init__(self):
            super().__init__()
            self.embedding, self.head = Embedding(WAYS, 4), Linear(4, WAYS, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, tokens):
            return self.head(self.embedding(tokens).mean(-2))

    model = Tied().double()
    maml = MAML(model, randomized(MetaCurvature(model, 0.3)))
    assert [len(m) for m in maml.lr.matrices] == [2]
    y = batch[1]
    x = torch.randint(0, WAYS, (*y.shape, 5))
    learner = maml.clone(tasks=TASKS)
    learner.adapt(cross_entropy(learner(x), y))
    assert learner.module.head.weight is learner.module.embedding.weight
    cross_entropy(learner(x), y).sum().backward()
    assert all(p.grad.abs().max() > 0 for p in maml.parameters())


def test_the_outer_step_lowers_the_query_loss(batch):
    """Only the matrices are trained; the initialization stays fixed."""
    model = classifier()
    maml = MAML(model, MetaCurvature(model, 0.3))
    optimizer = torch.optim.Adam(maml.lr.parameters(), 0.1)
    losses = []
    for _ in range(15):
        learner = maml.clone(tasks=TASKS)
        learner.adapt(cross_entropy(learner(batch[0]), batch[1]))
        loss = cross_entropy(learner(batch[2]), batch[3]).sum()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


# ------------------------------------------------------------------ learn2learn's transform


def copy_learn2learns_matrices(curvature, transforms):
    """Set our matrices to learn2learn's."""
    with torch.no_grad():
        for matrices, theirs in zip(curvature.matrices, transforms, strict=True):
            if theirs.dim == 1:
                matrices[0].copy_(theirs.mc.diag())
            else:
                matrices[0].copy_(theirs.mc_in)
                matrices[1].copy_(theirs.mc_out.mT)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (4, 4)])
def test_the_step_equals_learn2learns(shape):
    model = Holder(shape)
    theirs = randomized(MetaCurvatureTransform(model.held[0], lr=0.3).double())
    ours = MetaCurvature(model, 0.3)
    copy_learn2learns_matrices(ours, [theirs])
    gradient = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(ours(0, {"held.0": gradient})["held.0"], theirs(gradient))


def test_the_step_of_a_convolution_equals_learn2learns():
    """learn2learn's one matrix for both filter axes is set to the product of our two matrices."""
    model = Holder((2, 3, 4, 5))
    theirs = randomized(MetaCurvatureTransform(model.held[0], lr=0.3).double())
    ours = randomized(MetaCurvature(model, 0.3))
    with torch.no_grad():
        first, second, third, fourth = ours.matrices[0]
        first.copy_(theirs.mc_in)
        second.copy_(theirs.mc_out.mT)
        theirs.mc_f.copy_(torch.kron(third, fourth))
    gradient = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(0, {"held.0": gradient})["held.0"], theirs(gradient))


def gbml_loop(learner, batch, steps=2):
    """Run learn2learn's loop over the tasks, backpropagate, and return the losses."""
    losses = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # learn2learn reads .grad of non-leaf tensors
        for x, y, query_x, query_y in zip(*batch, strict=True):
            clone = learner.clone()
            for _ in range(steps):
                clone.adapt(cross_entropy(clone(x), y))
            losses.append(cross_entropy(clone(query_x), query_y))
            losses[-1].backward()
    return torch.stack(losses).detach()


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_meta_gradients_equal_those_of_learn2learns_gbml(cell, first_order, batch):
    model = classifier(cell)
    theirs = learn2learn.algorithms.GBML(
        copy.deepcopy(model), MetaCurvatureTransform, lr=0.3, first_order=first_order
    ).double()
    transforms = randomized(theirs.compute_update).transforms_modules
    curvature = MetaCurvature(model, 0.3)
    copy_learn2learns_matrices(curvature, transforms)
    ours = MAML(model, curvature, first_order=first_order)
    wanted = gbml_loop(theirs, batch)
    x, y, query_x, query_y = batch
    learner = ours.clone(tasks=TASKS)
    for _ in range(2):
        learner.adapt(cross_entropy(learner(x), y))
    losses = cross_entropy(learner(query_x), query_y)
    losses.sum().backward()
    torch.testing.assert_close(losses.detach(), wanted, rtol=1e-10, atol=0)
    for p, q in zip(model.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-8, atol=1e-11)
    for matrices, other in zip(curvature.matrices, transforms, strict=True):
        if other.dim == 1:
            pairs = [(matrices[0].grad.diag(), other.mc.grad)]
        else:
            pairs = [
                (matrices[0].grad, other.mc_in.grad),
                (matrices[1].grad, other.mc_out.grad.mT),
            ]
        for got, expected in pairs:
            torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-11)


# ------------------------------------------------------------------ learn2learn's GBML


GBMLS = {
    "meta-curvature": MetaCurvatureTransform,
    "kronecker": KroneckerTransform(learn2learn.nn.KroneckerLinear),
}


def gbml(cell, kind, **options):
    model = classifier(cell)
    return learn2learn.algorithms.GBML(model, GBMLS[kind], lr=0.3, **options).double()


@pytest.mark.parametrize("kind", GBMLS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_learn2learns_gbml_is_second_order_on_our_layers(cell, kind, batch):
    learner = gbml(cell, kind)
    randomized(learner.compute_update)
    gbml_loop(learner, batch)
    parameters = list(learner.parameters())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in parameters)
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    slope = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True))
    difference = central_difference(lambda: gbml_loop(learner, batch).sum(), parameters, directions)
    assert difference == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("adapt_transform", [False, True])
@pytest.mark.parametrize("kind", GBMLS)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_learn2learns_gbml_trains_our_models(cell, kind, adapt_transform, batch):
    learner = gbml(cell, kind, adapt_transform=adapt_transform)
    before = [p.detach().clone() for p in learner.compute_update.parameters()]
    optimizer = torch.optim.Adam(learner.parameters(), 0.05)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        losses.append(gbml_loop(learner, batch).sum())
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1
    after = learner.compute_update.parameters()
    assert not any(torch.equal(p, q) for p, q in zip(after, before, strict=True))


# ------------------------------------------------------------------ arguments


@pytest.mark.parametrize("bound", [-1, 2.0, "2", True])
def test_bad_bounds(bound):
    with pytest.raises(ArgumentError, match="diagonal_above must be a non-negative integer"):
        MetaCurvature(nn.Linear(1, 1), 0.1, diagonal_above=bound)


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_a_transform_of_another_model_raises(tasks, batch):
    x, y = (batch[0], batch[1]) if tasks else (batch[0][0], batch[1][0])
    other = SequenceClassifier(WAYS, input_size=2, hidden_size=5)
    learner = MAML(classifier(), MetaCurvature(other, 0.1)).clone(tasks=tasks)
    before = [p.detach().clone() for p in learner.module.parameters()]
    with pytest.raises(AdaptationError, match=r"_ih_l0' must have shape \(20, 2\), .* got .*16, 2"):
        learner.adapt(cross_entropy(learner(x), y))
    pairs = zip(before, learner.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
