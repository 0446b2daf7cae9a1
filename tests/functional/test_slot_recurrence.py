"""The compiled passes of a memory of slots against torch's, and the choice between them."""

import copy
import hashlib
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from l2l_rnn.axes import expand_parameters
from l2l_rnn.functional import slot_kernels
from l2l_rnn.memory import NTM

# batch, steps, features, hidden, slots, width, read heads, write heads, shift, controller
SIZES = {
    "one of each": (1, 1, 1, 1, 1, 2, 1, 1, 1, "lstm"),
    "usual": (8, 6, 3, 20, 128, 20, 1, 1, 1, "lstm"),
    "several heads": (3, 5, 4, 9, 7, 5, 2, 3, 1, "lstm"),
    "feed-forward": (2, 4, 3, 6, 9, 4, 1, 2, 2, "feedforward"),
    "no shift": (7, 4, 3, 9, 7, 5, 2, 1, 0, "lstm"),
    "shifts around the ring": (13, 3, 2, 5, 2, 4, 1, 1, 3, "lstm"),
}


@pytest.fixture
def compiled(monkeypatch):
    """Tells which compiled passes ran."""
    assert slot_kernels.compiled(), "it was not compiled; install the package anew"
    calls = []
    run = slot_kernels.run
    monkeypatch.setattr(
        slot_kernels, "run", lambda what, *rest: (calls.append(what), run(what, *rest))
    )
    return calls


def make(name, tasks=None):
    """A layer, its input and a state in which everything has a say."""
    torch.manual_seed(0)
    batch, steps, features, *sizes = SIZES[name]
    ntm = NTM(features, 3, *sizes)
    lead = (batch,) if tasks is None else (tasks, batch)
    if tasks is not None:
        expand_parameters(ntm, tasks)
        with torch.no_grad():
            for module in ntm.modules():
                for key, p in module._parameters.items():
                    module._parameters[key] = (p + torch.randn_like(p) / 5).requires_grad_()
    x = torch.randn(*lead, steps, features, requires_grad=True)
    blank = ntm.blank(*lead)
    state = [(part.detach() + torch.rand(part.shape) / 10).requires_grad_() for part in blank[:-1]]
    return ntm, x, type(blank)(*state, blank.written)


def parameters_of(ntm):
    return [p for module in ntm.modules() for p in module._parameters.values()]


def as_double(ntm, x, state):
    ntm = copy.copy(ntm)
    ntm.__dict__["_modules"] = {name: copy.copy(m) for name, m in ntm._modules.items()}
    for module in ntm.modules():
        module.__dict__["_parameters"] = {
            key: p.detach().double().requires_grad_() for key, p in module._parameters.items()
        }
        module.__dict__["_buffers"] = {key: b.double() for key, b in module._buffers.items()}
    parts = [part.detach().double().requires_grad_() for part in state[:-1]]
    return ntm, x.detach().double().requires_grad_(), type(state)(*parts, state.written)


def both_orders(ntm, x, state, lengths=None):
    """Outputs, last state, and gradients of the first and second order in everything."""
    inputs = [x, *state[:-1], *parameters_of(ntm)]

    def loss():
        y, last = ntm(x, state, lengths=lengths)
        return [y, *last[:-1]], sum((part * part.cos()).sum() for part in (y, *last[:-1]))

    outputs, value = loss()
    alone = torch.autograd.grad(value, inputs, allow_unused=True)
    first = torch.autograd.grad(loss()[1], inputs, create_graph=True, allow_unused=True)
    bent = [
        (g.sin() * torch.linspace(-1, 1, g.numel()).view_as(g)).sum()
        for g in first
        if g is not None
    ]
    second = torch.autograd.grad(sum(bent), inputs, allow_unused=True)
    return [*outputs, *alone, *first, *second]


def compare(ours, exact, tolerance=1e-4):
    """Compare to what is exact; no gradient is one of zeros."""
    for one, other in zip(ours, exact, strict=True):
        if one is None or other is None:
            assert all(g is None or not g.any() for g in (one, other))
        elif one.numel():
            scale = other.abs().max().item() or 1.0
            torch.testing.assert_close(one.double() / scale, other / scale, atol=tolerance, rtol=0)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("tasks", [None, 2])
def test_equal_to_double_precision(compiled, name, ragged, tasks):
    ntm, x, state = make(name, tasks)
    lengths = None
    if ragged:
        lengths = torch.randint(0, x.shape[-2] + 1, x.shape[:-2])
        lengths.view(-1)[0] = x.shape[-2]
    ours = both_orders(ntm, x, state, lengths)
    # The cotangents come of the outputs, so that the second derivative goes through these too.
    assert compiled == ["forward", "adjoint"] * 2
    exact = both_orders(*as_double(ntm, x, state), lengths)
    assert len(compiled) == 4, "double precision ran compiled code"
    compare(ours, exact)


@pytest.mark.parametrize("threads", [1, 3])
def test_without_gradients_it_computes_the_same(compiled, threads):
    ntm, x, state = make("usual")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        y, last = ntm(x, state)
        with torch.no_grad():
            again, last_again = ntm(x, state)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(y, again)
    assert all(torch.equal(a, b) for a, b in zip(last, last_again, strict=True))


