"""Every route to a memory's gradients, for every memory and 50 seeds, with states passed on.

The routes are the compiled passes, their differentiable backward pass, torch's operations,
`torch.func.vmap` with `torch.func.grad`, and a loop over the seeds. The reference is autograd in
double precision. All seeds run at once: each is a task with parameters and data of its own.
"""

import copy

import pytest
import torch
from torch.func import functional_call, grad, vmap

from l2l_rnn.axes import replace_parameters
from l2l_rnn.functional.memory import compiled_passes
from tests.memory.cases import (
    CONTROLLER_MEMORIES,
    FEATURES,
    KEY,
    LAYER_CASES,
    STORE_CASES,
    VALUE,
    make,
)

SEEDS = 50
LOOPED = 10  # seeds that also run alone, because these runs take most of the time
BATCH, STEPS, FIRST = 2, 8, 3  # the first call takes FIRST of the steps; DNCs have 6 slots
SINGLE, DOUBLE = torch.float32, torch.float64

# Relative to the largest gradient of a seed. A gradient sums hundreds of rounded products, and the
# layer norm of a HebbianRNN with 2 units cancels most of their digits.
TOLERANCE = 2**11 * torch.finfo(SINGLE).eps


def floats(state):
    parts = state._asdict().items()
    return {n: part for n, part in parts if part.is_floating_point() and part.numel()}


def moved(state, shifts):
    """Return the state with shifts, all 0, whose gradients are those of the state passed on."""
    parts = floats(state)
    return state._replace(**{name: parts[name] + shift for name, shift in shifts.items()})


def weighed(tensors, task):
    """Sum functions of the elements with fixed weights; with task, separately for each task."""
    total = 0
    for tensor in tensors:
        rows = tensor.flatten(1) if task else tensor.flatten()
        weights = torch.linspace(-1, 1.5, rows.shape[-1], dtype=rows.dtype)
        total = total + (rows.sin() * weights).sum(-1)
    return total


class LayerLoss(torch.nn.Module):
    """A loss of two calls; the second one continues from the state of the first."""

    def __init__(self, memory, task):
        super().__init__()
        self.memory, self.task = memory, task

    def first(self, x):
        return self.memory(x[..., :FIRST, :])

    def forward(self, x, shifts):
        y, state = self.first(x)
        z, last = self.memory(x[..., FIRST:, :], moved(state, shifts))
        return weighed([y, z, *floats(last).values()], self.task)


class StoreLoss(torch.nn.Module):
    """A loss of two writes and their reads; the second one writes what was read before."""

    def __init__(self, memory, task):
        super().__init__()
        self.memory, self.task = memory, task

    def first(self, x):
        keys, values, queries = x[..., :FIRST, :].split([KEY, VALUE, KEY], -1)
        state = self.memory.write(self.memory.blank(*x.shape[:-2]), keys, values)
        return self.memory.read(state, queries), state

    def forward(self, x, shifts):
        y, state = self.first(x)
        keys, values, queries = x[..., FIRST:, :].split([KEY, VALUE, KEY], -1)
        state = moved(state, shifts)
        state = self.memory.write(state, keys, values + self.memory.read(state, queries))
        return weighed([y, self.memory.read(state, queries), *floats(state).values()], self.task)


def layer_data(generator):
    return torch.randn(BATCH, STEPS, FEATURES, generator=generator)


def store_data(generator):
    return torch.randn(STEPS, 2 * KEY + VALUE, generator=generator)


KINDS = {
    **{f"layer: {name}": (LayerLoss, LAYER_CASES, name, layer_data) for name in LAYER_CASES},
    **{f"store: {name}": (StoreLoss, STORE_CASES, name, store_data) for name in STORE_CASES},
}


def problem(kind):
    """Return the singles, a memory with the parameters of all of them, and the data of all."""
    _, cases, name, data = KINDS[kind]
    singles = [make(cases, name, seed, noise=0.3, dtype=SINGLE) for seed in range(SEEDS)]
    own = [dict(single.named_parameters()) for single in singles]
    together = copy.deepcopy(singles[0])
    names = {parameter: name for name, parameter in together.named_parameters()}
    replace_parameters(
        together, lambda p: torch.stack([o[names[p]].detach() for o in own]).requires_grad_()
    )
    generators = (torch.Generator().manual_seed(seed) for seed in range(SEEDS))
    return singles, together, torch.stack([data(g) for g in generators])


