"""Arguments of all learners and gradient transforms: learning rates, options, labels."""

import inspect
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import l2l_rnn.algorithms
from l2l_rnn.algorithms import (
    ANIL,
    BOIL,
    LRD2,
    MAML,
    R2D2,
    GradientTransform,
    MAMLPlusPlus,
    MemoryLearner,
    MetaCurvature,
    MetaSGD,
    PerElementLR,
    PerTensorLR,
    ProtoMAML,
    ProtoNet,
    Reptile,
)
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier


def classifier():
    return SequenceClassifier(3, input_size=2, hidden_size=4)


def memory_learner(model, **options):
    return MemoryLearner(MemoryModel(model.encoder, DeltaFastWeights(4, 3)), **options)


# What takes a learning rate: a function of the model and the learning rate.
TAKES_NUMBERS = {
    "MAMLPlusPlus": MAMLPlusPlus,
    "MetaSGD": MetaSGD,
    "PerTensorLR": PerTensorLR,
    "PerElementLR": PerElementLR,
    "MetaCurvature": MetaCurvature,
    "MemoryLearner": lambda model, lr: memory_learner(model, lr=lr),
}
TAKES_TENSORS = {kind.__name__: kind for kind in (MAML, ANIL, BOIL, Reptile, ProtoMAML)}
TAKES_LR = TAKES_NUMBERS | TAKES_TENSORS
BAD_NUMBERS = [
    *(kind(value) for kind in (float, np.float32, np.float64) for value in ("nan", "inf", "-inf")),
    *(1e39, -1e39, 1e308, np.float64(1e39), 10**39, 10**400, -(10**400), Fraction(10**400)),
    *("0.1", None, True, 1j, [0.1], np.array([0.1, 0.2])),
]
BAD_TENSORS = [
    *(torch.tensor(value) for value in (torch.nan, torch.inf, -torch.inf)),
    torch.tensor([0.1, torch.nan]),
    torch.tensor(1e39, dtype=torch.float64),
    torch.tensor(1j),
    torch.tensor(True),
]


def test_everything_with_a_learning_rate_is_covered():
    public = vars(l2l_rnn.algorithms).values()
    found = {
        kind.__name__
        for kind in public
        if inspect.isclass(kind)
        and "lr" in inspect.signature(kind).parameters
        and not inspect.isabstract(kind)
    }
    assert found == set(TAKES_LR)
    transforms = {
        kind.__name__
        for kind in public
        if inspect.isclass(kind)
        and issubclass(kind, GradientTransform)
        and not inspect.isabstract(kind)
    }
    assert transforms <= set(TAKES_LR)


@pytest.mark.parametrize(
    ("name", "lr"),
    [
        (name, lr)
        for name in TAKES_LR
        for lr in (*BAD_NUMBERS, *BAD_TENSORS)
        if lr is not None or name != "MemoryLearner"  # there None takes no gradient steps
    ],
)
def test_learning_rates_that_cannot_be_used(name, lr):
    with pytest.raises((ArgumentError, ArgumentTypeError), match=r"^\w+: lr must "):
        TAKES_LR[name](classifier(), lr)


@pytest.mark.parametrize("lr", [0.0, -0.1, np.float32(0)])
@pytest.mark.parametrize("name", sorted(set(TAKES_NUMBERS) - {"MemoryLearner"}))
def test_initial_values_of_learned_rates_are_positive(name, lr):
    with pytest.raises(ArgumentError, match="lr must be a number above 0"):
        TAKES_LR[name](classifier(), lr)


@pytest.mark.parametrize(
    "lr", [0.1, 1, np.float32(0.1), np.float64(0.1), np.int64(1), Fraction(1, 10), 1e-30, 3e38]
)
@pytest.mark.parametrize("name", TAKES_LR)
def test_learning_rates_of_every_kind(name, lr):
    made = TAKES_LR[name](classifier(), lr)
    assert all(parameter.isfinite().all() for parameter in made.parameters())


