"""How a network is trained on a task of bits: plain values, which the command line sets."""

from __future__ import annotations

import argparse
import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train; a task's `training` says what it has otherwise.

    Attributes:
        memory: one of the `LEARNERS`.
        sequences: that it is trained on.
        batch: sequences of a step, all of one length.
        rate, last: Adam's step size falls along half a cosine from `rate` to `rate * last`.
        epsilon, beta2: Adam's.
        clip: the greatest norm of a gradient.
        enough: a step whose loss is below that many nats a bit is not taken. There is nothing left
            to learn of it, and Adam's averages would shrink, until one rare mistake makes a step so
            long that it undoes what was learned.
        spike: a gradient whose norm is more than so many times that of the last ones is shortened
            to that; it keeps what was learned, and may keep from learning more.
        rewind: when the smoothed loss has converged, then has not any more and is above so many
            times its best, the training goes back to what it was near its best, and on in steps
            half as long.
        averaging: how much of the averaged weights is kept at a step, 0 for no averaging; the
            averaged weights are then those that are judged.
        curriculum: whether to begin with the shortest sequences, or the fewest copies.
        advance: the smoothed loss, in nats a bit, under which a curriculum goes on to longer ones.
        minutes: the training ends then, though sequences are left.
        judged: sequences of each length that the network is judged on at the end.
        hidden: units of the NTM's controller; another network has as many as make its parameters
            about as many as the NTM's.
        slots, width: of the memory.
        read_heads: of NTM, DNC and MANN.
        write_heads: of the NTM.
        controller, least_length: of NTM and DNC.
        forget_bias: of their LSTM controllers' forget gates at the start. Low, it leaves it to the
            memory to remember, and what was learned on short sequences holds on long ones.
        seed: of everything that is drawn.
    """

    memory: str = "ntm"
    sequences: int = 40_000
    batch: int = 2
    rate: float = 1e-3
    last: float = 0.01
    enough: float = 3e-3
    clip: float = 10.0
    spike: float = math.inf
    epsilon: float = 1e-8
    beta2: float = 0.99
    rewind: float = 4.0
    averaging: float = 0.99
    curriculum: bool = False
    advance: float = 0.05
    minutes: float = math.inf
    judged: int = 100
    hidden: int = 100
    slots: int = 128
    width: int = 20
    read_heads: int = 1
    write_heads: int = 1
    controller: str = "lstm"
    least_length: float = 1e-6
    forget_bias: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "rate", "clip", "spike", "minutes", "judged", "hidden"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not self.rewind > 1:
            raise ValueError(f"rewind must be above 1, got {self.rewind}")
        if not self.enough >= 0:
            raise ValueError(f"enough must be 0 or more, got {self.enough}")
        if self.sequences < self.batch:
            raise ValueError(
                f"sequences must be at least a batch of {self.batch}, got {self.sequences}"
            )
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must lie in [0, 1), got {self.averaging}")

    @property
    def steps(self) -> int:
        """Updates of the weights."""
        return self.sequences // self.batch


def add_options(parser: argparse.ArgumentParser, *without: str) -> None:
    """Add an option for each setting but those named; one that is not given is left out."""
    for field in dataclasses.fields(Settings):
        if field.name in without:
            continue
        name = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            both = argparse.BooleanOptionalAction
            parser.add_argument(name, action=both, default=argparse.SUPPRESS)
        else:
            parser.add_argument(name, type=type(field.default), default=argparse.SUPPRESS)


def as_arguments(settings: Settings) -> list[str]:
    """The command line that `add_options` reads settings from."""
    given: list[str] = []
    for name, value in dataclasses.asdict(settings).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            given.append(option if value else option.replace("--", "--no-", 1))
        else:
            given.append(f"{option}={value!r}" if isinstance(value, float) else f"{option}={value}")
    return given
