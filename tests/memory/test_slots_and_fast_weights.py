"""What MANN, the memory networks and the fast weights must all keep, as layers and as stores."""

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import (
    DNC,
    MANN,
    NTM,
    DeltaFastWeights,
    HebbianFastWeights,
    KeyValueMemory,
    MemoryNetwork,
)

INPUTS, KEY, VALUE, TASKS, BATCH, STEPS = 3, 4, 2, 3, 2, 5

MEMORIES = {
    "ntm": lambda f: NTM(f, 3, 4, slots=3, width=KEY + VALUE, key_size=KEY),
    "dnc": lambda f: DNC(f, 3, 4, slots=3, width=KEY + VALUE, key_size=KEY),
    "mann": lambda f: MANN(f, 3, 4, slots=3, key_size=KEY, value_size=VALUE, reads=2),
    "key-value": lambda f: KeyValueMemory(f, KEY, VALUE, slots=3),
    "key-value, hops, cosine": lambda f: KeyValueMemory(
        f, KEY, VALUE, embedding_size=3, slots=3, hops=2, similarity="cosine"
    ),
    "key-value, distance": lambda f: KeyValueMemory(f, KEY, VALUE, slots=3, similarity="distance"),
    "memory network": lambda f: MemoryNetwork(f, KEY, VALUE, slots=3),
    "memory network, one hop": lambda f: MemoryNetwork(
        f, KEY, VALUE, slots=3, hops=1, temporal=False
    ),
    "delta": lambda f: DeltaFastWeights(f, KEY, VALUE),
    "delta, unit keys": lambda f: DeltaFastWeights(f, KEY, VALUE, features="unit"),
    "hebbian": lambda f: (
        HebbianFastWeights(f, 4, settling_steps=2)
        if f
        else HebbianFastWeights(None, key_size=KEY, value_size=VALUE)
    ),
}


