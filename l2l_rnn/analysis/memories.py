"""Traces of a memory over a sequence: where it wrote and read, and which slots were free."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.errors import ArgumentTypeError, ShapeError
from l2l_rnn.files import replacing
from l2l_rnn.memory import RecurrentMemory
from l2l_rnn.optional import require

_SLOT_ARRAYS = ("write_weights", "read_weights", "usage", "allocation")


@dataclasses.dataclass(frozen=True)
class MemoryTrace:
    """Trace of a memory over one sequence.

    Attributes:
        kind: the name of the memory's class.
        inputs: the sequence, `(S, F)`.
        outputs: the outputs, `(S, output_size)`.
        write_weights, read_weights: the weights of each head, `(S, heads, M)`; None for a memory
            without heads.
        usage: the usage of each slot, `(S, 1, M)`; None for a memory that does not track it.
        allocation: the allocation weights over free slots, `(S, 1, M)`; None for a memory without
            them.
    """

    kind: str
    inputs: np.ndarray[Any, Any]
    outputs: np.ndarray[Any, Any]
    write_weights: np.ndarray[Any, Any] | None = None
    read_weights: np.ndarray[Any, Any] | None = None
    usage: np.ndarray[Any, Any] | None = None
    allocation: np.ndarray[Any, Any] | None = None

    def to_json(self) -> str:
        """Return the trace as JSON: arrays as nested lists, non-finite values as null."""

        def plain(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            values = value.astype(object)
            values[~np.isfinite(value)] = None
            return values.tolist()

        fields = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return json.dumps(fields, allow_nan=False)

    def save(self, path: str | Path) -> Path:
        """Write the trace as JSON, whole or not at all, and return the path."""
        with replacing(path) as file:
            file.write(self.to_json() + "\n")
        return Path(path)

    def draw(self, path: str | Path) -> Path:
        """Draw the trace as a PNG, with steps from left to right and features or slots downward.

        The brightest color stands for the largest value, or for 1 if weights or usage stay below 1.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        figures = require("matplotlib.figure", extra="plots", purpose="MemoryTrace.draw")
        panels = [("inputs", self.inputs), ("outputs", self.outputs)]
        for name in _SLOT_ARRAYS:
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
        with replacing(path, "wb") as file:
            figure.savefig(file, dpi=120, format="png")
        return Path(path)


def trace_memory(memory: RecurrentMemory[Any], x: Tensor, state: Any = None) -> MemoryTrace:
    """Run a recurrent memory over one sequence, step by step, and record a trace.

    Args:
        memory: a recurrent layer of `l2l_rnn.memory`, without a task axis on its parameters.
        x: one sequence.
        state: the initial state, for a batch of one sequence; None for a blank state.

    Shapes:
        x `(S, F)`.

    Raises:
        ArgumentTypeError: `memory` is not a `RecurrentMemory`.
        ShapeError: x is not one sequence with the memory's input features.

    Example:
        >>> from l2l_rnn.memory import NTM
        >>> trace = trace_memory(NTM(3, 2, hidden_size=4, slots=8, slot_size=4), torch.zeros(5, 3))
        >>> trace.outputs.shape, trace.read_weights.shape, trace.usage
        ((5, 2), (5, 1, 8), None)

    Source: after figures 6 and 11 of A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing
    Machines.
    """
    if not isinstance(memory, RecurrentMemory):
        raise ArgumentTypeError(
            f"trace_memory: memory must be a memory.RecurrentMemory, got {type(memory).__name__}; "
            "put a store into a MemoryLayer"
        )
    if x.dim() != 2 or len(x) == 0 or x.shape[1] != memory.input_size:
        raise ShapeError(
            f"trace_memory: x must be one sequence (S, F={memory.input_size}), got shape "
            f"{tuple(x.shape)}; pass a single sequence, such as x[0] of a batch"
        )
    steps: dict[str, list[Tensor]] = {"outputs": []}
    with torch.no_grad():
        state = memory.blank(1) if state is None else state
        for step in x:
            y, state = memory.step(step.unsqueeze(0), state)
            for name, part in {"outputs": y, **memory.trace(state)}.items():
                steps.setdefault(name, []).append(part[0])
    arrays = {name: torch.stack(parts).cpu().numpy() for name, parts in steps.items()}
    return MemoryTrace(type(memory).__name__, x.detach().cpu().numpy(), **arrays)
