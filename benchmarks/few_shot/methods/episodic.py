"""Methods that meta-learn an encoder by episodes, with a head computed from the support set."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem, ways_of
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.data import TaskBatch, letter_ids, permute_tokens
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.training import adapted

_DEFAULTS = {"model": None, "training": None, "class_weight": 0.0, "letter_permutations": 0.0}


class EpisodicMethod(ClassificationMethod):
    """Meta-learns features that classify the queries by a head of the support set.

    Entries of one spec with the same training share the trained encoders.

    Args:
        model: options of the problem's encoder.
        training: settings of the meta-training; its ways may exceed those of the test tasks.
        class_weight: weight of a second training loss, the cross-entropy of a linear head over all
            training classes.
        letter_permutations: share of training steps whose tasks have their letters exchanged by
            `data.permute_tokens`, without the second loss.
    """

    has_learner = True
    kind: ClassVar[str]  # begins the keys of shared trainings

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        class_weight: float = 0.0,
        letter_permutations: float = 0.0,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.training, self.class_weight = model, training, class_weight
        self.letter_permutations = letter_permutations

    @property
    def training_options(self) -> dict[str, Any]:
        """The options that determine what is trained."""
        return {name: getattr(self, name) for name in _DEFAULTS}

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        return {cls.key(options, n): options["training"] for n in range(options.get("members", 1))}

    @classmethod
    def key(cls, options: dict[str, Any], number: int) -> str:
        """Return the key of a member in the problem's shared trainings."""
        settings = [str(options.get(name, default)) for name, default in _DEFAULTS.items()]
        return f"{cls.kind} {' '.join(settings)} {number}"

    @abstractmethod
    def make(self, encoder: nn.Module) -> nn.Module:
        """Return what is trained: the encoder, or a learner that holds it."""

    @abstractmethod
    def learner_of(self, made: nn.Module) -> Any:
        """Return the learner for the test tasks."""

    @abstractmethod
    def episode_learner(self, made: nn.Module, tasks: int) -> tuple[nn.Module, Any]:
        """Return the encoder, and a learner of its vectors for N training tasks."""

    def member(self, options: dict[str, Any], number: int, label: str) -> tuple[Any, History]:
        """Return what was trained, and its history; entries with the same training share both."""
        seed = self.problem.seed + number

        def make() -> nn.ModuleList:
            seed_everything(seed)
            encoder = self.problem.encoder(**self.model)
            head = nn.Linear(encoder.output_size, len(self.problem.train.classes))
            return nn.ModuleList([self.make(encoder), head]).to(self.problem.device)

        def train(both: nn.ModuleList) -> History:
            made, head = both
            tasks = self.problem.training_tasks(self.training, seed)
            self.learner = self.learner_of(made)
            return run_training(
                both,
                self.training,
                lambda step, progress: self._loss(made, head, tasks.batch(step, progress)),
                lambda: self.validation_score(self.training.validation_tasks),
                label=label,
                tasks_per_step=self.training.tasks,
            )

        both, history = self.problem.shared.get(self.key(options, number), make, train)
        return both[0], history

    def _loss(
        self, made: nn.Module, head: nn.Module, batches: tuple[TaskBatch, TaskBatch]
    ) -> tuple[Tensor, Tensor]:
        batch, classes = batches
        share = self.letter_permutations
        permuted = share > 0 and bool(torch.rand(()) < share)
        if permuted:
            vocabulary: Any = self.problem.train.vocabulary
            batch = permute_tokens(batch, letter_ids(vocabulary))
        made.train()
        encoder, learner = self.episode_learner(made, len(batch))
        learner.ways = ways_of(batch)
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner.write(support, batch.support_y)
        scores = learner(query)
        loss = cross_entropy(scores, batch.query_y).mean()
        if self.class_weight and not permuted:
            labels = torch.cat([classes.support_y, classes.query_y], 1)
            loss = loss + self.class_weight * cross_entropy(head(vectors), labels).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def encoder_place(self) -> tuple[nn.Module, str]:
        return self.learner, "module"

    def predict(self, batch: TaskBatch) -> Tensor:
        return support_scores(self.learner, batch)


def support_scores(learner: Any, batch: TaskBatch) -> Tensor:
    """Compute the scores of the queries by a learner that keeps the support sets.

    Its ways are those of the batch.
    """
    learner.eval()
    learner.ways, own = ways_of(batch), learner.ways
    try:
        with torch.no_grad():
            copy = adapted(learner, batch.support_x, batch.support_y, tasks=len(batch))
            return copy(batch.query_x)
    finally:
        learner.ways = own
