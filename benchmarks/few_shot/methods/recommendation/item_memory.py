"""Memory learners: write a user's ratings, or what it chose, and read them for the queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.memory import MEMORIES
from benchmarks.few_shot.methods.recommendation.learned import LearnedRecommender
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import MemoryModel


class ItemMemory(LearnedRecommender):
    """Writes the support set to a memory, without gradient steps.

    For ratings, keys are vectors of items, and values are errors of ratings. For rankings, keys are
    the states of the recurrence, and values correct the query for the next item.

    Args:
        recurrent: whether the recurrence reads the support set.
        memory: the memory, one of `benchmarks.few_shot.methods.memory.MEMORIES`.
        memory_options: its options, except for the sizes of keys and values.
        writes: number of writes; each writes the remaining error.
        options: arguments of `LearnedRecommender`.
    """

    def __init__(
        self,
        problem: RecommendationProblem,
        label: str,
        *,
        recurrent: bool,
        memory: str,
        memory_options: dict[str, Any],
        writes: int,
        **options: Any,
    ) -> None:
        super().__init__(problem, label, **options)
        self.writes, self.recurrent = writes, recurrent
        model, ranks = self.model, problem.spec.ranks
        weight = model.head.weight[:, : None if recurrent else model.encoder.output_size]
        encoder = nn.Identity()
        encoder.output_size = model.hidden_size if ranks else weight.shape[1]
        store = MEMORIES[memory](
            key_size=encoder.output_size,
            value_size=model.ranking.out_features if ranks else 1,
            **memory_options,
        )
        memory_model = MemoryModel(encoder, store, regression=True)
        if not ranks:
            with torch.no_grad():
                assert memory_model.head is not None  # noqa: S101
                memory_model.head.weight.copy_(weight)
                memory_model.head.bias.zero_()
        self.memory = MemoryLearner(memory_model, in_order=False).to(problem.device)
        self.learner = nn.ModuleList([model, self.memory])

    def predict(self, batch: TaskBatch) -> Tensor:
        return self.adapted_outputs(batch).detach()  # writes differentiate a loss

    def adapted_ratings(self, batch: TaskBatch) -> Tensor:
        learner = self.memory.clone(tasks=len(batch))
        support, query = self.vectors(batch, recurrent=self.recurrent)
        learner.write(support, batch.support_y - self.model.mean, self.writes)
        return (self.model.mean + learner(query)).squeeze(-1)

    def scorer(self, states: Tensor, items: Tensor) -> Callable[[Tensor], Tensor]:
        learner = self.memory.clone(tasks=len(states))
        table = self.model.encoder.embedding.weight.mT

        def scores(states: Tensor) -> Tensor:
            return self.model.scores(states) + learner(states) @ table

        for _ in range(self.writes):
            learner.adapt(cross_entropy(scores(states), items))
        return scores
