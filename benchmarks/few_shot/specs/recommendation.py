"""Recommendation for unseen users: ratings and rankings, of drawn users and from a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Measure
from benchmarks.few_shot.methods.recommendation.bayesian import BayesianHead
from benchmarks.few_shot.methods.recommendation.factorization import Factorization
from benchmarks.few_shot.methods.recommendation.head_maml import HeadMAML
from benchmarks.few_shot.methods.recommendation.item_memory import ItemMemory
from benchmarks.few_shot.methods.recommendation.learned import RecurrentRecommender
from benchmarks.few_shot.methods.recommendation.neighbors import ItemNeighbors
from benchmarks.few_shot.methods.recommendation.popularity import ItemMeans, Popularity
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem
from benchmarks.few_shot.spec import Entry, RecommendationSpec, Training
from benchmarks.report import bars_and_training

RATINGS = (5, 10, 20)
MODEL = {"embedding_size": 32, "hidden_size": 64}
DELTA = {"memory": "delta", "memory_options": {"features": "unit", "gate": 0.5}}

DRAWN = {"users": 2900, "fractions": (2000, 300, 600), "least": 45}
# Other users than those above: fewer, of more various lengths, with a larger catalogue.
WRITTEN = {
    "users": 2000,
    "fewest": 25,
    "most": 120,
    "fractions": (1200, 200, 600),
    "least": 25,
    "items": 800,
    "genres": 18,
    "kinds": 5,
    "factors": 8,
    "zipf": 1.1,
    "drift": 0.2,
    "noise": 0.8,
    "seed": 18,
}


def rating_entries(training: Training) -> tuple[Entry, ...]:
    """Return the methods that predict ratings."""
    trained = {"model": MODEL, "training": training}
    bayesian = {**trained, "noise": 0.5}
    maml = {**trained, "lr": 0.1, "steps": 3}
    memory = {**trained, **DELTA, "writes": 3}
    learned = "meta-learned"
    return (
        Entry("item means and user offset", "baseline", ItemMeans),
        Entry("item neighbors", "baseline", ItemNeighbors),
        Entry("factorization, fold-in", "baseline", Factorization),
        Entry("GRU", learned, RecurrentRecommender, trained),
        Entry("MAML on the head (MeLU)", learned, HeadMAML, {**maml, "recurrent": False}),
        Entry("GRU, MAML on the head", learned, HeadMAML, {**maml, "recurrent": True}),
        Entry("memory learner", learned, ItemMemory, {**memory, "recurrent": False}),
        Entry("GRU, memory learner", learned, ItemMemory, {**memory, "recurrent": True}),
        Entry(
            "Bayesian head (ALPaCA)",
            learned,
            BayesianHead,
            {**bayesian, "recurrent": False, "discount": 0.97},
        ),
        Entry(
            "GRU, Bayesian head",
            learned,
            BayesianHead,
            {**bayesian, "recurrent": True, "discount": 0.97},
        ),
    )


def ranking_entries(training: Training) -> tuple[Entry, ...]:
    """Return the methods that rank items."""
    trained = {"model": MODEL, "training": training}
    maml = {**trained, "lr": 0.1, "steps": 3, "recurrent": True}
    memory = {**trained, **DELTA, "writes": 2, "recurrent": True}
    return (
        Entry("popularity", "baseline", Popularity),
        Entry("item neighbors", "baseline", ItemNeighbors),
        Entry("factorization, fold-in", "baseline", Factorization),
        Entry("GRU4Rec", "meta-learned", RecurrentRecommender, trained),
        Entry("GRU4Rec, MAML on the head", "meta-learned", HeadMAML, maml),
        Entry("GRU4Rec, memory learner", "meta-learned", ItemMemory, memory),
    )


_TRAINING = Training(
    steps=600, minutes=0.5, lr=3e-3, tasks=64, validate_every=150, validation_tasks=300, clip=5.0
)
_QUICK = replace(_TRAINING, steps=4, minutes=1.0, tasks=4, validate_every=4, validation_tasks=10)
_FULL = replace(_TRAINING, steps=3000, minutes=1.9, validate_every=300)

_SHARED: dict[str, Any] = {
    "problem": RecommendationProblem,
    "picture": bars_and_training,
    "test_tasks": {"quick": 20, "default": 600, "full": 600},
    "queries": 20,
}
_ERRORS: dict[str, Any] = {
    "score": "error of ratings",
    "percent": False,
    "lower_is_better": True,
    "validated": "RMSE",
    "columns": tuple(Measure(measure, k) for measure in ("RMSE", "MAE") for k in RATINGS),
    "entries": {
        "quick": rating_entries(_QUICK),
        "default": rating_entries(_TRAINING),
        "full": rating_entries(_FULL),
    },
    **_SHARED,
}
_RANKINGS: dict[str, Any] = {
    "score": "quality of rankings",
    "percent": True,
    "lower_is_better": False,
    "validated": "NDCG@10 of liked items",
    "columns": tuple(
        Measure(measure, k)
        for measure in ("NDCG@10 of next item", "NDCG@10 of liked items", "recall@10 of next item")
        for k in RATINGS
    ),
    "entries": {
        "quick": ranking_entries(_QUICK),
        "default": ranking_entries(replace(_TRAINING, minutes=1.2)),
        "full": ranking_entries(replace(_FULL, minutes=4.0)),
    },
    **_SHARED,
}


def _spec(name: str, given: dict[str, Any], taskset_options: dict[str, Any]) -> RecommendationSpec:
    return RecommendationSpec(
        name=name,
        summary=EXPERIMENTS[name].summary,
        taskset_options=taskset_options,
        from_file=taskset_options is WRITTEN,
        **given,
    )


RECOMMENDATION = _spec("recommendation", _ERRORS, DRAWN)
RECOMMENDATION_RANKING = _spec("recommendation_ranking", _RANKINGS, DRAWN)
RECOMMENDATION_FILE = _spec("recommendation_file", _ERRORS, WRITTEN)
RECOMMENDATION_FILE_RANKING = _spec("recommendation_file_ranking", _RANKINGS, WRITTEN)
