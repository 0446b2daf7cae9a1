"""Unknown tasks that must be explored: Bernoulli bandits, and a grid with a hidden goal."""

from __future__ import annotations

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Episode, Pulls
from benchmarks.few_shot.methods.control.trials import (
    BanditMethod,
    RandomWalk,
    Sweep,
    TrialPolicy,
    TunedUCB,
)
from benchmarks.few_shot.problems.trial_problem import (
    BanditProblem,
    GridProblem,
    GridSpec,
    TrialSpec,
)
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.report import bars_and_training

COLUMNS = (Pulls(5, 10), Pulls(5, 100), Pulls(10, 100))
TRIALS = {  # per batch
    "5 arms, 10 pulls": 300,
    "5 arms, 100 pulls": 60,
    "10 arms, 100 pulls": 60,
    "grid": 60,
}
# Steps and minutes of each training; a second is about as many steps on one core as it asks for.
FULL = {
    "5 arms, 10 pulls": (4800, 2.1),
    "5 arms, 100 pulls": (5000, 4.5),
    "10 arms, 100 pulls": (5000, 4.5),
    "grid": (6000, 5.0),
}
DEFAULT = {
    "5 arms, 10 pulls": (1200, 0.5),
    "5 arms, 100 pulls": (1200, 1.1),
    "10 arms, 100 pulls": (1200, 1.1),
    "grid": (1800, 1.5),
}
QUICK = dict.fromkeys(FULL, (8, 2.0))


def policy(limits: dict[str, tuple[int, float]], *kinds: str) -> Entry:
    """Return the recurrent policy, with a training for each kind of tasks."""
    trainings = {
        kind: Training(
            lr=1e-2,
            tasks=TRIALS[kind] if limits[kind][0] > 10 else 8,
            clip=1.0,
            steps=limits[kind][0],
            minutes=limits[kind][1],
            validate_every=max(4, limits[kind][0] // 10),
            validation_tasks=500 if limits[kind][0] > 10 else 8,
        )
        for kind in kinds
    }
    return Entry("GRU policy (RL^2)", "meta-learned", TrialPolicy, {"trainings": trainings})


def bandits(limits: dict[str, tuple[int, float]]) -> tuple[Entry, ...]:
    """Return the methods of the experiment `bandits`."""
    discounted = {"policy": "gittins", "discount": 0.99}
    return (
        Entry("random", "baseline", BanditMethod, {"policy": "random"}),
        Entry("greedy", "baseline", BanditMethod, {"policy": "greedy"}),
        Entry("UCB1", "baseline", BanditMethod, {"policy": "ucb1"}),
        Entry("UCB1, bonus tuned", "baseline", TunedUCB),
        Entry("Thompson sampling", "baseline", BanditMethod, {"policy": "thompson"}),
        Entry("Gittins, discount 0.99", "baseline", BanditMethod, discounted),
        Entry("Gittins, finite horizon", "baseline", BanditMethod, {"policy": "gittins"}),
        policy(limits, *(column.name for column in COLUMNS)),
    )


def grid(limits: dict[str, tuple[int, float]]) -> tuple[Entry, ...]:
    """Return the methods of the experiment `grid`."""
    return (
        Entry("random steps", "baseline", RandomWalk),
        Entry("sweep, then shortest paths", "baseline", Sweep),
        policy(limits, "grid"),
    )


BANDITS = TrialSpec(
    name="bandits",
    summary=EXPERIMENTS["bandits"].summary,
    problem=BanditProblem,
    score="mean reward per pull",
    percent=False,
    lower_is_better=False,
    picture=bars_and_training,
    columns=COLUMNS,
    test_tasks={"quick": 8, "default": 600, "full": 600},
    entries={"quick": bandits(QUICK), "default": bandits(DEFAULT), "full": bandits(FULL)},
)

GRID = GridSpec(
    name="grid",
    summary=EXPERIMENTS["grid"].summary,
    problem=GridProblem,
    score="steps to the goal",
    percent=False,
    lower_is_better=True,
    picture=bars_and_training,
    columns=tuple(map(Episode, (1, 2, 3))),
    size=5,
    test_tasks={"quick": 8, "default": 600, "full": 600},
    entries={"quick": grid(QUICK), "default": grid(DEFAULT), "full": grid(FULL)},
)
