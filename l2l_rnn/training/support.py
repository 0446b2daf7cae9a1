"""Checks of support and query sets: empty ones, and padding that batch statistics would count."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from l2l_rnn.errors import ArgumentError, DataError


def check_filled(who: str, side: str, x: Tensor, mask: Tensor | None) -> None:
    """Check that each of N tasks has examples.

    Args:
        who: begins the error message.
        side: `"support"` or `"query"`.
        x: the sequences.
        mask: False where a row is padding; None if there is no padding.

    Shapes:
        x `(N, B, …)`, mask `(N, B)`.

    Raises:
        DataError: a task has none.
    """
    if x.dim() < 2:
        return  # the learner names the shape that it needs
    empty = list(range(len(x))) if x.shape[1] == 0 else []
    if not empty and mask is not None:
        empty = (~mask.any(1)).nonzero().flatten().tolist()
    if empty:
        raise DataError(
            f"{who}: each task must have a {side} set, got an empty one in task "
            f"{', '.join(map(str, empty[:3]))}{', …' if empty[3:] else ''}; draw at least one "
            "example of each class"
        )


def check_padding(who: str, learner: nn.Module, mask: Tensor | None) -> None:
    """Check that rows of padding do not change the statistics of a `BatchNorm` layer.

    Args:
        who: begins the error message.
        learner: the learner.
        mask: False where a row is padding; None if there is no padding.

    Raises:
        ArgumentError: there is padding, and torch's batch normalization computes the statistics of
            the batch, which it does in training, and always without running statistics.
    """
    if mask is None:
        return
    for name, module in learner.named_modules():
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None):
            if bool(mask.all()):
                return
            raise ArgumentError(
                f"{who}: tasks of a batch must have equal numbers of examples with a "
                f"{type(module).__name__} that computes statistics of the batch, got rows of "
                f"padding, which would change them in {name}; use nn.LayerNorm or nn.GroupNorm, "
                "draw tasks of equal sizes, or adapt to one task at a time"
            )
