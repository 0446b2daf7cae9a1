"""The learners that `l2l-rnn fit` trains, by name."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

from l2l_rnn.cli.fitting.settings import EncoderSettings, LearnerSettings
from l2l_rnn.cli.usage import UsageError, refuse
from l2l_rnn.registry import hint


class Kind(NamedTuple):
    """A kind of learner.

    Attributes:
        cls: name of the class in `l2l_rnn.algorithms`.
        summary: one line for `l2l-rnn list`.
        model: what it wraps: a `"classifier"`, an `"encoder"` or a `"memory"` model.
        inner_lr: default learning rate of adaptation; None if it takes no gradient steps.
        steps: default number of adaptation steps, or of writes; None if there are none.
        regression: whether it also learns targets that are not classes.
    """

    cls: str
    summary: str
    model: Literal["classifier", "encoder", "memory"]
    inner_lr: float | None
    steps: int | None
    regression: bool


LEARNERS = {
    "protonet": Kind(
        "ProtoNet", "class means of an encoder's vectors", "encoder", None, None, False
    ),
    "r2d2": Kind("R2D2", "ridge regression of an encoder's vectors", "encoder", None, None, False),
    "lrd2": Kind(
        "LRD2", "logistic regression of an encoder's vectors", "encoder", None, None, False
    ),
    "memory": Kind("MemoryLearner", "writes to a memory", "memory", None, 3, True),
    "maml": Kind("MAML", "gradient steps, second order", "classifier", 0.1, 3, True),
    "metasgd": Kind(
        "MetaSGD", "MAML with a learned rate for each parameter", "classifier", 0.1, 3, True
    ),
    "maml++": Kind(
        "MAMLPlusPlus", "MAML with learned rates for each step", "classifier", 0.1, 3, True
    ),
    "anil": Kind("ANIL", "MAML that adapts the head alone", "classifier", 0.1, 3, True),
    "boil": Kind("BOIL", "MAML that adapts all but the head", "classifier", 0.1, 3, True),
    "protomaml": Kind("ProtoMAML", "MAML from the head of a ProtoNet", "classifier", 0.1, 3, False),
    "reptile": Kind(
        "Reptile", "moves toward adapted parameters, first order", "classifier", 0.1, 5, True
    ),
}


def make_learner(
    settings: LearnerSettings,
    encoder: EncoderSettings,
    *,
    vocab_size: int | None,
    input_size: int | None,
    outputs: int,
    regression: bool,
) -> tuple[Any, int | None]:
    """Return a learner, and the number of steps or writes of its adaptation.

    Args:
        settings, encoder: the settings of `l2l-rnn fit`.
        vocab_size, input_size: as in `models.SequenceEncoder`.
        outputs: classes of a task, or values of a target.
        regression: whether targets are values.

    Raises:
        UsageError: the learner has only classes, an option does not exist, or there is nothing to
            embed.
        ArgumentError: an option has an invalid value.
    """
    from l2l_rnn import algorithms
    from l2l_rnn.models import SequenceClassifier, SequenceEncoder

    kind = LEARNERS[settings.learner]
    if regression and not kind.regression:
        fit = ", ".join(name for name, one in LEARNERS.items() if one.regression)
        raise UsageError(f"the targets are values, and {settings.learner} has classes; use {fit}")
    if vocab_size is None and encoder.embedding_size is not None:
        raise UsageError("--embedding_size is only for texts, and the tasks have series; omit it")
    size = 64 if encoder.embedding_size is None else encoder.embedding_size
    shape: dict[str, Any] = {**asdict(encoder), "embedding_size": size}
    inputs: dict[str, Any] = {"vocab_size": vocab_size, "input_size": input_size}
    cls = getattr(algorithms, kind.cls)
    steps = kind.steps if settings.inner_steps is None else settings.inner_steps
    arguments: dict[str, Any] = {}
    if kind.inner_lr is not None:
        arguments["lr"] = kind.inner_lr if settings.inner_lr is None else settings.inner_lr
    if settings.first_order:
        arguments["first_order"] = True
    if settings.learner == "maml++":
        arguments["steps"] = steps
    if kind.model == "classifier":
        model: Any = SequenceClassifier(outputs, **inputs, **shape)
    else:
        model = SequenceEncoder(**inputs, **shape)
    if kind.model == "encoder":
        arguments["ways"] = outputs
    if kind.model == "memory":
        model = _memory_model(model, settings.memory, outputs, regression)
    options = settings.learner_options or {}
    _check_options(cls, options)
    return cls(model, **arguments, **options), steps


def _memory_model(encoder: Any, memory: str | None, outputs: int, regression: bool) -> Any:
    from l2l_rnn.memory import STORES
    from l2l_rnn.models import MemoryModel

    memory = memory or ("delta" if regression else "hebbian")
    # The settings of the benchmark on languages; other stores keep their own.
    options = {"decay": 1.0, "lr": 1.0} if memory == "hebbian" else {}
    store = STORES[memory](encoder.output_size, outputs, **options)
    return MemoryModel(encoder, store, regression=regression, unit_keys=memory == "hebbian")


def _check_options(cls: type, options: dict[str, Any]) -> None:
    known: dict[str, Any] = {}
    for base in cls.__mro__:
        parameters = dict(inspect.signature(base).parameters)
        known |= parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    names = [n for n, p in known.items() if n != "model" and p.kind is not p.VAR_KEYWORD]
    refuse(
        [
            f"unknown --learner_options.{name}{hint(name, names)} Known: {', '.join(names)}"
            for name in options
            if name not in names
        ]
    )
