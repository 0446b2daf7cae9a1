"""What the memories of slots with a controller and heads share: sizes, start, store."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.memory import compiled_passes
from l2l_rnn.functional.memory.heads import Heads
from l2l_rnn.memory.checks import check_size, check_sizes
from l2l_rnn.memory.compiled_steps import compiled_steps, with_parameters
from l2l_rnn.memory.controllers import CONTROLLERS, find_controller
from l2l_rnn.memory.memory import Memory, leading_axis
from l2l_rnn.memory.slots import slot_weights, write_slots

SlotState = TypeVar("SlotState", bound=Any)

_STRENGTH = 10.0  # with which a store starts to look up keys


class SlotMemory(Memory[SlotState]):
    """A controller, heads, and M slots of W values; a store too. Not for direct use.

    As a store a slot is a key and its value, `K + V = W`. `write` fills the slots one after another
    and then goes on at the first, so that more examples than slots overwrite the oldest; the
    state's `written` and `overwritten` count them. `read` looks queries up by content, with a
    strength, among the slots written; from a blank memory it reads 0. A store learns the strength,
    its only parameter; in a layer, where no step reads it, it stays as it is.

    Args:
        input_size: `F`, features of a step; None for a store without the parameters of a layer.
        output_size: features of an output step; None for `H`.
        hidden_size: `H`, units of the controller.
        slots: `M`.
        width: `W`, values of a slot.
        read_heads: `R`.
        controller: `"lstm"` or `"feedforward"`.
        key_size: `K`, of the store; half the width unless told.
        least_length: a slot or key shorter than this counts as having hardly a direction, see
            `functional.cosine_similarities`. It bounds the gradient that flows through content.
    """

    def __init__(
        self,
        input_size: int | None,
        output_size: int | None,
        hidden_size: int,
        slots: int,
        width: int,
        read_heads: int,
        controller: str,
        key_size: int | None,
        least_length: float,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        output_size = hidden_size if output_size is None else output_size
        check_sizes(who, hidden_size=hidden_size, output_size=output_size, read_heads=read_heads)
        self.output_size = output_size
        self.slots = check_size(who, "slots", slots)
        self.width = check_size(who, "width", width, 2)
        self.key_size = check_size(who, "key_size", width // 2 if key_size is None else key_size)
        self.value_size = width - self.key_size
        if self.value_size < 1:
            raise ArgumentError(
                f"{who}: key_size must be less than width={width}, so that a slot has room for a "
                f"value, got {key_size!r}"
            )
        if not least_length > 0:
            raise ArgumentError(f"{who}: least_length must be above 0, got {least_length!r}")
        self.least_length = float(least_length)
        strength = torch.empty((), device=device, dtype=dtype)  # over 1, before softplus
        self.input_size = self.hidden_size = self.read_heads = 0
        if input_size is None:
            self.store_strength = nn.Parameter(strength)
            return
        self.register_buffer("store_strength", strength)
        self.input_size = check_size(who, "input_size", input_size)
        self.hidden_size, self.read_heads = hidden_size, read_heads
        read_size = read_heads * width
        self.controller = find_controller(who, controller)(
            input_size, read_size, hidden_size, device, dtype
        )

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.weight_heads = empty(self._interface_size(), hidden_size)
        self.bias_heads = empty(self._interface_size())
        self.weight_output = empty(output_size, hidden_size + read_size)
        self.bias_output = empty(output_size)

    @abstractmethod
    def _interface_size(self) -> int:
        """Return how many numbers the controller gives the heads."""

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        nn.init.constant_(self.store_strength, math.log(math.expm1(_STRENGTH - 1)))
        if not self.is_layer:
            return
        self.controller.reset_parameters()
        for weight in (self.weight_heads, self.weight_output):
            nn.init.xavier_uniform_(weight)
        for bias in (self.bias_heads, self.bias_output):
            nn.init.zeros_(bias)

    def extra_repr(self) -> str:
        if not self.is_layer:
            return f"None, slots={self.slots}, width={self.width}, key_size={self.key_size}"
        return (
            f"{self.input_size}, {self.output_size}, hidden_size={self.hidden_size}, "
            f"slots={self.slots}, width={self.width}, read_heads={self.read_heads}"
        )

    # What compiled steps need of a memory; one that has none of them leaves it as it is.

    def _heads(self) -> Heads | None:
        """Return which heads there are, None where no steps like these were compiled."""
        return None

    def _parts(self, state: SlotState) -> list[Tensor]:
        """Return a state's tensors as `functional.slot_recurrence` takes them."""
        raise NotImplementedError

    def _as_state(self, parts: Sequence[Tensor], written: Tensor) -> SlotState:
        """Return the state of such tensors, and of how many examples were written."""
        raise NotImplementedError

    def _steps(
        self, features: Tensor, state: SlotState, inside: Tensor | None
    ) -> tuple[Tensor, SlotState]:
        heads = self._heads()
        if heads is None or not self._is_compiled(features, state):
            return super()._steps(features, state, inside)

        def exact(
            features: Tensor, parameters: Sequence[Tensor], parts: Sequence[Tensor], *rest: Any
        ) -> tuple[Tensor, Sequence[Tensor]]:
            back, weight, bias = parameters
            layer = with_parameters(self, weight_heads=weight, bias_heads=bias)
            controller = with_parameters(self.controller, weight_back=back)
            layer.__dict__["_modules"] = {**self._modules, "controller": controller}
            before = self._as_state(parts, state.written)
            seen, after = super(SlotMemory, layer)._steps(features, before, rest[-1])
            return seen, self._parts(after)

        parameters, parts = self._stepped(), self._parts(state)
        seen, after, _ = compiled_steps(heads, exact, features, parameters, parts, {}, inside)
        return seen, self._as_state(after, state.written)

    def _stepped(self) -> list[Tensor]:
        """Return the parameters that the steps read."""
        return [self.controller.weight_back, self.weight_heads, self.bias_heads]

    def _is_compiled(self, features: Tensor, state: SlotState) -> bool:
        """Whether the steps are those that were compiled, and run on these tensors."""
        # Whoever overrides a step, or brings a controller, has steps of another kind.
        owner = next(c for c in type(self).__mro__ if "_heads" in c.__dict__)
        return (
            type(self)._advance is owner.__dict__.get("_advance")
            and type(self.controller) in CONTROLLERS.values()
            and compiled_passes.serve((features, *self._stepped(), *self._parts(state)))
        )

    def _project(self, x: Tensor) -> Tensor:
        return self.controller.project(x)

    def _emit(self, seen: Tensor) -> Tensor:
        return functional.linear(seen, self.weight_output, self.bias_output)

    def _write(self, state: SlotState, keys: Tensor, values: Tensor) -> SlotState:
        memory = write_slots(state.memory, state.written, keys, values)
        return state._replace(memory=memory, written=state.written + keys.shape[-2])

    def _read(self, state: SlotState, queries: Tensor) -> Tensor:
        return self.attend(state, queries) @ state.memory[..., self.key_size :]

    def attend(self, state: SlotState, queries: Tensor) -> Tensor:
        """Compute how much of each slot `read` takes for each query.

        Write number i, from 0 on, is in slot `i % M` until it is overwritten.

        Shapes:
            queries `(…, Q, K)` -> `(…, Q, M)`.
        """
        self._check_queries(state, queries)
        strength = 1 + F.softplus(self.store_strength)
        return slot_weights(state.memory, state.written, queries, strength)

    def _spread(self, start: Tensor, usual: int, batch: tuple[int, ...]) -> Tensor:
        """Give every sequence of a batch what a parameter of `usual` axes says it starts with."""
        if start.dim() == usual:
            return start.expand(*batch, *start.shape)
        between = [1] * (len(batch) - 1)
        wide = start.reshape(len(start), *between, *start.shape[1:])
        return wide.expand(*batch, *start.shape[1:])

    def _tasks(self) -> int | None:
        if not self.is_layer:
            return leading_axis(self.store_strength, 0)
        return leading_axis(self.weight_output, 2)
