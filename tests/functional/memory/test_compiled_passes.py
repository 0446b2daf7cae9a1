"""The memories' compiled passes against torch's operations, and the choice between the two."""

import copy

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

from l2l_rnn.axes import expand_parameters
from l2l_rnn.functional.memory import compiled_passes
from l2l_rnn.memory import DNC, MANN, NTM
from tests.functional.csrc_digest import csrc_digest


def ntm(batch, steps, features, *sizes):
    return batch, steps, NTM(features, 3, *sizes)


def mann(batch, steps, features, hidden, slots, keys, values, reads, **options):
    options |= {"slots": slots, "slot_size": keys + values, "key_size": keys, "read_heads": reads}
    return batch, steps, MANN(features, 3, hidden, **options)


def dnc(batch, steps, features, *sizes):
    return batch, steps, DNC(features, 3, *sizes)


LAYERS = {
    # batch, steps, features, hidden, slots, slot size, read heads, write heads, shift, controller
    "NTM, one of each": lambda: ntm(1, 1, 1, 1, 1, 2, 1, 1, 1, "lstm"),
    "NTM, usual": lambda: ntm(8, 6, 3, 20, 128, 20, 1, 1, 1, "lstm"),
    "NTM, several heads": lambda: ntm(3, 5, 4, 9, 7, 5, 2, 3, 1, "lstm"),
    "NTM, feed-forward": lambda: ntm(2, 4, 3, 6, 9, 4, 1, 2, 2, "feedforward"),
    "NTM, no shift": lambda: ntm(7, 4, 3, 9, 7, 5, 2, 1, 0, "lstm"),
    "NTM, shifts around the ring": lambda: ntm(13, 3, 2, 5, 2, 4, 1, 1, 3, "lstm"),
    # batch, steps, features, hidden, slots, keys, values, reads
    "MANN, one of each": lambda: mann(1, 1, 1, 1, 1, 1, 1, 1),
    "MANN, usual": lambda: mann(8, 6, 3, 20, 32, 16, 16, 2),
    "MANN, overwrites": lambda: mann(7, 5, 4, 9, 6, 3, 2, 4),
    "MANN, contents": lambda: mann(3, 5, 2, 5, 6, 2, 3, 2, contents="own"),
    "MANN, reads its input": lambda: mann(3, 4, 2, 5, 6, 2, 3, 2, heads_read_input=True),
    "MANN, both": lambda: mann(7, 5, 3, 9, 8, 3, 2, 1, contents="own", heads_read_input=True),
    "MANN, feed-forward": lambda: mann(3, 4, 2, 5, 6, 2, 3, 2, controller="feedforward"),
    "MANN, as many heads as slots": lambda: mann(3, 4, 2, 5, 3, 2, 2, 3),
    # batch, steps, features, hidden, slots, slot size, read heads, controller
    "DNC, one of each": lambda: dnc(1, 1, 1, 1, 1, 2, 1, "lstm"),
    "DNC, usual": lambda: dnc(8, 6, 3, 20, 64, 20, 1, "lstm"),
    "DNC, several heads": lambda: dnc(3, 5, 4, 9, 7, 5, 3, "lstm"),
    "DNC, feed-forward": lambda: dnc(2, 4, 3, 6, 9, 4, 2, "feedforward"),
    "DNC, more steps than slots": lambda: dnc(7, 9, 2, 5, 3, 4, 1, "lstm"),
}
USUAL = ["NTM, usual", "MANN, usual", "DNC, usual"]


@pytest.fixture
def compiled(monkeypatch):
    """A list of the compiled passes that ran, in order."""
    assert compiled_passes.compiled(), "not compiled: reinstall the package"
    calls = []
    run = compiled_passes.run
    monkeypatch.setattr(
        compiled_passes, "run", lambda name, *rest: (calls.append(name), run(name, *rest))
    )
    return calls


