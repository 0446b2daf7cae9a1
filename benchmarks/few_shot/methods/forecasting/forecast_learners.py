"""Learners that adapt a forecaster to the history of a series, and the same without adaptation."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from benchmarks.few_shot.methods.forecasting.forecast_method import (
    MEDIAN,
    PAIRS,
    QUANTILES,
    ForecastMethod,
    PointMethod,
)
from benchmarks.few_shot.methods.forecasting.linear import training_windows
from benchmarks.few_shot.problems.forecasting_problem import (
    CLIP,
    ForecastingProblem,
    ForecastTasks,
)
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.algorithms import ANIL, MAML, ALPaCA, MemoryLearner, fit_linear_prior
from l2l_rnn.functional import pinball_loss
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import ForecastEncoder, Forecaster, MemoryModel
from l2l_rnn.training import Evaluation, Pretrained

MOST = 8.0  # larger normalized targets of queries, after a sudden jump, are left out of training
FITTED = 4000  # series of the ridge regression that starts a head


class ForecastLearner(ForecastMethod):
    """Trains a network on drawn series. Its linear head starts at a ridge regression.

    Methods with the same options but `adapts` share a training.

    Args:
        network: options of `models.ForecastEncoder`.
        training: settings of the training.
        adapts: whether the learner adapts to the history of a test series.
    """

    def __init__(
        self,
        problem: ForecastingProblem,
        label: str,
        *,
        network: dict[str, Any],
        training: Training,
        adapts: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(problem, label)
        self.network, self.training, self.adapts = network, training, adapts
        self.options = options

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        kept = {name: value for name, value in options.items() if name != "adapts"}
        return {f"{cls.__name__} {kept}": options["training"]}

    @abstractmethod
    def make(self) -> nn.Module:
        """Make the learner."""

    @abstractmethod
    def outputs(self, learner: Any, tasks: ForecastTasks, adapts: bool) -> Tensor:
        """Forecast quantiles of the queries, `(N, B, H, Q)`, with or without adaptation."""

    def train(self) -> History:
        given = {"network": self.network, "training": self.training, **self.options}
        (key,) = self.trainings(given)
        self.learner, history = self.problem.shared.get(key, self.make, self._train)
        return history

    def quantiles(self, tasks: ForecastTasks) -> Tensor:
        return self.outputs(self.learner, tasks, self.adapts)[:, 0]

    def forecaster(self, quantiles: tuple[float, ...] | None = QUANTILES) -> Forecaster:
        """Make a forecaster whose head is fitted to windows of drawn series."""
        problem = self.problem
        model = Forecaster(problem.horizon, quantiles=quantiles, seasonal=True, **self.network)
        model.fit_head(*self.windows())
        return model.to(problem.device)

    def windows(self) -> tuple[Tensor, Tensor]:
        """Draw windows of training series, x `(B, context, 2)` and y `(B, H)`."""
        return training_windows(self.problem, FITTED)

    def loss(self, learner: Any, tasks: ForecastTasks) -> Tensor:
        """Compute the training loss of the queries."""
        return _loss(self.outputs(learner, tasks, True), tasks.query_y)

    def _train(self, learner: nn.Module) -> History:
        stream = self.problem.training_tasks(self.training)
        self.learner = learner

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            loss = self.loss(learner, stream.batch(step, progress))
            return loss, loss.detach()

        return run_training(
            learner,
            self.training,
            loss_of_step,
            lambda: self._validation(learner),
            label=self.label,
            tasks_per_step=self.training.tasks,
            lower_is_better=True,
        )

    def _validation(self, learner: Any) -> float:
        count = self.training.validation_tasks
        found = [
            _loss(self.outputs(learner, tasks, True).detach(), tasks.query_y, mean=False)
            for tasks in self.problem.evaluation_tasks("drawn", "validation", count)
        ]
        return torch.cat(found).mean().item()


class ForecastNetwork(ForecastLearner):
    """A forecaster trained on all drawn series, which does not adapt."""

    def make(self) -> Forecaster:
        return self.forecaster()

    def outputs(self, learner: Any, tasks: ForecastTasks, adapts: bool) -> Tensor:
        outputs: Tensor = learner(tasks.query_x)
        return outputs


class ForecastMAML(ForecastLearner):
    """MAML or ANIL: gradient steps on the pinball loss of the history's windows.

    Options:
        learner: `"MAML"` or `"ANIL"`.
        lr: learning rate of the inner loop.
        steps: gradient steps.
    """

    def make(self) -> MAML:
        kind = {"MAML": MAML, "ANIL": ANIL}[self.options["learner"]]
        return kind(self.forecaster(), self.options["lr"], max_grad_norm=1.0)

    def outputs(self, learner: Any, tasks: ForecastTasks, adapts: bool) -> Tensor:
        training = torch.is_grad_enabled() and not self.trained
        adapted = learner.clone(tasks=len(tasks), first_order=not training)
        for _ in range(self.options["steps"] if adapts else 0):
            outputs = adapted(tasks.support_x)
            adapted.adapt(pinball_loss(outputs, tasks.support_y, QUANTILES))
        found: Tensor = adapted(tasks.query_x)
        return found


class ForecastALPaCA(ForecastLearner):
    """ALPaCA: a Bayesian linear head, fitted to the history in closed form.

    Its prior starts at the ridge regression on the training series.

    Options:
        strength: as in `fit_linear_prior`.
        discount: as in `ALPaCA`.
        prior_weight: weight of the loss without adaptation.
    """

    has_learner = True
    saved_dtype = "float32"

    def make(self) -> ALPaCA:
        problem, own = self.problem, ("prior_weight", "strength")
        encoder = ForecastEncoder(problem.horizon, seasonal=True, **self.network)
        options = {name: value for name, value in self.options.items() if name not in own}
        learner = ALPaCA(encoder, problem.horizon, **options)
        fit_linear_prior(learner, *self.windows(), strength=self.options["strength"])
        return learner.to(problem.device)

    def outputs(self, learner: Any, tasks: ForecastTasks, adapts: bool) -> Tensor:
        adapted = learner.clone(tasks=len(tasks))
        if adapts:
            adapted.write(tasks.support_x, tasks.support_y)
        return normal_quantiles(adapted.predictive(tasks.query_x))

    def pretrained(self, entry: Entry, row: dict[str, Any], form: str) -> Pretrained:
        """Return the learner with what `estimators.MetaForecaster` needs, and its results."""
        problem = self.problem
        run = f"{form} form of the benchmark `{problem.spec.name}`, seed {problem.seed}"
        evaluations = [
            Evaluation(
                {column.measure: tuple(round(v, 6) for v in row["task_scores"][column.name])},
                row["seconds_per_task"],
                f"{run}, {column.series} series",
                {
                    "taskset": f"{column.series} series",
                    "tasks": row["scores"][column.name]["tasks"],
                },
            )
            for column in problem.columns
        ]
        factors = [max(values) for values in zip(*self.factors.values(), strict=True)]
        coverages = [QUANTILES[high] - QUANTILES[low] for low, high in PAIRS]
        settings = {
            "context": problem.context,
            "interval_factors": sorted(zip(coverages, factors, strict=True)),
            "clip": CLIP,
        }
        return Pretrained(
            self.learner,
            settings={"forecasting": settings, "form": form, "seed": problem.seed},
            evaluation=evaluations,
            description=(
                f"Forecasts {problem.horizon} steps of a series from its last {problem.context}, "
                f"and adapts to its history.\n\nMethod: {entry.name}. Training data: drawn "
                f"series, `tasksets.SeasonalSeries`. Trained and evaluated by the {run}; the "
                "recorded series are no training data. Use it with `estimators.MetaForecaster`."
            ),
            license="mit",
            tags=["time-series-forecasting"],
        )

    def loss(self, learner: Any, tasks: ForecastTasks) -> Tensor:
        weight = self.options["prior_weight"]
        loss = super().loss(learner, tasks)
        return loss + weight * _loss(self.outputs(learner, tasks, False), tasks.query_y)


class ForecastMemory(PointMethod, ForecastLearner):
    """Memory learner: writes the errors of its linear forecasts of the history's windows.

    Options:
        key_size: size of the keys.
        writes: number of writes of the history.
    """

    def make(self) -> MemoryLearner:
        model = self.forecaster(quantiles=None)
        encoder: ForecastEncoder = model.encoder
        store = DeltaFastWeights(
            self.options["key_size"], self.problem.horizon, features="unit", gate=0.9
        )
        memory = MemoryModel(encoder, store, regression=True)
        assert memory.head is not None  # noqa: S101
        with torch.no_grad():
            memory.head.weight.copy_(model.head.weight)
            memory.head.bias.zero_()
        return MemoryLearner(memory, in_order=True).to(self.problem.device)

    def outputs(self, learner: Any, tasks: ForecastTasks, adapts: bool) -> Tensor:
        adapted = learner.clone(tasks=len(tasks))
        if adapts:
            adapted.write(tasks.support_x, tasks.support_y, self.options["writes"])
        found: Tensor = adapted(tasks.query_x)
        return found.unsqueeze(-1)

    def quantiles(self, tasks: ForecastTasks) -> Tensor:
        return PointMethod.quantiles(self, tasks)

    def point(self, tasks: ForecastTasks) -> Tensor:
        return self.outputs(self.learner, tasks, self.adapts)[:, 0, :, 0]


def normal_quantiles(distribution: Normal) -> Tensor:
    """Return the quantiles of normal distributions `(…, H)`, `(…, H, Q)`."""
    mean, std = distribution.mean.unsqueeze(-1), distribution.stddev.unsqueeze(-1)
    normal = Normal(torch.zeros((), device=mean.device), torch.ones((), device=mean.device))
    z = normal.icdf(torch.tensor(QUANTILES, device=mean.device)).to(mean.dtype)
    return mean + std * z


def _loss(outputs: Tensor, targets: Tensor, *, mean: bool = True) -> Tensor:
    """Compute the pinball loss, of the median if there is only one output."""
    known = torch.where(targets.abs() < MOST, targets, torch.nan)
    quantiles = QUANTILES if outputs.shape[-1] > 1 else (QUANTILES[MEDIAN],)
    loss = pinball_loss(outputs, known, quantiles)
    return loss.mean() if mean else loss
