"""What every memory keeps to, as a layer and as a store."""

import copy

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import l2l_rnn.memory
from l2l_rnn.axes import expand_parameters, knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import (
    DNC,
    MANN,
    NTM,
    DeltaFastWeights,
    HebbianFastWeights,
    KeyValueMemory,
    Memory,
    MemoryNetwork,
)

DOUBLE = torch.float64
FEATURES, OUTPUTS, TASKS, BATCH, STEPS = 3, 2, 2, 3, 5

# One small memory of each kind, in double precision; add yours here.
MEMORIES = {
    "NTM": lambda: NTM(FEATURES, OUTPUTS, 4, slots=6, width=4, dtype=DOUBLE),
    "NTM, feed-forward, 2 heads": lambda: NTM(
        *(FEATURES, OUTPUTS, 4, 6, 4, 2, 2),
        shift=2,
        controller="feedforward",
        dtype=DOUBLE,
    ),
    "DNC": lambda: DNC(FEATURES, OUTPUTS, 4, slots=6, width=4, dtype=DOUBLE),
    "DNC, feed-forward, 2 heads": lambda: DNC(
        FEATURES, OUTPUTS, 4, 6, 4, 2, controller="feedforward", dtype=DOUBLE
    ),
    "MANN": lambda: MANN(FEATURES, OUTPUTS, 4, slots=6, key_size=3, value_size=2, dtype=DOUBLE),
    "key-value memory": lambda: KeyValueMemory(FEATURES, 3, OUTPUTS, slots=6, dtype=DOUBLE),
    "memory network": lambda: MemoryNetwork(
        FEATURES, 3, OUTPUTS, embedding_size=5, slots=6, hops=2, dtype=DOUBLE
    ),
    "Hebbian": lambda: HebbianFastWeights(FEATURES, OUTPUTS, dtype=DOUBLE),
    "delta rule": lambda: DeltaFastWeights(FEATURES, 3, OUTPUTS, dtype=DOUBLE),
}


@pytest.fixture(params=MEMORIES)
def memory(request):
    torch.manual_seed(0)
    return MEMORIES[request.param]()


def random(*shape):
    return torch.randn(*shape, dtype=DOUBLE)


def sequences(*axes):
    return random(*axes, BATCH, STEPS, FEATURES)


def examples(memory, *axes, count=4):
    return random(*axes, count, memory.key_size), random(*axes, count, memory.value_size)


def with_tasks(memory):
    """The memory with parameters (N, …), all different, and a memory for each task."""
    singles = [copy.deepcopy(memory) for _ in range(TASKS)]
    for single in singles:
        for parameter in single.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    together = copy.deepcopy(memory)
    expand_parameters(together, TASKS)
    for name in dict(memory.named_parameters()):
        owner, _, own = name.rpartition(".")
        stacked = torch.stack([single.get_parameter(name).detach() for single in singles])
        together.get_submodule(owner)._parameters[own] = stacked
    return together, singles


def close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def keep_apart(network):
    """Give a memory network embeddings that find an item by its key, and answer with its value."""
    keys, values = torch.eye(5, dtype=DOUBLE).split([3, 2])
    for name, wanted in {
        "query_embedding": 40 * keys.mT,
        "input_embedding": keys.mT @ keys,
        "output_embedding": values.mT @ values,
        "hop_matrix": keys.mT @ keys,  # forgets what the first hop found
        "answer": values,
        "input_ages": 0,
        "output_ages": 0,
    }.items():
        network.get_parameter(name).data[:] = wanted


# What some need to recall: an embedding that was learned, or several writes, each of which takes
# back only half of what is wrong and moves what other keys read.
LEARNED = {MemoryNetwork: keep_apart}
TIMES = {DeltaFastWeights: 400}


def slices(state, n):
    return type(state)(*(part[n] for part in state))


def snapshot(state):
    return [part.detach().clone() for part in state]


def test_no_memory_is_left_out():
    named = {getattr(l2l_rnn.memory, name) for name in l2l_rnn.memory.__all__}
    kinds = {kind for kind in named if issubclass(kind, Memory)} - {Memory}
    assert {type(make()) for make in MEMORIES.values()} == kinds


