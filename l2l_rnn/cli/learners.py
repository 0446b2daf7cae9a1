"""The learners that `l2l-rnn fit` trains, by name."""

from __future__ import annotations

from typing import Literal, NamedTuple


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
