"""First and second derivatives of the recurrent layers against finite differences."""

import re

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

BATCH, STEPS = 2, 2


def problem(recurrent, *, tasks=None, lengths=None, **options):
    """Return a function of input, state and parameters, and the point at which to check it."""
    layer = recurrent.make(batch_first=True, **options)
    lead = [] if tasks is None else [tasks]
    if tasks is not None:
        layer, _ = recurrent.with_tasks(layer, tasks)
    torch.manual_seed(2)
    x = torch.randn(*lead, BATCH, STEPS, layer.input_size, dtype=torch.float64)
    hx = recurrent.flat(recurrent.state(layer, *lead, BATCH))
    names = list(layer._parameters)
    values = [layer._parameters[name].detach().clone() for name in names]
    lengths = None if lengths is None else torch.tensor(lengths)

    def compute(x, *rest):
        state, parameters = rest[: len(hx)], rest[len(hx) :]
        given = dict(zip(names, parameters, strict=True))
        state = state if len(state) > 1 else state[0]
        result = functional_call(layer, given, (x, state), {"lengths": lengths})
        return tuple(recurrent.flat(result))

    return compute, [t.requires_grad_() for t in (x, *hx, *values)]


CASES = {
    "plain": {},
    "no bias": {"bias": False},
    "ragged": {"lengths": [1, 2]},
    "two layers": {"num_layers": 2},
    "bidirectional": {"bidirectional": True},
    "everything": {"num_layers": 2, "bidirectional": True, "lengths": [1, 2]},
    "tasks": {"tasks": 2},
    "ragged tasks": {"tasks": 2, "lengths": [[1, 2], [2, 1]], "bidirectional": True},
}


@pytest.fixture
def small(recurrent):
    recurrent.inputs, recurrent.hidden = 2, 3
    return recurrent


@pytest.mark.parametrize("case", CASES)
def test_gradcheck(small, case):
    compute, inputs = problem(small, **CASES[case])
    assert gradcheck(compute, inputs, fast_mode=True)


@pytest.mark.parametrize("case", CASES)
def test_gradgradcheck(small, case):
    compute, inputs = problem(small, **CASES[case])
    assert gradgradcheck(compute, inputs, fast_mode=True, atol=1e-4)


@pytest.mark.slow
def test_every_entry_of_the_second_derivative(small):
    small.inputs = 1
    compute, inputs = problem(small, lengths=[1, 2])
    assert gradcheck(compute, inputs)
    assert gradgradcheck(compute, inputs)


def test_third_derivative_equals_torchs_or_raises(torch_recurrent):
    """Hand-written derivatives raise an error instead of returning a wrong number."""
    torch_recurrent.inputs = 2
    ours, theirs = torch_recurrent.make(), torch_recurrent.make_torch()
    theirs.load_state_dict(ours.state_dict())
    found = []
    for layer in (theirs, ours):
        torch.manual_seed(2)
        x = torch.randn(STEPS, BATCH, 2, dtype=torch.float64, requires_grad=True)
        value = layer(x)[0].sin().sum()
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, x, create_graph=True)
            value = gradient.square().sum()
        try:
            found.append(torch.autograd.grad(value, x)[0])
        except RuntimeError as error:
            if layer is theirs or not re.search("derivative|differentia", str(error)):
                raise
            return
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-14)
