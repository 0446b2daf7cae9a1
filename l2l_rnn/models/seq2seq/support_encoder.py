"""Encoder of a support set of sequence pairs, one row for each target token."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.axes import readable_values
from l2l_rnn.functional import step_mask, token_lengths
from l2l_rnn.models.seq2seq.attention import padding_bias
from l2l_rnn.models.seq2seq.matches import (
    common,
    equal_tokens,
    last_tokens,
    shared_places,
    windows,
)
from l2l_rnn.models.seq2seq.relational_attention import RelationalAttention, Relations
from l2l_rnn.nn import CELLS, LayerNorm, Linear


class PairMemory(NamedTuple):
    """An encoded support set of K pairs with M rows, one for each target token.

    Attributes:
        keys: what leads to a token: the source, and the target up to the token, `(…, M, H)`.
        values: what the token is, and which part of the source it translates, `(…, M, H)`.
        tokens: the target tokens, `(…, M)`.
        before: the tokens before each, the nearest first, `(…, M, context)`.
        valid: False where a row is padding, `(…, M)`.
        pair: the pair of each row, `(…, M)`.
        ends: the last tokens of each source, the last one first, `(…, K, places)`.
    """

    keys: Tensor
    values: Tensor
    tokens: Tensor
    before: Tensor
    valid: Tensor
    pair: Tensor
    ends: Tensor

    def relations(self, before: Tensor, ends: Tensor) -> Relations:
        """Compare steps of queries with the rows.

        Args:
            before: the tokens before each step, the nearest first.
            ends: the last tokens of each source.

        Shapes:
            before `(…, B, T, context)`, ends `(…, B, places)` -> relations of B T queries: to a
            row, the length of the common context and the shared places of the sources; to a pair,
            the shared places, and which tokens at the end of the sources are equal.
        """
        steps, dtype = before.shape[-2], self.values.dtype
        places = shared_places(ends, self.ends).repeat_interleave(steps, -2)
        equal = equal_tokens(ends, self.ends, dtype).repeat_interleave(steps, -3)
        lengths = common(before.flatten(-3, -2), self.before)
        kinds = lengths * 2 ** ends.shape[-1] + _of_rows(places, self.pair)
        return Relations(kinds.long(), places, equal, self.pair, _members(self))


class SourceEncoder(nn.Module):
    """Bidirectional recurrent encoder that returns all states and a summary of each source.

    Shapes:
        embedded tokens `(…, B, S, E)`, lengths `(…, B)` -> `(…, B, S, H)`, `(…, B, H)`.
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, input_size: int, size: int, cell: str) -> None:
        super().__init__()
        self.recurrence = CELLS[cell](input_size, size // 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        states, final = self.recurrence(x, lengths=lengths)
        final = final if isinstance(final, Tensor) else final[0]  # (…, 2, B, H / 2)
        return states, final.movedim(-3, -2).flatten(-2)


class SupportEncoder(nn.Module):
    """Encode pairs of source and target, with attention between the pairs.

    A bidirectional recurrence reads each target together with the summary of its source. Then each
    layer lets every target token attend to the tokens of all *other* pairs, and runs another
    recurrence. Attention depends on how many tokens before and after two tokens agree, and at which
    places their sources agree. What the sources have in common whose targets share a piece tells
    which part of the source the piece translates. Only which tokens are equal counts there, so this
    holds for words and letters that were never seen in training.

    The pairs are a set: nothing depends on their order.

    Args:
        size: `H`, features of all states.
        cell: name of the recurrent layer in `nn.CELLS`.
        heads: heads of the attention.
        num_layers: number of layers with attention.
        context: most tokens before, and most tokens from a token on, that are compared.
        places: number of last source tokens that are compared.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self, size: int, cell: str, heads: int, num_layers: int, context: int, places: int
    ) -> None:
        super().__init__()
        self.context, self.places = context, places

        def recurrence() -> nn.Module:
            return CELLS[cell](size, size // 2, batch_first=True, bidirectional=True)

        self.source = Linear(size, size)
        self.first = recurrence()
        kinds = (context + 1) ** 2 * 2**places
        self.attentions = nn.ModuleList(
            [
                RelationalAttention(size, heads, kinds, 2**places, places**2)
                for _ in range(num_layers)
            ]
        )
        self.norms = nn.ModuleList([LayerNorm(size) for _ in range(2 * num_layers)])
        self.recurrences = nn.ModuleList([recurrence() for _ in range(num_layers)])
        self.norm = LayerNorm(size)
        self.key = Linear(2 * size, size)

    def forward(
        self,
        source: Tensor,
        summaries: Tensor,
        target: Tensor,
        embedded: Tensor,
        mask: Tensor | None,
    ) -> PairMemory:
        """Encode the pairs.

        Args:
            source, target: token ids.
            summaries: the summaries of the sources.
            embedded: the vectors of the target tokens.
            mask: False where a pair is padding; None if there is none.

        Shapes:
            source `(…, K, S)`, summaries `(…, K, H)`, target `(…, K, T)`, embedded
            `(…, K, T, H)`, mask `(…, K)` -> M rows, as many as the targets have tokens.
        """
        lengths, steps = token_lengths(target), target.shape[-1]
        inside = step_mask(lengths, steps)
        if mask is not None:
            inside = inside & mask.unsqueeze(-1)
            # Sources of padding may be anything, and must not look like others.
            source = source.where(mask.unsqueeze(-1), 0)
        rows, lengths = Rows(inside), lengths.clamp_min(1)
        pair = rows.index // steps
        tokens = target.unsqueeze(-1)
        memory = PairMemory(
            keys=summaries,
            values=summaries,
            tokens=rows.pack(tokens).squeeze(-1),
            before=rows.pack(windows(target, self.context)),
            valid=rows.valid,
            pair=pair,
            ends=last_tokens(source, self.places),
        )
        relations = self._relations(memory, target, rows)
        others = (pair.unsqueeze(-1) != pair.unsqueeze(-2)) & rows.valid.unsqueeze(-2)
        bias = padding_bias(others, embedded.dtype)  # (…, M, M)
        states = embedded + self.source(summaries).unsqueeze(-2)
        states = states + self.first(states, lengths=lengths)[0]
        layers = zip(
            self.attentions, self.recurrences, self.norms[::2], self.norms[1::2], strict=True
        )
        for attention, recurrence, norm, other in layers:
            packed = rows.pack(norm(states))
            states = states + rows.unpack(attention(packed, packed, packed, bias, relations))
            states = states + recurrence(other(states), lengths=lengths)[0]
        states = self.norm(states)
        earlier = F.pad(states[..., :-1, :], (0, 0, 1, 0))
        keys = self.key(torch.cat([earlier, states], -1))
        return memory._replace(keys=rows.pack(keys), values=rows.pack(states))

    def _relations(self, memory: PairMemory, target: Tensor, rows: Rows) -> Relations:
        """Compare the rows with each other, by what comes before and after a token."""
        tokens, count = target.unsqueeze(-1), max(self.context - 1, 0)
        wide = [
            torch.cat([tokens, windows(target, count, after=after)], -1)[..., : self.context]
            for after in (False, True)
        ]
        before, after = (common(part, part) for part in map(rows.pack, wide))
        places = _of_queries(shared_places(memory.ends, memory.ends), memory.pair)  # (…, M, K)
        equal = equal_tokens(memory.ends, memory.ends, memory.values.dtype)
        equal = _of_queries(equal.flatten(-2), memory.pair).unflatten(-1, equal.shape[-2:])
        kinds = (before * (self.context + 1) + after) * 2**self.places
        kinds = kinds + _of_rows(places, memory.pair)
        return Relations(kinds.int(), places, equal, memory.pair, _members(memory))


class Rows:
    """The tokens of all targets as rows, without most of the padding.

    Args:
        inside: True at tokens, `(…, K, T)`.

    Attributes:
        index: the position of each row in `K T`, `(…, M)`.
        valid: False where a row is padding, `(…, M)`.
    """

    def __init__(self, inside: Tensor) -> None:
        self.shape = inside.shape[-2:]
        flat = inside.flatten(-2)
        counts = flat.sum(-1, keepdim=True)
        values = readable_values(counts)
        most = flat.shape[-1] if values is None else max(1, int(values.max()))
        order = (~flat).to(torch.uint8).argsort(dim=-1, stable=True)
        self.index = order[..., :most]
        self.valid = torch.arange(most, device=flat.device) < counts
        self.inverse = order.argsort(dim=-1).clamp_max(most - 1)

    def pack(self, x: Tensor) -> Tensor:
        """Return the rows of x: `(…, K, T, F)` -> `(…, M, F)`."""
        flat = x.flatten(-3, -2)
        return flat.gather(-2, self.index.unsqueeze(-1).expand(*self.index.shape, x.shape[-1]))

    def unpack(self, rows: Tensor) -> Tensor:
        """Put rows back; padding gets arbitrary rows: `(…, M, F)` -> `(…, K, T, F)`."""
        index = self.inverse.unsqueeze(-1).expand(*self.inverse.shape, rows.shape[-1])
        return rows.gather(-2, index).unflatten(-2, self.shape)


def _of_queries(values: Tensor, pair: Tensor) -> Tensor:
    """Return the values of the pair of each row: `(…, K, F)`, `(…, M)` -> `(…, M, F)`."""
    return values.gather(-2, pair.unsqueeze(-1).expand(*pair.shape, values.shape[-1]))


def _of_rows(places: Tensor, pair: Tensor) -> Tensor:
    """Return the relation to the pair of each row: `(…, Q, K)`, `(…, M)` -> `(…, Q, M)`."""
    small = places.to(torch.int16)
    return small.gather(-1, pair.unsqueeze(-2).expand(*places.shape[:-1], pair.shape[-1]))


def _members(memory: PairMemory) -> Tensor:
    """Return which rows are in which pair, `(…, M, K)`."""
    members = F.one_hot(memory.pair, memory.ends.shape[-2]).to(memory.values.dtype)
    return members * memory.valid.unsqueeze(-1)
