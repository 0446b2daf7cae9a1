"""Settings of a training run on an algorithmic task, and their command-line options."""

from __future__ import annotations

import argparse
import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Settings:
    """Training settings. A task's `training` overrides these defaults.

    Attributes:
        memory: one of the `NETWORKS`.
        sequences: number of training sequences.
        batch: sequences per step.
        lr, final_lr_ratio: Adam's learning rate decays from `lr` to `lr * final_lr_ratio` along
            half a cosine.
        epsilon, beta2: Adam's hyperparameters.
        clip: maximum norm of the gradient.
        skip_below: steps with a loss below this value, in nats per bit, are skipped. Otherwise, in
            a network that makes almost no errors, Adam's second moment would shrink until a rare
            mistake caused a step large enough to undo the training.
        relative_clip: maximum norm of the gradient as a multiple of its recent average. It protects
            what was learned, and may slow further learning.
        restore_above: after convergence, restore the best weights and halve the learning rate if
            the smoothed loss is above the threshold of convergence and above this multiple of its
            best.
        ema_decay: decay per step of the exponential moving average of the weights, which is
            evaluated; 0 for none.
        curriculum: whether to start with the shortest sequences, or the fewest repeats.
        advance_below: the curriculum advances if the smoothed loss, in nats per bit, is below this
            value.
        minutes: time limit of the training.
        evaluation_sequences: sequences of each length in the final evaluation.
        hidden_size: hidden units of the NTM's controller. The size of other networks is chosen to
            match the NTM's parameter count.
        slots, slot_size: number and size of memory slots.
        read_heads: read heads of NTM, DNC and MANN.
        write_heads: write heads of the NTM.
        controller, similarity_eps: controller, and epsilon of the cosine similarity, of NTM and
            DNC.
        forget_bias: initial bias of the forget gates of their LSTM controllers. With a low value,
            networks rely on the memory and generalize better to long sequences.
        seed: random seed.
    """

    memory: str = "ntm"
    sequences: int = 40_000
    batch: int = 2
    lr: float = 1e-3
    final_lr_ratio: float = 0.01
    skip_below: float = 3e-3
    clip: float = 10.0
    relative_clip: float = math.inf
    epsilon: float = 1e-8
    beta2: float = 0.99
    restore_above: float = 4.0
    ema_decay: float = 0.99
    curriculum: bool = False
    advance_below: float = 0.05
    minutes: float = math.inf
    evaluation_sequences: int = 100
    hidden_size: int = 100
    slots: int = 128
    slot_size: int = 20
    read_heads: int = 1
    write_heads: int = 1
    controller: str = "lstm"
    similarity_eps: float = 1e-6
    forget_bias: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("batch", "lr", "clip", "relative_clip", "minutes")
        for name in (*positive, "evaluation_sequences", "hidden_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not self.restore_above > 1:
            raise ValueError(f"restore_above must be above 1, got {self.restore_above}")
        if not self.skip_below >= 0:
            raise ValueError(f"skip_below must be at least 0, got {self.skip_below}")
        if self.sequences < self.batch:
            raise ValueError(f"sequences must be at least batch={self.batch}, got {self.sequences}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")

    @property
    def steps(self) -> int:
        """Total number of training steps."""
        return self.sequences // self.batch


def add_options(parser: argparse.ArgumentParser, *without: str) -> None:
    """Add an option for each setting except those in `without`.

    Options that are not given on the command line are absent from the parsed result, so that a
    task can override the defaults.
    """
    for field in dataclasses.fields(Settings):
        if field.name in without:
            continue
        name = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            both = argparse.BooleanOptionalAction
            parser.add_argument(name, action=both, default=argparse.SUPPRESS, help="(default: no)")
        else:
            parser.add_argument(
                name,
                type=type(field.default),
                default=argparse.SUPPRESS,
                metavar="X",
                help=f"(default: {field.default})",
            )


def as_arguments(settings: Settings) -> list[str]:
    """Return the command-line arguments that give these settings."""
    given: list[str] = []
    for name, value in dataclasses.asdict(settings).items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            given.append(option if value else option.replace("--", "--no-", 1))
        else:
            given.append(f"{option}={value!r}" if isinstance(value, float) else f"{option}={value}")
    return given
