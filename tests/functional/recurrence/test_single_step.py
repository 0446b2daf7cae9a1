"""A single step: every route against the plain equations in double precision, to third order."""

import itertools

import pytest
import torch
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from l2l_rnn.functional.recurrence import compiled_passes, compiled_step
from l2l_rnn.functional.recurrence.reference import single_step as plain_step
from l2l_rnn.functional.recurrence.single_step import single_step
from l2l_rnn.functional.recurrence.weights import Weights

GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}
BATCH, FEATURES, HIDDEN, TASKS = 5, 7, 19, 3


@pytest.fixture(params=GATES)
def cell(request):
    return request.param


@pytest.fixture
def compiled(monkeypatch):
    """A list of the compiled passes that ran, in order."""
    assert compiled_passes.compiled(), "it was not compiled; reinstall the package"
    calls, run = [], compiled_step.run
    monkeypatch.setattr(
        compiled_step, "run", lambda kind, *rest: (calls.append(kind), run(kind, *rest))
    )
    return calls


def draw(cell, *, tasks=None, bias=True, batch=BATCH, dtype=torch.float32, seed=0):
    """Draw the input, the state and the parameters of a step."""
    generator = torch.Generator().manual_seed(seed)
    lead = () if tasks is None else (tasks,)
    rows = GATES[cell] * HIDDEN
    shapes = [(batch, FEATURES), *[(batch, HIDDEN)] * (1 + (cell == "lstm"))]
    shapes += [(rows, FEATURES), (rows, HIDDEN), *[(rows,)] * (2 * bias)]
    return [torch.randn(*lead, *shape, generator=generator).to(dtype) for shape in shapes]


def call(step, cell, values):
    count = 1 + (cell == "lstm")
    return step(cell, values[0], tuple(values[1 : 1 + count]), Weights(*values[1 + count :]))


def derivatives(step, cell, values, order, wanted=None):
    """Return the state after the step, and its derivatives w.r.t. the values in `wanted`."""
    wanted = range(len(values)) if wanted is None else wanted
    values = [v.clone().requires_grad_(n in wanted) for n, v in enumerate(values)]
    inputs = [values[n] for n in wanted]
    found = list(call(step, cell, values))
    latest = found
    generator = torch.Generator().manual_seed(9)
    for number in range(1, order + 1):
        total = sum(
            (t.sin() * torch.randn(t.shape, generator=generator).to(t)).sum() for t in latest
        )
        gradients = torch.autograd.grad(
            total, inputs, create_graph=number < order, allow_unused=number > 1
        )
        latest = [
            torch.zeros_like(t) if g is None else g for g, t in zip(gradients, inputs, strict=True)
        ]
        found += latest
    return found


def compare(found, exact, tolerance):
    assert len(found) == len(exact)
    for one, other in zip(found, exact, strict=True):
        assert one.shape == other.shape
        scale = max(1.0, other.abs().max().item()) if other.numel() else 1.0
        error = (one.double() - other).abs().max().item() if other.numel() else 0.0
        assert error / scale < tolerance


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tasks", [None, 1, TASKS])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_single_precision(cell, tasks, bias, order, compiled):
    values = draw(cell, tasks=tasks, bias=bias)
    found = derivatives(single_step, cell, values, order)
    exact = derivatives(plain_step, cell, [v.double() for v in values], order)
    compare(found, exact, 1e-5 * 10 ** (order - 1))
    if cell in ("gru", "lstm") or tasks is not None:
        assert compiled[:2] == ["forward", "adjoint"]
        assert ("tangent" in compiled) == (order >= 2)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_double_precision(cell, tasks, bias, compiled):
    values = draw(cell, tasks=tasks, bias=bias, dtype=torch.float64)
    compare(
        derivatives(single_step, cell, values, 3), derivatives(plain_step, cell, values, 3), 1e-12
    )
    assert not compiled


def test_derivatives_of_some_arguments(cell):
    """Each choice of the arguments that need a gradient, one and all but one."""
    values = draw(cell, tasks=TASKS)
    exact = [v.double() for v in values]
    every = range(len(values))
    for wanted in [
        *itertools.combinations(every, 1),
        *itertools.combinations(every, len(every) - 1),
    ]:
        compare(
            derivatives(single_step, cell, values, 2, wanted),
            derivatives(plain_step, cell, exact, 2, wanted),
            1e-4,
        )


def test_derivatives_of_one_output():
    """A loss of h alone or of c alone, and gradients of which only some are used again."""
    values = [v.requires_grad_() for v in draw("lstm", tasks=2)]
    exact = [v.detach().double().requires_grad_() for v in values]
    for output, used in itertools.product((0, 1), range(len(values))):
        results = []
        for step, inputs in ((single_step, values), (plain_step, exact)):
            loss = call(step, "lstm", inputs)[output].square().sum()
            first = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
            if first[used] is None:  # c does not depend on the gate o, but the parameters do
                continue
            second = torch.autograd.grad(first[used].square().sum(), inputs, allow_unused=True)
            results.append(
                [
                    torch.zeros_like(i) if s is None else s
                    for s, i in zip(second, inputs, strict=True)
                ]
            )
        compare(*results, 1e-4)


