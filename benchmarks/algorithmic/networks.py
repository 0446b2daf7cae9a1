"""The networks compared: one for each memory, and an LSTM, with similar numbers of parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.algorithmic.settings import Settings
from benchmarks.sizes import matching_size, parameter_count
from l2l_rnn.memory import (
    DNC,
    MANN,
    NTM,
    DeltaFastWeights,
    HebbianRNN,
    KeyValueMemory,
    MemoryLayer,
    MemoryNetwork,
    Store,
)
from l2l_rnn.nn import LSTM, Linear
from l2l_rnn.tasksets import BitSequences


class PlainLSTM(nn.Module):
    """An LSTM and a linear layer."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.layer = LSTM(inputs, hidden, batch_first=True)
        self.head = Linear(hidden, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        h, state = self.layer(x)
        return self.head(h), state


class ControlledMemory(nn.Module):
    """An LSTM, a memory that sees each step and the LSTM's output, and a linear layer on both.

    For memories without their own recurrence: the LSTM keeps track of the position in the sequence.
    The reads are not fed back to the LSTM.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int, store: Store[Any]) -> None:
        super().__init__()
        self.controller = LSTM(inputs, hidden, batch_first=True)
        self.memory = MemoryLayer(inputs + hidden, store)
        self.head = Linear(hidden + self.memory.output_size, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        h, _ = self.controller(x)
        found, state = self.memory(torch.cat([x, h], -1))
        return self.head(torch.cat([h, found], -1)), state


class HebbianNetwork(nn.Module):
    """A recurrent layer with Hebbian fast weights, a ReLU layer, and a linear layer."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.memory = HebbianRNN(inputs, hidden)
        self.units = Linear(hidden, hidden)
        self.head = Linear(hidden, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        h, state = self.memory(x)
        return self.head(self.units(h).relu()), state


Make = Callable[[int, int, int, Settings], nn.Module]


@dataclasses.dataclass(frozen=True)
class Network:
    """A kind of network, of any size.

    Attributes:
        description: description in tables.
        make: makes a network from input size, output size, hidden units and settings.
    """

    description: str
    make: Make


def _controlled(store: Callable[[Settings], Store[Any]]) -> Make:
    return lambda inputs, outputs, hidden, settings: ControlledMemory(
        inputs, outputs, hidden, store(settings)
    )


def _ntm(inputs: int, outputs: int, hidden: int, settings: Settings) -> NTM:
    return NTM(
        inputs,
        outputs,
        hidden,
        settings.slots,
        settings.slot_size,
        settings.read_heads,
        settings.write_heads,
        controller=settings.controller,
        eps=settings.similarity_eps,
    )


def _dnc(inputs: int, outputs: int, hidden: int, settings: Settings) -> DNC:
    return DNC(
        inputs,
        outputs,
        hidden,
        settings.slots,
        settings.slot_size,
        settings.read_heads,
        controller=settings.controller,
        eps=settings.similarity_eps,
    )


def _mann(inputs: int, outputs: int, hidden: int, settings: Settings) -> MANN:
    return MANN(inputs, outputs, hidden, settings.slots, settings.slot_size, settings.read_heads)


def _memory_network(settings: Settings) -> MemoryNetwork:
    size = settings.slot_size
    return MemoryNetwork(size, size, embedding_size=2 * size, slots=settings.slots)


def _key_value(settings: Settings) -> KeyValueMemory:
    return KeyValueMemory(settings.slot_size, settings.slot_size, slots=settings.slots)


def _delta(settings: Settings) -> DeltaFastWeights:
    # The matrix has as many entries as the other memories have in their slots.
    return DeltaFastWeights(settings.slots, settings.slot_size, features="unit")


_AFTER_AN_LSTM = "an LSTM, {} on each step and the LSTM's output, a linear layer on both"
NETWORKS = {
    "ntm": Network("a Neural Turing Machine", _ntm),
    "dnc": Network("a differentiable neural computer", _dnc),
    "mann": Network("a MANN (LRUA)", _mann),
    "memory-network": Network(
        _AFTER_AN_LSTM.format("a memory network of 3 hops"), _controlled(_memory_network)
    ),
    "key-value": Network(
        _AFTER_AN_LSTM.format("a key-value memory of 1 hop"), _controlled(_key_value)
    ),
    "hebbian": Network(
        "a layer of Hebbian fast weights, a ReLU layer, a linear layer",
        lambda inputs, outputs, hidden, _: HebbianNetwork(inputs, outputs, hidden),
    ),
    "delta": Network(
        _AFTER_AN_LSTM.format("delta-rule fast weights of slots x slot size"), _controlled(_delta)
    ),
    "lstm": Network(
        "an LSTM, a linear layer",
        lambda inputs, outputs, hidden, _: PlainLSTM(inputs, outputs, hidden),
    ),
}


def build(settings: Settings, family: BitSequences) -> nn.Module:
    """Return the network of the settings, with about as many parameters as the NTM."""
    hidden = matching_hidden_size(settings, family)
    make = NETWORKS[settings.memory].make
    model = make(family.input_size, family.output_size, hidden, settings)
    if isinstance(model, NTM | DNC) and settings.controller == "lstm":
        with torch.no_grad():
            # The second block of rows belongs to the forget gate.
            model.controller.bias[hidden : 2 * hidden] = settings.forget_bias
    return model


def matching_hidden_size(settings: Settings, family: BitSequences) -> int:
    """Return the number of hidden units that brings a network closest to the NTM's parameter count.

    The NTM has `settings.hidden_size` hidden units. A network with one hidden unit may still be
    larger than the NTM.

    Raises:
        ArgumentError: the settings are invalid for the network.
    """

    def make(memory: str, hidden: int) -> nn.Module:
        return NETWORKS[memory].make(family.input_size, family.output_size, hidden, settings)

    with torch.device("meta"):
        wanted = parameter_count(make("ntm", settings.hidden_size))
    if settings.memory == "ntm":
        return settings.hidden_size
    return matching_size(lambda hidden: make(settings.memory, hidden), wanted)
