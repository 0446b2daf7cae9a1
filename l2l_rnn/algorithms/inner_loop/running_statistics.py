"""Running statistics of normalization layers, for many tasks in one call.

In a loop of `clone()`, all tasks share the running mean and variance of a normalization layer. Each
task in turn updates them, `r <- (1 - m) r + m s_n`, with the statistics `s_n` of its own batch. One
call for N tasks has the same result: each task updates its own copy, `r_n = (1 - m) r + m s_n`, and
then `r <- (1 - m)^N r + sum_n (1 - m)^(N - n) (r_n - (1 - m) r)`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from l2l_rnn.algorithms.inner_loop.kept_state import Place


class RunningStatistics:
    """The running statistics that a call for N tasks updates. Use it as a context of the call.

    Args:
        module: the root of a tree of modules.
        tasks: `N`.

    Attributes:
        places: the places of the statistics.
        copies: a copy for each task of every place, `(N, C)`.
    """

    def __init__(self, module: nn.Module, tasks: int) -> None:
        self.tasks = tasks
        self.places: list[Place] = [
            (layer, layer._buffers, name)
            for layer in module.modules()
            if isinstance(layer, _NormBase) and layer.training and layer.track_running_stats
            for name in ("running_mean", "running_var")
            if layer._buffers.get(name) is not None
        ]
        self._shared: list[Tensor] = [own[name] for _, own, name in self.places]
        self.copies = [shared.expand(tasks, *shared.shape).clone() for shared in self._shared]
        self._calls: dict[nn.Module, int] = {layer: 0 for layer, *_ in self.places}
        self._stack = ExitStack()

    def __enter__(self) -> RunningStatistics:
        def count(layer: nn.Module, _: Any) -> None:
            self._calls[layer] += 1

        for layer in self._calls:
            self._stack.callback(layer.register_forward_pre_hook(count).remove)
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    @torch.no_grad()
    def combine(self) -> None:
        """Update the shared statistics from those of the tasks, after the call."""
        for (layer, _, _), shared, copies in zip(
            self.places, self._shared, self.copies, strict=True
        ):
            calls = self._calls[layer]
            if not calls:
                continue
            kept = (1 - layer.momentum) ** calls if layer.momentum is not None else None
            if kept is None:  # the mean over all calls so far; the layer counts N of them as one
                seen: Any = layer.num_batches_tracked.item()
                before, after = seen - calls, seen + (self.tasks - 1) * calls
                total = (seen * copies - before * shared).sum(0) + before * shared
                shared.copy_(total / max(after, 1))
                continue
            updates = copies - kept * shared  # (N, C)
            for update in updates:
                shared.mul_(kept).add_(update)
        for layer, calls in self._calls.items():
            if isinstance(layer, _BatchNorm) and layer.num_batches_tracked is not None:
                layer.num_batches_tracked += (self.tasks - 1) * calls