# ---------------------------------------------------------------- a layer


def test_shapes(memory):
    outputs, state = memory(sequences())
    assert outputs.shape == (BATCH, STEPS, OUTPUTS)
    blank = memory.blank(BATCH)
    assert type(state) is type(blank)
    assert [part.shape for part in state] == [part.shape for part in blank]
    assert [part.dtype for part in state] == [part.dtype for part in blank]
    assert knows_tasks(memory)


def test_steps_equal_the_sequence(memory):
    x = sequences()
    outputs, final = memory(x)
    state = memory.blank(BATCH)
    for t in range(STEPS):
        y, state = memory.step(x[:, t], state)
        close([y], [outputs[:, t]])
    close(state, final)


def test_a_carried_state_goes_on_where_it_was(memory):
    x = sequences()
    outputs, final = memory(x)
    first, state = memory(x[:, :2])
    second, state = memory(x[:, 2:], state)
    close([torch.cat([first, second], 1)], [outputs])
    close(state, final)


def test_the_past_matters(memory):
    """A sequence's output depends on its earlier steps, and on no other sequence."""
    x = sequences().requires_grad_()
    outputs, _ = memory(x)
    (gradient,) = torch.autograd.grad(outputs[1, -1].sum(), x)
    assert gradient[1].abs().amax(-1).gt(0).all()
    assert gradient[[0, 2]].eq(0).all()


@pytest.mark.parametrize("axes", [(), (TASKS,)], ids=str)
def test_padding_changes_nothing(memory, axes):
    x = sequences(*axes)
    lengths = torch.tensor([5, 2, 0]).expand(*axes, BATCH)
    padded = x.clone()
    for b, length in enumerate([5, 2, 0]):
        padded[..., b, length:, :] = torch.nan
    padded.requires_grad_()
    outputs, state = memory(padded, lengths=lengths)
    assert outputs[..., 1, 2:, :].eq(0).all()
    assert outputs[..., 2, :, :].eq(0).all()
    for b, length in enumerate([5, 2]):
        alone, final = memory(x[..., b : b + 1, :length, :])
        close([outputs[..., b : b + 1, :length, :]], [alone])
        at = len(axes)
        close([part.narrow(at, b, 1) for part in state], final)
    blank = memory.blank(*axes, BATCH)
    for part, first in zip(state, blank, strict=True):
        assert part.select(len(axes), 2).equal(first.select(len(axes), 2))
    gradients = torch.autograd.grad(
        outputs.sum(), [padded, *memory.parameters()], allow_unused=True
    )
    assert all(g is None or g.isfinite().all() for g in gradients)


def test_tasks_at_once_equal_a_loop(memory):
    together, singles = with_tasks(memory)
    x, lengths = sequences(TASKS), torch.tensor([[5, 2, 3], [1, 5, 4]])
    outputs, state = together(x, lengths=lengths)
    for n, single in enumerate(singles):
        alone, final = single(x[n], lengths=lengths[n])
        close([outputs[n]], [alone])
        close(slices(state, n), final)
    assert not outputs[0].equal(singles[1](x[0], lengths=lengths[0])[0])


def test_shared_parameters_with_a_task_axis_on_x_alone(memory):
    x = sequences(TASKS)
    outputs, state = memory(x)
    for n in range(TASKS):
        alone, final = memory(x[n])
        close([outputs[n]], [alone])
        close(slices(state, n), final)


def test_first_and_second_derivatives(memory):
    x = random(1, 3, FEATURES).requires_grad_()
    some = [p for name, p in memory.named_parameters() if "heads" in name or "first" in name]

    def run(x, *parameters):
        outputs, state = memory(x)
        return outputs, state[0]

    assert gradcheck(run, (x, *some), fast_mode=True)
    assert gradgradcheck(run, (x, *some), fast_mode=True, atol=1e-4)


def test_float32_is_finite_over_many_steps(memory):
    single = memory.float()
    outputs, state = single(5 * torch.randn(2, 60, FEATURES))
    outputs.square().mean().backward()
    assert all(part.isfinite().all() for part in (outputs, *state))
    assert all(p.grad is None or p.grad.isfinite().all() for p in single.parameters())


