"""The state of `Checkpoints` in a checkpoint."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from l2l_rnn.errors import DataError


class SavedState(NamedTuple):
    """What `Checkpoints.state_dict` holds besides random states.

    Attributes:
        score: the best score; None if there is none.
        metrics: the logged values.
        steps: schedulers to update, with their metric.
        monitored: the name of the metric that selects the best, and `"min"` or `"max"`.
    """

    score: Tensor | None
    metrics: dict[str, Tensor]
    steps: list[tuple[int, Tensor]]
    monitored: tuple[Any, Any]


def read_state(who: str, state: dict[str, Any]) -> SavedState:
    """Check the state in a checkpoint.

    Args:
        who: begins the error message.
        state: what `Checkpoints.state_dict` returned.

    Raises:
        DataError: it did not return this.
    """
    try:
        score, metrics = state["best_model_score"], dict(state["metrics"])
        steps = [(int(at), metric) for at, metric in state["plateau"]]
        tensors = [*metrics.values(), *(metric for _, metric in steps)]
        if not all(isinstance(found, Tensor) for found in tensors + [score] * (score is not None)):
            raise TypeError("metrics that are not tensors")
        monitored = (state["monitor"], state["mode"])
        state["random_states"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{who}: the state in a checkpoint must be that of state_dict(), got {error!r}; use "
            "another checkpoint"
        ) from error
    return SavedState(score, metrics, steps, monitored)
