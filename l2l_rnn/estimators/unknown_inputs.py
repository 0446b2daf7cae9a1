"""The unknown score: how different an input is from all classes of a user, from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data import TaskLoader
from l2l_rnn.estimators.learner_kinds import LearnerKind
from l2l_rnn.estimators.models import kind_of, ready
from l2l_rnn.estimators.personal import device_of
from l2l_rnn.training import Pretrained

SETTING = "unknown_quantiles"  # where a model keeps its calibration


class UnknownInputWarning(UserWarning):
    """An input that is like none of the classes got one of their names."""


def unknown_scores(
    kind: LearnerKind,
    unusual: Tensor,
    known: NDArray[np.float64],
    quantiles: Sequence[float] | None,
) -> NDArray[np.float64]:
    """Return how different inputs are from all classes, from 0 to 1, `(B,)`.

    Args:
        kind: the base learner.
        unusual: `Reading.unusual`.
        known: the fraction of each input that the model knows.
        quantiles: the calibration of the model, or None.
    """
    if quantiles is None:
        scores = kind.unknown(unusual).double().numpy()
    else:
        levels = np.linspace(0, 1, len(quantiles))
        scores = np.interp(unusual.double().numpy(), quantiles, levels)
    return np.maximum(scores, 1 - known)


def calibrate_unknown(
    model: Pretrained, taskset: Any, shots: int = 5, tasks: int = 200, *, seed: int = 0
) -> list[float]:
    """Calibrate the unknown score of a model on tasks of validation classes.

    The statistic of `FewShotClassifier.unknown_score` is computed for queries of the fitted
    classes. Its 101 quantiles go into `model.settings`, and are saved with the model. Then a score
    of 0.95 means that 5% of the inputs of the fitted classes are as unusual or more.

    Args:
        model: the model. Its settings change.
        taskset: a task set of classes that the model was not trained on.
        shots: number of examples per class. Use the number that users will have.
        tasks: number of tasks.
        seed: random seed of the tasks.

    Returns:
        The quantiles.

    Raises:
        ArgumentError, DataError: as `TaskLoader`.

    Source: V. Vovk, A. Gammerman and G. Shafer, 2005, Algorithmic Learning in a Random World,
    section 2.2: one minus the score is a conformal p-value, up to interpolation.
    """
    who = "calibrate_unknown"
    tasks = check_int(who, "tasks", tasks)
    kind = kind_of(who, ready(model).learner, model.steps, model.loss_function)
    loader = TaskLoader(taskset, tasks=1, shots=shots, seed=seed)
    device = device_of(kind.learner)
    found = []
    for _ in range(tasks):
        batch = next(loader)
        ways = int(batch.support_y.max()) + 1
        learner = kind.fitted(
            who, batch.support_x[0].to(device), batch.support_y[0].to(device), ways
        )
        present = (batch.support_y[0].bincount(minlength=ways) > 0).to(device)
        found.append(kind.read(learner, batch.query_x[0].to(device), present).unusual.cpu().numpy())
    quantiles: list[float] = np.quantile(np.concatenate(found), np.linspace(0, 1, 101)).tolist()
    model.settings[SETTING] = quantiles
    return quantiles
