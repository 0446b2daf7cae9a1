"""What a model has learned from one user: classes, an adapted learner, and the examples."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.checks import shown
from l2l_rnn.errors import ArgumentError, DataError, ShapeError
from l2l_rnn.estimators.labels import Labels, from_json, merged, missing, numbered, to_json
from l2l_rnn.estimators.learner_kinds import LearnerKind, Reading
from l2l_rnn.files import parse_json
from l2l_rnn.functional.padding import step_lengths, token_lengths
from l2l_rnn.training.saved.tensors import from_bytes, to_bytes

_CHUNK = 512  # inputs that are scored at once, which bounds the memory


@dataclass(frozen=True)
class Examples:
    """The examples of a user.

    Attributes:
        raw: the inputs as they were passed.
        x: the inputs as the learner takes them, padded.
        y: their classes, as positions in `Personal.names`.
    """

    raw: tuple[Any, ...]
    x: Tensor
    y: Tensor

    def joined(self, more: Examples) -> Examples:
        """Return these examples and more of them."""
        return Examples(self.raw + more.raw, _stacked(self.x, more.x), torch.cat([self.y, more.y]))

    def to_bytes(self) -> bytes:
        """Return the examples as safetensors bytes; texts are stored as they were passed."""
        texts = all(isinstance(one, str) for one in self.raw)
        metadata = {"texts": json.dumps(list(self.raw))} if texts else {}
        return to_bytes({"x": self.x, "y": self.y}, metadata)

    @classmethod
    def from_bytes(cls, who: str, data: bytes) -> Examples:
        """Return the examples that `to_bytes` described. Series are given as arrays `(S, F)`.

        Raises:
            DataError: the bytes are something else.
        """
        tensors, metadata = from_bytes(who, data, "the examples")
        try:
            x, y = tensors["x"], tensors["y"]
            raw = parse_json(metadata["texts"]) if "texts" in metadata else series_of(x)
            if not len(raw) == len(x) == len(y) or y.dtype != torch.int64:
                raise ValueError("their numbers differ")
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise DataError(
                f"{who}: the examples must be from to_bytes(), got other content ({error}); save "
                "the user again"
            ) from error
        return cls(tuple(raw), x, y)


@dataclass(frozen=True)
class Personal:
    """What a model has learned from one user.

    Attributes:
        names: the classes, in the order of the learner's outputs.
        counts: the number of examples of each class.
        batches: the number of examples in each call that added some.
        learner: the adapted learner; None before the first example.
        examples: the examples, or None if they are not kept.
    """

    names: Labels = field(default_factory=lambda: np.empty(0, "U1"))
    counts: tuple[int, ...] = ()
    batches: tuple[int, ...] = ()
    learner: Any = None
    examples: Examples | None = None

    @property
    def present(self) -> Tensor:
        """Which classes have examples, `(C,)`."""
        return torch.tensor(self.counts, dtype=torch.int64) > 0

    def described(self) -> str:
        """Return everything but the learner and the examples, as JSON."""
        about = {"counts": self.counts, "batches": self.batches}
        return json.dumps({"names": to_json(self.names), **about})

    @classmethod
    def of(cls, who: str, described: str, learner: Any, examples: bytes | None) -> Personal:
        """Return what `described` described, with a learner and examples.

        Raises:
            DataError: the text is something else, or the examples do not fit it.
        """
        try:
            content = parse_json(described)
            names = from_json(who, content["names"])
            counts, batches = (tuple(map(int, content[n])) for n in ("counts", "batches"))
            if (
                len(counts) != len(names)
                or sum(counts) != sum(batches)
                or min(counts, default=0) < 0
            ):
                raise ValueError("the numbers of examples do not fit")
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{who}: a user must be described by JSON, got {described!r:.40} ({error}); save "
                "the user again"
            ) from error
        found = None if examples is None else Examples.from_bytes(who, examples)
        if found is not None and (
            len(found.y) != sum(counts) or not bool(((found.y >= 0) & (found.y < len(names))).all())
        ):
            raise DataError(f"{who}: the examples must be those of the user, got others")
        return cls(names, counts, batches, learner, found)


def grown(
    who: str,
    kind: LearnerKind,
    before: Personal,
    x: Tensor,
    raw: tuple[Any, ...],
    labels: Labels,
    classes: Labels | None = None,
    keep_examples: bool = True,
) -> Personal:
    """Return what a model knows of a user after further examples.

    Args:
        who: begins error messages.
        kind: the base learner.
        before: what it knew before.
        x, raw, labels: the examples: as the learner takes them, as they were passed, and their
            classes.
        classes: the names of all classes of the examples, and of others that may have none yet.
        keep_examples: whether to keep the examples.

    Raises:
        ArgumentError: the learner cannot have as many classes or does not know one of them, or it
            needs the earlier examples, which were not kept; or `classes` lacks a class of the
            examples.
        ArgumentTypeError: the class names are of another type than before.
    """
    other = [] if classes is None else missing(labels, classes)
    if other:
        raise ArgumentError(
            f"{who}: classes must have every class of y, got {shown(other[0])} in y only; add it, "
            "or omit classes="
        )
    given = labels if classes is None else classes
    if kind.classes is not None:
        _check_known(who, kind.classes, given)
        if not len(before.names):
            names = np.array(kind.classes)
            before = replace(before, names=names, counts=(0,) * len(names))
    names = merged(who, before.names, given)
    numbers = numbered(labels, names)
    added = np.bincount(numbers, minlength=len(names))
    added[: len(before.counts)] += np.array(before.counts, dtype=added.dtype)
    with outside_inference_mode():
        new = examples = Examples(raw, x, torch.from_numpy(numbers))
        if before.batches and (kind.refits or keep_examples):
            if before.examples is not None:
                examples = before.examples.joined(new)
            elif kind.refits:
                raise ArgumentError(
                    f"{who}: this learner adapts to all examples again when there are more, but "
                    "they were not kept; set keep_examples=True, or use a ProtoNet or a "
                    "MemoryLearner"
                )
            else:
                keep_examples = False
        device = device_of(kind.learner)
        if before.learner is None or kind.refits:
            learner = kind.fitted(who, examples.x.to(device), examples.y.to(device), len(names))
        else:
            more_x, more_y = new.x.to(device), new.y.to(device)
            learner = kind.extended(who, before.learner, more_x, more_y, len(names))
    return Personal(
        names,
        tuple(added.tolist()),
        (*before.batches, len(x)),
        learner,
        examples if keep_examples else None,
    )


def _check_known(who: str, known: list[Any], labels: Labels) -> None:
    """Check that labels are names of classes that a learner knows."""
    held = set(known)
    other = [label for label in np.unique(labels).tolist() if label not in held]
    if other:
        names = ", ".join(map(shown, known))
        raise ArgumentError(
            f"{who}: this model can only learn the classes that it was trained on, {names}, got "
            f"{shown(other[0])}; rename your classes, or use a model without a FixedClassifier, "
            "such as 'series' for time series"
        )


def read(kind: LearnerKind, personal: Personal, x: Tensor) -> Reading:
    """Score inputs `(B, …)` for a user, in chunks; the results are on the CPU."""
    device = device_of(kind.learner)
    present, parts = personal.present.to(device), []
    for start in range(0, len(x), _CHUNK):
        chunk = trimmed(x[start : start + _CHUNK]).to(device)
        parts.append(kind.read(personal.learner, chunk, present))
    return Reading(*(torch.cat(each).cpu() for each in zip(*parts, strict=True)))


def trimmed(x: Tensor) -> Tensor:
    """Return padded sequences without the padding that all of them have: `(…, B, S)` or more."""
    floating = x.is_floating_point()
    lengths = step_lengths(x) if floating else token_lengths(x)
    longest = max(int(lengths.max()), 1)
    return x[..., :longest, :] if floating else x[..., :longest]


def device_of(learner: torch.nn.Module) -> torch.device:
    """Return the device of a learner's first parameter or buffer, or the CPU."""
    for tensor in (*learner.parameters(), *learner.buffers()):
        return tensor.device
    return torch.device("cpu")


def padded_to(x: Tensor, steps: int) -> Tensor:
    """Return padded sequences `(B, S)` or `(B, S, F)` with at least `steps` steps."""
    more = max(steps - x.shape[1], 0)
    if x.is_floating_point():
        return F.pad(x, (0, 0, 0, more), value=torch.nan)
    return F.pad(x, (0, more))


def _stacked(one: Tensor, other: Tensor) -> Tensor:
    """Return earlier and new sequences as one padded tensor."""
    if one.shape[2:] != other.shape[2:]:
        raise ShapeError(
            f"partial_fit: series must have {one.shape[2]} channels, as the earlier examples, got "
            f"{other.shape[2]}; pass as many, or call fit to begin again"
        )
    steps = max(one.shape[1], other.shape[1])
    return torch.cat([padded_to(one, steps), padded_to(other, steps)])


def series_of(x: Tensor) -> list[Any]:
    """Return padded series as arrays `(S, F)` without padding."""
    lengths = step_lengths(x).tolist()
    return [steps[:length].numpy() for steps, length in zip(x, lengths, strict=True)]
