"""Selection of the parameters that the inner loop adapts."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from l2l_rnn.errors import ArgumentError


def adapted_names(who: str, model: nn.Module, adapts: str | Iterable[str] | None) -> frozenset[str]:
    """Return the names of the parameters that the inner loop adapts.

    If the class of a module sets `inner_loop = False`, only the outer loop trains the parameters of
    that module and of its children. The inner loop adapts them only if `adapts` names them or a
    module inside that module.

    Args:
        who: begins the error message.
        model: the model to adapt.
        adapts: names of parameters, or of modules that hold them. None selects the whole model.

    Returns:
        Names from `model.named_parameters()`.

    Raises:
        ArgumentError: a name selects no parameter.
    """
    every = list(model.named_parameters(remove_duplicate=False))  # tied ones under each name
    outer = [
        path
        for path, module in model.named_modules(remove_duplicate=False)
        if not getattr(type(module), "inner_loop", True)
    ]
    if adapts is None:
        chosen = _parameters_under("", every, outer)
    else:
        chosen = set()
        for name in [adapts] if isinstance(adapts, str) else adapts:
            excluded = [path for path in outer if path != name and _is_under(path, name)]
            found = _parameters_under(name, every, excluded)
            if not found:
                names = {each for each, _ in every}
                known = sorted({*names, *(each.rpartition(".")[0] for each in names)} - {""})
                raise ArgumentError(
                    f"{who}: the model has no parameter {name!r} and no module of that name with "
                    f"parameters to adapt; it has {', '.join(known)}"
                )
            chosen |= found
    return frozenset(name for name, p in model.named_parameters() if p in chosen)


def _parameters_under(
    path: str, every: list[tuple[str, nn.Parameter]], excluded: list[str]
) -> set[Tensor]:
    """Select the parameters with a name under one path and under no excluded path."""
    return {
        parameter
        for name, parameter in every
        if _is_under(name, path) and not any(_is_under(name, other) for other in excluded)
    }


def _is_under(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}.")
