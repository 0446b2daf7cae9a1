"""The cells against torch's: values, derivatives, parameters, state dict, errors, the task axis."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call

import l2l_rnn.nn
from l2l_rnn.algorithms import MAML
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from tests.nn.comparison import close, same

BATCH, FEATURES, HIDDEN, STEPS, TASKS = 2, 3, 4, 5, 3
OPTIONS = [
    (name, options)
    for name in ("RNNCell", "GRUCell", "LSTMCell")
    for options in ({}, {"bias": False}, *([{"nonlinearity": "relu"}] if name == "RNNCell" else []))
]


class Kind:
    """Makes our cell and torch's of one kind, and what they are called with."""

    def __init__(self, name, options):
        self.name, self.options = name, options
        self.ours, self.torchs = getattr(l2l_rnn.nn, name), getattr(nn, name)
        self.count = 1 + (name == "LSTMCell")

    def make(self, cell, dtype=torch.float64):
        torch.manual_seed(0)
        return cell(FEATURES, HIDDEN, dtype=dtype, **self.options)

    def pair(self, dtype=torch.float64):
        return self.make(self.ours, dtype), self.make(self.torchs, dtype)

    def state(self, *axes, dtype=torch.float64, seed=7):
        generator = torch.Generator().manual_seed(seed)
        state = [
            torch.randn(*axes, HIDDEN, generator=generator).to(dtype) for _ in range(self.count)
        ]
        return tuple(state) if self.count > 1 else state[0]

    def with_tasks(self, dtype=torch.float64):
        """Return our cell with parameters for each task, and torch's cell of each task."""
        cell = self.make(self.ours, dtype)
        singles = [self.make(self.torchs, dtype) for _ in range(TASKS)]
        expand_parameters(cell, TASKS)
        generator = torch.Generator().manual_seed(3)
        for name, p in list(cell._parameters.items()):
            if p is not None:
                value = (
                    p.detach() + torch.randn(p.shape, generator=generator).to(p)
                ).requires_grad_()
                cell._parameters[name] = value
                for single, part in zip(singles, value.detach(), strict=True):
                    getattr(single, name).data.copy_(part)
        return cell, singles


@pytest.fixture(params=OPTIONS, ids=lambda p: "-".join([p[0], *map(str, p[1].values())]))
def kind(request):
    return Kind(*request.param)


def states(result):
    return list(result) if isinstance(result, tuple) else [result]


def loop(cell, x, hx=None):
    """Run a cell over x `(S, …)` and return all its states."""
    found = []
    for step in x:
        hx = cell(step, hx)
        found += states(hx)
    return found


def parameters(cell):
    return [p for p in cell._parameters.values() if p is not None]


def derivatives(outputs, tensors):
    """Return first and second derivatives of a function of the outputs, the same for each value."""

    def total(values):
        return sum((v.sin() + (v / 2).cos()).sum() for v in values)

    first = torch.autograd.grad(total(outputs), tensors, create_graph=True)
    return [*first, *torch.autograd.grad(total(first), tensors)]


