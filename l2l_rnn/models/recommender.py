"""The recommender: item embeddings, a recurrence over a user's ratings, ratings and rankings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.axes import align_tasks, readable_values
from l2l_rnn.checks import check_int, check_number, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional import token_lengths
from l2l_rnn.nn import CELLS, Embedding, Linear

_KNOWN = 2  # ids below are padding (0) and unknown items (1)
_WHO = "Recommender"


@configurable
class ItemEncoder(nn.Module):
    """Encode items as `v_i = (e_i, b_i, 1)`: an embedding, a bias and a constant.

    With these features, a linear head of a user is matrix factorization with biases: its weights
    are the user's factors, and that of the constant is the user's offset. So learners with a linear
    head, such as `algorithms.ALPaCA`, and memories take the encoder as their model.

    Args:
        items: number of ids, including 0 (padding) and 1 (unknown items), such as the `len` of a
            `data.Catalogue`.
        embedding_size: features of an embedding, `E`.

    Attributes:
        output_size: `E + 2`.

    Shapes:
        x `(…, B, 1)` int64 -> `(…, B, E + 2)`.

    Raises:
        ArgumentError: a size is not a positive integer, or an id is out of range.
        ShapeError: x does not end in an axis of size 1.

    Example:
        >>> ItemEncoder(items=10, embedding_size=4)(torch.tensor([[3], [1]]))[1]
        tensor([0., 0., 0., 0., 0., 1.], grad_fn=...)
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, items: int, embedding_size: int = 32) -> None:
        super().__init__()
        self.items = check_int("ItemEncoder", "items", items, least=_KNOWN + 1)
        size = check_int("ItemEncoder", "embedding_size", embedding_size)
        self.output_size = size + 2
        self.embedding, self.bias = Embedding(self.items, size), Embedding(self.items, 1)
        with torch.no_grad():
            nn.init.normal_(self.embedding.weight, std=size**-0.5)  # norms of about 1
            self.embedding.weight[:_KNOWN] = 0
            self.bias.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        check_tensor("ItemEncoder", "x", x)
        if x.dim() < 2 or x.shape[-1] != 1:
            raise ShapeError(
                f"ItemEncoder: x must be ids of items, (…, B, 1), got shape {tuple(x.shape)}; use "
                "x.unsqueeze(-1)"
            )
        ids = x.squeeze(-1)
        vectors, bias = self.embedding(ids), self.bias(ids)
        return torch.cat([vectors, bias, torch.ones_like(bias)], -1)


