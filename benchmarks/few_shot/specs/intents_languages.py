"""Few-shot intents of unseen languages: a task has commands in one language."""

from __future__ import annotations

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.problems.grouped_problem import GroupedProblem
from benchmarks.few_shot.spec import ClassificationSpec
from benchmarks.few_shot.specs.intents import SHARED, forms

INTENTS_LANGUAGES = ClassificationSpec(
    name="intents_languages",
    summary=EXPERIMENTS["intents_languages"].summary,
    problem=GroupedProblem,
    taskset="intents_languages",
    entries=forms(10, (5,), frozen=False),
    **SHARED,
)
