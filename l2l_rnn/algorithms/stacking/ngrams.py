"""N-grams of token ids, numbered exactly, for several tasks at once."""

from __future__ import annotations

import itertools
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.errors import ArgumentError

_MOST_KEYS = 2**63 - 1
_TABLE = 2**21  # largest table of all possible keys, which is faster than sorting


class Occurrences(NamedTuple):
    """The n-grams of some documents: one row for each n-gram at each place.

    Attributes:
        documents: the document of each row.
        nodes: the n-gram of each row, from 0.
    """

    documents: Tensor
    nodes: Tensor


class NgramTable:
    """The n-grams of some documents, as the nodes of a trie of each task.

    A node is an n-gram: its parent without the last id, and that id. The key of a node is
    `parent * size + id`, which fits into an int64 for n-grams of any length. Different n-grams
    never share a node. The roots have the numbers 0 to N - 1. All other nodes follow level by
    level, so their keys are sorted.

    Args:
        keys: the sorted keys of all nodes but the roots.
        size: more than the largest id.
        tasks: `N`, the number of roots.
        ends: the number of nodes up to each length, which only `positions_in` needs.
    """

    def __init__(self, keys: Tensor, size: int, tasks: int, ends: tuple[int, ...] = ()) -> None:
        self.keys, self.size, self.tasks, self.ends = keys, size, tasks, ends

    def __len__(self) -> int:
        """Return the number of n-grams."""
        return len(self.keys)

    @classmethod
    def of(
        cls, ids: Tensor, tasks: Tensor, number: int, lengths: tuple[int, int], least: int = 1
    ) -> tuple[NgramTable, Occurrences]:
        """Return the n-grams of documents, and where they occur.

        Args:
            ids: token ids, padded with 0; an n-gram never contains a 0.
            tasks: the task of each document.
            number: the number of tasks.
            lengths: the shortest and the longest n-gram that counts. Shorter ones are nodes too.
            least: n-grams in fewer documents than this are left out.

        Shapes:
            ids `(D, S)`, tasks `(D,)`.

        Raises:
            ArgumentError: the ids are too large.
        """
        size = 1 + (int(ids.max()) if ids.numel() else 0)
        _check(size, (1 + ids.numel()) * max(lengths[1], 1) + number)
        walk, tables, found = _Walk(ids, tasks), [ids.new_zeros(0)], []
        held = number
        for length in range(1, lengths[1] + 1):
            documents, places, keys = walk.step(size)
            keys, inverse = _ranked(keys, held * size)
            if least > 1:
                both = torch.unique(documents * len(keys) + inverse)
                often = torch.bincount(both % max(len(keys), 1), minlength=len(keys)) >= least
                keys, number_of = keys[often], often.cumsum(0) - 1
                inverse = torch.where(often[inverse], number_of[inverse], -1 - held)
            tables.append(keys)
            walk.arrive(documents, places, held + inverse)
            if length >= lengths[0]:
                seen = inverse >= 0
                found.append((documents[seen], held - number + inverse[seen]))
            held += len(keys)
        ends = tuple(itertools.accumulate(map(len, tables)))
        return cls(torch.cat(tables), size, number, ends), _joined(found, ids)

    def find(self, ids: Tensor, tasks: Tensor, lengths: tuple[int, int]) -> Occurrences:
        """Return where the n-grams of this table occur in other documents.

        Args:
            ids, tasks, lengths: as in `of`.
        """
        walk, found = _Walk(ids, tasks), []
        for length in range(1, lengths[1] + 1):
            documents, places, keys = walk.step(self.size)
            nodes = self.position(keys)
            walk.arrive(documents, places, torch.where(nodes < 0, -1, nodes + self.tasks))
            if length >= lengths[0]:
                seen = nodes >= 0
                found.append((documents[seen], nodes[seen]))
        return _joined(found, ids)

    def position(self, keys: Tensor) -> Tensor:
        """Return the positions of keys in the table, or -1."""
        if not len(self.keys):
            return torch.full_like(keys, -1)
        at = torch.searchsorted(self.keys, keys).clamp_max(len(self.keys) - 1)
        return torch.where(self.keys[at] == keys, at, -1)

    def positions_in(self, other: NgramTable) -> Tensor:
        """Return the position of each n-gram in another table, of one task, or -1."""
        known = self.keys.new_full((self.tasks + len(self.keys),), -1)
        known[: self.tasks] = 0  # the only root of the other one
        parents, last = self.keys // self.size, self.keys % self.size
        for start, stop in pairwise((0, *self.ends)):  # parents come before their children
            before, ids = known[parents[start:stop]], last[start:stop]
            inside = (before >= 0) & (ids < other.size)
            at = other.position(torch.where(inside, before * other.size + ids, -1))
            known[self.tasks + start : self.tasks + stop] = torch.where(at < 0, -1, at + 1)
        return (known[self.tasks :] - 1).clamp_min(-1)


class _Walk:
    """The node that each place of each document has reached, from the root of its task."""

    def __init__(self, ids: Tensor, tasks: Tensor) -> None:
        self.ids, self.length = ids, 0
        self.nodes = tasks.unsqueeze(-1).expand(ids.shape).clone()

    def step(self, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the documents, places and keys of the n-grams that are one id longer."""
        steps = max(self.ids.shape[1] - self.length, 0)
        nodes, last = self.nodes[:, :steps], self.ids[:, self.length :]
        documents, places = ((nodes >= 0) & (last > 0) & (last < size)).nonzero(as_tuple=True)
        self.nodes = torch.full_like(nodes, -1)
        self.length += 1
        return documents, places, nodes[documents, places] * size + last[documents, places]

    def arrive(self, documents: Tensor, places: Tensor, nodes: Tensor) -> None:
        """Note the nodes of these n-grams; negative ones end there."""
        self.nodes[documents, places] = nodes


def _ranked(keys: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Return the distinct keys, sorted, and the position of each key among them."""
    if limit > min(_TABLE, 16 * len(keys) + 1024):
        return torch.unique(keys, return_inverse=True)
    used = torch.zeros(limit, dtype=torch.bool, device=keys.device)
    used[keys] = True
    return used.nonzero().squeeze(-1), (used.cumsum(0) - 1)[keys]


def _joined(parts: list[tuple[Tensor, Tensor]], like: Tensor) -> Occurrences:
    if not parts:
        return Occurrences(like.new_zeros(0), like.new_zeros(0))
    return Occurrences(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _check(size: int, nodes: int) -> None:
    if size * nodes > _MOST_KEYS:
        raise ArgumentError(
            f"TfIdfLearner: token ids must be small numbers, got {size - 1}; number the tokens "
            "with a vocabulary"
        )
