"""The memory of a learner: its state, and how it is checked, saved and copied."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from l2l_rnn.algorithms.inner_loop.checks import non_finite_tasks, unchanged_error
from l2l_rnn.algorithms.saving import SavedLearner, check_saved_tasks, usable
from l2l_rnn.models import MemoryModel
from l2l_rnn.models.memory_model import Lookup


class MemoryHolder(SavedLearner):
    """A learner that holds the state of its model's store. Not for direct use.

    `state_dict()` holds each tensor of a memory that is not blank, as `adaptation.<its name>`.
    """

    module: MemoryModel
    tasks: int | None

    def reset(self) -> None:
        """Clear the memory. Gradient steps are not undone."""
        self._state: Any = None  # None: blank
        self._last: Lookup | None = None  # results of the last forward call

    def detach(self) -> None:
        """Detach the content of the memory from its graph."""
        self._state, self._last = _detached(self._state), None

    @property
    def state(self) -> Any:
        """The content of the memory."""
        return self.module.store.blank(*self._batch()) if self._state is None else self._state

    @state.setter
    def state(self, state: Any) -> None:
        self._hold(self.module.store.take_state(state, *self._batch()))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_state": _detached(self._state), "_last": None}

    def _batch(self) -> tuple[int, ...]:
        return () if self.tasks is None else (self.tasks,)

    def _hold(self, state: Any) -> None:
        """Take a checked state as the memory."""
        self._state, self._last = usable_state(state), None

    def _check_state(self, who: str, state: Any) -> None:
        """Check that a state is finite, and name the tasks where it is not."""
        where = non_finite_tasks([s for s in state if s.is_floating_point()], self.tasks)
        if where is not None:
            raise unchanged_error(
                who, f"the memory{where} would become NaN or infinite; check the inputs"
            )

    def _adaptation(self) -> dict[str, Tensor]:
        return {} if self._state is None else self._state._asdict()

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        if not saved:
            self.reset()
            return
        blank = self.module.store.blank(*self._batch())._asdict()
        for name, value in saved.items():
            if name in blank:
                check_saved_tasks(who, value.shape, blank[name].shape, self.tasks)
                saved[name] = value.to(blank[name].device, blank[name].dtype)
        self._hold(self.module.store.take_state(saved, *self._batch()))


def usable_state(state: Any) -> Any:
    """Return a state that autograd accepts: tensors of inference mode are copied."""
    if any(part.is_inference() for part in state):
        return type(state)(*map(usable, state))
    return state


def _detached(state: Any) -> Any:
    return None if state is None else type(state)(*(part.detach() for part in state))
