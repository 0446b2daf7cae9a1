"""Meta-learning for recurrent networks: a plugin for learn2learn.

Subpackages:

- `l2l_rnn.algorithms`: learners with `clone()` and `adapt(loss)`, for one task or many
  at once: `MAML`, `ProtoNet`, `MemoryLearner` and others.
- `l2l_rnn.nn`: recurrent layers with torch's interface and exact second derivatives; `convert`
  swaps the layers of a finished model.
- `l2l_rnn.memory`: external memories: `NTM`, `DNC`, `MANN`, memory networks and fast weights.
- `l2l_rnn.models`: encoders and classifiers of token sequences and time series.
- `l2l_rnn.tasksets`: few-shot task sets of texts, time series and generated data, by name
  (`get_tasksets`, `list_tasksets`) or from your own texts (`from_hf`).
- `l2l_rnn.control`: simulated bodies with drawn physics, and planning by the cross-entropy method.
- `l2l_rnn.data`: datasets, vocabularies, task batches and the `TaskLoader`.
- `l2l_rnn.training`: training in Lightning, checkpoints, evaluation and saved models.
- `l2l_rnn.functional`: the recurrences, losses and addressing functions as pure functions.
- `l2l_rnn.analysis`: gradient flow, memory traces, and the examples behind a prediction.
- `l2l_rnn.estimators`: few-shot classifiers with scikit-learn's interface: fit, predict, save.
- `l2l_rnn.configuration`: how objects were constructed, as JSON; `configurable` for your classes.
- `l2l_rnn.errors`: the exceptions, with the base class `L2LRNNError`.

Subpackages are imported at first use, so that `import l2l_rnn` is fast.

Example:
    >>> import l2l_rnn
    >>> model = l2l_rnn.models.SequenceClassifier(5, vocab_size=100)
    >>> learner = l2l_rnn.algorithms.MAML(model, lr=0.5).clone(tasks=16)
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "algorithms",
    "analysis",
    "configuration",
    "control",
    "data",
    "errors",
    "estimators",
    "functional",
    "memory",
    "models",
    "nn",
    "tasksets",
    "training",
)
# `from l2l_rnn import *` leaves out the estimators, which need an extra.
__all__ = ["__version__", *(name for name in _SUBMODULES if name != "estimators")]

# learn2learn imports gym, which prints a deprecation notice to stderr unless this module is empty.
_no_notices = ModuleType("gym_notices.notices")
vars(_no_notices)["notices"] = {}
sys.modules.setdefault("gym_notices.notices", _no_notices)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