@pytest.mark.parametrize(
    "lr", [torch.tensor(0.1), torch.tensor([0.1]), nn.Parameter(torch.ones(()))]
)
@pytest.mark.parametrize("name", TAKES_TENSORS)
def test_learning_rates_in_tensors(name, lr):
    assert TAKES_LR[name](classifier(), lr).lr is lr


def test_a_numpy_learning_rate_steps_like_a_number():
    x = torch.randn(4, 3, 2)
    outputs = []
    for lr in (0.1, np.float64(0.1)):
        torch.manual_seed(0)
        learner = MAML(classifier(), lr).clone()
        learner.adapt(learner(x).square().mean())
        outputs.append(learner(x))
    assert torch.equal(*outputs)


# ------------------------------------------------------------------ options of MAML's subclasses


@pytest.mark.parametrize("kind", [ANIL, BOIL])
@pytest.mark.parametrize("adapts", ["head", ["encoder"], None])
def test_adapts_is_no_option_of_anil_and_boil(kind, adapts):
    message = rf"{kind.__name__}: adapts is not an option, .*; set head, or use MAML"
    with pytest.raises(ArgumentError, match=message):
        kind(classifier(), 0.1, adapts=adapts)


@pytest.mark.parametrize("first_order", [True, False])
def test_first_order_is_no_option_of_reptile(first_order):
    with pytest.raises(ArgumentError, match=r"Reptile: first_order is not an option.*omit it"):
        Reptile(classifier(), 0.1, first_order=first_order)


@pytest.mark.parametrize(
    ("make", "fix"),
    [
        (lambda model: ProtoNet(model.encoder, 3), "set ways"),
        (lambda model: R2D2(model.encoder, 3), "set ways"),
        (lambda model: LRD2(model.encoder, 3), "set ways"),
        (lambda model: ProtoMAML(model, 0.1), "set ways"),
        (memory_learner, "value_size=the number of classes"),
    ],
)
def test_labels_out_of_range_name_the_argument_to_set(make, fix):
    learner = make(classifier()).clone()
    with pytest.raises(ArgumentError, match=rf"labels must be from 0 to 2, got 0 to 3; .*{fix}$"):
        learner.write(torch.randn(4, 5, 2), torch.arange(4))


# --------------------------------------------------------------------------- learned rates given


def rates(model, value=0.1):
    return [nn.Parameter(torch.full_like(p, value)) for p in model.parameters()]


@pytest.mark.parametrize("container", [list, tuple, nn.ParameterList])
def test_meta_sgd_takes_learning_rates_as_in_learn2learn(container):
    model = classifier()
    lrs = container(rates(model))
    meta_sgd = MetaSGD(model, 1.0, False, lrs)  # in learn2learn's order
    assert all(a is b for a, b in zip(meta_sgd.lrs, lrs, strict=True))
    assert len(meta_sgd.lrs) == len(list(model.parameters()))
    learner, x = meta_sgd.clone(), torch.randn(4, 3, 2)
    learner.adapt(learner(x).square().mean())
    learner(x).square().mean().backward()
    assert all(alpha.grad is not None for alpha in lrs)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda lrs: lrs[:-1], ArgumentError, "shapes of the model's parameters"),
        (lambda lrs: lrs[::-1], ArgumentError, "shapes of the model's parameters"),
        (lambda lrs: [alpha * torch.nan for alpha in lrs], ArgumentError, "lr must be finite"),
        (lambda lrs: [alpha * 2 for alpha in lrs], ArgumentError, "must not belong to a graph"),
        (lambda lrs: [0.1] * len(lrs), ArgumentTypeError, "each of lrs must be a tensor"),
    ],
)
def test_learning_rates_that_do_not_fit(spoil, error, message):
    model = classifier()
    with pytest.raises(error, match=rf"PerElementLR: .*{message}"):
        MetaSGD(model, lrs=spoil(rates(model)))
