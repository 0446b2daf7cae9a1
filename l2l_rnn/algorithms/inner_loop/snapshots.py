"""What a failed call may have changed: tensors changed in place, and random number generators."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.nested_values import tensors_in


class Snapshot:
    """Copies of the tensors that a module keeps, to undo changes in place of a failed call."""

    def __init__(self, module: nn.Module) -> None:
        kept = [
            tensor
            for child in module.modules()
            for value in (*child._buffers.values(), *vars(child).values())
            if isinstance(value, Tensor | tuple | list)
            for tensor in tensors_in(value)
            if not tensor.is_inference()
        ]
        self._copies = [(tensor, tensor._version, tensor.detach().clone()) for tensor in kept]

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, version, copied in self._copies:
            if tensor._version != version:
                tensor.detach().copy_(copied)


class GeneratorStates:
    """The states of torch's random number generators, to repeat a call."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self._cpu = torch.get_rng_state()
        devices = {tensor.device for tensor in tensors if tensor.is_cuda}
        if devices and torch.cuda.is_current_stream_capturing():
            devices = set()
        self._cuda = {device: torch.cuda.get_rng_state(device) for device in devices}

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        for device, state in self._cuda.items():
            torch.cuda.set_rng_state(state, device)
