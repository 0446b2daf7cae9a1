"""Ridge and logistic heads against scikit-learn, and their derivatives."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.heads import ridge_head
from l2l_rnn.algorithms.closed_form.logistic import logistic_head
from l2l_rnn.errors import AdaptationError

HEADS = {"ridge": ridge_head, "logistic": logistic_head}
# Support vectors and features: more vectors, more features, as many, and equal vectors.
SHAPES = {"vectors": (40, 6), "features": (12, 30), "both": (9, 9), "one shot": (3, 20)}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def data(number, size, ways=3, seed=0, *lead):
    """Draw vectors with a large mean, their one-hot labels, and rows without padding."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(number).remainder(ways).expand(*lead, number)
    x = 5 + torch.randn(*lead, number, size, generator=draw, dtype=torch.float64)
    x[..., :ways] += F.one_hot(y, ways)[..., : min(ways, size)]
    return x, F.one_hot(y, ways).double(), torch.ones(*lead, number, 1).double()


def decay(value):
    return torch.tensor(value, dtype=torch.float64)


def close(one, other, tolerance=1e-9):
    torch.testing.assert_close(one, torch.as_tensor(other), rtol=tolerance, atol=tolerance)


@shapes
@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
def test_the_ridge_head_is_that_of_scikit_learn(shape, alpha):
    x, y, rows = data(*shape)
    query = data(7, shape[1], seed=1)[0]
    theirs = Ridge(alpha, tol=1e-12).fit(x, y)
    close(ridge_head(x, y, rows, decay(alpha))(query), theirs.predict(query))


def regression(x, labels, inverse):
    found = LogisticRegression(C=inverse, solver="newton-cg", tol=1e-12, max_iter=10**5)
    return found.fit(x, labels)


@shapes
@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
def test_the_logistic_head_is_that_of_scikit_learn(shape, strength):
    x, y, rows = data(*shape)
    query = data(7, shape[1], seed=1)[0]
    head = logistic_head(x, y, rows, decay(strength))
    theirs = regression(x, y.argmax(-1), 1 / strength)
    close(head.weight, theirs.coef_, 1e-6)
    close(head(query).softmax(-1), theirs.predict_proba(query), 1e-6)


def test_two_classes_have_one_weight_vector_in_scikit_learn():
    x, y, rows = data(20, 4, ways=2)
    head = logistic_head(x, y, rows, decay(0.5))
    close(head(x).softmax(-1), regression(x, y.argmax(-1), 2 / 0.5).predict_proba(x), 1e-7)


@shapes
@pytest.mark.parametrize("strength", [1e-4, 0.1, 1.0])
def test_the_gradient_of_the_objective_is_zero(shape, strength):
    """Also where the classes are separable, and almost all probabilities are 0 or 1."""
    x, y, rows = data(*shape)
    head = logistic_head(3 * x, y, rows, decay(strength))
    weight, bias = (part.detach().requires_grad_() for part in head[:2])
    scores = head._replace(weight=weight, bias=bias)(3 * x)
    loss = F.cross_entropy(scores, y, reduction="sum") + strength / 2 * weight.square().sum()
    for gradient in torch.autograd.grad(loss, (weight, bias)):
        assert gradient.abs().max() < 1e-9 * x.abs().max()


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("shape", [(7, 3), (4, 6)], ids=["vectors", "features"])
@pytest.mark.parametrize("case", ["plain", "padding", "absent", "equal"])
def test_first_and_second_derivatives(name, shape, case):
    x, y, rows = data(*shape)
    if case == "padding":
        rows[1], y[1], x[1] = 0, 0, 0
    if case == "absent":
        y = F.pad(y, (0, 1))
    if case == "equal":
        x[3] = x[0]

    def head(x, log_decay):
        found = HEADS[name](x * rows, y, rows, log_decay.exp())
        return found.weight, found.bias, found.center

    inputs = x.requires_grad_(), torch.tensor(-0.5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(head, inputs)
    assert torch.autograd.gradgradcheck(head, inputs)


@pytest.mark.parametrize("name", HEADS)
@shapes
def test_many_tasks_equal_a_loop(name, shape):
    x, y, rows = data(*shape, 3, 0, 4)
    x = x * torch.tensor([0.01, 1.0, 5.0, 40.0]).view(4, 1, 1)  # they take other numbers of steps
    together = HEADS[name](x, y, rows, decay(0.3))
    for n in range(4):
        for many, one in zip(together, HEADS[name](x[n], y[n], rows[n], decay(0.3)), strict=True):
            close(many[n], one, 1e-8)


@pytest.mark.parametrize("name", HEADS)
@shapes
def test_padding_and_absent_classes_change_nothing(name, shape):
    x, y, rows = data(*shape)
    head = HEADS[name](x, y, rows, decay(0.3))
    padded = (F.pad(part, (0, 0, 2, 1)) for part in (x, y, rows))
    close(HEADS[name](*padded, decay(0.3))(x), head(x))
    more = HEADS[name](x, F.pad(y, (1, 1)), rows, decay(0.3))
    close(more(x)[:, 1:-1], head(x))


@pytest.mark.parametrize("name", HEADS)
def test_a_task_without_examples_has_a_head_of_zeros(name):
    x, y, rows = (part.clone() for part in data(6, 4, 3, 0, 2))
    x[1], y[1], rows[1] = 0, 0, 0
    head = HEADS[name](x, y, rows, decay(0.3))
    assert not any(part[1].any() for part in head)
    close(head.weight[0], HEADS[name](x[0], y[0], rows[0], decay(0.3)).weight)


def test_one_class_has_a_logistic_head_of_zeros():
    x, _, rows = data(6, 4)
    head = logistic_head(x, torch.eye(3).double()[[1] * 6], rows, decay(1.0))
    assert not head.weight.any()
    assert not head.bias.any()


def test_fewer_steps_are_an_approximation():
    x, y, rows = data(12, 30)
    exact = logistic_head(x, y, rows, decay(1e-3)).weight
    errors = [
        (logistic_head(x, y, rows, decay(1e-3), steps).weight - exact).abs().max()
        for steps in (1, 4, 100)
    ]
    assert errors[0] > errors[1] > errors[2] == 0


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_heads_of_less_precise_vectors_are_solved_in_float64(name, dtype):
    x, y, rows = (part.to(dtype) for part in data(12, 30))
    head = HEADS[name](x, y, rows, torch.tensor(1e-4))
    exact = HEADS[name](x.double(), y.double(), rows.double(), torch.tensor(1e-4))
    assert head.weight.dtype == torch.float64
    close(head.weight, exact.weight, 1e-12)
    assert head(x).dtype == dtype


def test_a_singular_system_names_the_regularization():
    x, y, rows = data(40, 6)
    x[:, 1] = 5
    with pytest.raises(AdaptationError, match="increase regularization="):
        ridge_head(x, y, rows, decay(0.0))
