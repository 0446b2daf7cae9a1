"""TF-IDF weights of n-grams of token ids, and the scalar products of documents."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.algorithms.stacking.ngrams import NgramTable, Occurrences


@dataclass(frozen=True)
class Weighting:
    """How n-grams are counted.

    Attributes:
        ngrams: the shortest and the longest n-gram.
        sublinear_tf: whether `1 + log tf` takes the place of the term frequency `tf`.
    """

    ngrams: tuple[int, int]
    sublinear_tf: bool = False


class Background(NamedTuple):
    """In how many documents of other classes each n-gram occurs.

    Attributes:
        table: the n-grams, of one task.
        frequencies: the number of documents with each n-gram.
        documents: the number of documents.
    """

    table: NgramTable
    frequencies: Tensor
    documents: int

    @classmethod
    def of(cls, ids: Tensor, weighting: Weighting, least: int) -> Background:
        """Count n-grams in documents `(D, S)`; those in fewer than `least` are left out."""
        none = ids.new_zeros(len(ids))
        table, where = NgramTable.of(ids, none, 1, (1, weighting.ngrams[1]), least)
        _, nodes, _ = _counts(where, len(table))
        return cls(table, nodes.bincount(minlength=len(table)), len(ids))


class Rows(NamedTuple):
    """Sparse rows: a value for each pair of a document and an n-gram, sorted."""

    document: Tensor
    node: Tensor
    value: Tensor

    def of(self, nodes: Tensor) -> Rows:
        """Return the part with some n-grams, given by a bool for each."""
        kept = nodes[self.node]
        return Rows(*(part[kept] for part in self))

    def sparse(self, documents: int, nodes: int) -> Tensor:
        """Return a sparse tensor `(documents, nodes)`."""
        indices = torch.stack([self.document, self.node])
        return torch.sparse_coo_tensor(
            indices, self.value, (documents, nodes), is_coalesced=True, check_invariants=False
        )


class TfIdf:
    """The TF-IDF vectors of support sets of N tasks, kept as sparse rows.

    Those of scikit-learn's `TfidfVectorizer`: smooth inverse document frequencies
    `log((1 + n) / (1 + df)) + 1`, and rows of unit length.

    Args:
        ids: token ids, padded with 0.
        rows: which rows are documents, and no padding.
        weighting: how n-grams are counted.
        background: documents that count in `n` and `df` too; None for the support set alone.

    Shapes:
        ids `(N, B, S)`, rows `(N, B)` bool.
    """

    def __init__(
        self, ids: Tensor, rows: Tensor, weighting: Weighting, background: Background | None = None
    ) -> None:
        self.weighting, self.shape = weighting, rows.shape
        flat, tasks = _documents(ids * rows.unsqueeze(-1))
        self.table, where = NgramTable.of(flat, tasks, len(ids), weighting.ngrams)
        counts = _counts(where, len(self.table))
        frequency = counts[1].bincount(minlength=len(self.table)).double()
        # Every n-gram belongs to one task, that of any document with it.
        task = ids.new_zeros(len(self.table)).index_put_((counts[1],), tasks[counts[0]])
        total = rows.sum(-1).double()[task]
        if background is not None:
            at = self.table.positions_in(background.table)
            known = torch.where(at < 0, 0, background.frequencies[at.clamp_min(0)])
            frequency, total = frequency + known, total + background.documents
        self.idf = ((1 + total) / (1 + frequency)).log() + 1
        self.vectors = self._weighted(counts, rows.numel())

    def products(self) -> Tensor:
        """Return the scalar products within the support sets, `(N, B, B)`."""
        shared = self.vectors.node.bincount(minlength=max(len(self.table), 1)) > 1
        blocks = self._blocks(self.vectors.of(shared), shared, self.shape[1])
        square = blocks.new_zeros(blocks.shape[0] * blocks.shape[1])
        square.index_add_(0, self.vectors.document, self.vectors.value.square())
        blocks.diagonal(dim1=-2, dim2=-1).copy_(square.unflatten(0, self.shape))
        return blocks

    def products_with(self, ids: Tensor) -> Tensor:
        """Return the scalar products with other documents: ids `(N, Q, S)` -> `(N, Q, B)`.

        N-grams that do not occur in the support set are ignored.
        """
        where = self.table.find(*_documents(ids), self.weighting.ngrams)
        counts = _counts(where, len(self.table))
        queries = self._weighted(counts, ids.shape[0] * ids.shape[1])
        shared = torch.zeros(max(len(self.table), 1), dtype=torch.bool, device=ids.device)
        shared[queries.node] = True
        return self._blocks(queries, shared, ids.shape[1])

    def _weighted(self, counts: tuple[Tensor, Tensor, Tensor], documents: int) -> Rows:
        """Return unit rows of counts."""
        document, node, count = counts
        value = count.double()
        value = (1 + value.log() if self.weighting.sublinear_tf else value) * self.idf[node]
        norm = value.new_zeros(documents).index_add_(0, document, value.square()).sqrt()
        return Rows(document, node, value / norm[document])

    def _blocks(self, queries: Rows, shared: Tensor, each: int) -> Tensor:
        """Return products of rows with the support vectors of their task, `(N, Q, B)`.

        Args:
            queries: the rows.
            shared: the n-grams that matter; all others are left out of the support vectors.
            each: Q, the number of rows of a task.
        """
        tasks, rows = self.shape
        _warn_once()
        support = self.vectors.of(shared)
        products = torch.sparse.mm(
            queries.sparse(tasks * each, len(shared)),
            support.sparse(tasks * rows, len(shared)).t(),
        ).coalesce()
        (query, place), values = products.indices(), products.values()
        blocks = values.new_zeros(tasks * each, rows)
        blocks[query, place % max(rows, 1)] = values
        return blocks.unflatten(0, (tasks, each))


@functools.cache
def _warn_once() -> None:
    """Hide torch's warning, once per process, that its sparse matrices are a beta feature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = torch.eye(1, dtype=torch.float64).to_sparse()
        torch.sparse.mm(one, one)


def _documents(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the documents of all tasks, and their tasks: `(N, B, S)` -> `(N B, S)`, `(N B,)`."""
    tasks = torch.arange(len(ids), device=ids.device)
    return ids.flatten(0, 1), tasks.repeat_interleave(ids.shape[1])


def _counts(where: Occurrences, nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return each pair of a document and one of its n-grams, sorted, and how often it occurs."""
    nodes = max(nodes, 1)
    pairs, counts = torch.unique(where.documents * nodes + where.nodes, return_counts=True)
    return pairs // nodes, pairs % nodes, counts
