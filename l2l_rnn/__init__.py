"""Meta-learning for recurrent networks: a plugin for learn2learn.

- `l2l_rnn.nn`: recurrent layers with torch's interface, differentiable twice on any device.
- `l2l_rnn.models`: classifiers and encoders of ragged token or real-valued sequences.
- `l2l_rnn.algorithms`: learners with learn2learn's `clone()` and `adapt()`, many tasks at once.
- `l2l_rnn.tasksets`: few-shot task sets by name.
- `l2l_rnn.data`: vocabularies, datasets and batches of tasks.
- `l2l_rnn.functional`: the pure functions under them.
- `l2l_rnn.analysis`: seeing inside of a learner.

Submodules load at first use, so that `import l2l_rnn` is quick.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "algorithms",
    "analysis",
    "data",
    "errors",
    "functional",
    "memory",
    "models",
    "nn",
    "tasksets",
)
__all__ = ["__version__", *_SUBMODULES]

# learn2learn imports gym, which prints a notice of its retirement to stderr; without notices to
# give it is silent.
_no_notices = ModuleType("gym_notices.notices")
vars(_no_notices)["notices"] = {}
sys.modules.setdefault("gym_notices.notices", _no_notices)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
