"""A whole meta-step as one CUDA graph, which replays its kernels without Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from l2l_rnn.errors import ArgumentError, ArgumentTypeError


class GraphedStep:
    """Calls a step; on a GPU, once it has warmed up, by replaying the graph of its kernels.

    Made by `graphed`.

    Attributes:
        reason: why calls run the step as it is, for now or for good; None where they replay it.
    """

    def __init__(self, step: Callable[..., Any], warmup: int) -> None:
        self.step, self.warmup = step, warmup
        self.reason: str | None = f"it has not been called {warmup} times yet"
        self._calls = 0
        self._settled = False  # whether it was tried, or will never be
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._outputs: Any = None

    def __call__(self, *inputs: Tensor) -> Any:
        """Run the step on tensors of the shapes, types and device of the first call."""
        if not all(isinstance(x, Tensor) for x in inputs):
            kinds = [type(x).__name__ for x in inputs]
            raise ArgumentTypeError(
                f"graphed: a step's inputs must be tensors, got {kinds}; bind anything else with "
                "functools.partial"
            )
        if self._graph is not None:
            self._check_alike(inputs)
            for kept, given in zip(self._inputs, inputs, strict=True):
                kept.copy_(given)
            self._graph.replay()
            return self._copies(self._outputs)
        if self._settled:
            return self.step(*inputs)
        if not inputs or not all(x.is_cuda for x in inputs):
            self._settled = True
            self.reason = "its inputs are not all on a CUDA device"
            return self.step(*inputs)
        self._calls += 1
        if self._calls <= self.warmup:
            return self._beside(inputs)
        return self._captured(inputs)

    def _beside(self, inputs: tuple[Tensor, ...]) -> Any:
        """Run the step on a stream of its own, as the calls before a capture must."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            outputs = self.step(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return outputs

    def _captured(self, inputs: tuple[Tensor, ...]) -> Any:
        """Record the graph, then run it; or run the step if it cannot be recorded."""
        self._settled = True
        kept = tuple(x.clone() for x in inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                outputs = self.step(*kept)
        except RuntimeError as error:
            torch.cuda.synchronize()
            self.reason = f"its kernels cannot be recorded: {str(error).splitlines()[0]}"
            return self.step(*inputs)
        self._graph, self._inputs, self._outputs, self.reason = graph, kept, outputs, None
        graph.replay()  # recording ran nothing
        return self._copies(outputs)

    def _check_alike(self, inputs: tuple[Tensor, ...]) -> None:
        expected = [(tuple(x.shape), x.dtype) for x in self._inputs]
        came = [(tuple(x.shape), x.dtype) for x in inputs]
        if came != expected:
            raise ArgumentError(
                f"graphed: the graph was recorded for inputs {expected}, got {came}; pad to one "
                "shape, or make a graphed step for each"
            )

    @staticmethod
    def _copies(outputs: Any) -> Any:
        """The outputs apart from the graph's memory, which the next call overwrites."""
        return tree_map(lambda x: x.detach().clone() if isinstance(x, Tensor) else x, outputs)


def graphed(step: Callable[..., Any], warmup: int = 3) -> GraphedStep:
    """Return a step that runs as one CUDA graph where it can, and as it is where it cannot.

    A meta-step of a recurrent network is thousands of small kernels, whose launches from Python
    take longer than the kernels. The first `warmup` calls run as they are and count as steps; the
    next one records the graph; from then on a call copies its inputs into place and replays it.

    Put the whole meta-step in it: `zero_grad`, `clone`, `adapt`, `backward` and the optimiser's
    step, with `capturable=True` for Adam. What it does in Python, it does while recording and never
    again: a learning rate must be a tensor to be changed, and gradients that are not finite raise
    nothing. Sequences must all be of full length, as reading lengths waits for the device.

    Args:
        step: takes tensors and returns tensors, in any nesting, or None.
        warmup: calls before the graph is recorded.

    Returns:
        A `GraphedStep`; its `reason` says why it does not replay, as on a CPU.

    Raises:
        ArgumentError: `warmup` is not a positive integer; at a call, the inputs are not shaped as
            those recorded.
        ArgumentTypeError: at a call, an input is not a tensor.

    Example:
        >>> run = graphed(lambda x: x + 1)
        >>> run(torch.zeros(2)), run.reason
        (tensor([1., 1.]), 'its inputs are not all on a CUDA device')

    Source: the CUDA graphs of `torch.cuda.graph`.
    """
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 1:
        raise ArgumentError(f"graphed: warmup must be a positive integer, got {warmup!r}")
    return GraphedStep(step, warmup)