def make(name, inputs=INPUTS, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    memory = MEMORIES[name](inputs).to(dtype)
    with torch.no_grad():
        for parameter in memory.parameters():  # no parameter at a value that hides its part
            parameter += 0.3 * torch.randn_like(parameter)
    return memory


def numbers(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def floating(state):
    return [part for part in state if part.is_floating_point()]


def assert_same(state, other, **tolerance):
    assert type(state) is type(other)
    for a, b in zip(state, other, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.fixture(params=MEMORIES)
def name(request):
    return request.param


# ------------------------------------------------------------------ as a layer


def test_derivatives_of_a_layer(name):
    memory = make(name)
    names = list(dict(memory.named_parameters()))
    x = numbers(BATCH, 4, INPUTS).requires_grad_()
    lengths = torch.tensor([4, 2])
    start = memory(numbers(BATCH, 2, INPUTS, seed=2))[1]

    def run(x, *parameters):
        values = dict(zip(names, parameters, strict=True))
        y, state = torch.func.functional_call(memory, values, (x, start), {"lengths": lengths})
        return (y, *(part for part in state if part.requires_grad))

    start = type(start)(*(part.detach() for part in start))
    given = (x, *memory.parameters())
    assert gradcheck(run, given, fast_mode=True)
    assert gradgradcheck(lambda *t: run(*t)[0], given, fast_mode=True)


def test_tasks_at_once_equal_a_loop(name):
    memory = make(name)
    assert knows_tasks(memory)
    many = copy.deepcopy(memory)
    expand_parameters(many, TASKS)
    noise = [0.1 * numbers(*p.shape, seed=i) for i, p in enumerate(many.parameters())]
    for module in many.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[key] = parameter + noise.pop(0)
    x = numbers(TASKS, BATCH, STEPS, INPUTS)
    lengths = torch.tensor([[5, 2], [1, 4], [5, 5]])
    y, state = many(x, lengths=lengths)
    step, _ = many.step(x[:, :, 0], many.blank(TASKS, BATCH))
    for n in range(TASKS):
        one = copy.deepcopy(memory)
        with torch.no_grad():
            for p, q in zip(one.parameters(), many.parameters(), strict=True):
                p.copy_(q[n])
        wanted, after = one(x[n], lengths=lengths[n])
        torch.testing.assert_close(y[n], wanted)
        torch.testing.assert_close(step[n], one.step(x[n, :, 0], one.blank(BATCH))[0])
        assert_same(type(state)(*(part[n] for part in state)), after)


def test_shared_parameters_serve_tasks(name):
    memory = make(name)
    x = numbers(TASKS, BATCH, STEPS, INPUTS)
    together = memory(x)[0]
    for n in range(TASKS):
        torch.testing.assert_close(together[n], memory(x[n])[0])


def test_a_carried_state_equals_an_unbroken_run(name):
    memory, x = make(name), numbers(BATCH, 6, INPUTS)
    y, state = memory(x)
    first, between = memory(x[:, :2])
    second, after = memory(x[:, 2:], between)
    torch.testing.assert_close(torch.cat([first, second], 1), y)
    assert_same(after, state)


def test_steps_equal_a_run(name):
    memory, x = make(name), numbers(BATCH, STEPS, INPUTS)
    y, state = memory(x)
    at = memory.blank(BATCH)
    for t in range(STEPS):
        output, at = memory.step(x[:, t], at)
        torch.testing.assert_close(output, y[:, t])
    assert_same(at, state)


@pytest.mark.parametrize("filler", [float("nan"), 7.0])
def test_padding_changes_nothing(name, filler):
    memory, x = make(name), numbers(BATCH, STEPS, INPUTS)
    y, state = memory(x[:1, :3])
    padded = torch.cat([x, torch.full((BATCH, 2, INPUTS), filler, dtype=x.dtype)], 1)
    padded[0, 3:] = filler
    outputs, after = memory(padded, lengths=torch.tensor([3, STEPS]))
    torch.testing.assert_close(outputs[:1, :3], y)
    assert (outputs[0, 3:] == 0).all()
    assert (outputs[1, STEPS:] == 0).all()
    assert_same(type(after)(*(part[:1] for part in after)), state)
    outputs.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in memory.parameters())


def test_every_parameter_of_a_layer_has_a_gradient(name):
    memory = make(name)
    memory(numbers(BATCH, STEPS, INPUTS))[0].square().sum().backward()
    for key, parameter in memory.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


def test_single_precision(name):
    wide, narrow = make(name), make(name, dtype=torch.float32)
    narrow.load_state_dict(wide.state_dict())
    x = numbers(BATCH, STEPS, INPUTS)
    y, state = narrow(x.float())
    assert {part.dtype for part in floating([y, *state])} == {torch.float32}
    torch.testing.assert_close(y.double(), wide(x)[0], rtol=1e-3, atol=1e-4)


# ------------------------------------------------------------------ as a store


def test_derivatives_of_a_store(name):
    memory = make(name, None)
    names = list(dict(memory.named_parameters()))

    class Use(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.memory = memory

        def forward(self, keys, values, queries):
            state = self.memory.write(self.memory.blank(), keys[:1], values[:1])
            state = self.memory.write(state, keys[1:], values[1:])
            return self.memory.read(state, queries)

    use = Use()

    def run(keys, values, queries, *parameters):
        given = {f"memory.{n}": p for n, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(use, given, (keys, values, queries))

    data = [numbers(4, KEY), numbers(4, VALUE, seed=2), numbers(2, KEY, seed=3)]
    given = (*(d.requires_grad_() for d in data), *memory.parameters())
    assert gradcheck(run, given, fast_mode=True)
    assert gradgradcheck(run, given, fast_mode=True)


def test_a_store_for_each_task(name):
    memory = make(name, None)
    keys, values = numbers(TASKS, 5, KEY), numbers(TASKS, 5, VALUE, seed=2)
    queries = numbers(TASKS, 2, KEY, seed=3)
    state = memory.write(memory.blank(TASKS), keys, values)
    found = memory.read(state, queries)
    for n in range(TASKS):
        one = memory.write(memory.blank(), keys[n], values[n])
        assert_same(type(state)(*(part[n] for part in state)), one)
        torch.testing.assert_close(found[n], memory.read(one, queries[n]))
    changed = memory.write(memory.blank(TASKS), keys, values.index_fill(0, torch.tensor(1), 9.0))
    again = memory.read(changed, queries)
    assert torch.equal(again[[0, 2]], found[[0, 2]])
    assert not torch.allclose(again[1], found[1])


def test_writes_go_in_their_order(name):
    memory = make(name, None)
    keys, values = numbers(7, KEY), numbers(7, VALUE, seed=2)  # more than slots
    state = memory.write(memory.blank(), keys, values)
    at = memory.blank()
    for part in (slice(0, 1), slice(1, 1), slice(1, 3), slice(3, 7)):
        at = memory.write(at, keys[part], values[part])
    assert_same(at, state)


def test_nothing_changes_what_was_written(name):
    memory = make(name, None)
    blank = memory.blank()
    state = memory.write(blank, numbers(2, KEY), numbers(2, VALUE))
    kept = [part.clone() for part in state]
    queries = numbers(3, KEY, seed=2)
    found = memory.read(state, queries)
    memory.write(state, numbers(4, KEY, seed=3), numbers(4, VALUE, seed=3))
    assert torch.equal(memory.read(state, queries), found)
    assert all(torch.equal(a, b) for a, b in zip(state, kept, strict=True))
    assert all(not part.any() for part in blank)
    with pytest.raises(AttributeError):
        state.weights = None


def test_a_layer_leaves_its_start_alone(name):
    memory = make(name)
    _, start = memory(numbers(BATCH, 2, INPUTS))
    kept = [part.clone() for part in start]
    first, _ = memory(numbers(BATCH, 3, INPUTS, seed=2), start)
    second, _ = memory(numbers(BATCH, 3, INPUTS, seed=2), start)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(start, kept, strict=True))


@pytest.mark.parametrize("name", [n for n in MEMORIES if not n.startswith("memory network")])
def test_a_blank_memory_reads_zeros(name):
    memory = make(name, None)
    assert not memory.read(memory.blank(), numbers(3, KEY)).any()
    empty = memory.write(memory.blank(), numbers(0, KEY), numbers(0, VALUE))
    assert_same(empty, memory.blank())


# ------------------------------------------------------------------ copies and errors


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("inputs", [INPUTS, None])
def test_copies_and_state_dict(name, inputs, copied):
    memory = make(name, inputs)
    other, third = copied(memory), make(name, inputs, seed=5)
    third.load_state_dict(memory.state_dict())
    keys, values = numbers(2, KEY), numbers(2, memory.value_size)
    for twin in (other, third):
        wanted = memory.write(memory.blank(), keys, values)
        assert_same(twin.write(twin.blank(), keys, values), wanted)
        if inputs:
            x = numbers(BATCH, STEPS, INPUTS)
            torch.testing.assert_close(twin(x)[0], memory(x)[0])


def test_a_store_is_no_layer(name):
    memory = make(name, None)
    with pytest.raises(ArgumentError, match="a store only; give input_size"):
        memory(numbers(BATCH, STEPS, INPUTS))
    with pytest.raises(ArgumentError, match="a store only; give input_size"):
        memory.step(numbers(BATCH, INPUTS), memory.blank(BATCH))


@pytest.mark.parametrize(
    ("keys", "values", "what"),
    [
        ((2, KEY + 1), (2, VALUE), r"keys must be \(…, B, 4\)"),
        ((2, KEY), (2, VALUE + 1), r"values must be \(…, B, 2\)"),
        ((3, 2, KEY), (3, 2, VALUE), r"the state\'s .* must have shape \(3, "),
        ((KEY,), (VALUE,), r"keys must be"),
        ((2, KEY), (3, VALUE), r"a value for each key, got \(2,\) keys and \(3,\) values"),
    ],
)
def test_bad_writes(name, keys, values, what):
    memory = make(name, None)
    state = memory.write(memory.blank(), numbers(2, KEY), numbers(2, VALUE))
    with pytest.raises(ShapeError, match=what) as caught:
        memory.write(state, numbers(*keys), numbers(*values))
    assert str(caught.value).startswith(type(memory).__name__)
    with pytest.raises(ShapeError, match="queries must be"):
        memory.read(state, numbers(2, KEY + 1))


def test_bad_inputs(name):
    memory = make(name)
    with pytest.raises(ShapeError, match="F=3 features"):
        memory(numbers(BATCH, STEPS, INPUTS + 1))
    with pytest.raises(ShapeError, match="lengths"):
        memory(numbers(BATCH, STEPS, INPUTS), lengths=torch.ones(3).long())
    with pytest.raises(ShapeError, match="must have shape"):
        memory(numbers(BATCH, STEPS, INPUTS), memory.blank(BATCH + 1))
    with pytest.raises(ArgumentTypeError, match="state must be"):
        memory(numbers(BATCH, STEPS, INPUTS), (torch.zeros(1),))


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "4"])
@pytest.mark.parametrize("size", ["input_size", "key_size", "value_size"])
@pytest.mark.parametrize(
    "kind", [MANN, KeyValueMemory, MemoryNetwork, DeltaFastWeights, HebbianFastWeights]
)
def test_bad_sizes(kind, size, bad):
    with pytest.raises(ArgumentError, match=f"{kind.__name__}: {size} must be a positive integer"):
        kind(**{"input_size": None, size: bad})
