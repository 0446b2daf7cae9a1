"""Pairs of token sequences for the tests."""

import torch

SOURCES, TARGETS, END = 7, 9, 2


def pairs(*lead, source_steps=4, target_steps=5, seed=0):
    """Return ragged sources `(*lead, S)` and targets `(*lead, T)` that end in END."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(steps, ids):
        values = torch.randint(3, ids, (*lead, steps), generator=generator)
        lengths = torch.randint(1, steps + 1, (*lead, 1), generator=generator)
        lengths.view(-1)[0] = steps  # padding is not cut
        return values, torch.arange(steps), lengths

    source, at, lengths = tokens(source_steps, SOURCES)
    source = source.masked_fill(at >= lengths, 0)
    target, at, lengths = tokens(target_steps, TARGETS)
    target = target.masked_fill(at == lengths - 1, END).masked_fill(at >= lengths, 0)
    return source, target


def widened(tokens, steps=3):
    return torch.nn.functional.pad(tokens, (0, steps))


def of_all_parameters(network, compute):
    """Return a function of one vector, all parameters of a model, and their present values.

    It calls `compute()` with the model's parameters replaced. Derivatives by one vector take far
    fewer calls than those by each parameter.
    """
    places = [
        (module, name, parameter)
        for module in network.modules()
        for name, parameter in module._parameters.items()
        if parameter is not None
    ]
    sizes = [parameter.numel() for _, _, parameter in places]

    def function(vector):
        for (module, name, like), part in zip(places, vector.split(sizes), strict=True):
            module._parameters[name] = part.view_as(like)
        return compute()

    values = torch.cat([parameter.detach().flatten() for _, _, parameter in places])
    return function, values.clone().requires_grad_()
