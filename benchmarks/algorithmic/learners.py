"""Who learns the tasks of bits: each memory as a network, and an LSTM, of like size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.algorithmic.settings import Settings
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
from l2l_rnn.nn import LSTM, Linear
from l2l_rnn.tasksets import BitSequences


class PlainLSTM(nn.Module):
    """An LSTM with a linear map of its outputs."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.layer = LSTM(inputs, hidden, batch_first=True)
        self.head = Linear(hidden, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        h, state = self.layer(x)
        return self.head(h), state


class ControlledMemory(nn.Module):
    """An LSTM, a memory that reads each step with the LSTM's output, a linear map of both outputs.

    For memories that have no recurrence of their own but what they hold: alone, they do not know
    what they are to do with a step. What they find does not go back to the LSTM.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: int, memory: Callable[[int], Memory[Any]]
    ) -> None:
        super().__init__()
        self.controller = LSTM(inputs, hidden, batch_first=True)
        self.memory = memory(inputs + hidden)
        self.head = Linear(hidden + self.memory.output_size, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        h, _ = self.controller(x)
        found, state = self.memory(torch.cat([x, h], -1))
        return self.head(torch.cat([h, found], -1)), state


class HebbianNetwork(nn.Module):
    """A recurrent layer with Hebbian fast weights, a layer of relu units, and a linear map."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.memory = HebbianFastWeights(inputs, hidden)
        self.units = Linear(hidden, hidden)
        self.head = Linear(hidden, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        h, state = self.memory(x)
        return self.head(self.units(h).relu()), state


Make = Callable[[int, int, int, Settings], nn.Module]


@dataclasses.dataclass(frozen=True)
class Learner:
    """A network that can be made of any size.

    Attributes:
        network: what it is, in words.
        make: makes it, from the sizes of inputs and outputs, the hidden units and the settings.
    """

    network: str
    make: Make


def _controlled(memory: Callable[[int, Settings], Memory[Any]]) -> Make:
    return lambda inputs, outputs, hidden, settings: ControlledMemory(
        inputs, outputs, hidden, lambda size: memory(size, settings)
    )


def _ntm(inputs: int, outputs: int, hidden: int, settings: Settings) -> NTM:
    return NTM(
        inputs,
        outputs,
        hidden,
        settings.slots,
        settings.width,
        settings.read_heads,
        settings.write_heads,
        controller=settings.controller,
        least_length=settings.least_length,
    )


def _dnc(inputs: int, outputs: int, hidden: int, settings: Settings) -> DNC:
    return DNC(
        inputs,
        outputs,
        hidden,
        settings.slots,
        settings.width,
        settings.read_heads,
        controller=settings.controller,
        least_length=settings.least_length,
    )


def _mann(inputs: int, outputs: int, hidden: int, settings: Settings) -> MANN:
    key = settings.width // 2
    return MANN(
        inputs,
        outputs,
        hidden,
        slots=settings.slots,
        key_size=key,
        value_size=settings.width - key,
        reads=settings.read_heads,
    )


def _memory_network(size: int, settings: Settings) -> MemoryNetwork:
    return MemoryNetwork(
        size, settings.width, embedding_size=2 * settings.width, slots=settings.slots
    )


def _key_value(size: int, settings: Settings) -> KeyValueMemory:
    return KeyValueMemory(size, settings.width, slots=settings.slots)


def _delta(size: int, settings: Settings) -> DeltaFastWeights:
    # A matrix of as many numbers as the slots of the others hold.
    return DeltaFastWeights(size, settings.slots, settings.width, features="unit")


_AFTER_AN_LSTM = "an LSTM, {} of each step and the LSTM's output, a linear map of both outputs"
LEARNERS = {
    "ntm": Learner("a Neural Turing Machine", _ntm),
    "dnc": Learner("a differentiable neural computer", _dnc),
    "mann": Learner("a MANN (LRUA)", _mann),
    "memory-network": Learner(
        _AFTER_AN_LSTM.format("a memory network of 3 hops"), _controlled(_memory_network)
    ),
    "key-value": Learner(
        _AFTER_AN_LSTM.format("a key-value memory of 1 hop"), _controlled(_key_value)
    ),
    "hebbian": Learner(
        "a layer of Hebbian fast weights, a layer of relu units, a linear map",
        lambda inputs, outputs, hidden, _: HebbianNetwork(inputs, outputs, hidden),
    ),
    "delta": Learner(
        _AFTER_AN_LSTM.format("delta-rule fast weights of slots x width"), _controlled(_delta)
    ),
    "lstm": Learner(
        "an LSTM, a linear map",
        lambda inputs, outputs, hidden, _: PlainLSTM(inputs, outputs, hidden),
    ),
}


def build(settings: Settings, family: BitSequences) -> nn.Module:
    """Make the network that is named, with the hidden units that `hidden_size` finds."""
    hidden = hidden_size(settings, family)
    make = LEARNERS[settings.memory].make
    model = make(family.input_size, family.output_size, hidden, settings)
    if isinstance(model, NTM | DNC) and settings.controller == "lstm":
        with torch.no_grad():
            # The rows stack the gates: input, forget, candidate, output.
            model.controller.bias[hidden : 2 * hidden] = settings.forget_bias
    return model


def hidden_size(settings: Settings, family: BitSequences) -> int:
    """Find how many hidden units a network needs to have about as many parameters as the NTM.

    The NTM has `settings.hidden` of them. The count of another is the nearest there is, but a
    network of one hidden unit may have more.

    Raises:
        ArgumentError: the settings are such that there is no such network.
    """
    wanted = _parameters("ntm", settings.hidden, settings, family)
    if settings.memory == "ntm":
        return settings.hidden

    def excess(hidden: int) -> int:
        return _parameters(settings.memory, hidden, settings, family) - wanted

    high = 1
    while excess(high) < 0:
        high *= 2
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return min(low, high, key=lambda hidden: abs(excess(hidden)))


def parameter_count(model: nn.Module) -> int:
    """Count the numbers that are learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def _parameters(memory: str, hidden: int, settings: Settings, family: BitSequences) -> int:
    with torch.device("meta"):  # takes neither memory nor random numbers
        model = LEARNERS[memory].make(family.input_size, family.output_size, hidden, settings)
    return parameter_count(model)