def make(name, tasks=None):
    """Return a layer, its input, and a state with parts that all affect the outputs."""
    torch.manual_seed(0)
    batch, steps, layer = LAYERS[name]()
    lead = (batch,) if tasks is None else (tasks, batch)
    if tasks is not None:
        expand_parameters(layer, tasks)
        with torch.no_grad():
            for module in layer.modules():
                for key, p in module._parameters.items():
                    module._parameters[key] = (p + torch.randn_like(p) / 5).requires_grad_()
    x = torch.randn(*lead, steps, layer.input_size, requires_grad=True)
    blank = layer.blank(*lead)
    without_gradient = {"usage"} if isinstance(layer, MANN) else set()
    spread = dict.fromkeys(blank._fields, 10)
    spread["links"] = 10 * layer.slots  # each row sums to less than 1
    parts = {
        name: part.detach() + torch.rand(part.shape) / spread[name]
        for name, part in blank._asdict().items()
        if part.is_floating_point()
    }
    if isinstance(layer, DNC):
        parts["usage"] += 0.05  # a DNC's second derivatives grow as 1 / usage^2
    parts = {
        name: part.requires_grad_(name not in without_gradient) for name, part in parts.items()
    }
    return layer, x, blank._replace(**parts)


def floats(state):
    return [part for part in state if part.is_floating_point()]


def differentiable(state):
    return [part for part in state if part.requires_grad]


def parameters_of(layer):
    return [p for module in layer.modules() for p in module._parameters.values()]


def as_double(layer, x, state):
    layer = copy.copy(layer)
    layer.__dict__["_modules"] = {name: copy.copy(m) for name, m in layer._modules.items()}
    for module in layer.modules():
        module.__dict__["_parameters"] = {
            key: p.detach().double().requires_grad_() for key, p in module._parameters.items()
        }
        module.__dict__["_buffers"] = {key: b.double() for key, b in module._buffers.items()}
    parts = {
        name: part.detach().double().requires_grad_(part.requires_grad)
        for name, part in state._asdict().items()
        if part.is_floating_point()
    }
    return layer, x.detach().double().requires_grad_(), state._replace(**parts)


def both_orders(layer, x, state, lengths=None):
    """Return outputs, last state and first-order gradients, and second-order gradients."""
    inputs = [x, *differentiable(state), *parameters_of(layer)]

    def loss():
        y, last = layer(x, state, lengths=lengths)
        values = [y, *floats(last)]
        return values, sum((part * part.cos()).sum() for part in values)

    outputs, value = loss()
    compiled = torch.autograd.grad(value, inputs, allow_unused=True)
    first = torch.autograd.grad(loss()[1], inputs, create_graph=True, allow_unused=True)
    curved = [
        (g.sin() * torch.linspace(-1, 1, g.numel()).view_as(g)).sum()
        for g in first
        if g is not None
    ]
    second = torch.autograd.grad(sum(curved), inputs, allow_unused=True)
    return [*outputs, *compiled, *first], second


