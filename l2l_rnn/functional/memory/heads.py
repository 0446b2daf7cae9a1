"""The kinds of heads that compiled code can run."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar

from l2l_rnn.functional.memory.compiled_passes import Kind


@dataclasses.dataclass(frozen=True)
class Heads(ABC):
    """The settings of heads that the shapes of tensors do not give. Not for direct use.

    A new kind of heads needs a subclass, a number in `Kind` and in `memory.c`, and a header like
    `ntm.h` with its step and adjoint, which `memory_passes.h` includes and calls.

    Attributes:
        read_heads: `R`.
        write_heads: number of heads that write.
        eps: the length below which a slot or key counts as short, as in
            `functional.content_weights`.
    """

    kind: ClassVar[Kind]
    read_heads: int
    write_heads: int
    eps: float

    @abstractmethod
    def step_shapes(self, slots: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays that each step fills, by their names in `memory.c`."""

    def settings(self) -> dict[str, float]:
        """Return the numbers of this kind alone, by their names in `memory.c`."""
        return {}


@dataclasses.dataclass(frozen=True)
class NTMHeads(Heads):
    """The heads of an `NTM`.

    Attributes:
        reach: the farthest that a head moves in a step.
    """

    kind: ClassVar[Kind] = Kind.NTM
    reach: int

    def step_shapes(self, slots: int) -> dict[str, tuple[int, ...]]:
        heads = self.read_heads + self.write_heads
        return {"content": (heads, slots), "shifted": (heads, slots)}

    def settings(self) -> dict[str, float]:
        return {"reach": self.reach}


@dataclasses.dataclass(frozen=True)
class MANNHeads(Heads):
    """The heads of a `MANN`, which both read and write.

    Attributes:
        decay: of the usage.
    """

    kind: ClassVar[Kind] = Kind.MANN
    decay: float

    def step_shapes(self, slots: int) -> dict[str, tuple[int, ...]]:
        return {"least_used": (self.read_heads,)}

    def settings(self) -> dict[str, float]:
        return {"decay": self.decay}


@dataclasses.dataclass(frozen=True)
class DNCHeads(Heads):
    """The heads of a `DNC`, one of which writes."""

    kind: ClassVar[Kind] = Kind.DNC

    def step_shapes(self, slots: int) -> dict[str, tuple[int, ...]]:
        heads = self.read_heads + self.write_heads
        return {"content": (heads, slots), "usage_products": (slots,)}
