"""The parameters of a recurrent layer, with torch's names, shapes and initialization."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.layer_calls import NotScripted
from l2l_rnn.functional.recurrence.weights import Weights


class RecurrentParameters(NotScripted):
    """Base class of `RecurrentLayer`, which documents the arguments: everything but `forward`."""

    task_axis: ClassVar[bool] = True
    gates: ClassVar[int]  # `G`, number of blocks of H rows in each parameter
    projects: ClassVar[bool] = False  # whether it takes proj_size

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.input_size = check_int(who, "input_size", input_size)
        self.hidden_size = check_int(who, "hidden_size", hidden_size)
        self.num_layers = check_int(who, "num_layers", num_layers)
        self.dropout = check_number(who, "dropout", dropout, least=0, most=1)
        if proj_size and not self.projects:
            raise ArgumentError(f"{who}: proj_size is only for LSTM, got {proj_size!r}; omit it")
        self.proj_size = check_int(who, "proj_size", proj_size, least=0, most=self.hidden_size - 1)
        self.bias = bias
        self.batch_first = batch_first
        self.bidirectional = bidirectional

        for layer in range(self.num_layers):
            features = self.input_size if layer == 0 else self.output_size
            for suffix in self._suffixes(layer):
                for name, shape in self._parameter_shapes(features).items():
                    parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(name + suffix, parameter)
        self.reset_parameters()

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The size of each tensor of one direction's state, `h` first."""
        return (self.proj_size or self.hidden_size,)

    @property
    def output_size(self) -> int:
        """The number of features of an output step, over all directions."""
        return (self.proj_size or self.hidden_size) * (1 + self.bidirectional)

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from `[-1/sqrt(H), 1/sqrt(H)]`, in torch's order."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing. torch's layers rearrange their weights for cuDNN, which is not used here."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # learn2learn applies the identity to clones of modules with flatten_parameters, and torch
        # would warn that the clones' parameters, which are not leaves, have no gradient.
        with torch.no_grad():
            if all(fn(tensor) is tensor for tensor in (*self.parameters(), *self.buffers())):
                return self
        # Not super(): a converted subclass of a torch layer has torch's class as another base.
        return nn.Module._apply(self, fn, recurse)

    def extra_repr(self) -> str:
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        given = [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join([str(self.input_size), str(self.hidden_size), *given])

    def _parameter_shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        """Return the names and shapes of one direction's parameters, in torch's order."""
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, features),
            "weight_hh": (rows, self.state_sizes[0]),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes |= {"weight_hr": (self.proj_size, self.hidden_size)}
        return shapes

    @property
    def _has_tasks(self) -> bool:
        return self.weight_ih_l0.dim() == 3

    def _takes_gradients(self, *tensors: Tensor) -> bool:
        """Return whether a call on these tensors may be differentiated."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def _stacked(self, name: str, layer: int) -> Tensor:
        """Stack one parameter over all directions and tasks, direction-major: `(A, …)`."""
        directions = [getattr(self, name + suffix) for suffix in self._suffixes(layer)]
        if not self._has_tasks:
            directions = [parameter.unsqueeze(0) for parameter in directions]
        return torch.cat(directions) if len(directions) > 1 else directions[0]

    def flat_weights(self) -> list[Tensor]:
        """Return all parameters of all layers and directions, in torch's order."""
        names = self._parameter_shapes(1)
        return [
            getattr(self, name + suffix)
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
            for name in names
        ]

    def _weights(self, layer: int) -> Weights:
        names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else [])]
        return Weights(*(self._stacked(name, layer) for name in names))
