"""What memories ask of sizes, and of the keys and values that are written."""

from __future__ import annotations

from torch import Tensor

from l2l_rnn.errors import ArgumentError, ShapeError


def check_size(who: str, name: str, size: object, least: int = 1) -> int:
    """Return a size.

    Raises:
        ArgumentError: it is not an integer from `least` on.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < least:
        wanted = "a positive integer" if least == 1 else f"an integer from {least} on"
        raise ArgumentError(f"{who}: {name} must be {wanted}, got {size!r}")
    return size


def check_sizes(who: str, **sizes: object) -> None:
    """Tell a size that is not a positive integer.

    Raises:
        ArgumentError: there is one.
    """
    for name, size in sizes.items():
        check_size(who, name, size)


def check_store(
    who: str, sizes: tuple[int, int], keys: Tensor, values: Tensor | None = None
) -> None:
    """Check that keys, or queries, and values fit a store, and each other.

    Args:
        who: begins the message.
        sizes: `K` and `V`.
        keys: the keys or, where there are no values, the queries.
        values: the values.

    Raises:
        ShapeError: they do not.
    """
    given = {"queries" if values is None else "keys": (keys, sizes[0])}
    if values is not None:
        given["values"] = (values, sizes[1])
    for name, (tensor, size) in given.items():
        if tensor.dim() < 2 or tensor.shape[-1] != size:
            raise ShapeError(
                f"{who}: {name} must be (…, B, {size}), got shape {tuple(tensor.shape)}; set "
                f"{'value_size' if name == 'values' else 'key_size'} or project them"
            )
    if values is not None and keys.shape[:-1] != values.shape[:-1]:
        raise ShapeError(
            f"{who}: there must be a value for each key, got {tuple(keys.shape[:-1])} keys and "
            f"{tuple(values.shape[:-1])} values"
        )


def layer_only(who: str) -> ArgumentError:
    """The error of a store that is used as a layer."""
    return ArgumentError(f"{who}: made without input_size it is a store only; give input_size=F")
