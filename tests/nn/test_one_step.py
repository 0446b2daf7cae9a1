"""Recurrent layers called one step at a time, against the general route and torch's layers."""

import pytest
import torch
from torch import nn

from l2l_rnn.nn import GRU, LSTM, RNN, one_step, recurrent_layer
from tests.nn.comparison import close, same

BATCH, TASKS, STEPS = 3, 2, 4


@pytest.fixture
def calls(monkeypatch):
    """A list with whether each call of a layer took the route for one step."""
    taken, run = [], one_step.run_one_step

    def run_and_record(*arguments):
        found = run(*arguments)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(recurrent_layer, "run_one_step", run_and_record)
    return taken


def draw(layer, *lead, steps=1, seed=2):
    """Draw an input; `lead` ends in B if there is a batch."""
    generator = torch.Generator().manual_seed(seed)
    axes = (*lead, steps) if layer.batch_first else (*lead[:-1], steps, *lead[-1:])
    x = torch.randn(*axes, layer.input_size, generator=generator)
    return x.to(layer.weight_ih_l0.dtype).requires_grad_()


def results(recurrent, layer, call, x, hx):
    inputs = [x, *recurrent.flat(hx), *layer._parameters.values()]
    outputs = recurrent.flat(call(x, hx))
    return outputs + recurrent.derivatives(outputs, inputs)


def is_fast(recurrent):
    return recurrent.kind in ("RNN", "RNN-relu", "GRU", "LSTM")


def leaves(hx):
    return tuple(s.requires_grad_() for s in hx) if isinstance(hx, tuple) else hx.requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_the_general_route_gives_the_same(recurrent, options, tasks, dtype, calls):
    layer, lead = recurrent.make(dtype=dtype, **options), (BATCH,)
    if tasks is not None:
        layer, lead = recurrent.with_tasks(layer, tasks)[0], (tasks, BATCH)
    x, hx = draw(layer, *lead), leaves(recurrent.state(layer, *lead))
    found = results(recurrent, layer, layer, x, hx)
    assert calls == [True] * is_fast(recurrent)
    lengths = torch.ones(lead, dtype=torch.int64)
    expected = results(recurrent, layer, lambda *a: layer(*a, lengths=lengths), x, hx)
    tolerance = {} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
    close(found, expected, **tolerance)


def test_torch_gives_the_same(torch_recurrent, options, calls):
    results_of = []
    for layer in (torch_recurrent.make(**options), torch_recurrent.make_torch(**options)):
        x, hx = draw(layer, BATCH, steps=STEPS), None
        outputs = []
        for step in x.split(1, 1 if layer.batch_first else 0):
            y, hx = layer(step, hx)
            outputs.append(y)
        outputs += torch_recurrent.flat(hx)
        results_of.append(
            outputs + torch_recurrent.derivatives(outputs, [x, *layer._parameters.values()])
        )
    close(*results_of)
    assert calls == [True] * STEPS * is_fast(torch_recurrent)


def test_a_loop_over_steps_gives_the_same_as_one_call(recurrent, calls):
    layer = recurrent.make(num_layers=2)
    x, hx, outputs = draw(layer, BATCH, steps=STEPS), None, []
    for step in x.split(1):
        y, hx = layer(step, hx)
        outputs.append(y)
    expected, final = layer(x)
    close([torch.cat(outputs), *recurrent.flat(hx)], [expected, *recurrent.flat(final)])
    assert calls == [*[True] * STEPS, False] * is_fast(recurrent)


@pytest.mark.parametrize(
    "shape", [(2, BATCH, 3), (1, 3), (2, 1, BATCH, 3), (1, 0, 3), (1, BATCH, 5)], ids=str
)
def test_other_calls_take_the_general_route(shape, calls):
    layer = GRU(3, 4)
    try:
        layer(torch.zeros(shape))
    except ValueError:  # the general route decides
        assert 0 in shape or shape[-1] != 3
    assert calls == [False]


def test_without_a_state(recurrent):
    for tasks in ((), (TASKS,)):
        layer = recurrent.make(num_layers=2, bidirectional=True)
        layer = recurrent.with_tasks(layer, TASKS)[0] if tasks else layer
        x = draw(layer, *tasks, BATCH)
        zeros = recurrent.state(layer, *tasks, BATCH)
        zeros = tuple(s * 0 for s in zeros) if isinstance(zeros, tuple) else zeros * 0
        same(recurrent.flat(layer(x)), recurrent.flat(layer(x, zeros)))


def test_dropout_draws_the_same_numbers(torch_recurrent, calls):
    layer = torch_recurrent.make(num_layers=3, dropout=0.5)
    x = draw(layer, BATCH)
    found = []
    for lengths in (None, torch.ones(BATCH, dtype=torch.int64)):
        torch.manual_seed(4)
        found.append(torch_recurrent.flat(layer(x, lengths=lengths)))
    close(*found)
    assert calls == [True] * is_fast(torch_recurrent)


def test_outputs_and_states_may_be_changed_in_place(recurrent):
    layer = recurrent.make()
    x, gradients = draw(layer, BATCH), []
    for in_place in (False, True):
        y, final = layer(x)
        final = recurrent.flat(final)
        parts = [part.relu_() if in_place else part.relu() for part in (y, *final)]
        gradients.append(torch.autograd.grad(sum(p.sin().sum() for p in parts), [x]))
    close(*gradients)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_outputs_and_states_share_no_memory(torch_recurrent, dtype):
    layer = torch_recurrent.make(dtype=dtype)
    with torch.no_grad():
        x = draw(layer, BATCH)
        hx = torch_recurrent.state(layer, BATCH)
        tensors = [x, *torch_recurrent.flat(hx), *torch_recurrent.flat(layer(x, hx))]
    assert len({t.data_ptr() for t in tensors}) == len(tensors)


def test_a_state_that_the_general_route_decides_on(calls):
    layer, x = LSTM(3, 4), torch.zeros(1, 2, 3)
    h = torch.randn(1, 2, 4)
    close(layer(x, [h, h])[1], layer(x, (h, h))[1], rtol=1e-5, atol=1e-6)
    assert calls == [False, True]


def test_a_subclass_with_its_own_recurrence(calls):
    class Doubled(GRU):
        def _outputs(self, layer, x, states):
            return 2 * super()._outputs(layer, x, states)

    class Mine(GRU):
        pass

    torch.manual_seed(0)
    x, layers = torch.randn(1, 2, 3), [GRU(3, 4), Mine(3, 4), Doubled(3, 4)]
    for layer in layers:
        layer.load_state_dict(layers[0].state_dict())
    plain, mine, doubled = (layer(x)[0] for layer in layers)
    assert calls == [True, True]
    assert torch.equal(plain, mine)
    torch.testing.assert_close(doubled, 2 * plain)


def test_a_parametrized_layer(calls):
    found = []
    for kind in (RNN, nn.RNN):
        torch.manual_seed(0)
        layer = nn.utils.parametrizations.weight_norm(kind(3, 4), "weight_hh_l0")
        y, h = layer(draw(layer, BATCH))
        found.append([y, h, *torch.autograd.grad(y.sin().sum(), list(layer.parameters()))])
    close(*found, rtol=1e-5, atol=1e-6)
    assert calls == [True]


def test_autocast_and_transforms_take_the_general_route(torch_recurrent, calls):
    layer = torch_recurrent.make(dtype=torch.float32)
    x = draw(layer, BATCH).detach()
    with torch.autocast("cpu", torch.bfloat16):
        layer(x)
    torch.func.vmap(lambda x: layer(x)[0])(torch.stack([x, x]))
    assert not any(calls)
