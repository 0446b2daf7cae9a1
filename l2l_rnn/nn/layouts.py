"""Layouts of the sequences that a recurrent layer accepts, and their conversion to one layout."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.affine import product_type


class Layout:
    """Checks the arguments of a call, converts them to `(N, B, S, F)`, and converts results back.

    Args:
        who: the layer's name, which begins error messages.
        x: the sequences, `(S, F)`, `(…, S, B, F)` or `(…, B, S, F)`.
        weight: the layer's input weight, `(GH, F)`, or `(N, GH, F)` with a task axis. Without a
            task axis, N is 1 here, and all axes before the batch are treated as batch axes.
        batch_first: whether the batch axis comes before the steps.

    Attributes:
        x: the sequences, `(N, B, S, F)`.

    Raises:
        ShapeError: x has the wrong shape.
        ArgumentTypeError: x differs from the weight in dtype or device.
    """

    def __init__(self, who: str, x: Tensor, weight: Tensor, *, batch_first: bool) -> None:
        self.who, self.batch_first = who, batch_first
        self._has_tasks = weight.dim() == 3
        self._check_input(x, weight)
        self._single = x.dim() == 2 + self._has_tasks  # one sequence, no batch axis
        if self._single:
            x = x.unsqueeze(-3 if batch_first else -2)
        x = x if batch_first else x.transpose(-3, -2)  # (…, B, S, F)
        self._lead = tuple(x.shape[:-2])  # ends in B
        self.x = self._merge(x, 2)

    def lengths(self, lengths: Tensor | None) -> Tensor | None:
        """Check the lengths of the sequences: `(…, B)` -> `(N, B)`."""
        if lengths is None:
            return None
        kind = lengths.dtype if isinstance(lengths, Tensor) else None
        if kind is None or kind.is_floating_point or kind.is_complex:
            given = kind or type(lengths).__name__
            raise ArgumentTypeError(
                f"{self.who}: lengths must be a tensor of integers, got {given}; use "
                "torch.as_tensor(lengths).long()"
            )
        lengths = lengths.unsqueeze(-1) if self._single else lengths
        self._check_shape("lengths", lengths, self._lead)
        values, steps = readable_values(lengths), self.x.shape[2]
        if values is not None and values.numel():
            low, high = map(int, values.aminmax())
            if low < 0 or not 0 < high <= steps:
                raise ArgumentError(
                    f"{self.who}: lengths must be from 0 to S={steps} and not all 0, got "
                    f"{low} to {high}; count the valid steps of each sequence"
                )
        return self._merge(lengths.to(self.x.device).long(), 0)

    def state(self, hx: Any, blocks: int, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Check the initial state, or make zeros: `(…, DL, B, H)` -> a tuple of `(DL, N, B, H)`.

        Args:
            hx: the argument of the call: None, a tensor, or a tuple of tensors.
            blocks: `DL`, number of directions times number of layers.
            sizes: `H` of each tensor of the state.
        """
        if hx is None:
            return tuple(self.x.new_zeros(blocks, *self.x.shape[:2], size) for size in sizes)
        state = []
        for tensor, size in zip(state_tensors(self.who, hx, len(sizes)), sizes, strict=True):
            if tensor.device != self.x.device:
                raise ArgumentTypeError(
                    f"{self.who}: hx must be on the device of the input, {self.x.device}, got "
                    f"{tensor.device}; move one of them with .to()"
                )
            differs = tensor.dtype != self.x.dtype  # the types of a product agree under autocast
            if differs and product_type(tensor) != product_type(self.x):
                raise ArgumentTypeError(
                    f"{self.who}: hx must be {self.x.dtype}, like the input, got {tensor.dtype}; "
                    "convert it with .to(…)"
                )
            tensor = tensor.to(self.x.dtype) if differs else tensor
            tensor = tensor.unsqueeze(-2) if self._single else tensor
            self._check_shape("hx", tensor, (*self._lead[:-1], blocks, self._lead[-1], size))
            state.append(self._merge(tensor.transpose(-3, -2), 2).movedim(2, 0))
        return tuple(state)

    def output(self, y: Tensor) -> Tensor:
        """Convert outputs `(N, B, S, H)` to the layout of the input."""
        y = self._split(y)
        y = y if self.batch_first else y.transpose(-3, -2)
        return y.squeeze(-3 if self.batch_first else -2) if self._single else y

    def final(self, state: Tensor) -> Tensor:
        """Convert a final state `(N, B, DL, H)` to `(…, DL, B, H)`."""
        state = self._split(state).transpose(-3, -2)
        return state.squeeze(-2) if self._single else state

    def _merge(self, x: Tensor, after: int) -> Tensor:
        """Merge the axes before B: `(…, B, *)`, with `after` axes after B -> `(N, B, *)`."""
        last = x.dim() - 1 - after
        return x.flatten(1, last) if self._has_tasks else x.flatten(0, last).unsqueeze(0)

    def _split(self, y: Tensor) -> Tensor:
        """Undo `_merge`."""
        y = y.flatten(0, 1)
        return y.unflatten(0, self._lead)

    def _check_input(self, x: Tensor, weight: Tensor) -> None:
        fits = x.is_floating_point() and product_type(x) == product_type(weight)
        if x.device != weight.device or not fits:
            raise ArgumentTypeError(
                f"{self.who}: x must be {weight.dtype} on {weight.device}, like the parameters, "
                f"got {x.dtype} on {x.device}; convert it with .to(…)"
            )
        features, tasks = weight.shape[-1], len(weight) if self._has_tasks else None
        given = f"got shape {tuple(x.shape)}"
        if x.dim() < 2 + self._has_tasks:
            layout = "(B, S, F)" if self.batch_first else "(S, B, F)"
            raise ShapeError(f"{self.who}: x must be {layout} or (S, F), {given}")
        if x.shape[-1] != features:
            raise ShapeError(
                f"{self.who}: x must end in F={features} features, {given}; set "
                f"input_size={x.shape[-1]} or project x"
            )
        if tasks is not None and len(x) != tasks:
            raise ShapeError(
                f"{self.who}: x must be (N, …) with N={tasks} tasks first, like the parameters, "
                f"{given}"
            )
        steps = -2 if self.batch_first or x.dim() == 2 + self._has_tasks else -3
        if x.shape[steps] == 0:
            raise ShapeError(
                f"{self.who}: x must have at least one step, {given}; drop empty sequences"
            )

    def _check_shape(self, what: str, got: Tensor, expected: tuple[int, ...]) -> None:
        if got.shape != expected:
            raise ShapeError(
                f"{self.who}: {what} must have shape {expected}, got {tuple(got.shape)}"
            )


def state_tensors(who: str, hx: Any, count: int) -> tuple[Tensor, ...]:
    """Return the tensors of the state that was passed to a call.

    Raises:
        ArgumentTypeError: the state is not a tensor or, if `count` exceeds 1, not a tuple of
            `count` tensors.
    """
    given = tuple(hx) if count > 1 and isinstance(hx, (tuple, list)) else (hx,)
    if len(given) != count or not all(isinstance(tensor, Tensor) for tensor in given):
        expected = f"a tuple of {count} tensors" if count > 1 else "a tensor"
        raise ArgumentTypeError(f"{who}: hx must be {expected}, got {type(hx).__name__}")
    return given
