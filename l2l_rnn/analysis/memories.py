"""What a memory did through a sequence: where it wrote and read, and what was free."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.errors import ShapeError
from l2l_rnn.memory import Memory
from l2l_rnn.optional import require

# What states may have of these, `(…, M)` or `(…, heads, M)`, is recorded.
_RECORDED = ("write_weights", "read_weights", "usage", "allocation")


@dataclasses.dataclass(frozen=True)
class MemoryTrace:
    """Holds what a memory did at every step of one sequence.

    Attributes:
        kind: the name of the memory's class.
        inputs: what it read, `(S, F)`.
        outputs: what it gave out, `(S, output_size)`.
        write_weights, read_weights: where each head wrote and read, `(S, heads, M)`, or None if
            this kind of memory has no such.
        usage: how much each slot was in use, or used lately, `(S, 1, M)`, or None.
        allocation: which free slots were offered, `(S, 1, M)`, or None.
    """

    kind: str
    inputs: np.ndarray[Any, Any]
    outputs: np.ndarray[Any, Any]
    write_weights: np.ndarray[Any, Any] | None = None
    read_weights: np.ndarray[Any, Any] | None = None
    usage: np.ndarray[Any, Any] | None = None
    allocation: np.ndarray[Any, Any] | None = None

    def to_json(self) -> str:
        """Return all of it as JSON, arrays as nested lists, what is not finite as null."""

        def plain(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            values = value.astype(object)
            values[~np.isfinite(value)] = None
            return values.tolist()

        fields = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return json.dumps(fields, allow_nan=False)

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, whole or not at all."""
        return _replace(Path(path), lambda file: file.write_text(self.to_json() + "\n", "utf-8"))

    def draw(self, path: str | Path) -> Path:
        """Draw it as a PNG: steps to the right; features, or slots, downwards.

        The brightest is the greatest value, and at least 1 where these are weights or usage.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        figures = require("matplotlib.figure", extra="plots", purpose="MemoryTrace.draw")
        panels = [("inputs", self.inputs), ("outputs", self.outputs)]
        for name in _RECORDED:
            array = getattr(self, name)
            if array is not None:
                for head in range(array.shape[1]):
                    number = f" {head + 1}" if array.shape[1] > 1 else ""
                    panels.append((name.replace("_", " ") + number, array[:, head]))
        heights = [min(3.0, 0.6 + 0.1 * array.shape[1]) for _, array in panels]
        width = min(14.0, 3 + 0.12 * len(self.inputs))
        figure = figures.Figure(figsize=(width, sum(heights) + 0.6), layout="constrained")
        axes = figure.subplots(
            len(panels), 1, sharex=True, squeeze=False, height_ratios=heights
        ).ravel()
        for axis, (name, array) in zip(axes, panels, strict=True):
            scale = (
                {} if name in ("inputs", "outputs") else {"vmin": 0, "vmax": max(1, array.max())}
            )
            axis.imshow(array.T, aspect="auto", interpolation="nearest", cmap="magma", **scale)
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
            axis.set_yticks([])
        axes[-1].set_xlabel("step")
        figure.suptitle(f"{self.kind}: {self.inputs.shape[0]} steps")
        return _replace(Path(path), lambda file: figure.savefig(file, dpi=120, format="png"))


def trace_memory(memory: Memory[Any], x: Tensor, state: Any = None) -> MemoryTrace:
    """Run a memory over one sequence, step by step, and record what it did.

    Args:
        memory: a memory of this package, whose parameters have no task axis.
        x: one sequence.
        state: where to go on from, of a batch of one sequence; None starts with a blank memory.

    Shapes:
        x `(S, F)`.

    Raises:
        ShapeError: x is not one sequence of the features that the memory reads.

    Example:
        >>> from l2l_rnn.memory import NTM
        >>> trace = trace_memory(NTM(3, 2, hidden_size=4, slots=8, width=4), torch.zeros(5, 3))
        >>> trace.outputs.shape, trace.read_weights.shape, trace.usage
        ((5, 2), (5, 1, 8), None)

    Source: the pictures of A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines,
    figures 6 and 11.
    """
    if x.dim() != 2 or len(x) == 0 or x.shape[1] != memory.input_size:
        raise ShapeError(
            f"trace_memory: x must be one sequence (S, F={memory.input_size}), got shape "
            f"{tuple(x.shape)}; give one of a batch, x[0]"
        )
    steps: dict[str, list[Tensor]] = {"outputs": []}
    with torch.no_grad():
        state = memory.blank(1) if state is None else state
        for step in x:
            y, state = memory.step(step.unsqueeze(0), state)
            steps["outputs"].append(y[0])
            for name in _RECORDED:
                if hasattr(state, name):
                    found = getattr(state, name)[0]
                    steps.setdefault(name, []).append(found.reshape(-1, found.shape[-1]))
    arrays = {name: torch.stack(parts).cpu().numpy() for name, parts in steps.items()}
    return MemoryTrace(type(memory).__name__, x.detach().cpu().numpy(), **arrays)


def _replace(path: Path, write: Any) -> Path:
    """Have `write` fill a file beside `path`, then move it into place."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    beside = Path(name)
    try:
        write(beside)
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
