"""Which written examples a query reads, and how much of each: why a label was given."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.memory import DeltaFastWeights, HebbianFastWeights, MANNState, Memory
from l2l_rnn.memory.item_memory import ItemState

_FAST_WEIGHTS = (HebbianFastWeights, DeltaFastWeights)


class ReadExample(NamedTuple):
    """A support example that a query reads.

    Attributes:
        number: which one of the support set, from 0 on.
        label: its label.
        weight: how much of it is read.
    """

    number: int
    label: Any
    weight: float


def ranked_examples(
    memory: Memory[Any],
    state: Any,
    queries: Tensor,
    count: int = 5,
    *,
    keys: Tensor | None = None,
) -> list[list[tuple[int, float]]]:
    """Rank, for each query, the examples in a store by how much of each it reads.

    A memory with slots reads an average of what is in them; the weight is a slot's share in it, in
    the first look-up where there are several. Fast weights are a sum over examples, in which none
    can be singled out any more: their weights, which may be negative, are computed anew from the
    keys that were written, by the memory's `kernel`.

    Args:
        memory: any of `l2l_rnn.memory`.
        state: its state, with one store.
        queries: what is looked up.
        count: how many examples to name at most.
        keys: what was written, in its order; only for fast weights.

    Shapes:
        queries `(Q, K)`, keys `(B, K)`.

    Returns:
        For each query pairs of the example's number, in the order of writing from 0 on, and its
        weight, the greatest first; examples that were overwritten are not there any more.

    Raises:
        ArgumentTypeError: it is no `Memory`.
        ArgumentError: fast weights are not given the keys, a memory with slots is, a memory of
            another's has no `attention`, or a `MANN` has taken steps as a layer, after which it
            cannot tell who wrote a slot.
        ShapeError: state, queries or keys do not fit the memory, or are of several stores.

    Example:
        >>> from l2l_rnn.memory import NTM
        >>> ntm = NTM(3, 2, slots=4, width=4)
        >>> state = ntm.write(ntm.blank(), torch.eye(2), torch.zeros(2, 2))
        >>> [number for number, _ in ranked_examples(ntm, state, torch.eye(2))[1]]
        [1, 0]
    """
    who = "ranked_examples"
    if not isinstance(memory, Memory):
        raise ArgumentTypeError(
            f"{who}: memory must be one of l2l_rnn.memory, got {type(memory).__name__}"
        )
    kind = type(memory).__name__
    attend: Any = getattr(memory, "attend", None) or getattr(memory, "attention", None)
    sums = isinstance(memory, _FAST_WEIGHTS)
    for name, given in {"queries": queries, "keys": keys}.items():
        if given is not None and (given.dim() != 2 or given.shape[-1] != memory.key_size):
            letter = "Q" if name == "queries" else "B"
            raise ShapeError(
                f"{who}: {name} must be ({letter}, K={memory.key_size}) of one store, got shape "
                f"{tuple(given.shape)}"
            )
    if sums and keys is None:
        raise ArgumentError(
            f"{who}: {kind} holds a sum, in which no example can be singled out; give keys=, those "
            "that were written, or use a memory with slots, such as KeyValueMemory"
        )
    if not sums and keys is not None:
        raise ArgumentError(f"{who}: {kind} holds the keys itself; leave keys= out")
    if not sums and attend is None:
        raise ArgumentError(
            f"{who}: {kind} does not tell what it attends to; use a memory with slots, such as "
            "KeyValueMemory"
        )
    with torch.no_grad():
        if sums:
            memory.check_state(state)
            weights = memory.kernel(queries, keys)
            numbers = list(range(weights.shape[-1]))
        else:
            weights, numbers = attend(state, queries), _numbers(kind, state)
    ranked = []
    for row in weights.tolist():
        found = [(n, w) for n, w in zip(numbers, row, strict=True) if n >= 0]
        ranked.append(sorted(found, key=lambda pair: -pair[1])[:count])
    return ranked


def ranked_support(
    learner: MemoryLearner, x: Tensor, support_x: Tensor, support_y: Tensor, count: int = 5
) -> list[list[ReadExample]]:
    """Rank, for each sequence, the support examples by how much of each a memory learner reads.

    So that a person can see why a label was given. Where the support set was written several times,
    by several calls of `adapt`, the shares of an example add up.

    Args:
        learner: has written the support set, for one task; its dropout off, by `eval()`.
        x: sequences that it answers.
        support_x, support_y: what it has written, in the same order.
        count: how many examples to name at most.

    Shapes:
        x `(Q, …)`, support_x `(B, …)`, support_y `(B,)` or, in regression, `(B, V)`.

    Returns:
        For each sequence examples with their labels, the one most read first; those that were
        overwritten are not there any more.

    Raises:
        ArgumentTypeError: the learner is no `MemoryLearner`.
        ArgumentError: it holds several tasks, or has not written this support set.
        ShapeError: there is not a label for each example.

    Example:
        >>> from l2l_rnn.memory import KeyValueMemory
        >>> from l2l_rnn.models import MemoryModel, SequenceEncoder
        >>> encoder = SequenceEncoder(input_size=3, hidden_size=8)
        >>> model = MemoryModel(encoder, KeyValueMemory(None, 8, 2, similarity="distance"))
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
            f"{who}: the learner holds N={learner.tasks} tasks; give one of a single task, made by "
            "clone()"
        )
    size = len(support_x)
    if len(support_y) != size:
        raise ShapeError(
            f"{who}: there must be a label for each of {size} examples, got {len(support_y)}"
        )
    model, state = learner.module, learner.state
    with torch.no_grad():
        queries, keys = (
            model.look(model.encoder(part), state).keys if len(part) else None
            for part in (x, support_x)
        )
    if queries is None:
        return []
    if keys is None:
        return [[] for _ in range(len(x))]
    if isinstance(model.memory, _FAST_WEIGHTS):
        if not state.weights.any():
            return [[] for _ in range(len(x))]
        ranked = ranked_examples(model.memory, state, queries, size, keys=keys)
    else:
        written = _written(state)
        if written % size:
            raise ArgumentError(
                f"{who}: the memory was written {written} examples, which is not the {size} of the "
                "support set, once or several times; give those that it was written"
            )
        ranked = ranked_examples(model.memory, state, queries, model.memory.slots)
    labels = support_y.tolist()
    found = []
    for pairs in ranked:
        weights: dict[int, float] = {}
        for number, weight in pairs:
            weights[number % size] = weights.get(number % size, 0.0) + weight
        order = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))[:count]
        found.append([ReadExample(number, labels[number], weight) for number, weight in order])
    return found


