"""Meta-learned or pre-trained features and TF-IDF, combined by weights learned across tasks."""

from __future__ import annotations

import copy
import time
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.closed_form import HEADS, ClosedFormMethod
from benchmarks.few_shot.methods.frozen import FrozenPrior
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.transfer import PretrainedPrior
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History
from l2l_rnn.algorithms import LRD2, PriorCoordinates, ProtoNet, StackedLearner, TfIdfLearner
from l2l_rnn.data import SequenceDataset, TaskBatch, TaskLoader
from l2l_rnn.functional import accuracy

BASES: dict[str, Any] = {
    "prototypes": ProtoNetMethod,
    "pretrained": PretrainedPrior,
    "closed form": ClosedFormMethod,
    "frozen": FrozenPrior,
}
PLAIN: dict[str, Any] = {"class means": ProtoNet, "plain logistic": LRD2}
LOGISTIC: dict[str, dict[str, Any]] = {"logistic": {"regularization": 0.1}}
_SEQUENCES = 5000  # of the tasks that are solved at once, which limits the memory
_VALIDATION_SEQUENCES, _LEAST_TASKS = 20_000, 30  # of the tasks for one number of shots


class StackedMethod(ClassificationMethod):
    """Combines the learner of another method with TF-IDF and logistic regression.

    The weights of both, as a function of shots and ways, are learned on tasks of the validation
    classes. The n-grams are those of the task set's tokens, with document frequencies of the
    training classes added to those of each support set.

    Args:
        base: the other method, a key of `BASES`.
        options: the options of the other method; its trainings are shared.
        ngrams: the shortest and the longest n-gram of tokens.
        regularization: inverse strength C of the logistic regression's penalty.
        sublinear_tf: whether the logarithm of term frequencies is used.
        background: whether document frequencies of the training classes are used.
        heads: further heads of the same vectors, with their options: `"ridge"` or `"logistic"`,
            which get the `PriorCoordinates` if the base has a Gaussian prior; and `"class means"`
            or `"plain logistic"`, which always get the vectors.
        shots: support examples per class of the validation tasks, as far as there are enough.
        validation_tasks: most validation tasks for each number of shots.
    """

    has_learner = True
    saved_seconds: float = 0.0  # by encoding an item of several tasks once
    learner: StackedLearner

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        base: str,
        options: dict[str, Any],
        ngrams: tuple[int, int] = (1, 3),
        regularization: float = 1.0,
        sublinear_tf: bool = False,
        background: bool = True,
        heads: dict[str, dict[str, Any]] = LOGISTIC,
        shots: tuple[int, ...] = (1, 2, 5, 10, 20, 50),
        validation_tasks: int = 100,
    ) -> None:
        super().__init__(problem, label)
        self.base, self.options, self.ngrams = base, options, ngrams
        self.regularization, self.sublinear_tf = regularization, sublinear_tf
        self.background, self.heads = background, heads
        self.shots, self.validation_tasks = shots, validation_tasks
        self._tables: dict[int, Tensor] = {}  # of the items of a split, by the split's identity

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        found: dict[str, Training] = BASES[options["base"]].trainings(options["options"])
        return found

    def train(self) -> History | None:
        base = BASES[self.base](self.problem, self.label, **self.options)
        history: History | None = base.train()
        self.problem = base.problem
        ways, device = self.problem.spec.ways, self.problem.device
        member = copy.copy(base.learner)
        member._modules = {**base.learner._modules, "module": nn.Identity()}
        prior = getattr(member, "prior", None)
        space = nn.Identity() if prior is None else PriorCoordinates(prior)
        more = [
            PLAIN[name](nn.Identity(), ways, **given)
            if name in PLAIN
            else HEADS[name](space, ways, **given)
            for name, given in self.heads.items()
        ]
        tfidf = TfIdfLearner(ways, self.ngrams, self.regularization, sublinear_tf=self.sublinear_tf)
        if self.background:
            tfidf.fit_background(self.problem.train)
        learner = StackedLearner(base.learner.module, ways, [member, *more], [tfidf])
        self.learner = learner.to(device).eval()
        self._fit_weights()
        self.saved_seconds = 0.0  # of the evaluation alone
        return history

    def predict(self, batch: TaskBatch) -> Tensor:
        return stacked_scores(self.learner, batch)

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        index, device = tasks.index, self.problem.device
        learner = self._of_items(tasks.dataset)
        each = index.support_x.shape[1] + index.query_x.shape[1]
        self.saved_seconds += self._seconds_per_item * each * len(index)
        parts = []
        for batch in index.chunks(max(1, min(self.chunk, _SEQUENCES // each))):
            batch = batch.to(device)
            parts.append(accuracy(stacked_scores(learner, batch), batch.query_y).cpu())
        return torch.cat(parts)

    def _fit_weights(self) -> None:
        """Learn the weights on tasks of the validation classes, with the ways of the test tasks."""
        learner = self._of_items(self.problem.validation)
        spec = self.problem.spec
        every = {spec.ways, *getattr(spec, "more_ways", ())}
        found = {}
        for shots in self.shots:
            for ways in sorted(every):
                batch = self._validation_batch(ways, shots)
                if batch is not None:  # fewer classes than ways may be left
                    found[shots, int(batch.support_y.max()) + 1] = batch
        learner.fit_weights(found.values())

    def _validation_batch(self, ways: int, shots: int) -> TaskBatch | None:
        """Draw tasks of items of the validation classes that have enough of them."""
        problem = self.problem
        data, queries = problem.validation, problem.spec.queries
        enough = data.labels.bincount() >= shots + queries
        ways = min(ways, int(enough.sum()))
        if ways < 2:
            return None
        items = enough[data.labels].nonzero()  # (items, 1)
        numbers = enough.cumsum(0) - 1
        some = SequenceDataset(items, numbers[data.labels[items.squeeze(-1)]])
        tasks = max(_LEAST_TASKS, _VALIDATION_SEQUENCES // (ways * (shots + queries)))
        tasks = min(tasks, self.validation_tasks)
        loader = TaskLoader(some, tasks, shots, queries, ways=ways, seed=problem.seed)
        return next(loader).to(problem.device)

    def _of_items(self, data: SequenceDataset) -> StackedLearner:
        """Return the learner for inputs `(…, B, 1)` that are items of a split, encoded once."""
        sequences = data.sequences.to(self.problem.device)
        if id(data) not in self._tables:
            start = time.perf_counter()
            with torch.no_grad():
                encoded = [self.learner.module(part) for part in sequences.split(500)]
            seconds = time.perf_counter() - start
            self._tables[id(data)] = torch.cat(encoded)
            self._seconds_per_item = seconds / len(sequences)
            self.saved_seconds -= seconds
        learner = copy.copy(self.learner)
        tfidf = copy.copy(self.learner.input_learners[0])
        tfidf._modules = {**tfidf._modules, "module": Items(sequences)}
        learner._modules = {
            **self.learner._modules,  # the pool too, whose weights are learned
            "module": Items(self._tables[id(data)]),
            "input_learners": nn.ModuleList([tfidf]),
        }
        return learner


class Items(nn.Module):
    """Rows of a table, by their numbers `(…, B, 1)`."""

    task_axis: ClassVar[bool] = True

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, x: Tensor) -> Tensor:
        return self.table[x.squeeze(-1)]


def stacked_scores(learner: StackedLearner, batch: TaskBatch) -> Tensor:
    """Adapt a stacked learner to the support sets, and score the queries."""
    with torch.no_grad():
        adapted = learner.clone(tasks=len(batch))
        adapted.ways = int(batch.support_y.max()) + 1
        adapted.write(batch.support_x, batch.support_y)
        scores: Tensor = adapted(batch.query_x)
        return scores
