"""The examples that a query reads from a memory, which explain why a label was predicted."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import FastWeights, SlotStore, Store


class ReadExample(NamedTuple):
    """A support example that a query reads.

    Attributes:
        number: index of the example in the support set.
        label: its label.
        weight: its weight in the read.
    """

    number: int
    label: Any
    weight: float


def ranked_examples(
    store: Store[Any],
    state: Any,
    queries: Tensor,
    count: int = 5,
    *,
    keys: Tensor | None = None,
    in_order: bool = True,
) -> list[list[tuple[int, float]]]:
    """Rank the examples in a store by their weight in each query's read.

    A store with slots reads a weighted average of its slots. The weight of an example is the read
    weight of its slot, in the first hop if there are several. Fast weights are a sum over examples,
    which cannot be recovered from it. Their weights, which may be negative, are computed by
    `FastWeights.kernel` from the keys that were written.

    Args:
        store: a `SlotStore` or `FastWeights` of `l2l_rnn.memory`.
        state: its state, for one task.
        queries: the queries.
        count: the largest number of examples to return per query.
        keys: all keys that were written, in order; only for fast weights.
        in_order: whether the keys were written by `write`, one by one, or by `write_set`; only for
            fast weights.

    Shapes:
        queries `(Q, K)`, keys `(B, K)`.

    Returns:
        For each query, pairs of an example's number and its weight, the largest weight first.
        Examples are numbered from 0 in the order of writing. Overwritten examples are omitted.

    Raises:
        ArgumentTypeError: `store` is not a `Store`.
        ArgumentError: keys are missing for fast weights or passed for a store with slots, the store
            is of neither kind, or a `MANN` has taken steps, after which its slots hold no examples.
        ShapeError: state, queries or keys do not fit the store, or belong to several tasks.

    Example:
        >>> from l2l_rnn.memory import SlotMemory
        >>> store = SlotMemory(key_size=2, value_size=2, slots=4)
        >>> state = store.write(store.blank(), torch.eye(2), torch.zeros(2, 2))
        >>> [number for number, _ in ranked_examples(store, state, torch.eye(2))[1]]
        [1, 0]
    """
    who = "ranked_examples"
    if not isinstance(store, Store):
        raise ArgumentTypeError(
            f"{who}: store must be a memory.Store, got {type(store).__name__}; use one such as "
            "memory.KeyValueMemory"
        )
    kind = type(store).__name__
    for name, given in {"queries": queries, "keys": keys}.items():
        if given is not None and (given.dim() != 2 or given.shape[-1] != store.key_size):
            letter = "Q" if name == "queries" else "B"
            raise ShapeError(
                f"{who}: {name} must be ({letter}, K={store.key_size}) for one task, got shape "
                f"{tuple(given.shape)}; rank one task at a time"
            )
    with torch.no_grad():
        if isinstance(store, SlotStore):
            if keys is not None:
                raise ArgumentError(f"{who}: {kind} stores its keys; omit keys=")
            weights = store.read_weights(state, queries)
            numbers = store.examples(state).tolist()
        elif isinstance(store, FastWeights):
            if keys is None:
                raise ArgumentError(
                    f"{who}: {kind} holds a sum, from which no example can be recovered; pass all "
                    "written keys as keys=, or use a store with slots, such as KeyValueMemory"
                )
            store.check_state(state)
            weights = store.kernel(queries, keys, in_order)
            numbers = list(range(len(keys)))
        else:
            raise ArgumentError(
                f"{who}: store must be a SlotStore or FastWeights, got {kind}; use one such as "
                "KeyValueMemory"
            )
    ranked = []
    for row in weights.tolist():
        read = [(n, w) for n, w in zip(numbers, row, strict=True) if n >= 0]
        ranked.append(sorted(read, key=lambda pair: -pair[1])[:count])
    return ranked


def ranked_support(
    learner: MemoryLearner, x: Tensor, support_x: Tensor, support_y: Tensor, count: int = 5
) -> list[list[ReadExample]]:
    """Rank the support examples by their weight in a memory learner's read for each sequence.

    This shows why a label was predicted. If several calls of `adapt` wrote the support set, the
    weights of an example add up.

    Args:
        learner: a learner of one task that has written the support set, in `eval()` mode if it has
            dropout.
        x: sequences to predict.
        support_x, support_y: the examples and labels that it wrote, in the same order.
        count: the largest number of examples to return per sequence.

    Shapes:
        x `(Q, …)`, support_x `(B, …)`, support_y `(B,)` or, in regression, `(B, V)`.

    Returns:
        For each sequence, examples with their labels, the largest weight first. Overwritten
        examples are omitted.

    Raises:
        ArgumentTypeError: the learner is not a `MemoryLearner`.
        ArgumentError: the learner holds several tasks, or has not written this support set.
        ShapeError: the number of examples is not the number of labels.

    Example:
        >>> from l2l_rnn.memory import KeyValueMemory
        >>> from l2l_rnn.models import MemoryModel, SequenceEncoder
        >>> encoder = SequenceEncoder(input_size=3, hidden_size=8)
        >>> model = MemoryModel(encoder, KeyValueMemory(8, 2, similarity="distance"))
        >>> learner = MemoryLearner(model).clone()
        >>> x, y = torch.randn(4, 7, 3), torch.tensor([0, 1, 0, 1])
        >>> learner.write(x, y)
        >>> read = ranked_support(learner, x[:1], x, y)[0]
        >>> read[0].number, read[0].label
        (0, 0)
    """
    who = "ranked_support"
    if not isinstance(learner, MemoryLearner):
        raise ArgumentTypeError(
            f"{who}: learner must be an algorithms.MemoryLearner, got {type(learner).__name__}"
        )
    if learner.tasks is not None:
        raise ArgumentError(
            f"{who}: learner must hold one task, got N={learner.tasks} tasks; pass one made by "
            "clone()"
        )
    size = len(support_x)
    if len(support_y) != size:
        raise ShapeError(
            f"{who}: support_y must have one label per example, {size} in all, got "
            f"{len(support_y)}; pass the labels of support_x"
        )
    model, state = learner.module, learner.state
    if len(x) == 0 or size == 0:
        return [[] for _ in range(len(x))]
    with torch.no_grad():
        queries, keys = (model.keys(model.encoder(part)) for part in (x, support_x))
    if isinstance(model.store, SlotStore):
        written = int(state.written)
        if written % size:
            raise ArgumentError(
                f"{who}: the number of written examples must be a multiple of the {size} in the "
                f"support set, got {written}; pass the support set that was written"
            )
        ranked = ranked_examples(model.store, state, queries, model.store.slots)
    else:
        ranked = ranked_examples(
            model.store, state, queries, size, keys=keys, in_order=learner.in_order
        )
        if not any(part.any() for part in state):  # blank: nothing was written
            ranked = [[] for _ in range(len(x))]
    labels = support_y.tolist()
    found = []
    for pairs in ranked:
        weights: dict[int, float] = {}
        for number, weight in pairs:
            weights[number % size] = weights.get(number % size, 0.0) + weight
        order = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
        found.append([ReadExample(number, labels[number], weight) for number, weight in order])
    return found
