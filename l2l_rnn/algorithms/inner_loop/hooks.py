"""Hooks of a clone that are methods of the cloned model."""

from __future__ import annotations

import types
from typing import Any

from torch import nn


def rebind_hooks(original: nn.Module, clone: nn.Module) -> None:
    """Let hooks that are methods of modules of the original be methods of those of the clone.

    A clone has the hooks of the original. If a model registers a method of its own as a hook, that
    method would otherwise store what it sees in the original instead of the clone.

    Args:
        original: the cloned module.
        clone: its clone, with the same tree of modules, whose hooks are replaced.
    """
    every = (m.named_modules(remove_duplicate=False) for m in (original, clone))
    twins = {own: other for (_, own), (_, other) in zip(*every, strict=True)}
    for module in clone.modules():
        for name, hooks in list(vars(module).items()):
            if not name.endswith("_hooks") or not isinstance(hooks, dict) or not hooks:
                continue
            rebound = hooks.copy()  # a dictionary shared with the original, of the same type
            for key, hook in hooks.items():
                rebound[key] = _rebound(hook, twins)
            vars(module)[name] = rebound


def _rebound(hook: Any, twins: dict[nn.Module, nn.Module]) -> Any:
    owner = getattr(hook, "__self__", None)
    if isinstance(hook, types.MethodType) and isinstance(owner, nn.Module) and owner in twins:
        return types.MethodType(hook.__func__, twins[owner])
    return hook