def compare(ours, exact, least=1e-3):
    """Compare to exact values, relative to their scale but at least `least`; None means zeros."""
    for one, other in zip(ours, exact, strict=True):
        if one is None or other is None:
            assert all(g is None or not g.any() for g in (one, other))
        elif one.numel():
            scale = max(other.abs().max().item(), least)
            torch.testing.assert_close(one.double() / scale, other / scale, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("tasks", [None, 2])
def test_matches_double_precision(compiled, name, ragged, tasks):
    layer, x, state = make(name, tasks)
    lengths = None
    if ragged:
        lengths = torch.randint(0, x.shape[-2] + 1, x.shape[:-2])
        lengths.view(-1)[0] = x.shape[-2]
    ours, second = both_orders(layer, x, state, lengths)
    # The loss is not linear in the outputs, so second derivatives also go through its cotangents.
    assert compiled == ["forward", "adjoint"] * 2
    exact, exact_second = both_orders(*as_double(layer, x, state), lengths)
    assert len(compiled) == 4, "compiled code ran in double precision"
    compare(ours, exact)
    compare(second, exact_second, least=1.0)  # their sums cancel


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", USUAL)
def test_no_grad_computes_the_same(compiled, name, threads):
    layer, x, state = make(name)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        y, last = layer(x, state)
        with torch.no_grad():
            again, last_again = layer(x, state)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(y, again)
    assert all(torch.equal(a, b) for a, b in zip(last, last_again, strict=True))


@pytest.mark.parametrize("name", USUAL)
def test_loss_of_one_output_or_of_one_part_of_the_state(compiled, name):
    layer, x, state = make(name)
    exactly = as_double(layer, x, state)
    parts = [name for name, part in state._asdict().items() if part.requires_grad]
    takes = [lambda y, last: y[:, 1], *(lambda y, last, p=p: getattr(last, p) for p in parts)]
    weight = torch.linspace(-1, 2, 8)
    for take in takes:
        found = []
        for f, given, s in ((layer, x, state), exactly):
            part = take(*f(given, s)).flatten(1)
            inputs = [given, *(getattr(s, name) for name in parts)]
            value = weight.to(part.dtype) @ part.cos().sum(-1)
            found.append(torch.autograd.grad(value, inputs, allow_unused=True))
        compare(*found)
    assert set(compiled) == {"forward", "adjoint"}


@pytest.mark.parametrize("name", [*USUAL, "MANN, overwrites", "DNC, more steps than slots"])
def test_matches_double_precision_from_a_blank_memory(compiled, name):
    """Rounding may decide which of a MANN's equal slots is written first, but no output changes."""
    layer, x, _ = make(name)
    found = []
    for f, given in ((layer, x), as_double(layer, x, layer.blank(len(x)))[:2]):
        y, last = f(given)
        value = y.square().sum() + last.memory.sin().sum()
        inputs = [given, *parameters_of(f)]
        found.append([y, value, *torch.autograd.grad(value, inputs, allow_unused=True)])
    compare(*found)
    assert compiled == ["forward", "adjoint"]


@pytest.mark.parametrize("name", USUAL)
@pytest.mark.parametrize("keep", [True, False])
def test_sequences_without_steps_and_batches_without_sequences(compiled, name, keep):
    layer, x, state = make(name)
    with torch.set_grad_enabled(keep):
        y, last = layer(x, state, lengths=torch.zeros(8, dtype=torch.long))
        none, _ = layer(x[:0])
    assert not y.any()
    assert none.shape == (0, *y.shape[1:])
    assert all(torch.equal(one, other) for one, other in zip(last, state, strict=True))
    if keep:
        inputs = differentiable(state)
        value = sum((part * part).sum() for part in differentiable(last))
        for part, g in zip(inputs, torch.autograd.grad(value, inputs), strict=True):
            torch.testing.assert_close(g, 2 * part)
        none.sum().backward()
        assert not any(p.grad.any() for p in layer.parameters() if p.grad is not None)
    assert compiled == ["forward", "forward", "adjoint", "adjoint"][: 4 if keep else 2]


@pytest.mark.parametrize("name", USUAL)
def test_parts_of_a_state_that_depend_on_each_other(name):
    """The second call starts from a state that the first one computed from the parameters."""
    layer, x, state = make(name)

    def twice(layer, x, state):
        y, after = layer(x, state)
        z, _ = layer(x, after)
        (g,) = torch.autograd.grad((y * z).sum(), x, create_graph=True)
        return torch.autograd.grad(g.square().sum(), parameters_of(layer), allow_unused=True)

    compare(twice(layer, x, state), twice(*as_double(layer, x, state)))


@pytest.mark.parametrize("name", USUAL)
def test_both_backward_passes_agree_on_a_state_passed_on(compiled, name):
    """Unused slots have equal usage, and rounding must not decide which of them is allocated."""
    layer, x, _ = make(name)
    _, state = layer(x)
    without_gradient = {"usage"} if isinstance(layer, MANN) else set()
    state = state._replace(
        **{
            name: part.detach().requires_grad_(name not in without_gradient)
            for name, part in state._asdict().items()
            if part.is_floating_point()
        }
    )
    inputs = [x, *differentiable(state), *parameters_of(layer)]

    def gradients(create_graph):
        y, last = layer(x, state)
        scale = torch.linspace(-1, 1, last.memory.numel()).view_as(last.memory)
        value = y.sin().sum() + (scale * last.memory).sum()
        return torch.autograd.grad(value, inputs, create_graph=create_graph, allow_unused=True)

    compare(gradients(False), [g if g is None else g.double() for g in gradients(True)])
    assert compiled == ["forward", "forward", "adjoint", "forward"]


@pytest.mark.parametrize("name", USUAL)
def test_falls_back_to_torch_operations_if_not_compiled(monkeypatch, name):
    layer, x, state = make(name)
    ours, second = both_orders(layer, x, state)
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    theirs, their_second = both_orders(layer, x, state)
    compare([*ours, *second], [g if g is None else g.double() for g in (*theirs, *their_second)])


@pytest.mark.parametrize("name", USUAL)
def test_checkpointing_computes_the_same_gradients(name):
    layer, x, state = make(name)
    plain = torch.autograd.grad(layer(x, state)[0].square().sum(), parameters_of(layer)[1:3])
    y = checkpoint(lambda x: layer(x, state)[0], x, use_reentrant=False)
    kept = torch.autograd.grad(y.square().sum(), parameters_of(layer)[1:3])
    assert all(torch.equal(a, b) for a, b in zip(plain, kept, strict=True))


def test_transforms_and_tracing_use_torch_operations(compiled):
    ntm = NTM(3, 2, 5, 6, 4).requires_grad_(False)
    x, other = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    graph = make_fx(lambda x: ntm(x)[0])(x)
    slope = torch.func.grad(lambda x: ntm(x)[0].sin().sum())(x)
    with FakeTensorMode():
        assert NTM(3, 2, 5, 6, 4)(torch.zeros(2, 4, 3))[0].shape == (2, 4, 2)
    assert not compiled
    torch.testing.assert_close(graph(other), ntm(other)[0])
    (expected,) = torch.autograd.grad(ntm(x.requires_grad_())[0].sin().sum(), x)
    torch.testing.assert_close(slope, expected)
    assert compiled


@pytest.mark.filterwarnings("ignore")  # warnings of torch's compiler
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


@pytest.mark.parametrize("name", USUAL)
def test_nan_stays_in_its_sequence(compiled, name):
    layer, x, _ = make(name)
    with torch.no_grad():
        x[3, 2] = torch.nan
    y, state = layer(x)
    assert y[3, 2:].isnan().all()
    assert y[3, :2].isfinite().all()
    others = [0, 1, 2, 4, 5, 6, 7]
    assert y[others].isfinite().all()
    assert state.memory[others].isfinite().all()


@pytest.mark.parametrize("layer", [NTM, DNC])
def test_nan_passes_through_a_strength(compiled, layer):
    """The compiled logarithm works on bits, and must not treat NaN as a number."""
    layer = layer(2, 3, 5, 7, 4)
    with torch.no_grad():
        layer.bias_heads[sum(layer._interface()[:2])] = torch.nan
    y, _ = layer(torch.randn(2, 3, 2))
    assert compiled == ["forward"]
    assert y.isnan().all()


@pytest.mark.parametrize("name", ["NTM, several heads", "DNC, several heads"])
def test_derivative_of_a_strength_near_0(compiled, name):
    """The derivative of softplus, 1 - exp(-y), would lose all but a few bits near y = 0."""
    layer, x, state = make(name)
    first = sum(layer._interface()[:2])
    strengths = slice(first, first + layer._interface()[2])
    with torch.no_grad():
        layer.weight_heads[strengths] = 0
        layer.bias_heads[strengths] = torch.linspace(-20, -3, strengths.stop - first)
    found = []
    for f, inputs, before in ((layer, x, state), as_double(layer, x, state)):
        (g,) = torch.autograd.grad(f(inputs, before)[0].sin().sum(), f.bias_heads)
        found.append(g[strengths].double())
    torch.testing.assert_close(*found, rtol=1e-3, atol=0)
    assert compiled == ["forward", "adjoint"]


@pytest.mark.parametrize("name", USUAL)
def test_no_tasks(compiled, name):
    _, _, layer = LAYERS[name]()
    expand_parameters(layer, 0)
    y, _ = layer(torch.zeros(0, 2, 3, layer.input_size))
    y.sum().backward()
    assert y.shape == (0, 2, 3, 3)
    assert compiled == ["forward", "adjoint"]


def test_usage_below_0_counts_as_0(compiled, monkeypatch):
    """A free gate of 1 and a weight that rounding left just above 1 give a usage below 0."""
    dnc = DNC(2, 3, 5, 4, 4)
    state = dnc.blank(1)
    weights = torch.tensor([[[1 + 2**-23, 0.0, 0.0, 0.0]]])
    state = state._replace(read_weights=weights, usage=torch.full((1, 4), 0.5))
    with torch.no_grad():
        dnc.bias_heads[4 * 3 + 4] = 50.0  # the free gate
    x, found = torch.randn(1, 3, 2), []
    for _ in range(2):
        dnc.zero_grad()
        y, last = dnc(x, state)
        (y.square().sum() + last.memory.sum()).backward()
        found.append([y, *floats(last), dnc.weight_heads.grad])
        assert dnc(x[:, :1], state)[1].usage.min() < 0
        monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    assert all(part.isfinite().all() for part in found[0])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert compiled == ["forward", "adjoint", "forward"]


def test_gradient_of_usage(compiled):
    """A MANN's outputs have no gradient w.r.t. usage, but its last usage has one, from torch."""
    layer, x, state = make("MANN, overwrites")
    usage = state.usage.clone().requires_grad_()
    _, last = layer(x, state._replace(usage=usage))
    (g,) = torch.autograd.grad(last.usage.sum(), usage)
    torch.testing.assert_close(g, torch.full_like(g, layer.decay ** x.shape[1]))
    assert not compiled


@pytest.mark.parametrize("far", [30.0, 1e4])
@pytest.mark.parametrize("name", ["NTM, several heads", "MANN, overwrites", "DNC, several heads"])
def test_saturated_heads_have_finite_gradients(compiled, name, far):
    layer, x, state = make(name)
    with torch.no_grad():
        layer.weight_heads.mul_(far)
    gradients = torch.autograd.grad(
        layer(x, state)[0].square().sum(), [x, *parameters_of(layer)], allow_unused=True
    )
    assert all(g.isfinite().all() for g in gradients if g is not None)


def test_compiled_code_can_be_turned_off(monkeypatch):
    assert compiled_passes._load() is not None
    monkeypatch.setenv("L2L_RNN_COMPILED", "0")
    assert compiled_passes._load() is None


def test_a_build_of_another_version_is_not_used(monkeypatch):
    monkeypatch.setattr(compiled_passes, "_VERSION", -1)
    assert compiled_passes._load() is None


def test_changed_code_has_a_new_version():
    """Otherwise an older build would be used: raise the version here, in C and in Python."""
    headers = ("common", "vector_math", "memory_passes", "content", "controller")
    headers += ("ntm", "mann", "dnc", "dnc_addressing")
    digest = csrc_digest(*(f"{name}.h" for name in headers), "memory.c")
    assert (compiled_passes._VERSION, digest) == (7, "606c6a88a9df95ee")
