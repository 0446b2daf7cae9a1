"""Base class of NTM, DNC and MANN: a controller that steers heads on memory slots."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.checks import check_choice, check_int, check_number
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.contiguous import contiguous_gradients
from l2l_rnn.functional.memory import compiled_passes
from l2l_rnn.functional.memory.heads import Heads
from l2l_rnn.memory.compiled_steps import compiled_steps, with_parameters
from l2l_rnn.memory.controllers import CONTROLLERS
from l2l_rnn.memory.memory import leading_axis
from l2l_rnn.memory.recurrent_memory import RecurrentMemory

HeadState = TypeVar("HeadState", bound=Any)


class ControllerMemory(RecurrentMemory[HeadState]):
    """A controller that steers read and write heads on M slots of size W. Not for direct use.

    The controller maps a step and the last reads to `h`. A linear map of `h`, with `weight_heads`
    and `bias_heads`, gives the interface vector, which holds the numbers that control all heads.
    The output is `y = W_y [h, r] + b_y`, with the reads `r`.

    The slots can also be used as a store that is written and read by key: a slot is then a key and
    its value, `K + V = W`. A subclass inherits this from the base class of a store.

    Args:
        input_size: `F`, features of a step.
        output_size: features of an output step; None for `H`.
        hidden_size: `H`, hidden units of the controller.
        slots: `M`, number of memory slots.
        slot_size: `W`, size of a slot.
        read_heads: `R`, number of read heads.
        write_heads: number of write heads.
        controller: `"lstm"` or `"feedforward"`.
        key_size: `K`, size of a key in the store; None for half the slot size.
        eps: norm below which a slot or key counts as short, as in
            `functional.cosine_similarity`; it bounds the gradient of content weights.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int | None,
        hidden_size: int,
        slots: int,
        slot_size: int,
        read_heads: int,
        write_heads: int,
        controller: str,
        key_size: int | None,
        eps: float,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.input_size = check_int(who, "input_size", input_size)
        self.hidden_size = check_int(who, "hidden_size", hidden_size)
        self.output_size = self.hidden_size
        if output_size is not None:
            self.output_size = check_int(who, "output_size", output_size)
        self.slots = check_int(who, "slots", slots)
        self.slot_size = check_int(who, "slot_size", slot_size, least=2)
        self.read_heads = check_int(who, "read_heads", read_heads)
        self.write_heads = check_int(who, "write_heads", write_heads)
        self.key_size = self.slot_size // 2
        if key_size is not None:
            self.key_size = check_int(who, "key_size", key_size)
        self.value_size = self.slot_size - self.key_size
        if self.value_size < 1:
            raise ArgumentError(
                f"{who}: key_size must be less than slot_size={slot_size}, got {key_size!r}; leave "
                "room for a value"
            )
        self.eps = check_number(who, "eps", eps, above=0)
        read_size = read_heads * slot_size
        make = CONTROLLERS[check_choice(who, "controller", controller, CONTROLLERS)]
        self.controller = make(input_size, read_size, hidden_size, device, dtype)

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        numbers = sum(self._interface())
        self.weight_heads = empty(numbers, hidden_size)
        self.bias_heads = empty(numbers)
        self.weight_output = empty(self.output_size, hidden_size + read_size)
        self.bias_output = empty(self.output_size)

    @abstractmethod
    def _interface(self) -> tuple[int, ...]:
        """Return how many numbers of the interface vector each activation takes."""

    def reset_parameters(self) -> None:
        """Draw the parameters again."""
        self.controller.reset_parameters()
        for weight in (self.weight_heads, self.weight_output):
            nn.init.xavier_uniform_(weight)
        for bias in (self.bias_heads, self.bias_output):
            nn.init.zeros_(bias)

    def extra_repr(self) -> str:
        return (
            f"{self.input_size}, {self.output_size}, hidden_size={self.hidden_size}, "
            f"slots={self.slots}, slot_size={self.slot_size}, read_heads={self.read_heads}, "
            f"write_heads={self.write_heads}"
        )

    def trace(self, state: HeadState) -> dict[str, Tensor]:
        return {"write_weights": state.write_weights, "read_weights": state.read_weights}

    def _tasks(self) -> int | None:
        return leading_axis(self.weight_output, 2)

    def _project(self, x: Tensor) -> Tensor:
        return self.controller.project(x)

    def _emit(self, seen: Tensor) -> Tensor:
        return functional.linear(seen, self.weight_output, self.bias_output)

    # A subclass with compiled steps defines `_heads`, `_parts` and `_with_parts`. The other methods
    # have defaults, which MANN extends to its sharpness and its usage.

    def _heads(self) -> Heads | None:
        """Return the heads for the compiled steps, or None if the steps are not compiled."""
        return None

    @abstractmethod
    def _parts(self, state: HeadState) -> list[Tensor]:
        """Return the tensors of a state in the order of `slot_recurrence`."""

    @abstractmethod
    def _with_parts(self, state: HeadState, parts: Sequence[Tensor]) -> HeadState:
        """Return the state with these tensors, given in the order of `_parts`."""

    def _bookkeeping(self, state: HeadState) -> Mapping[str, Tensor]:
        """Return the fields that steps change but that have no gradient."""
        return {}

    def _stepped(self) -> list[Tensor]:
        """Return the parameters that the steps use."""
        return [self.controller.weight_back, self.weight_heads, self.bias_heads]

    def _with_stepped(self, parameters: Sequence[Tensor]) -> ControllerMemory[HeadState]:
        """Return a copy of this layer with other tensors in place of the `_stepped` parameters."""
        back, weight, bias, *_ = parameters
        layer = with_parameters(self, weight_heads=weight, bias_heads=bias)
        controller = with_parameters(self.controller, weight_back=back)
        layer.__dict__["_modules"] = {**self._modules, "controller": controller}
        return layer

    def _steps(
        self, features: Tensor, state: HeadState, inside: Tensor | None
    ) -> tuple[Tensor, HeadState]:
        heads, parameters = self._heads(), self._stepped()
        parts, others = self._parts(state), self._bookkeeping(state)
        layer = self
        if self._tasks() is not None:  # batched products have transposed gradients
            parameters = [contiguous_gradients(p.view_as(p)) for p in parameters]
            layer = self._with_stepped(parameters)
        if heads is None or not self._is_compiled((features, *parameters, *parts), others):
            return super(ControllerMemory, layer)._steps(features, state, inside)

        def exact(
            features: Tensor,
            parameters: Sequence[Tensor],
            parts: Sequence[Tensor],
            others: Mapping[str, Tensor],
            inside: Tensor | None,
        ) -> tuple[Tensor, Sequence[Tensor]]:
            layer = self._with_stepped(parameters)
            before = self._with_parts(state._replace(**others), parts)
            seen, after = super(ControllerMemory, layer)._steps(features, before, inside)
            return seen, self._parts(after)

        seen, last, after = compiled_steps(
            heads, exact, features, parameters, parts, others, inside
        )
        return seen, self._with_parts(state._replace(**after), last)

    def _is_compiled(self, tensors: Sequence[Tensor], others: Mapping[str, Tensor]) -> bool:
        """Return whether compiled code can run the steps on these tensors."""
        # A subclass that overrides a step, or a new controller, computes something else.
        owner = next(c for c in type(self).__mro__ if "_heads" in c.__dict__)
        floats = [t for t in others.values() if t.is_floating_point()]
        return (
            type(self)._advance is owner.__dict__.get("_advance")
            and type(self.controller) in CONTROLLERS.values()
            and not any(t.requires_grad for t in floats)
            and compiled_passes.serve((*tensors, *floats))
        )