def test_a_state_is_never_changed(memory):
    x = sequences()
    _, state = memory(x)
    kept = snapshot(state)
    once, after = memory(x, state)
    again, _ = memory(x, state)
    assert once.equal(again)
    memory.step(x[:, 0], state)
    keys, values = examples(memory, BATCH)
    memory.read(memory.write(state, keys, values), keys)
    assert all(a.equal(b) for a, b in zip(kept, state, strict=True))
    assert not all(a.equal(b) for a, b in zip(kept, after, strict=True))


def test_copies_and_state_dicts(memory):
    x = sequences()
    wanted, _ = memory(x)
    twin = copy.deepcopy(memory)
    assert twin(x)[0].equal(wanted)
    for parameter in twin.parameters():
        parameter.data.zero_()
    assert memory(x)[0].equal(wanted)
    twin.load_state_dict(memory.state_dict())
    assert twin(x)[0].equal(wanted)


# ---------------------------------------------------------------- a store


def test_what_is_written_is_read(memory):
    keys, values = (
        torch.eye(memory.key_size, dtype=DOUBLE),
        random(memory.key_size, memory.value_size),
    )
    LEARNED.get(type(memory), lambda memory: None)(memory)
    times = TIMES.get(type(memory), 1)
    state = memory.write(memory.blank(), keys.repeat(times, 1), values.repeat(times, 1))
    found = memory.read(state, keys)
    assert found.shape == values.shape
    distances = torch.cdist(found, values)
    assert distances.argmin(-1).tolist() == list(range(len(keys)))
    if type(memory) in (MemoryNetwork, DeltaFastWeights):
        torch.testing.assert_close(found, values, rtol=0, atol=1e-5)


def test_writes_one_by_one_equal_one_write(memory):
    keys, values = examples(memory, count=10)  # more than there are slots
    at_once = memory.write(memory.blank(), keys, values)
    state = memory.blank()
    for i in range(10):
        state = memory.write(state, keys[i : i + 1], values[i : i + 1])
    close(state, at_once)


def test_stores_of_tasks_are_apart(memory):
    together, singles = with_tasks(memory)
    keys, values = examples(memory, TASKS)
    queries = random(TASKS, 3, memory.key_size)
    state = together.write(together.blank(TASKS), keys, values)
    found = together.read(state, queries)
    for n, single in enumerate(singles):
        alone = single.write(single.blank(), keys[n], values[n])
        close(slices(state, n), alone)
        close([found[n]], [single.read(alone, queries[n])])


@pytest.mark.parametrize("name", ["NTM", "DNC", "key-value memory", "memory network"])
def test_of_more_examples_than_slots_the_oldest_are_lost_and_counted(name):
    torch.manual_seed(0)
    memory = MEMORIES[name]()
    keys, values = examples(memory, count=8)  # of 6 slots
    state = memory.write(memory.blank(), keys[:5], values[:5])
    assert (state.written, state.overwritten) == (5, 0)
    state = memory.write(state, keys[5:], values[5:])
    assert (state.written, state.overwritten) == (8, 2)
    kept = memory.write(memory.blank(), keys[2:], values[2:])
    close([memory.read(state, keys)], [memory.read(kept, keys)])


def test_nothing_written_changes_nothing(memory):
    keys, values = examples(memory, count=0)
    state = memory.write(memory.blank(), keys, values)
    close(state, memory.blank())
    assert memory.read(state, random(2, memory.key_size)).isfinite().all()


def test_derivatives_of_the_store(memory):
    keys, values = examples(memory, count=3)
    given = (keys.requires_grad_(), values.requires_grad_(), random(2, memory.key_size))
    given[2].requires_grad_()

    def look_up(keys, values, queries):
        return memory.read(memory.write(memory.blank(), keys, values), queries)

    assert gradcheck(look_up, given)
    assert gradgradcheck(look_up, given, atol=1e-4)


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    "shape", [(BATCH, STEPS, FEATURES + 1), (BATCH, 0, FEATURES), (STEPS, FEATURES), (FEATURES,)]
)
def test_input_of_another_shape(memory, shape):
    with pytest.raises(ShapeError, match=rf"^{type(memory).__name__}: x must be .*F={FEATURES}"):
        memory(random(*shape))


