"""A recurrent network that reads the support set, for task families without steps."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.families.family_method import MetaTrainedMethod, Sine
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from l2l_rnn.data import TaskBatch
from l2l_rnn.nn import GRU, Linear


class Reader(nn.Module):
    """GRU that reads the points of a support set, the nearest to a query last.

    A point is read as its distance `d` to the query, in features `f(d)` of sine units, and as its
    target: `f(d), y f(d), y`. So the outputs do not change if all inputs are shifted.

    Args:
        input_size, output_size: numbers in an input and in a target.
        hidden_size: hidden units, and sine units.
        frequency: the largest initial frequency of the sine units.

    Shapes:
        x `(N, B, input_size)`, y `(N, B, output_size)`, query `(N, Q, input_size)` ->
        `(N, Q, output_size)`.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self, input_size: int, output_size: int, hidden_size: int, frequency: float
    ) -> None:
        super().__init__()
        first = Linear(input_size, hidden_size)
        nn.init.uniform_(first.weight, -frequency, frequency)
        self.features = nn.Sequential(first, Sine())
        size = hidden_size * (1 + output_size) + output_size
        self.recurrence = GRU(size, hidden_size, batch_first=True)
        self.head = nn.Sequential(
            Linear(hidden_size, hidden_size), nn.ReLU(), Linear(hidden_size, output_size)
        )

    def forward(self, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
        distances = x.unsqueeze(1) - query.unsqueeze(2)  # (N, Q, B, input_size)
        order = distances.square().sum(-1, keepdim=True).argsort(2, descending=True)
        distances = distances.gather(2, order.expand_as(distances))
        y = y.unsqueeze(1).expand(*distances.shape[:3], -1)
        y = y.gather(2, order.expand_as(y))
        features = self.features(distances)
        products = (features.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2)
        points = torch.cat([features, products, y], -1)
        _, last = self.recurrence(points.flatten(0, 1))
        return self.head(last[-1]).unflatten(0, query.shape[:2])


class FamilyReader(MetaTrainedMethod):
    """Meta-trains a `Reader`, which adapts by reading the support set.

    Args:
        kind, network: as in `FamilyMethod`; the network's options give the size and the frequency.
        training: settings of the meta-training.
    """

    def __init__(
        self, problem: FamilyProblem, label: str, *, training: Training, **family: Any
    ) -> None:
        super().__init__(problem, label, steps=1, **family)
        sizes = self.family.input_size, self.family.output_size
        options = self.options["hidden_size"], self.options["frequency"]
        reader = Reader(*sizes, *options).to(problem.device)
        self.prepare(reader, training, reader)

    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        outputs = self.learner(batch.support_x, batch.support_y, batch.query_x)
        return self.family.loss(outputs, batch.query_y).mean(), outputs

    def predict(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            outputs: Tensor = self.learner(batch.support_x, batch.support_y, batch.query_x)
        return outputs
