"""Quick checks that second derivatives and a MAML step are exact on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.nn import LSTM

_STEP = 1e-5  # of central differences in float64


class Check(NamedTuple):
    """The outcome of a check.

    Attributes:
        name: what was checked.
        error: the largest relative difference.
        limit: the largest that passes.
    """

    name: str
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the error is a number within the limit."""
        return self.error <= self.limit


def check_derivatives(seed: int = 0) -> list[Check]:
    """Check second derivatives of the LSTM in both precisions, and the meta-gradient of MAML.

    In float32, where compiled code may run, the reference is torch's own LSTM in float64. In
    float64, and for MAML, the reference is a central difference.

    Example:
        >>> [check.passed for check in check_derivatives()]
        [True, True, True]
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [_float32(), _float64(), _maml()]


def _float32() -> Check:
    reference = nn.LSTM(5, 8, batch_first=True, bidirectional=True).double()
    ours = LSTM(5, 8, batch_first=True, bidirectional=True)
    ours.load_state_dict(reference.state_dict())
    x = torch.randn(3, 7, 5)
    pairs = zip(_second_order(ours, x), _second_order(reference, x.double()), strict=True)
    return Check(
        "second derivatives of LSTM, float32 against torch in float64",
        max(_difference(one, other) for one, other in pairs),
        1e-3,
    )


def _second_order(layer: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """Return the gradient of the squared norm of a gradient."""
    parameters = tuple(layer.parameters())
    loss = layer(x)[0].sin().sum()
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    return torch.autograd.grad(_dot(gradients, gradients), parameters)


def _float64() -> Check:
    layer = LSTM(3, 4, batch_first=True).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    directions = [torch.randn_like(p) for p in layer.parameters()]

    def gradients(shift: float) -> list[Tensor]:
        moved = {
            name: (p + shift * d).detach().requires_grad_()
            for (name, p), d in zip(layer.named_parameters(), directions, strict=True)
        }
        loss = torch.func.functional_call(layer, moved, (x,))[0].sin().sum()
        return list(torch.autograd.grad(loss, list(moved.values())))

    parameters = list(layer.parameters())
    loss = layer(x)[0].sin().sum()
    first = torch.autograd.grad(loss, parameters, create_graph=True)
    along = _dot(first, directions)
    exact = torch.autograd.grad(along, parameters)
    above, below = gradients(_STEP), gradients(-_STEP)
    return Check(
        "second derivatives of LSTM, float64 against central differences",
        max(
            _difference(e, (a - b) / (2 * _STEP))
            for e, a, b in zip(exact, above, below, strict=True)
        ),
        1e-5,
    )


def _maml() -> Check:
    model = SequenceClassifier(2, input_size=3, hidden_size=4).double()
    maml = MAML(model, lr=0.1)
    x = torch.randn(3, 4, 5, 3, dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 1]).expand(3, 4)

    def loss() -> Tensor:
        learner = maml.clone(tasks=3)
        for _ in range(2):
            learner.adapt(cross_entropy(learner(x), y))
        return cross_entropy(learner(x.flip(1)), y).sum()

    parameters = list(model.parameters())
    directions = [torch.randn_like(p) for p in parameters]
    exact = torch.autograd.grad(loss(), parameters)
    along = _dot(exact, directions)
    values = []
    for shift in (_STEP, -2 * _STEP):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=shift)
        values.append(loss().detach())
    slope = (values[0] - values[1]) / (2 * _STEP)
    return Check(
        "meta-gradient of MAML, 3 tasks at once, against a central difference",
        _difference(along, slope),
        1e-5,
    )


def _dot(some: Iterable[Tensor], others: Iterable[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(some, others, strict=True)]).sum()


def _difference(one: Tensor, other: Tensor) -> float:
    scale = other.double().abs().max().clamp_min(1e-6)
    return float((one.double() - other.double()).abs().max() / scale)