def test_a_step_of_another_shape(memory):
    with pytest.raises(ShapeError, match=rf"^{type(memory).__name__}: x must end in F={FEATURES}"):
        memory.step(random(BATCH, FEATURES + 1), memory.blank(BATCH))


@pytest.mark.parametrize("lengths", [[1], [1, 2, 3, 4]], ids=str)
def test_lengths_of_another_shape(memory, lengths):
    with pytest.raises(ShapeError, match=r"lengths must have shape \(3,\)"):
        memory(sequences(), lengths=torch.tensor(lengths))


@pytest.mark.parametrize("lengths", [[1, 2, 6], [1, -1, 2]], ids=str)
def test_lengths_outside_the_steps(memory, lengths):
    with pytest.raises(ArgumentError, match=r"lengths must lie in 0 … S=5"):
        memory(sequences(), lengths=torch.tensor(lengths))


@pytest.mark.parametrize("batch", [(BATCH + 1,), (), (TASKS, BATCH)], ids=str)
def test_a_state_of_another_batch(memory, batch):
    state, who = memory.blank(*batch), type(memory).__name__
    message = rf"^{who}: the state's .* must have shape"
    with pytest.raises(ShapeError, match=message):
        memory(sequences(), state)
    with pytest.raises(ShapeError, match=message):
        memory.step(random(BATCH, FEATURES), state)
    keys, values = examples(memory, BATCH)
    with pytest.raises(ShapeError, match=message):
        memory.write(state, keys, values)
    with pytest.raises(ShapeError, match=message):
        memory.read(state, keys)


def test_a_state_of_another_kind(memory):
    with pytest.raises(ArgumentTypeError, match=r"state must be of type .*State, got tuple"):
        memory(sequences(), tuple(memory.blank(BATCH)))
    with pytest.raises(ArgumentTypeError, match=r"state must be of type .*State, got tuple"):
        memory.write(tuple(memory.blank()), *examples(memory))


def test_a_state_that_was_kept(memory):
    state = memory.write(memory.blank(), *examples(memory))
    assert memory.take_state(state) is state
    again = memory.take_state(state._asdict())
    assert type(again) is type(state)
    assert all(a is b for a, b in zip(again, state, strict=True))
    who = type(memory).__name__
    with pytest.raises(ArgumentError, match=rf"^{who}: the state must have .*, got other"):
        memory.take_state({"other": torch.zeros(1)})
    with pytest.raises(ArgumentTypeError, match=rf"^{who}: the state's .* must be torch"):
        memory.take_state(type(state)(*(part.to(torch.complex64) for part in state)))
    with pytest.raises(ShapeError, match=rf"^{who}: the state's .* must have shape"):
        memory.take_state(state, BATCH)


def test_a_state_of_other_tasks(memory):
    together, _ = with_tasks(memory)
    with pytest.raises(ShapeError):
        together.blank(TASKS + 1, BATCH)
    who, state = type(memory).__name__, together.blank(TASKS)
    for name, call in {
        "x": lambda: together(sequences()),
        # As many sequences as there are tasks, but no axis for these.
        "x ": lambda: together(random(TASKS, STEPS, FEATURES)),
        "x  ": lambda: together.step(random(TASKS, FEATURES), state),
        "keys": lambda: together.write(state, *examples(memory)),
        "queries": lambda: together.read(state, examples(memory)[0]),
    }.items():
        with pytest.raises(ShapeError, match=rf"^{who}: {name.strip()} must be \(N, …\) with N=2"):
            call()


def test_keys_and_values_that_do_not_fit(memory):
    state = memory.blank()
    keys, values = examples(memory)
    for wrong in ((keys[:, :-1], values), (keys, values[:, :-1]), (keys[:-1], values)):
        with pytest.raises(ShapeError, match=rf"^{type(memory).__name__}: "):
            memory.write(state, *wrong)
    with pytest.raises(ShapeError, match=rf"^{type(memory).__name__}: queries"):
        memory.read(state, keys[:, :-1])
