"""Translation into languages of unseen families: numbers to words, and English names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.translation.fine_tuned import (
    FineTunedTranslator,
    FromScratchTranslator,
)
from benchmarks.few_shot.methods.translation.neighbors import NearestNeighbor
from benchmarks.few_shot.methods.translation.pair_memory import PairMemoryMethod
from benchmarks.few_shot.methods.translation.translation_maml import TranslationMAML
from benchmarks.few_shot.problems.translation_problem import TranslationProblem
from benchmarks.few_shot.spec import Entry, Training, TranslationSpec
from benchmarks.report import bars_and_training

MODEL = {"embedding_size": 64, "hidden_size": 64, "attention": "additive"}
MEMORY_MODEL = {"hidden_size": 96, "encoder_layers": 1, "decoder_layers": 2}


def entries(
    model: dict[str, Any],
    memory_model: dict[str, Any],
    pretraining: Training,
    start: Training,
    memory: Training,
    steps: tuple[int, ...],
    scratch_steps: tuple[int, ...],
    validation_tasks: int,
    inner_steps: int,
    invented: float,
    votes: int,
) -> tuple[Entry, ...]:
    """Return the methods.

    Args:
        model: options of `Seq2Seq`.
        memory_model: options of `MemorySeq2Seq`.
        pretraining: settings of the pre-training.
        start: settings of the training of MAML.
        memory: settings of the training of the memory learner.
        steps: candidate numbers of Adam steps for fine-tuning.
        scratch_steps: candidate numbers of Adam steps from scratch.
        validation_tasks: number of validation tasks that choose the steps.
        inner_steps: gradient steps of MAML.
        invented: share of the training tasks of MAML and the memory learner in invented languages,
            whose letters are also permuted. Fine-tuning is better without them.
        votes: number of permutations of the letters that vote for a translation.
    """
    reader = {
        "model": memory_model,
        "training": memory,
        "invented": invented,
        "permuted": 0.9 if invented else 0.0,
    }
    adam = {"model": model, "validation_tasks": validation_tasks}
    return (
        Entry("nearest neighbor with copying", "baseline", NearestNeighbor),
        *[Entry("nearest neighbor by analogy", "baseline", NearestNeighbor, {"analogies": True})]
        * bool(invented),
        Entry(
            "GRU from scratch",
            "baseline",
            FromScratchTranslator,
            {**adam, "steps": scratch_steps, "lr": 1e-2},
        ),
        Entry(
            "GRU pre-trained, fine-tuned",
            "transfer",
            FineTunedTranslator,
            {**adam, "steps": steps, "lr": 3e-3, "training": pretraining, "invented": 0.0},
        ),
        Entry(
            "GRU MAML",
            "meta-learned",
            TranslationMAML,
            {
                "model": model,
                "training": start,
                "inner_lr": 0.3,
                "inner_steps": inner_steps,
                "test_steps": inner_steps,
                "invented": invented,
            },
        ),
        Entry("GRU pair memory", "meta-learned", PairMemoryMethod, reader),
        *[
            Entry(
                f"GRU pair memory, {votes} permutations",
                "meta-learned",
                PairMemoryMethod,
                {**reader, "votes": votes},
            )
        ]
        * bool(invented),
    )


_QUICK = Training(
    steps=4,
    minutes=1.0,
    tasks=2,
    shots=(5,),
    queries=4,
    validate_every=4,
    validation_tasks=3,
)
_PRETRAINING = Training(
    steps=1200, minutes=1.0, lr=3e-3, tasks=4, shots=(20,), queries=12, validate_every=400
)
_START = Training(
    steps=200,
    minutes=1.0,
    lr=2e-3,
    tasks=4,
    shots=(20,),
    queries=10,
    validate_every=100,
    validation_tasks=12,
)
_MEMORY = Training(
    steps=800,
    minutes=3.5,
    lr=3e-3,
    tasks=4,
    shots=(5, 10, 10, 20, 20, 30),
    queries=16,
    validate_every=200,
    validation_tasks=12,
)
_TASKS = {"quick": 6, "default": 200, "full": 100}

_SPEC = {
    "problem": TranslationProblem,
    "score": "exact match",
    "percent": True,
    "lower_is_better": False,
    "picture": bars_and_training,
    "test_tasks": _TASKS,
    "queries": 10,
}


def _forms(memory_model: dict[str, Any], invented: float) -> dict[str, tuple[Entry, ...]]:
    small = {"embedding_size": 8, "hidden_size": 8}
    return {
        "quick": entries(
            small,
            {**memory_model, "hidden_size": 8},
            _QUICK,
            _QUICK,
            _QUICK,
            steps=(1, 2),
            scratch_steps=(1, 2),
            validation_tasks=3,
            inner_steps=1,
            invented=invented,
            votes=2,
        ),
        "default": entries(
            MODEL,
            memory_model,
            _PRETRAINING,
            _START,
            _MEMORY,
            steps=(5, 20),
            scratch_steps=(10,),
            validation_tasks=9,
            inner_steps=3,
            invented=invented,
            votes=3,
        ),
        "full": entries(
            MODEL,
            memory_model,
            replace(_PRETRAINING, steps=2400, minutes=4.0, validate_every=800),
            replace(_START, steps=400, minutes=4.0, validate_every=200),
            replace(_MEMORY, steps=1600, minutes=14.0, validate_every=400, validation_tasks=30),
            steps=(20, 80),
            scratch_steps=(40,),
            validation_tasks=9,
            inner_steps=5,
            invented=invented,
            votes=5,
        ),
    }


TRANSLATION = TranslationSpec(
    name="translation",
    summary=EXPERIMENTS["translation"].summary,
    columns=(Pairs(5), Pairs(20), Pairs(100)),
    invented=400,
    entries=_forms(MEMORY_MODEL, invented=0.6),
    **_SPEC,
)

TRANSLATION_NAMES = TranslationSpec(
    name="translation_names",
    summary=EXPERIMENTS["translation_names"].summary,
    columns=(Pairs(20),),
    taskset_options={"pairs": "names"},
    copying=True,
    entries=_forms({**MEMORY_MODEL, "read_source": True, "places": 0}, invented=0.0),
    **_SPEC,
)
