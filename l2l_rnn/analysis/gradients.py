"""Gradient flow: the norm of a loss's gradient at each step back in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.axes import transforms_are_active
from l2l_rnn.errors import ArgumentError
from l2l_rnn.nn.recurrent_layer import RecurrentLayer


def gradient_flow(
    learner: nn.Module, x: Tensor, loss: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Compute the norm of a loss's gradient at each step, from the last step back.

    The norm is `|dL / dx_t|`, with `x_t` the input of the first recurrent layer at step t, averaged
    over the sequences. Going back in time, it vanishes in a network that forgets, and grows in one
    with exploding dynamics.

    Args:
        learner: a model, or a learner around one, with a recurrent layer of this package.
        x: sequences for the learner; ragged sequences are aligned at their last steps.
        loss: a function of the learner's outputs that returns a scalar; None for half their squared
            norm.

    Shapes:
        x `(B, S, …)`, or `(N, B, S, …)` with a task axis -> `(S,)`, with S the steps of the longest
        sequence. Entry k is the norm k steps before the end, averaged over the sequences that are
        long enough.

    Raises:
        ArgumentError: the learner has no recurrent layer of this package, does not call it with a
            padded batch of sequences, or runs it under `torch.func`, as a learner of many tasks
            does with layers that have no task axis.

    Example:
        >>> from l2l_rnn.models import SequenceClassifier
        >>> model = SequenceClassifier(2, input_size=3, cell="rnn")
        >>> gradient_flow(model, torch.randn(4, 6, 3)).shape
        torch.Size([6])

    Source: R. Pascanu, T. Mikolov and Y. Bengio, 2013, On the Difficulty of Training Recurrent
    Neural Networks, section 2, for inputs instead of states.
    """
    layers = [module for module in learner.modules() if isinstance(module, RecurrentLayer)]
    if not layers:
        raise ArgumentError(
            f"gradient_flow: {type(learner).__name__} has no recurrent layer of this package; "
            "convert it with l2l_rnn.nn.convert"
        )
    read: list[tuple[Tensor, Tensor | None]] = []
    first: list[RecurrentLayer] = []

    def keep(layer: Any, args: Any, kwargs: Any) -> Any:
        if read:
            return None
        given = args[0] if args else kwargs.pop("input")
        if not isinstance(given, Tensor) or given.dim() < 3 or transforms_are_active():
            raise ArgumentError(
                "gradient_flow: the recurrent layer must read a padded batch outside torch.func, "
                f"got {type(given).__name__}; pad the sequences, or pass a learner of one task"
            )
        taken = given.detach().requires_grad_()
        read.append((taken, kwargs.get("lengths")))
        first.append(layer)
        return (taken, *args[1:]), kwargs

    hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]
    try:
        with torch.enable_grad():
            outputs = learner(x)
            if loss is None and not isinstance(outputs, Tensor):
                raise ArgumentError(
                    "gradient_flow: the learner returns several tensors; pass loss="
                )
            value = outputs.square().sum() / 2 if loss is None else loss(outputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not read:
        raise ArgumentError(
            f"gradient_flow: {type(learner).__name__} did not call its recurrent layer; call it in "
            "forward"
        )
    taken, lengths = read[0]
    (gradient,) = torch.autograd.grad(value, taken)
    if not first[0].batch_first:
        gradient = gradient.transpose(-3, -2)
    norms = gradient.norm(dim=-1).flatten(0, -2)  # (sequences, S)
    steps = norms.shape[-1]
    ends = torch.full(norms.shape[:1], steps) if lengths is None else lengths.flatten().cpu()
    back = ends.to(norms.device).unsqueeze(-1) - 1 - torch.arange(steps, device=norms.device)
    aligned = torch.where(back >= 0, norms.gather(-1, back.clamp_min(0)), torch.nan)
    return aligned.nanmean(0)