def draw(*shape, dtype=torch.float64, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


# -- like torch ----------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [True, False], ids=["state", "no state"])
@pytest.mark.parametrize("axes", [(BATCH,), ()], ids=["batch", "one sequence"])
def test_values_and_derivatives(kind, axes, given):
    results = []
    for cell in kind.pair():
        x = draw(STEPS, *axes, FEATURES).requires_grad_()
        hx = kind.state(*axes) if given else None
        tensors = [x, *parameters(cell)]
        if given:
            tensors += [s.requires_grad_() for s in states(hx)]
        outputs = loop(cell, x, hx)
        results.append([*outputs, *derivatives(outputs, tensors)])
    close(*results)


def test_single_precision(kind):
    results = []
    for cell in kind.pair(torch.float32):
        x = draw(STEPS, BATCH, FEATURES, dtype=torch.float32)
        outputs = loop(cell, x)
        results.append([*outputs, *derivatives(outputs, parameters(cell))])
    close(*results, rtol=1e-4, atol=1e-4)


def test_parameters_and_state_dict(kind):
    ours, torchs = kind.pair()
    same(list(ours.parameters()), list(torchs.parameters()))
    assert list(ours.state_dict()) == list(torchs.state_dict())
    torchs.load_state_dict(ours.state_dict())
    ours.load_state_dict(torchs.state_dict())
    assert repr(ours) == repr(torchs)
    assert (ours.input_size, ours.hidden_size) == (FEATURES, HIDDEN)
    assert isinstance(ours, kind.torchs)


def test_the_state_of_an_lstm_may_be_a_list():
    cell = l2l_rnn.nn.LSTMCell(3, 4)
    h, c = draw(2, 2, 4, dtype=torch.float32)
    same(cell(torch.zeros(2, 3), [h, c]), cell(torch.zeros(2, 3), (h, c)))


def test_an_empty_batch(kind):
    ours, torchs = kind.pair(torch.float32)
    x = torch.zeros(0, FEATURES)
    found, expected = states(ours(x)), states(torchs(x))
    assert [s.shape for s in found] == [s.shape for s in expected] == [(0, HIDDEN)] * kind.count
    found[0].sum().backward()
    assert not any(p.grad.any() for p in ours.parameters())


def test_copies(kind):
    x = draw(BATCH, FEATURES)
    cell = kind.make(kind.ours)
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert type(other) is kind.ours
        same(states(other(x)), states(cell(x)))
        assert other.weight_ih is not cell.weight_ih


def test_conversion(kind):
    model = nn.ModuleDict({"cell": kind.make(kind.torchs)})
    model["cell"].eval()
    twin = l2l_rnn.nn.convert(model)
    assert type(twin["cell"]) is kind.ours
    assert not twin["cell"].training
    same(list(twin.parameters()), list(model.parameters()))
    assert all(p is q for p, q in zip(twin.parameters(), model.parameters(), strict=True))
    assert repr(twin) == repr(model)
    x = draw(BATCH, FEATURES)
    close(states(twin["cell"](x)), states(model["cell"](x)))
    x = draw(TASKS, BATCH, FEATURES)
    assert knows_tasks(twin["cell"])


def test_a_subclass_is_converted():
    class Mine(nn.GRUCell):
        pass

    converted = l2l_rnn.nn.convert(nn.Sequential(Mine(3, 4)))[0]
    assert isinstance(converted, Mine)
    assert isinstance(converted, l2l_rnn.nn.GRUCell)


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh"])
def test_a_parametrized_cell(kind, name):
    results = []
    for cell in kind.pair():
        nn.utils.parametrizations.weight_norm(cell, name)
        outputs = loop(cell, draw(STEPS, BATCH, FEATURES))
        results.append([*outputs, *derivatives(outputs, list(cell.parameters()))])
    close(*results)


def test_dtype_and_device_arguments(kind):
    cell = kind.ours(3, 4, device="meta", dtype=torch.float16, **kind.options)
    assert {(p.device.type, p.dtype) for p in cell.parameters()} == {("meta", torch.float16)}


# -- derivatives and tasks -----------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [None, TASKS])
@pytest.mark.parametrize("order", [1, 2])
def test_finite_differences(kind, tasks, order):
    cell = kind.make(kind.ours) if tasks is None else kind.with_tasks()[0]
    lead = () if tasks is None else (tasks,)
    names = [name for name, p in cell._parameters.items() if p is not None]
    point = [draw(*lead, BATCH, FEATURES), *states(kind.state(*lead, BATCH))]
    point += [cell._parameters[name].detach().clone() for name in names]

    def compute(x, *rest):
        hx, given = rest[: kind.count], dict(zip(names, rest[kind.count :], strict=True))
        return functional_call(cell, given, (x, hx if kind.count > 1 else hx[0]))

    check = gradcheck if order == 1 else gradgradcheck
    assert check(compute, [t.requires_grad_() for t in point])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("axes", [(BATCH,), ()], ids=["batch", "one sequence"])
def test_tasks_equal_a_loop(kind, axes, dtype):
    cell, singles = kind.with_tasks(dtype)
    x = draw(STEPS, TASKS, *axes, FEATURES, dtype=dtype).requires_grad_()
    hx = kind.state(TASKS, *axes, dtype=dtype)
    tensors = [x, *parameters(cell)]
    outputs = loop(cell, x, hx)
    alone = [
        loop(single, x[:, n], tuple(s[n] for s in hx) if kind.count > 1 else hx[n])
        for n, single in enumerate(singles)
    ]
    expected = [torch.stack(parts) for parts in zip(*alone, strict=True)]
    tolerance = {} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    close(outputs, expected, **tolerance)
    found = derivatives(outputs, tensors)
    by_task = derivatives(expected, [x, *(p for s in singles for p in parameters(s))])
    size = len(parameters(cell))
    for order in range(2):
        x_gradient, *rest = by_task[: 1 + size * TASKS]
        by_task = by_task[1 + size * TASKS :]
        stacked = [torch.stack(rest[n::size]) for n in range(size)]
        close(found[order * (1 + size) :][: 1 + size], [x_gradient, *stacked], **tolerance)


def test_meta_gradients_of_many_tasks(kind):
    """`clone(tasks=N)` gives the loss and the meta-gradient of a loop over `clone()`."""

    class Decoder(nn.Module):
        task_axis = True

        def __init__(self):
            super().__init__()
            self.cell = kind.make(kind.ours)

        def forward(self, x):
            return loop(self.cell, x.movedim(-2, 0))[-1].square().mean((-2, -1))

    maml = MAML(Decoder(), 0.5)
    x, query = draw(2, TASKS, BATCH, STEPS, FEATURES)
    gradients = []
    learner = maml.clone(tasks=TASKS)
    for _ in range(2):
        learner.adapt(learner(x))
    gradients.append(torch.autograd.grad(learner(query).sum(), list(maml.parameters())))
    losses = []
    for n in range(TASKS):
        learner = maml.clone()
        for _ in range(2):
            learner.adapt(learner(x[n]))
        losses.append(learner(query[n]))
    gradients.append(torch.autograd.grad(sum(losses), list(maml.parameters())))
    close(*gradients)


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["input_size", "hidden_size"])
@pytest.mark.parametrize("size", [0, -1, 2.0, "2", None, True])
def test_sizes(kind, name, size):
    with pytest.raises(ArgumentError, match=rf"^{kind.name}: {name} must be a positive integer"):
        kind.ours(**{"input_size": 3, "hidden_size": 4, name: size})


