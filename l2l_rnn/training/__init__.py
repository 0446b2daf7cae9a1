"""Training, evaluation and saving of learners."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from l2l_rnn.training.adaptation import adapted
from l2l_rnn.training.encoding import encode_texts, word_vectors
from l2l_rnn.training.evaluation import (
    Comparison,
    Curve,
    Evaluation,
    adaptation_curve,
    compare,
    confidence_interval,
    evaluate,
    shots_curve,
)
from l2l_rnn.training.inputs import Inputs, PairInputs, SeriesInputs, TextInputs
from l2l_rnn.training.pretrained import Pretrained
from l2l_rnn.training.pretraining import fitted_prior, pretrain, with_prior
from l2l_rnn.training.saved.locations import list_pretrained
from l2l_rnn.training.user_state import load_user, load_users, save_user, save_users

if TYPE_CHECKING:
    from l2l_rnn.training.checkpoints import Checkpoints, SafeCheckpointIO, latest_good
    from l2l_rnn.training.fitting import fit, make_trainer
    from l2l_rnn.training.meta_learning import MetaLearning
    from l2l_rnn.training.task_data import TaskData

# Loaded at first use, because they import Lightning.
_LAZY = {
    "MetaLearning": "l2l_rnn.training.meta_learning",
    "Checkpoints": "l2l_rnn.training.checkpoints",
    "SafeCheckpointIO": "l2l_rnn.training.checkpoints",
    "TaskData": "l2l_rnn.training.task_data",
    "fit": "l2l_rnn.training.fitting",
    "latest_good": "l2l_rnn.training.checkpoints",
    "make_trainer": "l2l_rnn.training.fitting",
}

__all__ = [
    "Checkpoints",
    "Comparison",
    "Curve",
    "Evaluation",
    "Inputs",
    "MetaLearning",
    "PairInputs",
    "Pretrained",
    "SafeCheckpointIO",
    "SeriesInputs",
    "TaskData",
    "TextInputs",
    "adaptation_curve",
    "adapted",
    "compare",
    "confidence_interval",
    "encode_texts",
    "evaluate",
    "fit",
    "fitted_prior",
    "latest_good",
    "list_pretrained",
    "load_user",
    "load_users",
    "make_trainer",
    "pretrain",
    "save_user",
    "save_users",
    "shots_curve",
    "with_prior",
    "word_vectors",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
