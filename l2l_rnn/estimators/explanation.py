"""The examples of a user that explain a prediction."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.algorithms.memory_learner import WRITES
from l2l_rnn.analysis import ranked_examples
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators.learner_kinds import LearnerKind, MemoryKind, ProtoNetKind
from l2l_rnn.estimators.personal import Personal, device_of
from l2l_rnn.memory import SlotStore

_ABSENT = 100.0  # how far the score of a class without examples is below all others


class SupportExample(NamedTuple):
    """An example that explains a prediction.

    Attributes:
        number: its position among the examples that the classifier was fitted to.
        example: the example as it was passed.
        label: its class.
        weight: how much it counts; see `FewShotClassifier.explain`.
    """

    number: int
    example: Any
    label: Any
    weight: float


def explained(
    who: str, kind: LearnerKind, personal: Personal, x: Tensor, count: int
) -> list[list[SupportExample]]:
    """Return the examples with the largest weights for each input, the largest first.

    Raises:
        ArgumentError: the examples were not kept.
    """
    examples = personal.examples
    if examples is None:
        raise ArgumentError(
            f"{who}: an explanation needs the examples, which were not kept; set "
            "keep_examples=True before fit"
        )
    device = device_of(kind.learner)
    x, support = x.to(device), examples.x.to(device)
    if isinstance(kind, ProtoNetKind):
        ranked = _influences(kind, personal, x, support)
    elif isinstance(kind, MemoryKind) and not kind.refits:
        ranked = _read_weights(kind, personal, x, support)
    else:
        ranked = _similarities(kind, personal, x, support)
    names = personal.names.tolist()
    labels = [names[number] for number in examples.y.tolist()]
    return [
        [SupportExample(n, examples.raw[n], labels[n], weight) for n, weight in row[:count]]
        for row in ranked
    ]


def _influences(
    kind: ProtoNetKind, personal: Personal, x: Tensor, support: Tensor
) -> list[list[tuple[int, float]]]:
    """Weigh examples by how much the log odds of the answer fall without each of them, exactly."""
    learner, present = personal.learner, personal.present.to(support.device)
    queries, vectors = (kind.vectors(learner, part) for part in (x, support))
    y = personal.examples.y.to(support.device)  # type: ignore[union-attr]
    sums, counts = learner._sums, learner._counts  # (C, E), (C, 1)
    scores = kind.scores(queries, sums, counts, present)  # (B, C)
    # The scores of the class of each example without it, (B, examples).
    left = counts[y] - 1
    changed = kind.scores(queries, sums[y] - vectors, left, left.squeeze(-1) >= 0)
    if kind.learner.prior is None:  # a class without examples is not predicted
        lowest = scores.amin(-1, keepdim=True)
        changed = torch.where(left.squeeze(-1) > 0, changed, lowest - lowest.abs() - _ABSENT)
    answer = scores.argmax(-1)
    before = _log_odds(scores, answer)
    falls = []
    for n, c in enumerate(y.tolist()):
        after = scores.clone()
        after[:, c] = changed[:, n]
        falls.append(before - _log_odds(after, answer))
    return _ranked(torch.stack(falls, -1))


def _log_odds(scores: Tensor, answer: Tensor) -> Tensor:
    """Return `log p / (1 - p)` of the class `answer`: scores `(B, C)` -> `(B,)`."""
    chosen = scores.gather(-1, answer.unsqueeze(-1)).squeeze(-1)
    others = scores.scatter(-1, answer.unsqueeze(-1), -torch.inf)
    return chosen - others.logsumexp(-1)


def _similarities(
    kind: LearnerKind, personal: Personal, x: Tensor, support: Tensor
) -> list[list[tuple[int, float]]]:
    """Weigh examples by a softmax of distances, in standard deviations of these."""
    distances = kind.distances(personal.learner, x, support)
    std = distances.std(-1, keepdim=True, correction=0)
    tiny = torch.finfo(std.dtype).tiny
    return _ranked((-distances / std.clamp_min(tiny)).softmax(-1))


def _ranked(weights: Tensor) -> list[list[tuple[int, float]]]:
    """Return the numbers and weights of examples for each input, the largest weight first."""
    order = weights.argsort(dim=-1, stable=True, descending=True).tolist()
    return [[(n, row[n]) for n in ns] for row, ns in zip(weights.tolist(), order, strict=True)]


def _read_weights(
    kind: MemoryKind, personal: Personal, x: Tensor, support: Tensor
) -> list[list[tuple[int, float]]]:
    """Weigh examples by what each input reads from the memory."""
    learner = personal.learner
    model, state = learner.module, learner.state
    with torch.no_grad():
        queries, keys = (model.keys(model.encoder(part)) for part in (x, support))
    if isinstance(model.store, SlotStore):
        times = WRITES if kind.steps is None else kind.steps
        starts = np.cumsum((0, *personal.batches))
        written = np.concatenate([np.tile(np.arange(a, b), times) for a, b in pairwise(starts)])
        ranked = ranked_examples(model.store, state, queries, model.store.slots)
    else:
        written = np.arange(len(keys))
        ranked = ranked_examples(
            model.store, state, queries, len(keys), keys=keys, in_order=learner.in_order
        )
    found = []
    for pairs in ranked:
        weights: dict[int, float] = {}
        for number, weight in pairs:
            example = int(written[number])
            weights[example] = weights.get(example, 0.0) + weight
        found.append(sorted(weights.items(), key=lambda pair: (-pair[1], pair[0])))
    return found