def test_nonlinearity():
    with pytest.raises(ArgumentError, match=r"RNNCell: unknown nonlinearity 'sin'.* Known: tanh"):
        l2l_rnn.nn.RNNCell(3, 4, nonlinearity="sin")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 4), r"x must end in F=3 features, got shape \(2, 4\); set input_size=4"),
        ((4,), r"x must end in F=3 features, got shape \(4,\); set input_size=4"),
        ((5, 2, 3), r"x must be one step, \(B, F\) or \(F,\), got shape \(5, 2, 3\)"),
        ((), r"x must be one step, \(B, F\) or \(F,\), got shape \(\)"),
    ],
)
def test_input(kind, shape, message):
    with pytest.raises(ShapeError, match=rf"^{kind.name}: {message}"):
        kind.ours(3, 4)(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_another_dtype(kind, dtype):
    cell = kind.ours(3, 4)
    with pytest.raises(ArgumentTypeError, match=r"x must be torch.float32 on cpu.*got torch\."):
        cell(torch.zeros(2, 3, dtype=dtype))
    if dtype.is_floating_point:
        with pytest.raises(ArgumentTypeError, match=r"hx must be torch.float32 on cpu, like the i"):
            cell(torch.zeros(2, 3), kind.state(2, dtype=dtype))


def test_another_device(kind):
    cell = kind.ours(3, 4)
    with pytest.raises(ArgumentTypeError, match=r"x must be torch.float32 on cpu.* on meta"):
        cell(torch.zeros(2, 3, device="meta"))
    state = tuple(s.float().to("meta") for s in states(kind.state(2)))
    with pytest.raises(ArgumentTypeError, match=r"hx must be torch.float32 on cpu.* on meta"):
        cell(torch.zeros(2, 3), state if kind.count > 1 else state[0])


@pytest.mark.parametrize("axes", [(1,), (3,), (1, 2), ()], ids=str)
def test_state(kind, axes):
    with pytest.raises(ShapeError, match=rf"^{kind.name}: hx must have shape \(2, 4\), got"):
        kind.ours(3, 4)(torch.zeros(2, 3), kind.state(*axes, dtype=torch.float32))
    with pytest.raises(ShapeError, match=rf"^{kind.name}: hx must have shape \(4,\), got"):
        kind.ours(3, 4)(torch.zeros(3), kind.state(*(axes or (1,)), dtype=torch.float32))


def test_state_of_another_kind(kind):
    cell, h = kind.ours(3, 4), torch.zeros(2, 4)
    for wrong in [h, (h,), (h,) * 3, 0.0] if kind.count > 1 else [(h, h), [h], (h,), 0.0]:
        with pytest.raises(ArgumentTypeError, match=rf"^{kind.name}: hx must be "):
            cell(torch.zeros(2, 3), wrong)


def test_one_wrong_tensor_of_a_state():
    cell, h = l2l_rnn.nn.LSTMCell(3, 4), torch.zeros(2, 4)
    for wrong, error in [(torch.zeros(2, 5), ShapeError), (h.double(), ArgumentTypeError)]:
        for state in [(h, wrong), (wrong, h)]:
            with pytest.raises(error, match=r"^LSTMCell: hx must "):
                cell(torch.zeros(2, 3), state)


def test_another_number_of_tasks(kind):
    cell, _ = kind.with_tasks(torch.float32)
    for shape in [(2, 5, 3), (2, 3), (3,), (TASKS, 5, 2, 3)]:
        with pytest.raises(ShapeError, match=rf"^{kind.name}: .*N=3 tasks first"):
            cell(torch.zeros(shape))
    with pytest.raises(ShapeError, match=r"x must end in F=3 features, got shape \(3, 2, 5\)"):
        cell(torch.zeros(TASKS, 2, 5))
    with pytest.raises(ShapeError, match=r"hx must have shape \(3, 2, 4\), got \(2, 4\)"):
        cell(torch.zeros(TASKS, 2, 3), kind.state(2, dtype=torch.float32))


@pytest.mark.parametrize("name", ["GRUCell", "LSTMCell"])
def test_second_derivatives_of_the_biases_alone(name):
    """With one sequence, the cotangent of a bias must not be used as memory."""
    torch.manual_seed(0)
    cell = getattr(l2l_rnn.nn, name)(3, 4)
    cell.weight_ih.requires_grad_(False)
    cell.weight_hh.requires_grad_(False)
    results = []
    for dtype in (torch.float32, torch.float64):
        cell, state = cell.to(dtype), None
        for x in torch.linspace(-1, 1, 9, dtype=dtype).reshape(3, 1, 3):
            state = cell(x, state)
        h = state[0] if isinstance(state, tuple) else state
        biases = [cell.bias_ih, cell.bias_hh]
        first = torch.autograd.grad(h.pow(3).sum(), biases, create_graph=True)
        v = torch.linspace(-1, 1, first[0].numel(), dtype=dtype)
        second = torch.autograd.grad(first, biases, [v, v])
        assert torch.equal(v, torch.linspace(-1, 1, first[0].numel(), dtype=dtype))
        results.append([t.double() for t in (*first, *second)])
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)
