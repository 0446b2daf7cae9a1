"""Distributional signatures over word vectors, and the same vectors with fixed weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.few_shot.methods.baselines.sentence_vectors import MINILM
from benchmarks.few_shot.methods.method import CannotRun, ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
)
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.algorithms import (
    R2D2,
    DistributionalSignatures,
    word_counts,
)
from l2l_rnn.data import TaskBatch, read_vectors
from l2l_rnn.errors import DataError, L2LRNNError
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import FrozenEncoder, encoders_folder
from l2l_rnn.nn import Embedding
from l2l_rnn.training import adapted, word_vectors


class SignaturesMethod(ClassificationMethod):
    """Meta-learns attention over words from their statistics, with a ridge regression head.

    Entries of one spec with the same options share the training. In training, the source statistics
    of a task leave out its own classes.

    Args:
        vectors: file of the word vectors, as in `word_table`.
        training: settings of the meta-training.
        options: options of `DistributionalSignatures`.
    """

    chunk = 4  # the vectors of all words of a task take 60 MB
    has_learner = True

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        vectors: str = MINILM,
        training: Training,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(problem, label)
        self.vectors, self.training, self.options = vectors, training, options or {}

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        return {_key(**{"vectors": MINILM, **options}): options["training"]}

    def train(self) -> History:
        key = _key(self.vectors, self.training, self.options)
        self.learner, history = self.problem.shared.get(key, self._make, self._train)
        return history

    def _make(self) -> DistributionalSignatures:
        seed_everything(self.problem.seed)
        data = self.problem.train
        table = Embedding.from_pretrained(word_table(self.problem, self.vectors))
        learner = DistributionalSignatures(
            table, self.problem.spec.ways, len(data.vocabulary), **self.options
        )
        return learner.fit(data.sequences).to(self.problem.device)

    def _train(self, learner: DistributionalSignatures) -> History:
        self.learner = learner
        data, device = self.problem.train, self.problem.device
        tasks = self.problem.training_tasks(self.training, self.problem.seed)
        counts = word_counts(data.sequences, learner.vocab_size, data.labels).float().to(device)

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            batch, classes = tasks.batch(step, progress)
            learner.train()
            others = torch.ones(len(batch), len(counts), device=device)
            others = others.scatter(1, classes.support_y, 0.0) @ counts
            clone = learner.clone(
                tasks=len(batch), frequencies=others / others.sum(-1, keepdim=True).clamp_min(1)
            )
            clone.write(batch.support_x, batch.support_y)
            scores = clone(batch.query_x)
            loss = cross_entropy(scores, batch.query_y).mean()
            return loss, accuracy(scores.detach(), batch.query_y).mean()

        return run_training(
            learner,
            self.training,
            loss_of_step,
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )

    def predict(self, batch: TaskBatch) -> Tensor:
        return _predicted(self.learner, batch)


class WeightedMeans(ClassificationMethod):
    """Ridge regression on means of word vectors weighted by IDF; nothing is meta-learned.

    The IDF is that of the training classes, and the penalty is chosen by validation. This is the
    control for `SignaturesMethod`: what differs is the attention.

    Args:
        vectors: file of the word vectors, as in `word_table`.
        penalties: candidates of the ridge penalty.
        validation_tasks: number of validation tasks for each number of shots.
    """

    chunk = 4

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        vectors: str = MINILM,
        penalties: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0),
        validation_tasks: int = 100,
    ) -> None:
        super().__init__(problem, label)
        self.vectors, self.penalties = vectors, penalties
        self.validation_tasks = validation_tasks

    def train(self) -> None:
        encoder = IdfMeans(word_table(self.problem, self.vectors), idf(self.problem))
        candidates = []
        for penalty in self.penalties:
            self.learner = R2D2(encoder, self.problem.spec.ways, penalty).to(self.problem.device)
            candidates.append((self.validation_score(self.validation_tasks), penalty))
        self.penalty = max(candidates)[1]
        self.learner = R2D2(encoder, self.problem.spec.ways, self.penalty).to(self.problem.device)

    def predict(self, batch: TaskBatch) -> Tensor:
        return _predicted(self.learner, batch)

    def details(self) -> dict[str, Any]:
        return {"penalty": self.penalty}


class IdfMeans(nn.Module):
    """Means of word vectors weighted by IDF, scaled to length 1.

    Args:
        table: a vector for each token id, `(V, E)`.
        weights: the weight of each token id, `(V,)`.

    Shapes:
        `(…, B, S)` -> `(…, B, E)`.
    """

    task_axis = True

    def __init__(self, table: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        total = (self.weights[x].unsqueeze(-2) @ self.table[x]).squeeze(-2)
        return F.normalize(total, dim=-1)


def idf(problem: ClassificationProblem) -> Tensor:
    """Compute the IDF of each token id in the training texts, as Bao et al.: 0 for padding."""
    texts, size = problem.train.sequences, len(problem.train.vocabulary)
    ordered = texts.sort(-1).values
    first = torch.cat([torch.ones_like(ordered[:, :1]), ordered.diff(dim=-1)], -1) != 0
    documents = torch.bincount(ordered[first], minlength=size)
    weights = (len(texts) / (1 + documents)).log().clamp_min(0)
    weights[:2] = 0  # padding and unknown words
    return weights.float()


def word_table(problem: ClassificationProblem, path: str) -> Tensor:
    """Return a vector for each token id, `(V, E)`, centered and scaled to length 1.

    The center is the mean over the words of the training texts. Padding, unknown words and words
    without a vector have zeros.

    Args:
        problem: the tasks; their vocabulary must have words.
        path: a text file of word vectors; an array `NAME.npy` with the list of its words in
            `words.json` in the same folder; or `MINILM`, for the vectors of single words, which are
            made once, see `minilm_vectors`.

    Raises:
        CannotRun: the vectors of MiniLM are missing, and cannot be made here.
        DataError: a file is missing or damaged, or has no word of the vocabulary.
    """
    key = ("word table", path)
    if key not in problem.memo:
        problem.memo[key] = _word_table(problem, path)
    found: Tensor = problem.memo[key]
    return found


def _word_table(problem: ClassificationProblem, path: str) -> Tensor:
    vocabulary = problem.train.vocabulary
    if path == MINILM:
        path = str(minilm_vectors(vocabulary))
    if path.endswith(".npy"):
        table = _array(Path(path).expanduser(), vocabulary)
    else:
        table = read_vectors(path, vocabulary)
    counts = word_counts(problem.train.sequences, len(vocabulary))
    present = table.any(-1)
    weights = (counts * present).float()
    centered = table - weights @ table / weights.sum().clamp_min(1)
    return F.normalize(centered, dim=-1) * present.unsqueeze(-1)


def minilm_vectors(vocabulary: Any) -> Path:
    """Return the file of the vectors that MiniLM gives to each word of a vocabulary by itself.

    It is in `encoders_folder()`, and made if it is missing. This takes the extra `encoders`.
    """
    digest = hashlib.sha256("\n".join(vocabulary.words).encode()).hexdigest()[:12]
    path = encoders_folder() / f"{MINILM}-words-{digest}.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            word_vectors(FrozenEncoder(MINILM, store=False), vocabulary, path)
        except L2LRNNError as error:
            raise CannotRun(f"{path} is missing, and cannot be made here: {error}") from error
    return path


def _array(path: Path, vocabulary: Any) -> Tensor:
    try:
        words = json.loads((path.parent / "words.json").read_text("utf-8"))
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"word_table: {path} and words.json beside it must be word vectors and their words, "
            f"got {error}; make them again"
        ) from error
    rows = [(i, vocabulary.token_ids[w]) for i, w in enumerate(words) if w in vocabulary]
    if not rows or len(words) != len(array):
        raise DataError(
            f"word_table: {path} must have a vector for each of {len(words)} words, and some of "
            f"the vocabulary, got {len(array)} vectors and {len(rows)} words of it; make them again"
        )
    table = torch.zeros(len(vocabulary), array.shape[1])
    own, ids = map(list, zip(*rows, strict=True))
    table[ids] = torch.from_numpy(np.asarray(array[own], dtype=np.float32))
    return table


def _predicted(learner: Any, batch: TaskBatch) -> Tensor:
    learner.eval()
    with torch.no_grad():
        return adapted(learner, batch.support_x, batch.support_y, tasks=len(batch))(batch.query_x)


def _key(vectors: str, training: Training, options: dict[str, Any] | None = None) -> str:
    return f"signatures {vectors} {training} {options or {}}"