def parameters_of(module, prefix=""):
    """Return the parameters by name. Those with a task axis are tensors, which torch skips."""
    found = {prefix + n: p for n, p in module._parameters.items() if p is not None}
    for name, child in module._modules.items():
        found |= parameters_of(child, f"{prefix}{name}.")
    return found


def zero_shifts(loss, x):
    """Return shifts of the parts of a state that have a gradient."""
    parts = floats(loss.first(x.clone().requires_grad_())[1])
    return {name: torch.zeros_like(p) for name, p in parts.items() if p.requires_grad}


def gradients(loss, x, shifts, create_graph=False):
    """Return the gradients w.r.t. x, the state passed on and all parameters, by name."""
    x = x.clone().requires_grad_()
    shifts = {name: shift.clone().requires_grad_() for name, shift in shifts.items()}
    inputs = {"x": x, **shifts, **parameters_of(loss.memory)}
    found = torch.autograd.grad(
        loss(x, shifts).sum(), list(inputs.values()), create_graph=create_graph, allow_unused=True
    )
    pairs = zip(inputs.items(), found, strict=True)
    return {n: torch.zeros_like(t) if g is None else g.detach() for (n, t), g in pairs}


def in_double(memory):
    memory = copy.deepcopy(memory)
    replace_parameters(memory, lambda p: p.detach().double().requires_grad_())
    for module in memory.modules():
        module._buffers.update({n: b.double() for n, b in module._buffers.items()})
    return memory


def mapped(loss, x, shifts, together):
    """Return the gradients by `vmap` over `grad`, for a loss of a single memory."""

    def single(parameters, x, shifts):
        named = {f"memory.{name}": p for name, p in parameters.items()}
        return functional_call(loss, named, (x, shifts))

    parameters = {name: p.detach() for name, p in parameters_of(together).items()}
    by_parameter, by_x, by_shift = vmap(grad(single, argnums=(0, 1, 2)))(parameters, x, shifts)
    return {"x": by_x, **by_shift, **by_parameter}


def errors(found, exact):
    """Return the largest error of each seed, relative to its largest gradient."""
    scale = torch.stack([g.flatten(1).abs().amax(-1) for g in exact.values()]).amax(0)
    worst = torch.zeros(SEEDS, dtype=DOUBLE)
    for name, other in exact.items():
        one = found[name].flatten(1)
        error = (one - other.flatten(1)[: len(one)]).abs().amax(-1) / scale[: len(one)]
        worst[: len(one)] = worst[: len(one)].maximum(error)  # keeps NaN
    return worst


@pytest.mark.parametrize("kind", KINDS)
def test_all_routes_agree(monkeypatch, kind):
    passes, run = [], compiled_passes.run
    monkeypatch.setattr(
        compiled_passes, "run", lambda name, *rest: (passes.append(name), run(name, *rest))
    )
    loss_of, _, name, _ = KINDS[kind]
    singles, together, x = problem(kind)
    loss, single = loss_of(together, task=True), loss_of(singles[0], task=False)
    shifts = zero_shifts(loss, x)
    wide = {name: shift.double() for name, shift in shifts.items()}
    exact = gradients(loss_of(in_double(together), task=True), x.double(), wide)
    passes.clear()
    routes = {"usual": gradients(loss, x, shifts)}
    is_compiled = loss_of is LayerLoss and name in CONTROLLER_MEMORIES
    assert passes == (["forward"] * 2 + ["adjoint"] * 2 if is_compiled else [])
    routes["create_graph"] = gradients(loss, x, shifts, create_graph=True)
    routes["vmap"] = mapped(single, x, shifts, together)
    alone = [
        gradients(loss_of(s, task=False), x[n], {name: shift[n] for name, shift in shifts.items()})
        for n, s in enumerate(singles[:LOOPED])
    ]
    routes["loop"] = {name: torch.stack([found[name] for found in alone]) for name in exact}
    monkeypatch.setattr(compiled_passes, "_LIBRARY", None)
    routes["torch"] = gradients(loss, x, shifts)
    for route, found in routes.items():
        worst = errors(found, exact)
        assert worst.max() <= TOLERANCE, f"{route}, seed {worst.argmax()}: {worst.max():.1e}"
