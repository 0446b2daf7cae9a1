"""Small memories of every kind, for the contract suites.

Every memory that is registered in `STORES` or `LAYERS` is covered automatically. Add options worth
testing to the variants.
"""

import copy

import torch

from l2l_rnn.axes import expand_parameters
from l2l_rnn.memory import (
    DNC,
    LAYERS,
    MANN,
    NTM,
    STORES,
    DeltaFastWeights,
    HebbianRNN,
    KeyValueMemory,
    MemoryLayer,
    MemoryNetwork,
    SlotStore,
)
from l2l_rnn.memory.controller_memory import ControllerMemory

DOUBLE = torch.float64
FEATURES, KEY, VALUE, SLOTS = 3, 4, 2, 6
OUTPUTS = VALUE  # a MemoryLayer's outputs are its store's values
TASKS, BATCH, STEPS = 2, 3, 5


def _store(kind):
    slots = {"slots": SLOTS} if issubclass(kind, SlotStore) else {}
    return lambda **options: kind(KEY, VALUE, **slots, **options)


def _layer(kind):
    if issubclass(kind, ControllerMemory):
        sizes = {"hidden_size": 4, "slots": SLOTS, "slot_size": KEY + VALUE, "key_size": KEY}
        return lambda **options: kind(FEATURES, OUTPUTS, **sizes, **options)
    return lambda **options: kind(FEATURES, OUTPUTS, **options)


def _with(make, **fixed):
    return lambda **options: make(**fixed, **options)


PURE_STORES = {
    **{name: _store(kind) for name, kind in STORES.items()},
    "key-value, hops, cosine": _with(
        _store(KeyValueMemory), embedding_size=3, hops=2, similarity="cosine"
    ),
    "key-value, distance": _with(_store(KeyValueMemory), similarity="distance"),
    "memory-network, one hop": _with(_store(MemoryNetwork), hops=1, temporal=False),
    "delta, unit keys": _with(_store(DeltaFastWeights), features="unit"),
}
CONTROLLER_MEMORIES = {
    **{n: _layer(kind) for n, kind in LAYERS.items() if issubclass(kind, ControllerMemory)},
    "ntm, feed-forward, 2 heads": _with(
        _layer(NTM), read_heads=2, write_heads=2, shift=2, controller="feedforward"
    ),
    "dnc, feed-forward, 2 heads": _with(_layer(DNC), read_heads=2, controller="feedforward"),
    "mann, feed-forward, own contents": _with(
        _layer(MANN), controller="feedforward", contents="own", heads_read_input=True
    ),
}
STORE_CASES = {**PURE_STORES, **CONTROLLER_MEMORIES}
LAYER_CASES = {
    **{name: _layer(kind) for name, kind in LAYERS.items()},
    **CONTROLLER_MEMORIES,
    "hebbian-rnn, 2 inner steps": _with(_layer(HebbianRNN), inner_steps=2),
    **{
        f"layer of {name}": lambda make=make, **options: MemoryLayer(
            FEATURES, make(**options), **options
        )
        for name, make in PURE_STORES.items()
    },
}


def make(cases, name, seed=0, noise=0.0, dtype=DOUBLE):
    """Make a memory, with noise on its parameters, because some are initially 0 or 1."""
    torch.manual_seed(seed)
    memory = cases[name](dtype=dtype)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter += noise * torch.randn_like(parameter)
    return memory


def random(*shape):
    return torch.randn(*shape, dtype=DOUBLE)


def sequences(*axes):
    return random(*axes, BATCH, STEPS, FEATURES)


def examples(*axes, count=4):
    return random(*axes, count, KEY), random(*axes, count, VALUE)


def with_tasks(memory):
    """Return the memory with parameters (N, …), all different, and one memory per task."""
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


def task_of(state, n):
    """Return the state of task n."""
    return type(state)(*(part[n] for part in state))


def snapshot(state):
    return [part.detach().clone() for part in state]
