"""Few-shot time series: classify series of unseen datasets, or of unseen classes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.methods.baselines.published import PublishedScores
from benchmarks.few_shot.methods.baselines.scratch import FromScratch
from benchmarks.few_shot.methods.closed_form import ClosedFormMethod
from benchmarks.few_shot.methods.maml import MAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.series.joined import JoinedSeries
from benchmarks.few_shot.methods.series.neighbors import MeanSeries, NearestSeries
from benchmarks.few_shot.methods.series.rocket import RocketRidge
from benchmarks.few_shot.methods.transfer import FineTuned, LinearProbe, PretrainedPrior
from benchmarks.few_shot.problems.series_problem import SeriesProblem
from benchmarks.few_shot.spec import Entry, SeriesSpec, Training
from benchmarks.report import bars_and_training

MODEL: dict[str, Any] = {"length": 128, "channels": (32, 64), "hidden_size": 64}
WAYS = (3, 5)
CROSS_FITTED = {"cross_fit": 5, "fold_trainings": False}  # a fold is a training dataset
_QUICK = {"minutes": 1.0, "steps": 3, "validate_every": 3, "validation_tasks": 3, "queries": 3}
_TIMEE = (
    "its authors for the full training sets of ArrowHead (76.6), GunPoint (98.7) and "
    "ItalyPowerDemand (96.0)"
)
PUBLISHED = (
    Entry(
        "TimEE, full training sets", "published", PublishedScores, {"scores": {}, "source": _TIMEE}
    ),
)


@dataclass(frozen=True)
class SeriesRows:
    """Settings of the methods.

    Attributes:
        model: options of the encoder.
        pretraining: training settings of the pre-trained encoder.
        metric: training settings of ProtoNet, R2D2 and the memory learner.
        inner: training settings of MAML.
        inner_steps: gradient steps of MAML.
        adam_steps: Adam steps on a support set, from scratch and for fine-tuning.
        slow_tasks: most test tasks of the methods that take gradient steps on each task, or compute
            features for each, which are then not part of the curve; None gives them all tasks.
        features: number of MiniRocket features of the baseline.
        joined: options of the joined learner.
        members: encoders of an ensemble; 1 leaves it out.
    """

    model: dict[str, Any]
    pretraining: Training
    metric: Training
    inner: Training
    inner_steps: int = 2
    adam_steps: int = 20
    slow_tasks: int | None = None
    features: int = 9996
    joined: dict[str, Any] = field(default_factory=dict)
    members: int = 1

    @property
    def slow(self) -> dict[str, Any]:
        """The options of an entry that is slow on each task."""
        return {"tasks": self.slow_tasks, "curve": self.slow_tasks is None}


def series_entries(rows: SeriesRows) -> tuple[Entry, ...]:
    """Return the methods of both experiments with series."""
    shared = {
        "model": rows.model,
        "pretraining": {"training": rows.pretraining, "batch_size": 100},
    }
    prototypes = {"model": rows.model, "training": rows.metric}
    prior = {**prototypes, "shrinkage": 0.3}
    memory = {
        **prototypes,
        "memory": "key-value",
        "memory_options": {"similarity": "cosine", "slots": 256},
    }
    maml = {"learner": "MAML", "inner_lr": 0.1, "max_grad_norm": 10.0}
    steps = {"inner_steps": rows.inner_steps, "test_steps": rows.inner_steps}
    ensemble = Entry(
        f"{rows.members} x GRU ProtoNet, Gaussian prior",
        "meta-learned",
        ProtoNetMethod,
        {**prior, "members": rows.members},
    )
    return (
        Entry("Class means", "baseline", MeanSeries),
        Entry("1NN, Euclidean", "baseline", NearestSeries),
        Entry("1NN-DTW", "baseline", NearestSeries, {"window": 1.0}),
        Entry("1NN-DTW, window of 10%", "baseline", NearestSeries, {"window": 0.1}),
        Entry("MiniRocket, ridge", "baseline", RocketRidge, {"features": rows.features}),
        Entry(
            "MiniRocket of the support set, ridge",
            "baseline",
            RocketRidge,
            {"features": rows.features, "own_biases": True},
            **rows.slow,
        ),
        Entry(
            "GRU from scratch",
            "baseline",
            FromScratch,
            {"model": rows.model, "steps": rows.adam_steps, "lr": 3e-3},
            **rows.slow,
        ),
        Entry("GRU pre-trained, linear probe", "transfer", LinearProbe, shared),
        Entry(
            "GRU pre-trained, fine-tuned",
            "transfer",
            FineTuned,
            {**shared, "steps": rows.adam_steps, "lr": 1e-3},
            **rows.slow,
        ),
        Entry(
            "GRU pre-trained, Gaussian prior",
            "transfer",
            PretrainedPrior,
            {**shared, "shrinkage": 0.3},
        ),
        Entry("GRU ProtoNet", "meta-learned", ProtoNetMethod, prototypes),
        Entry("GRU ProtoNet, Gaussian prior", "meta-learned", ProtoNetMethod, prior),
        *([ensemble] if rows.members > 1 else []),
        Entry("GRU R2D2", "meta-learned", ClosedFormMethod, {**prototypes, "head": "ridge"}),
        Entry("GRU memory learner", "meta-learned", MemoryMethod, memory),
        Entry(
            "GRU MAML, second order",
            "meta-learned",
            MAMLMethod,
            {"model": rows.model, "training": rows.inner, **steps, **maml},
            **rows.slow,
        ),
        Entry(
            "GRU ProtoNet, joined with MiniRocket and 1NN",
            "meta-learned",
            JoinedSeries,
            {"options": prior, **rows.joined},
        ),
    )


ROWS = {
    "quick": SeriesRows(
        {**MODEL, "channels": (4, 4), "hidden_size": 4, "embedding_size": 8},
        Training(**_QUICK),
        Training(**_QUICK, ways=WAYS),
        Training(**_QUICK, ways=WAYS),
        inner_steps=1,
        adam_steps=2,
        slow_tasks=2,
        features=84,
        joined={"features": 84, "shots": (1, 2), "validation_tasks": 3},
    ),
    "default": SeriesRows(
        MODEL,
        Training(steps=200, minutes=0.5, validate_every=100, validation_tasks=30),
        Training(
            tasks=4, ways=WAYS, steps=600, minutes=0.8, validate_every=200, validation_tasks=30
        ),
        Training(
            lr=2e-3,
            tasks=4,
            ways=WAYS,
            steps=100,
            minutes=0.6,
            validate_every=50,
            validation_tasks=30,
        ),
        slow_tasks=30,
    ),
    "full": SeriesRows(
        MODEL,
        Training(steps=600, minutes=1.5, validate_every=200),
        Training(tasks=4, ways=WAYS, steps=3000, minutes=3.5, validate_every=500),
        Training(
            lr=2e-3,
            tasks=4,
            ways=WAYS,
            steps=400,
            minutes=1.8,
            validate_every=100,
            validation_tasks=50,
        ),
        slow_tasks=60,
    ),
}
_SHARED: dict[str, Any] = {
    "problem": SeriesProblem,
    "score": "accuracy",
    "percent": True,
    "lower_is_better": False,
    "picture": bars_and_training,
    "taskset": "series",
    "shots": (1, 5),
    "queries": 10,
    "curve": (1, 2, 5, 10, 20, 50),
    "test_tasks": {"quick": 4, "default": 200, "full": 600},
    "curve_tasks": {"quick": 2, "default": 50, "full": 100},
}

SERIES = SeriesSpec(
    name="series",
    summary=EXPERIMENTS["series"].summary,
    ways=3,
    more_ways=(5,),
    entries={
        form: (
            *PUBLISHED,
            *series_entries(replace(rows, members=3, joined={**rows.joined, **CROSS_FITTED})),
        )
        for form, rows in ROWS.items()
    },
    drawn=1.0,  # better than 0.6 on training datasets that are left out
    **_SHARED,
)

SERIES_CLASSES = SeriesSpec(
    name="series_classes",
    summary=EXPERIMENTS["series_classes"].summary,
    ways=5,
    taskset_options={"protocol": "classes"},
    drawn=0.6,
    entries={form: series_entries(rows) for form, rows in ROWS.items()},
    **{**_SHARED, "curve": (1, 2, 5, 10)},
)