def _written(state: Any) -> int:
    """How many examples were ever written."""
    if isinstance(state, MANNState):
        return int(state.used.sum() + state.overwritten)
    return int(state.written)


def _numbers(kind: str, state: Any) -> list[int]:
    """The number of the example in each slot, or less than 0 where there is none."""
    written = _written(state)
    if isinstance(state, ItemState):  # the newest in the last
        return list(range(written - state.keys.shape[-2], written))
    if isinstance(state, MANNState):
        if state.read_weights.any() or state.write_weights.any():
            raise ArgumentError(
                f"ranked_examples: this {kind} has taken steps as a layer, after which it cannot "
                "tell who wrote a slot; give the state of a store, from blank() and write()"
            )
        # A slot is written when it is the least used, so that the newest is the most used.
        newest = state.usage.argsort(dim=-1, descending=True, stable=True).tolist()
        there = [slot for slot in newest if state.used[slot]]
        numbers = dict(zip(there, range(written - 1, -1, -1), strict=False))
        return [numbers.get(slot, -1) for slot in range(len(newest))]
    slots = state.memory.shape[-2]
    # The last write that went to slot m of the ring.
    last = [written - 1 - (written - 1 - m) % slots for m in range(slots)]
    return [number if m < written else -1 for m, number in enumerate(last)]
