"""A limit of the parameters that a configuration makes, before memory is filled with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from l2l_rnn.errors import ArgumentError

_SPARE = 4  # constructors may make parts that others replace
_FREE_NUMBERS, _FREE_TENSORS = 1_000_000, 1_000


@contextmanager
def limited_parameters(who: str, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Let this thread make hardly more parameters in the block than were saved.

    A few bytes of configuration could otherwise ask for more memory than the machine has.

    Args:
        who: begins the error message.
        tensors: the saved tensors.

    Raises:
        ArgumentError: the modules that the block makes have many more parameters.

    Example:
        >>> with limited_parameters("me", {"weight": nn.Linear(2, 2).weight}):
        ...     nn.Linear(10**4, 10**4)
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.ArgumentError: me: the modules must have about as many parameters as the \
weights, 4 in 1 tensors, got 100000000 in 1 before the last one
    """
    numbers, thread = sum(tensor.numel() for tensor in tensors.values()), threading.get_ident()
    most = _SPARE * numbers + _FREE_NUMBERS, _SPARE * len(tensors) + _FREE_TENSORS
    made, count = 0, 0

    def check(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal made, count
        if threading.get_ident() != thread or not isinstance(parameter, Tensor):
            return
        made, count = made + parameter.numel(), count + 1
        if made > most[0] or count > most[1]:
            raise ArgumentError(
                f"{who}: the modules must have about as many parameters as the weights, "
                f"{numbers} in {len(tensors)} tensors, got {made} in {count} before the last one"
            )

    handle = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        handle.remove()
