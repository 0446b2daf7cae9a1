"""What the inner loop adapts: the parameters of a model, by name."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from l2l_rnn.errors import ArgumentError


def adapted_names(who: str, model: nn.Module, adapts: str | Iterable[str] | None) -> frozenset[str]:
    """Name the parameters that the inner loop adapts.

    A module whose class says `inner_loop = False` leaves its parameters, and those of its children,
    to the outer loop: they adapt only by a name of their own or of a module in it.

    Args:
        who: the learner, for messages.
        model: the module that is adapted.
        adapts: names of parameters, or of modules that hold them; None for all of the model.

    Returns:
        Names as of `model.named_parameters()`.

    Raises:
        ArgumentError: there is no parameter under a name.
    """
    every = list(model.named_parameters(remove_duplicate=False))  # tied ones by each name
    outer = [
        path
        for path, module in model.named_modules(remove_duplicate=False)
        if not getattr(type(module), "inner_loop", True)
    ]
    if adapts is None:
        chosen = _under("", every, outer)
    else:
        chosen = set()
        for each in [adapts] if isinstance(adapts, str) else adapts:
            deeper = [path for path in outer if path != each and _stands_under(path, each)]
            found = _under(each, every, deeper)
            if not found:
                names = {name for name, _ in every}
                known = sorted({*names, *(name.rpartition(".")[0] for name in names)} - {""})
                raise ArgumentError(
                    f"{who}: the model has no parameter {each!r}, nor any under it that adapts; it "
                    f"has {', '.join(known)}"
                )
            chosen |= found
    return frozenset(name for name, p in model.named_parameters() if p in chosen)


def _under(path: str, every: list[tuple[str, nn.Parameter]], but: list[str]) -> set[Tensor]:
    """The parameters of all names under one path, but those under others."""
    return {
        parameter
        for name, parameter in every
        if _stands_under(name, path) and not any(_stands_under(name, other) for other in but)
    }


def _stands_under(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}.")
