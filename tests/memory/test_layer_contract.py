"""The contract of recurrent memories, for every registered layer and a layer of every store."""

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import l2l_rnn.memory
from l2l_rnn.axes import knows_tasks
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import LAYERS, MemoryLayer, RecurrentMemory
from tests.memory.cases import (
    BATCH,
    FEATURES,
    LAYER_CASES,
    OUTPUTS,
    STEPS,
    TASKS,
    close,
    make,
    random,
    sequences,
    snapshot,
    task_of,
    with_tasks,
)


@pytest.fixture(params=LAYER_CASES)
def name(request):
    return request.param


@pytest.fixture
def memory(name):
    return make(LAYER_CASES, name)


@pytest.fixture
def perturbed(name):
    return make(LAYER_CASES, name, noise=0.3)


def test_every_public_layer_is_registered():
    named = [getattr(l2l_rnn.memory, name) for name in l2l_rnn.memory.__all__]
    kinds = {k for k in named if isinstance(k, type) and issubclass(k, RecurrentMemory)}
    assert set(LAYERS.values()) == kinds - {RecurrentMemory, MemoryLayer}


# ---------------------------------------------------------------- values


def test_shapes(memory):
    outputs, state = memory(sequences())
    assert outputs.shape == (BATCH, STEPS, OUTPUTS)
    blank = memory.blank(BATCH)
    assert type(state) is type(blank)
    assert [part.shape for part in state] == [part.shape for part in blank]
    assert [part.dtype for part in state] == [part.dtype for part in blank]
    assert knows_tasks(memory)


def test_steps_equal_the_sequence(perturbed):
    x = sequences()
    outputs, final = perturbed(x)
    state = perturbed.blank(BATCH)
    for t in range(STEPS):
        y, state = perturbed.step(x[:, t], state)
        close([y], [outputs[:, t]])
    close(state, final)


def test_two_runs_with_a_carried_state_equal_one(perturbed):
    x = sequences()
    outputs, final = perturbed(x)
    first, state = perturbed(x[:, :2])
    second, state = perturbed(x[:, 2:], state)
    close([torch.cat([first, second], 1)], [outputs])
    close(state, final)


def test_the_past_matters(memory):
    """An output depends on the earlier steps of its sequence, and on no other sequence."""
    x = sequences().requires_grad_()
    outputs, _ = memory(x)
    (gradient,) = torch.autograd.grad(outputs[1, -1].sum(), x)
    assert gradient[1].abs().amax(-1).gt(0).all()
    assert gradient[[0, 2]].eq(0).all()


@pytest.mark.parametrize("axes", [(), (TASKS,)], ids=str)
@pytest.mark.parametrize("filler", [torch.nan, 7.0])
def test_padding_changes_nothing(perturbed, axes, filler):
    x = sequences(*axes)
    lengths = torch.tensor([5, 2, 0]).expand(*axes, BATCH)
    padded = x.clone()
    for b, length in enumerate([5, 2, 0]):
        padded[..., b, length:, :] = filler
    more = torch.full((*axes, BATCH, 2, FEATURES), filler, dtype=x.dtype)
    padded = torch.cat([padded, more], -2).requires_grad_()
    outputs, state = perturbed(padded, lengths=lengths)
    assert outputs[..., 0, 5:, :].eq(0).all()
    assert outputs[..., 1, 2:, :].eq(0).all()
    assert outputs[..., 2, :, :].eq(0).all()
    for b, length in enumerate([5, 2]):
        alone, final = perturbed(x[..., b : b + 1, :length, :])
        close([outputs[..., b : b + 1, :length, :]], [alone])
        close([part.narrow(len(axes), b, 1) for part in state], final)
    for part, first in zip(state, perturbed.blank(*axes, BATCH), strict=True):
        assert part.select(len(axes), 2).equal(first.select(len(axes), 2))
    gradients = torch.autograd.grad(
        outputs.sum(), [padded, *perturbed.parameters()], allow_unused=True
    )
    assert all(g is None or g.isfinite().all() for g in gradients)


def test_tasks_at_once_equal_a_loop(memory):
    together, singles = with_tasks(memory)
    x, lengths = sequences(TASKS), torch.tensor([[5, 2, 3], [1, 5, 4]])
    outputs, state = together(x, lengths=lengths)
    first, _ = together.step(x[:, :, 0], together.blank(TASKS, BATCH))
    for n, single in enumerate(singles):
        alone, final = single(x[n], lengths=lengths[n])
        close([outputs[n]], [alone])
        close(task_of(state, n), final)
        close([first[n]], [single.step(x[n, :, 0], single.blank(BATCH))[0]])
    assert not outputs[0].equal(singles[1](x[0], lengths=lengths[0])[0])


