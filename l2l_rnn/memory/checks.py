"""What memories ask of sizes, and of the keys and values that are written."""

from __future__ import annotations

from torch import Tensor

from l2l_rnn.errors import ArgumentError, ShapeError


def check_sizes(who: str, **sizes: object) -> None:
    """Tell a size that is not a positive integer.

    Raises:
        ArgumentError: there is one.
    """
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ArgumentError(f"{who}: {name} must be a positive integer, got {size!r}")


def check_vectors(who: str, what: str, x: Tensor, batch: tuple[int, ...], size: int) -> None:
    """Tell keys, queries or values that do not fit a store: x must be `(…, B, size)`.

    Raises:
        ShapeError: they do not.
    """
    if x.dim() != len(batch) + 2 or tuple(x.shape[:-2]) != batch or x.shape[-1] != size:
        axes = "".join(f"{n}, " for n in batch)
        raise ShapeError(
            f"{who}: {what} must be ({axes}B, {size}), as the state and the memory are, got shape "
            f"{tuple(x.shape)}"
        )


def check_pairs(who: str, keys: Tensor, values: Tensor) -> None:
    """Tell keys and values that are not as many.

    Raises:
        ShapeError: they are not.
    """
    if keys.shape[-2] != values.shape[-2]:
        raise ShapeError(
            f"{who}: there must be as many values as keys, got {values.shape[-2]} and "
            f"{keys.shape[-2]}"
        )