@configurable
class Recommender(nn.Module):
    """Predict ratings, and rank items, after reading a user's first ratings.

    `h_k = GRU(h_{k-1}, (v_i, r e_i, r))`, where `r` is the k-th rating less the mean and the item's
    bias, `rating = m + w (v_i, e_i * (U h), c h)`, and `score_j = (R h) e_j + p_j` for all items j.

    `read` returns the states `h_0 .. h_K`. Calling the model with items and a state predicts their
    ratings; without a state, it predicts those of a user of whom nothing is known. `scores` ranks
    the catalogue. The head `w` is the part to adapt to a user with `ANIL`, as in MeLU, and
    `ranking`, `R`, that to adapt for rankings.

    Args:
        items: number of ids, including 0 (padding) and 1 (unknown items), such as the `len` of a
            `data.Catalogue`.
        embedding_size: features of an item's embedding, `E`.
        hidden_size: hidden units of the recurrence, `H`.
        cell: name of the recurrent layer in `nn.CELLS`.
        scale: the lowest and the highest rating.

    Attributes:
        encoder: the `ItemEncoder`.
        head: the `Linear` layer from `features` to ratings.
        ranking: `R`.
        popularity: `p`, one number for each id.
        mean: `m`, a buffer: the middle of the scale, or the mean rating after `fit_baselines`.

    Shapes:
        forward: x `(…, B, 1)` int64, states `(…, B, H)` or `(…, 1, H)` -> `(…, B, 1)`.
        read: x and y `(…, K, 1)` -> `(…, K + 1, H)`.
        scores: states `(…, K, H)` -> `(…, K, items)`.

    Raises:
        ArgumentError: a size is not a positive integer, the scale is not two ascending numbers, or
            an id is out of range.
        UnknownNameError: the cell is unknown.
        ShapeError: x does not end in an axis of size 1, or y has another shape.

    Example:
        >>> model = Recommender(items=100, embedding_size=8, hidden_size=16)
        >>> x, y = torch.tensor([[5], [70], [3]]), torch.tensor([[4.0], [2.0], [5.0]])
        >>> states = model.read(x, y)
        >>> model(torch.tensor([[8], [9]]), states[-1:]).shape, model.scores(states[-1:]).shape
        (torch.Size([2, 1]), torch.Size([1, 100]))

    Source: B. Hidasi, A. Karatzoglou, L. Baltrunas and D. Tikk, 2016, Session-based Recommendations
    with Recurrent Neural Networks (GRU4Rec), here with ratings as inputs; H. Lee, J. Im, S. Jang,
    H. Cho and S. Chung, 2019, MeLU, for the adapted head, here linear and without attributes of
    users and items.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        items: int,
        embedding_size: int = 32,
        hidden_size: int = 64,
        *,
        cell: str = "gru",
        scale: Sequence[float] = (1.0, 5.0),
    ) -> None:
        super().__init__()
        self.encoder = ItemEncoder(items, embedding_size)
        self.hidden_size = check_int(_WHO, "hidden_size", hidden_size)
        if not isinstance(scale, Sequence) or len(scale) != 2:
            raise ArgumentError(
                f"{_WHO}: scale must be the lowest and the highest rating, got {scale!r}; pass "
                "two numbers, such as (1, 5)"
            )
        low = check_number(_WHO, "the lowest rating of scale", scale[0])
        high = check_number(_WHO, "the highest rating of scale", scale[1], above=low)
        self.unit = (high - low) / 4  # about a standard deviation of ratings
        size = embedding_size
        self.recurrence = CELLS[cell](2 * size + 3, self.hidden_size, batch_first=True)
        # Without biases, so that a blank state gives item means and popularity.
        self.user = Linear(self.hidden_size, size, bias=False)
        self.offset = Linear(self.hidden_size, 1, bias=False)
        self.head = Linear(2 * size + 3, 1)
        self.ranking = Linear(self.hidden_size, size, bias=False)
        self.popularity = nn.Parameter(torch.zeros(items))
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor((low + high) / 2))
        with torch.no_grad():  # rating = m + b_i + (U h) e_i + c h
            self.head.bias.zero_()
            self.head.weight.copy_(torch.tensor([0.0] * size + [1.0, 0.0] + [1.0] * (size + 1)))

    def fit_baselines(self, x: Tensor, y: Tensor, shrinkage: float = 10.0) -> None:
        """Set the mean rating, the biases of items and their popularity from training ratings.

        The bias of an item is the sum of its deviations from the mean, divided by its number of
        ratings plus `shrinkage`. Training then starts from item means and popularity.

        Args:
            x: ids of the items, such as `source.inputs`.
            y: their ratings, such as `source.targets`.
            shrinkage: how many ratings of average height each item gets besides its own.

        Shapes:
            x int64 and y of one shape.

        Raises:
            ShapeError: x and y differ in shape, or are empty.
            ArgumentError: `shrinkage` is negative.
        """
        who = f"{_WHO}.fit_baselines"
        shrinkage = check_number(who, "shrinkage", shrinkage, least=0)
        if x.shape != y.shape or not x.numel():
            raise ShapeError(
                f"{who}: x and y must have one shape and be of at least one rating, got "
                f"{tuple(x.shape)} and {tuple(y.shape)}; pass a rating for each item"
            )
        ids, ratings = x.flatten(), y.flatten().to(self.popularity)
        counts = torch.zeros_like(self.popularity).index_add(0, ids, torch.ones_like(ratings))
        mean = ratings.mean()
        deviations = torch.zeros_like(counts).index_add(0, ids, ratings - mean)
        with torch.no_grad():
            self.mean.copy_(mean)
            bias = deviations / (counts + shrinkage).clamp(min=1)
            self.encoder.bias.weight.copy_(bias.unsqueeze(-1))
            self.encoder.bias.weight[:_KNOWN] = 0
            self.popularity.copy_((counts + 1).log() - (counts.sum() + len(counts)).log())

    def read(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the states before and after each rating; the last one knows all of them.

        Args:
            x: ids of the items in the order of time; 0 at the end is padding, at which the state
                stays as it is.
            y: the ratings; those of padding are ignored.
        """
        vectors = self.encoder(x)
        if y.shape != x.shape:
            raise ShapeError(
                f"{_WHO}.read: y must have a rating for each item, {tuple(x.shape)}, got "
                f"{tuple(y.shape)}; pass ratings (…, K, 1)"
            )
        blank = vectors.new_zeros(*x.shape[:-2], 1, self.hidden_size)
        lengths = token_lengths(x.squeeze(-1))
        found = readable_values(lengths)
        if x.shape[-2] == 0 or (found is not None and not found.any()):
            return blank.expand(*x.shape[:-2], x.shape[-2] + 1, self.hidden_size)
        embedded, bias = vectors[..., :-2], vectors[..., -2:-1]
        above = torch.where(x == 0, 0.0, (y - self.mean - bias) / self.unit)
        steps = torch.cat([vectors, above * embedded, above], -1).unsqueeze(-3)  # (…, 1, K, F)
        ragged = found is None or bool((found < x.shape[-2]).any())
        outputs, _ = self.recurrence(steps, lengths=lengths.unsqueeze(-1) if ragged else None)
        states = torch.cat([blank, outputs.squeeze(-3)], -2)
        if not ragged:
            return states
        last = torch.arange(x.shape[-2] + 1, device=x.device).minimum(lengths.unsqueeze(-1))
        return states.gather(-2, last.unsqueeze(-1).expand(states.shape))

    def features(self, x: Tensor, states: Tensor | None = None) -> Tensor:
        """Return what the head weighs: `(v_i, e_i * (U h), c h)`, `(…, B, 2 E + 3)`."""
        vectors = self.encoder(x)
        if states is None:
            states = vectors.new_zeros(*vectors.shape[:-2], 1, self.hidden_size)
        if states.shape[-1] != self.hidden_size or states.shape[-2] not in (1, x.shape[-2]):
            raise ShapeError(
                f"{_WHO}: states must have one state, or one for each of {x.shape[-2]} items, of "
                f"H={self.hidden_size} features, got shape {tuple(states.shape)}; pass those of "
                "read(), such as states[..., -1:, :]"
            )
        matched = vectors[..., :-2] * self.user(states)
        offset = self.offset(states).expand(*matched.shape[:-1], 1)
        return torch.cat([vectors, matched, offset], -1)

    def forward(self, x: Tensor, states: Tensor | None = None) -> Tensor:
        return self.mean + self.head(self.features(x, states))

    def scores(self, states: Tensor) -> Tensor:
        """Return the scores of all ids for the next item; those of ids 0 and 1 are -inf.

        With `functional.cross_entropy`, they are the logits of the next item.
        """
        queries = self.ranking(states)
        table = self.encoder.embedding.weight.mT
        scores = queries @ align_tasks(table, 2, queries)
        scores = scores + align_tasks(self.popularity, 1, scores)
        known = torch.arange(scores.shape[-1], device=scores.device) >= _KNOWN
        return scores.masked_fill(~known, -torch.inf)