def test_shared_parameters_with_a_task_axis_only_on_x(perturbed):
    x = sequences(TASKS)
    outputs, state = perturbed(x)
    for n in range(TASKS):
        alone, final = perturbed(x[n])
        close([outputs[n]], [alone])
        close(task_of(state, n), final)


# ---------------------------------------------------------------- derivatives and precision


def test_first_and_second_derivatives(memory):
    x = random(1, 3, FEATURES).requires_grad_()
    some = [p for name, p in memory.named_parameters() if "heads" in name or "first" in name]

    def run(x, *parameters):
        outputs, state = memory(x)
        return outputs, state[0]

    assert gradcheck(run, (x, *some), fast_mode=True)
    assert gradgradcheck(run, (x, *some), fast_mode=True, atol=1e-4)


def test_derivatives_in_all_parameters_of_ragged_sequences(perturbed):
    names = list(dict(perturbed.named_parameters()))
    x, lengths = random(2, 4, FEATURES).requires_grad_(), torch.tensor([4, 2])
    start = perturbed(random(2, 2, FEATURES))[1]
    start = type(start)(*(part.detach() for part in start))

    def run(x, *parameters):
        values = dict(zip(names, parameters, strict=True))
        y, state = torch.func.functional_call(perturbed, values, (x, start), {"lengths": lengths})
        return (y, *(part for part in state if part.requires_grad))

    given = (x, *perturbed.parameters())
    assert gradcheck(run, given, fast_mode=True)
    assert gradgradcheck(lambda *t: run(*t)[0], given, fast_mode=True)


def test_every_parameter_has_a_gradient(perturbed):
    perturbed(sequences())[0].square().sum().backward()
    for name, parameter in perturbed.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_float32_is_finite_over_many_steps(memory):
    single = memory.float()
    outputs, state = single(5 * torch.randn(2, 60, FEATURES))
    outputs.square().mean().backward()
    assert all(part.isfinite().all() for part in (outputs, *state))
    assert all(p.grad is None or p.grad.isfinite().all() for p in single.parameters())


def test_float32_is_close_to_double(name):
    wide = make(LAYER_CASES, name, noise=0.3)
    narrow = make(LAYER_CASES, name, dtype=torch.float32)
    narrow.load_state_dict(wide.state_dict())
    x = sequences()
    y, state = narrow(x.float())
    assert {part.dtype for part in (y, *state) if part.is_floating_point()} == {torch.float32}
    torch.testing.assert_close(y.double(), wide(x)[0], rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------- states and copies


def test_a_state_is_never_changed(memory):
    x = sequences()
    _, state = memory(x)
    kept = snapshot(state)
    once, after = memory(x, state)
    again, _ = memory(x, state)
    assert once.equal(again)
    memory.step(x[:, 0], state)
    assert all(a.equal(b) for a, b in zip(kept, state, strict=True))
    assert not all(a.equal(b) for a, b in zip(kept, after, strict=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_state_dicts(perturbed, copied):
    x = sequences()
    wanted, _ = perturbed(x)
    twin = copied(perturbed)
    assert twin(x)[0].equal(wanted)
    for parameter in twin.parameters():
        parameter.data.zero_()
    assert perturbed(x)[0].equal(wanted)
    twin.load_state_dict(perturbed.state_dict())
    assert twin(x)[0].equal(wanted)


def test_a_saved_state(memory):
    _, state = memory(sequences())
    assert memory.take_state(state, BATCH) is state
    again = memory.take_state(state._asdict(), BATCH)
    assert type(again) is type(state)
    assert all(a is b for a, b in zip(again, state, strict=True))
    who = type(memory).__name__
    with pytest.raises(ArgumentError, match=rf"^{who}: the state must have .*, got other"):
        memory.take_state({"other": torch.zeros(1)}, BATCH)
    with pytest.raises(ArgumentTypeError, match=rf"^{who}: the state's .* must be torch"):
        memory.take_state(type(state)(*(part.to(torch.complex64) for part in state)), BATCH)
    with pytest.raises(ShapeError, match=rf"^{who}: the state's .* must have shape"):
        memory.take_state(state)
