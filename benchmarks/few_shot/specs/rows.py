"""The methods that all benchmarks of few-shot text classification have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.few_shot.methods.baselines.scratch import FromScratch
from benchmarks.few_shot.methods.baselines.sentence_vectors import SentenceVectors
from benchmarks.few_shot.methods.baselines.setfit import SetFit
from benchmarks.few_shot.methods.baselines.tfidf import NgramRegression
from benchmarks.few_shot.methods.closed_form import ClosedFormMethod
from benchmarks.few_shot.methods.frozen import FrozenPrior
from benchmarks.few_shot.methods.joined_signatures import JoinedSignatures
from benchmarks.few_shot.methods.maml import MAMLMethod, ProtoMAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.signatures import SignaturesMethod, WeightedMeans
from benchmarks.few_shot.methods.stacked import StackedMethod
from benchmarks.few_shot.methods.transfer import FineTuned, LinearProbe, PretrainedPrior
from benchmarks.few_shot.spec import Entry, Training

CHARACTERS = {"TF-IDF n-grams, logistic regression": {"longest": 3, "regularization": 1.0}}
# Analyzer, weights and penalty were chosen on the validation tasks of each benchmark.
_COMMANDS = {"lowercase": True, "sublinear": True, "regularization": 10.0}
COMMANDS = {
    "TF-IDF n-grams, logistic regression": {"longest": 4, "analyzer": "char_wb", **_COMMANDS},
    "TF-IDF words, logistic regression": {"longest": 1, "analyzer": "word", **_COMMANDS},
}
_DOCUMENTS = {"longest": 1, "analyzer": "word", "sublinear": True, "stop_words": "english"}
DOCUMENTS = {
    "TF-IDF words, logistic regression": _DOCUMENTS,
    "TF-IDF words, training IDF, logistic regression": {
        **_DOCUMENTS,
        "training_idf": True,
        "idf_power": 2.0,
    },
}
LEARNERS = {
    "MAML, second order": {"learner": "MAML", "inner_lr": 0.2},
    "Meta-SGD": {"learner": "MetaSGD", "inner_lr": 0.2},
    "ANIL": {"learner": "ANIL", "inner_lr": 0.5},
}
QUICK_STACKED: dict[str, Any] = {"shots": (1, 5), "validation_tasks": 3}  # of the quick forms
_SETFIT_STEPS = 32  # gradient steps for a task; one epoch of 20 classes would take minutes


@dataclass(frozen=True)
class Rows:
    """Settings of the methods.

    Attributes:
        model: options of the encoder.
        pretraining: training settings of the pre-trained encoder.
        metric: training settings of the ProtoNets.
        memory: training settings of the memory learner.
        start: training settings of ProtoMAML.
        inner: training settings of MAML and its variants with a learned head.
        learners: those of R2D2, LRD2 and `LEARNERS` to run.
        ngrams: options of the TF-IDF baselines, by name.
        inner_steps: gradient steps of ProtoMAML, MAML and its variants.
        members: encoders per ensemble.
        adam_steps: Adam steps on a support set, from scratch and for fine-tuning.
        shrinkage: shrinkage of the Gaussian priors.
        letter_permutations: share of the training tasks of ProtoNets, R2D2 and LRD2 whose letters
            are exchanged.
        stacked: options of the joined learner besides its base.
        frozen: whether to run the methods over the frozen encoder MiniLM.
        prior_classes: regular expression of the names of training classes that MiniLM can read.
        frozen_stacked: options of the joined learner over MiniLM that differ from the usual ones.
        signatures: training settings of distributional signatures over word vectors; None leaves
            them and their baseline out.
        without: names of methods to leave out.
        setfit_tasks: test tasks of SetFit, which is slow; 0 leaves it out.
        slow_tasks: most test tasks of the methods that take gradient steps on each task, which are
            then not part of the curve over shots; None gives them all tasks.
    """

    model: dict[str, Any]
    pretraining: Training
    metric: Training
    memory: Training
    start: Training
    inner: Training
    learners: tuple[str, ...] = ("R2D2", "LRD2", *LEARNERS)
    ngrams: dict[str, dict[str, Any]] = field(default_factory=lambda: CHARACTERS)
    inner_steps: int = 2
    members: int = 1
    adam_steps: tuple[int, int] = (5, 5)
    shrinkage: float = 0.6
    letter_permutations: float = 0.0
    stacked: dict[str, Any] = field(default_factory=dict)
    frozen: bool = False
    prior_classes: str = ".*"
    frozen_stacked: dict[str, Any] = field(default_factory=dict)
    signatures: Training | None = None
    without: tuple[str, ...] = ()
    setfit_tasks: int = 0
    slow_tasks: int | None = None

    @property
    def slow(self) -> dict[str, Any]:
        """The options of an entry that takes gradient steps on each task."""
        return {"tasks": self.slow_tasks, "curve": self.slow_tasks is None}


def entries(rows: Rows) -> tuple[Entry, ...]:
    """Return the baselines, the transfer methods and the meta-learners."""
    every = (*baselines(rows), *transfer(rows), *meta_learned(rows))
    return tuple(entry for entry in every if entry.name not in rows.without)


def baselines(rows: Rows) -> tuple[Entry, ...]:
    """Return the methods that learn nothing from the training classes."""
    steps = {"steps": rows.adam_steps[0], "lr": 1e-2}
    return (
        *(
            Entry(name, "baseline", NgramRegression, {"lowercase": False, **options})
            for name, options in rows.ngrams.items()
        ),
        Entry(
            "LSTM from scratch",
            "baseline",
            FromScratch,
            {"model": rows.model, **steps},
            **rows.slow,
        ),
        *frozen_baselines(rows),
    )


def frozen_baselines(rows: Rows) -> tuple[Entry, ...]:
    """Return the baselines that start from the pretrained encoder MiniLM."""
    if not rows.frozen:
        return ()
    regression = {"regularization": 10.0}
    found = (Entry("MiniLM, logistic regression", "baseline", SentenceVectors, regression),)
    if not rows.setfit_tasks:
        return found
    slow: dict[str, Any] = {"tasks": rows.setfit_tasks, "curve": False}
    name = f"MiniLM, SetFit of {_SETFIT_STEPS} steps"
    return (*found, Entry(name, "baseline", SetFit, {"max_steps": _SETFIT_STEPS}, **slow))


def transfer(rows: Rows) -> tuple[Entry, ...]:
    """Return the methods with an encoder that is trained to classify all training classes."""
    pretraining = {"training": rows.pretraining, "batch_size": 200}
    shared = {"model": rows.model, "pretraining": pretraining}
    return (
        Entry("LSTM pre-trained, linear probe", "transfer", LinearProbe, shared),
        Entry(
            "LSTM pre-trained, fine-tuned",
            "transfer",
            FineTuned,
            {"steps": rows.adam_steps[1], "lr": 2e-3, **shared},
            **rows.slow,
        ),
        Entry(
            f"{_ensemble(rows)}LSTM pre-trained, Gaussian prior",
            "transfer",
            PretrainedPrior,
            {"shrinkage": rows.shrinkage, "members": rows.members, **shared},
        ),
        *frozen_transfer(rows),
        *signatures(rows)[:1],
    )


def frozen_transfer(rows: Rows) -> tuple[Entry, ...]:
    """Return the transfer methods over the pretrained encoder MiniLM."""
    options = {"shrinkage": 0.9, "prior_classes": rows.prior_classes}
    prior = Entry("MiniLM, Gaussian prior", "transfer", FrozenPrior, options)
    return (prior,) if rows.frozen else ()


def signatures(rows: Rows) -> tuple[Entry, ...]:
    """Return the methods over word vectors: one that does not meta-learn, and two that do."""
    if rows.signatures is None:
        return ()
    training = {"training": rows.signatures}
    tfidf = {"ngrams": (1, 1), "sublinear_tf": True, "regularization": 10.0, "validation_tasks": 30}
    joined = "Distributional signatures, joined with TF-IDF"
    slow: dict[str, Any] = {"tasks": 200, "curve": False}
    return (
        Entry("Word vectors weighted by IDF, ridge", "transfer", WeightedMeans),
        Entry("Distributional signatures", "meta-learned", SignaturesMethod, training),
        Entry(joined, "meta-learned", JoinedSignatures, {**training, **tfidf}, **slow),
    )


def meta_learned(rows: Rows) -> tuple[Entry, ...]:
    """Return the meta-learners."""
    prototypes: dict[str, Any] = {
        "model": rows.model,
        "training": rows.metric,
        "class_weight": 1.0,
        "letter_permutations": rows.letter_permutations,
    }
    steps = {"inner_steps": rows.inner_steps, "test_steps": rows.inner_steps}
    return (
        Entry("LSTM ProtoNet", "meta-learned", ProtoNetMethod, prototypes),
        Entry(
            f"{_ensemble(rows)}LSTM ProtoNet, Gaussian prior",
            "meta-learned",
            ProtoNetMethod,
            {**prototypes, "members": rows.members, "shrinkage": rows.shrinkage},
        ),
        *(
            Entry(f"LSTM {name}", "meta-learned", ClosedFormMethod, {**prototypes, "head": head})
            for name, head in (("R2D2", "ridge"), ("LRD2", "logistic"))
            if name in rows.learners
        ),
        Entry(
            f"{_ensemble(rows)}LSTM ProtoNet, Gaussian prior, joined with TF-IDF",
            "meta-learned",
            StackedMethod,
            {
                "base": "prototypes",
                "options": {**prototypes, "members": rows.members, "shrinkage": rows.shrinkage},
                **rows.stacked,
            },
        ),
        *signatures(rows)[1:],
        *([_joined_frozen(rows)] if rows.frozen else []),
        Entry(
            "LSTM memory learner",
            "meta-learned",
            MemoryMethod,
            {
                "model": rows.model,
                "memory": "hebbian",
                "memory_options": {"decay": 1.0, "lr": 1.0},
                "unit_keys": True,
                "writes": 3,
                "test_writes": 15,
                "training": rows.memory,
                "class_weight": 1.0,
            },
        ),
        Entry(
            "LSTM ProtoMAML, second order",
            "meta-learned",
            ProtoMAMLMethod,
            {
                "model": rows.model,
                "training": rows.start,
                "inner_lr": 0.5,
                **steps,
                "metric": prototypes,
            },
            **rows.slow,
        ),
        *(
            Entry(
                f"LSTM {name}",
                "meta-learned",
                MAMLMethod,
                {"model": rows.model, "training": rows.inner, **steps, **LEARNERS[name]},
                **rows.slow,
            )
            for name in rows.learners
            if name in LEARNERS
        ),
    )


def _joined_frozen(rows: Rows) -> Entry:
    """Return the joined learner over MiniLM: class means, logistic regression and TF-IDF."""
    options = {
        "base": "frozen",
        "options": {},
        "heads": {"plain logistic": {"regularization": 0.1}},
        "ngrams": (1, 2),
        "sublinear_tf": True,
        "regularization": 10.0,
        **rows.frozen_stacked,
    }
    return Entry("MiniLM, joined with TF-IDF", "meta-learned", StackedMethod, options)


def _ensemble(rows: Rows) -> str:
    return f"{rows.members} x " if rows.members > 1 else ""
