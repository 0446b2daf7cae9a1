"""Online personalization: windows in the order of time, evaluated on those that follow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.problems.grouped_problem import rows_of
from benchmarks.few_shot.problems.persons_problem import PersonsProblem
from l2l_rnn.data import SequenceDataset, TaskBatch


class DriftProblem(PersonsProblem):
    """Test tasks of one person and arm: the first windows of each exercise, and the next ones.

    With k shots, the support set has the first k windows of each recording, in the order of time,
    and the queries are the windows that follow. So each column tells how a learner that takes one
    window after another predicts the near future.

    Args:
        spec, seed, device, test_tasks: as in `PersonsProblem`; there is one task for each person
            and arm.
    """

    def draw_evaluation_tasks(
        self, split: str, dataset: SequenceDataset, column: Shots, tasks: int
    ) -> TaskBatch:
        data = dataset.grouped  # type: ignore[attr-defined]
        shots, queries = column.shots, self.spec.queries
        support, query = [], []
        for person in range(len(data.group_names)):
            for arm in range(2):
                cells = [(person * len(data.classes) + c) * 2 + arm for c in range(self.spec.ways)]
                items = [self._in_order(data.by_arm, cell)[: shots + queries] for cell in cells]
                if min(map(len, items)) == shots + queries:
                    support.append(torch.cat([part[:shots] for part in items]))
                    query.append(torch.cat([part[shots:] for part in items]))
        labels = torch.arange(self.spec.ways)
        found = len(support)
        return TaskBatch(
            rows_of(torch.stack(support)),
            labels.repeat_interleave(shots).expand(found, -1),
            rows_of(torch.stack(query)),
            labels.repeat_interleave(queries).expand(found, -1),
        )

    @staticmethod
    def _in_order(windows: Any, cell: int) -> Tensor:
        """Return the windows of a recording, which are numbered in the order of time."""
        start = int(windows.starts[cell])
        found: Tensor = windows.order[start : start + int(windows.counts[cell])]
        return found


def windows_of(batch: TaskBatch, ways: int) -> list[tuple[Tensor, Tensor]]:
    """Return the support set window after window: inputs and labels of one of each class."""
    x, y = (part.unflatten(1, (ways, -1)) for part in (batch.support_x, batch.support_y))
    return list(zip(x.unbind(2), y.unbind(2), strict=True))
