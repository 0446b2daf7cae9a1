"""Kinds of heads that compiled code can run."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar

from l2l_rnn.functional.memory.compiled_passes import Kind


@dataclasses.dataclass(frozen=True)
class Heads(ABC):
    """Settings of heads that tensor shapes do not determine. Not for direct use.

    A new kind of heads needs a subclass, a number in `Kind` and in `memory.c`, and a header like
    `ntm.h` with its step and adjoint, which `memory_passes.h` includes and calls.

    Attributes:
        read_heads: `R`, number of read heads.
        write_heads: number of write heads.
        eps: norm below which a slot or key counts as short, as in `functional.cosine_similarity`.
    """

    kind: ClassVar[Kind]
    read_heads: int
    write_heads: int
    eps: float

    @abstractmethod
    def step_shapes(self, slots: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays that each step fills, by their names in `memory.c`."""

    def settings(self) -> dict[str, float]:
        """Return the settings that only this kind has, keyed by their names in `memory.c`."""
        return {}


@dataclasses.dataclass(frozen=True)
class NTMHeads(Heads):
    """The heads of an `NTM`.

    Attributes:
        reach: the largest shift of a head in one step.
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
    """The heads of a `MANN`; each one both reads and writes.

    Attributes:
        decay: the decay of the usage.
    """

    kind: ClassVar[Kind] = Kind.MANN
    decay: float

    def step_shapes(self, slots: int) -> dict[str, tuple[int, ...]]:
        return {"least_used": (self.read_heads,)}

    def settings(self) -> dict[str, float]:
        return {"decay": self.decay}


@dataclasses.dataclass(frozen=True)
class DNCHeads(Heads):
    """The heads of a `DNC`, with a single write head."""

    kind: ClassVar[Kind] = Kind.DNC

    def step_shapes(self, slots: int) -> dict[str, tuple[int, ...]]:
        heads = self.read_heads + self.write_heads
        return {"content": (heads, slots), "usage_products": (slots,)}