def test_the_same_tensor_as_several_arguments(cell):
    values = draw(cell)
    x = values[1].clone()
    rest = [torch.randn(GATES[cell] * HIDDEN, HIDDEN, generator=torch.Generator().manual_seed(3))]
    results = []
    for step, dtype in ((single_step, torch.float32), (plain_step, torch.float64)):
        x_, w = (t.detach().to(dtype).requires_grad_() for t in (x, rest[0]))
        state = (x_,) * (1 + (cell == "lstm"))
        h = step(cell, x_, state, Weights(w, w))[0]
        found, latest = [h], h
        for order in range(3):
            first = torch.autograd.grad(latest.sin().sum(), [x_, w], create_graph=order < 2)
            latest = torch.cat([g.flatten() for g in first])
            found.append(latest)
        results.append(found)
    compare(*results, 1e-3)


@pytest.mark.parametrize("batch", [0, 1, 50])
def test_batch_sizes_and_strides(cell, batch):
    values = draw(cell, tasks=2, batch=batch)
    exact = derivatives(plain_step, cell, [v.double() for v in values], 2)
    strided = [v.mT.contiguous().mT if v.dim() == 3 else v for v in values]
    compare(derivatives(single_step, cell, strided, 2), exact, 1e-4)


def test_without_gradients(cell, compiled):
    values = draw(cell, tasks=TASKS)
    needed = [v.clone().requires_grad_() for v in values]
    with torch.no_grad():
        found = call(single_step, cell, needed)
    assert compiled == ["forward"]
    assert all(
        torch.equal(a, b) for a, b in zip(found, call(single_step, cell, needed), strict=True)
    )
    with torch.inference_mode():
        compare(call(single_step, cell, values), found, 1e-6)


def test_outputs_may_be_changed_in_place(cell):
    """As in torch's own cells, except for the simple one: its derivative reads its output."""
    values = draw(cell, tasks=TASKS)
    wanted = derivatives(lambda *a: tuple(s.relu() for s in single_step(*a)), cell, values, 1)
    found = derivatives(lambda *a: tuple(s.relu_() for s in single_step(*a)), cell, values, 1)
    compare(found, [w.double() for w in wanted], 1e-6)


def test_several_backward_calls_accumulate(cell):
    values = [v.requires_grad_() for v in draw(cell)]

    def loss():
        return sum(s.square().sum() for s in call(single_step, cell, values))

    once = torch.autograd.grad(loss(), values)
    for count in range(1, 4):
        loss().backward()
        compare([v.grad for v in values], [count * g.double() for g in once], 1e-5)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_transforms(cell, compiled):
    """Under `torch.func` and forward-mode derivatives, the plain equations run."""
    values = draw(cell)
    tangents = draw(cell, seed=1)

    def outputs(*values):
        return call(single_step, cell, values)

    exact = torch.func.jvp(
        lambda *v: call(plain_step, cell, v),
        tuple(v.double() for v in values),
        tuple(t.double() for t in tangents),
    )[1]
    compare(torch.func.jvp(outputs, tuple(values), tuple(tangents))[1], exact, 1e-5)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(v, t) for v, t in zip(values, tangents, strict=True)]
        found = [forward_ad.unpack_dual(s).tangent for s in outputs(*duals)]
        compare(found, exact, 1e-5)
    many = draw(cell, tasks=TASKS)
    compare(
        torch.func.vmap(outputs)(*many),
        call(plain_step, cell, [v.double() for v in many]),
        1e-5,
    )
    assert not compiled


@pytest.mark.parametrize("tasks", [None, TASKS])
def test_autocast(cell, tasks, compiled):
    values = draw(cell, tasks=tasks)
    with torch.autocast("cpu", torch.bfloat16):
        found = call(single_step, cell, values)
    assert not compiled
    exact = call(plain_step, cell, [v.double() for v in values])
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0.1, atol=0.2)


def test_without_compiled_code(cell, monkeypatch):
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    assert compiled_step._load() == {}
    for tasks in (None, TASKS):
        values = draw(cell, tasks=tasks)
        exact = derivatives(plain_step, cell, [v.double() for v in values], 2)
        compare(derivatives(single_step, cell, values, 2), exact, 1e-4)


def test_compiled_code_serves_only_plain_tensors():
    plain, like = torch.zeros(2), torch.nn.Parameter(torch.zeros(2))
    assert compiled_step.serves([plain, None, like])

    class Other(torch.Tensor):
        pass

    others = [plain.double(), plain.to("meta"), plain.as_subclass(Other)]
    assert not any(compiled_step.serves([plain, other]) for other in others)
    with FlopCounterMode(display=False):
        assert not compiled_step.serves([plain])
