"""Greedy decoding and beam search, for any decoder that computes one step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError

Step = Callable[[Any, Any, Tensor], tuple[Tensor, Any]]
"""Computes `(log_p, state)` from what a source stays, the state and the previous tokens.

Shapes: tokens `(…, B)` -> log_p `(…, B, V)`. All tensors of the source and the state begin with
`(…, B)`.
"""


class Beams(NamedTuple):
    """The most probable targets that a beam search found, the best first.

    Attributes:
        tokens: token ids, padded with 0 after END, `(…, B, W, T)`.
        scores: their log-probabilities, divided by the length penalty, `(…, B, W)`.
    """

    tokens: Tensor
    scores: Tensor


def greedy(
    step: Step, source: Any, state: Any, start: Tensor, max_length: int, end: int
) -> tuple[Tensor, Tensor]:
    """Choose the most probable token at each step, and return the tokens and the log-probabilities.

    Padding, the id 0, is never chosen.

    Args:
        step: see `Step`.
        source: what stays the same at all steps.
        state: the initial state.
        start: the first input of each sequence.
        max_length: maximum number of tokens, END included.
        end: the id END. The tokens after it are 0.

    Shapes:
        start `(…, B)` -> tokens `(…, B, T)` and the log-probability of each target, `(…, B)`.
    """
    tokens, done = start, torch.zeros_like(start, dtype=torch.bool)
    chosen: list[Tensor] = []
    total: Any = 0.0
    for _ in range(max_length):
        log_p, state = step(source, state, tokens)
        best, tokens = _without_padding(log_p).max(-1)
        total = total + torch.where(done, 0.0, best)
        tokens = torch.where(done, 0, tokens)
        chosen.append(tokens)
        done = done | (tokens == end)
        finished = readable_values(done)
        if finished is not None and finished.all():
            break
    return torch.stack(chosen, -1), total


def beam_search(
    step: Step,
    source: Any,
    state: Any,
    start: Tensor,
    max_length: int,
    end: int,
    width: int,
    length_penalty: float = 0.0,
) -> Beams:
    """Keep the W most probable beginnings at each step.

    The search never returns something worse than `greedy`, whose target is also a candidate: a
    plain beam search may lose it.

    Args:
        step, source, state, start, max_length, end: as in `greedy`.
        width: `W`; 1 is greedy decoding.
        length_penalty: exponent of the length by which log-probabilities are divided; 0 compares
            the probabilities themselves, 1 the mean per token.

    Source: Y. Wu et al., 2016, Google's Neural Machine Translation System, section 7, without the
    constants of their penalty.
    """
    width = check_int("beam_search", "width", width)
    first, total = greedy(step, source, state, start, max_length, end)
    reference = Beams(first.unsqueeze(-2), _penalized(first, total, length_penalty).unsqueeze(-1))
    if width == 1:
        return reference
    lead, batch = start.shape[:-1], start.shape[-1]
    axis = len(lead)

    def rows(x: Tensor) -> Tensor:  # (…, B, *) -> (…, B W, *)
        return x.repeat_interleave(width, axis)

    source, state, tokens = (tree_map_only(Tensor, rows, part) for part in (source, state, start))
    scores = torch.full((*lead, batch, width), -torch.inf, device=start.device, dtype=total.dtype)
    scores[..., 0] = 0.0  # all beams begin alike, so only one of them counts
    done = torch.zeros_like(scores, dtype=torch.bool)
    found = start.new_zeros(*lead, batch, width, 0)
    offsets = torch.arange(0, batch * width, width, device=start.device).unsqueeze(-1)
    for _ in range(max_length):
        log_p, state = step(source, state, tokens)
        log_p = _without_padding(log_p).unflatten(axis, (batch, width))  # (…, B, W, V)
        size = log_p.shape[-1]
        stay = torch.full_like(log_p, -torch.inf)  # a finished target only goes on with padding
        stay[..., 0] = 0.0
        totals = scores.unsqueeze(-1) + torch.where(done.unsqueeze(-1), stay, log_p)
        scores, best = totals.flatten(-2).topk(width, -1)  # (…, B, W)
        beam, tokens = best // size, best % size
        tokens = torch.where(done.gather(-1, beam), 0, tokens)
        found = found.gather(-2, beam.unsqueeze(-1).expand(*beam.shape, found.shape[-1]))
        found = torch.cat([found, tokens.unsqueeze(-1)], -1)
        done = done.gather(-1, beam) | (tokens == end)
        index = (beam + offsets).flatten(-2)  # (…, B W)

        def chosen(x: Tensor, index: Tensor = index) -> Tensor:
            wide = index.reshape(*index.shape, *[1] * (x.dim() - index.dim()))
            return x.gather(axis, wide.expand(*index.shape, *x.shape[index.dim() :]))

        state = tree_map_only(Tensor, chosen, state)
        tokens = tokens.flatten(-2)
        finished = readable_values(done)
        if finished is not None and finished.all():
            break
    return _with(reference, found, _penalized(found, scores, length_penalty))


def check_max_length(who: str, max_length: int | None, limit: int) -> int:
    """Return the number of steps to decode: the given one, or the model's limit.

    Args:
        who: begins the error message.
        max_length: the number that the caller passed, or None.
        limit: the model's limit.

    Raises:
        ArgumentError: the number is not positive, or exceeds the limit.
    """
    most = limit if max_length is None else check_int(who, "max_length", max_length)
    if most > limit:
        raise ArgumentError(
            f"{who}: max_length must be at most that of the model, {limit}, got {most}; create the "
            f"model with max_length={most}"
        )
    return most


def _without_padding(log_p: Tensor) -> Tensor:
    """Return log-probabilities with -inf for padding, which is never a token of a target."""
    return torch.cat([torch.full_like(log_p[..., :1], -torch.inf), log_p[..., 1:]], -1)


def _penalized(tokens: Tensor, total: Tensor, length_penalty: float) -> Tensor:
    if not length_penalty:
        return total
    return total / (tokens != 0).sum(-1).clamp_min(1) ** length_penalty


def _with(reference: Beams, tokens: Tensor, scores: Tensor) -> Beams:
    """Sort beams, and put a better or equal greedy target in place of the worst of them."""
    steps = max(tokens.shape[-1], reference.tokens.shape[-1])
    tokens, first = (
        F.pad(part, (0, steps - part.shape[-1])) for part in (tokens, reference.tokens)
    )
    known = (tokens == first).all(-1).any(-1, keepdim=True)
    extra = torch.where(known, -torch.inf, reference.scores)
    tokens, scores = torch.cat([tokens, first], -2), torch.cat([scores, extra], -1)
    scores, order = scores.sort(dim=-1, descending=True, stable=True)
    tokens = tokens.gather(-2, order.unsqueeze(-1).expand(*order.shape, steps))
    return Beams(tokens[..., :-1, :], scores[..., :-1])