def test_a_loss_of_the_state_alone_or_of_one_output(compiled):
    ntm, x, state = make("several heads")
    exact, x_exact, state_exact = as_double(ntm, x, state)
    for take in (lambda y, last: last.memory, lambda y, last: y[:, 1], lambda y, last: last.cell):
        found = [
            torch.autograd.grad(take(*f(x, s)).sum(), [x, s.memory], allow_unused=True)
            for f, x, s in ((ntm, x, state), (exact, x_exact, state_exact))
        ]
        compare(*found)


def test_parts_of_a_state_that_come_of_each_other():
    """The second of two calls is differentiated in what the first made of the parameters."""
    ntm, x, state = make("several heads")

    def twice(ntm, x, state):
        y, after = ntm(x, state)
        z, _ = ntm(x, after)
        (g,) = torch.autograd.grad((y * z).sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), parameters_of(ntm), allow_unused=True)

    compare(twice(ntm, x, state), twice(*as_double(ntm, x, state)))


def test_torchs_operations_serve_where_it_was_not_compiled(monkeypatch):
    ntm, x, state = make("usual")
    ours = both_orders(ntm, x, state)
    monkeypatch.setattr(slot_kernels, "_LIBRARY", None)
    for one, other in zip(ours, both_orders(ntm, x, state), strict=True):
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_subclass_with_steps_of_its_own_takes_them(compiled):
    class Other(NTM):
        def _advance(self, features, state):
            seen, state = super()._advance(features, state)
            return torch.zeros_like(seen), state

    torch.manual_seed(0)
    ntm = Other(3, 2, 5, 6, 4)
    assert torch.equal(ntm(torch.randn(2, 3, 3))[0], ntm.bias_output.expand(2, 3, 2))
    assert not compiled


def test_a_checkpoint_computes_the_same_gradients():
    ntm, x, state = make("usual")
    plain = torch.autograd.grad(ntm(x, state)[0].square().sum(), parameters_of(ntm)[1:3])
    y = checkpoint(lambda x: ntm(x, state)[0], x, use_reentrant=False)
    kept = torch.autograd.grad(y.square().sum(), parameters_of(ntm)[1:3])
    assert all(torch.equal(a, b) for a, b in zip(plain, kept, strict=True))


def test_transforms_and_tracers_get_torchs_operations(compiled):
    ntm = NTM(3, 2, 5, 6, 4).requires_grad_(False)
    x, other = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    graph = make_fx(lambda x: ntm(x)[0])(x)
    mapped = torch.func.vmap(lambda x: ntm(x.unsqueeze(0))[0].squeeze(0))(x)
    with FakeTensorMode():
        assert NTM(3, 2, 5, 6, 4)(torch.zeros(2, 4, 3))[0].shape == (2, 4, 2)
    assert not compiled
    torch.testing.assert_close(graph(other), ntm(other)[0])
    torch.testing.assert_close(mapped, ntm(x)[0])


@pytest.mark.filterwarnings("ignore")  # torch's own, of its compiler
def test_torch_compile_computes_the_same():
    torch.manual_seed(6)
    ntm, x = NTM(3, 2, 5, 6, 4), torch.randn(2, 4, 3)
    results = []
    for run in (ntm, torch.compile(ntm, backend="aot_eager")):
        ntm.zero_grad()
        y, _ = run(x)
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad.clone() for p in ntm.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_not_a_number_stays_with_its_sequence(compiled):
    ntm, x, _ = make("usual")
    with torch.no_grad():
        x[3, 2] = torch.nan
    y, state = ntm(x)
    assert y[3, 2:].isnan().all()
    assert y[3, :2].isfinite().all()
    others = [0, 1, 2, 4, 5, 6, 7]
    assert y[others].isfinite().all()
    assert state.memory[others].isfinite().all()


@pytest.mark.parametrize("far", [30.0, 1e4])
def test_saturated_heads_have_finite_gradients(compiled, far):
    ntm, x, state = make("several heads")
    with torch.no_grad():
        ntm.weight_heads.mul_(far)
    gradients = torch.autograd.grad(
        ntm(x, state)[0].square().sum(), [x, *parameters_of(ntm)], allow_unused=True
    )
    assert all(g.isfinite().all() for g in gradients if g is not None)


def test_it_can_be_turned_off(monkeypatch):
    assert slot_kernels._load() is not None
    monkeypatch.setenv("L2L_RNN_COMPILED", "0")
    assert slot_kernels._load() is None


def test_a_build_of_another_version_is_not_used(monkeypatch):
    monkeypatch.setattr(slot_kernels, "_VERSION", -1)
    assert slot_kernels._load() is None


def test_a_change_of_the_compiled_code_is_a_new_version():
    """A build from before a change must not be used: raise the version, here and in both files."""
    folder = Path(slot_kernels.__file__).parent
    names = ("kernels.h", "kernel_parts.h", "slot_kernels.c", "slot_passes.h")
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()
    assert (slot_kernels._VERSION, digest[:16]) == (1, "ef9bac881ae03186")
