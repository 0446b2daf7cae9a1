"""Encoder of a support set of sequence pairs, one row for each target token."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.axes import readable_values
from l2l_rnn.functional import step_mask, token_lengths
from l2l_rnn.models.seq2seq.attention import padding_bias
from l2l_rnn.models.seq2seq.multi_head import MultiHeadAttention
from l2l_rnn.nn import CELLS, LayerNorm, Linear


class PairMemory(NamedTuple):
    """An encoded support set with M rows, one for each target token of each pair.

    Attributes:
        keys: what leads to a token: the source, and the target up to the token, `(…, M, H)`.
        values: what the token is, and which part of the source it translates, `(…, M, H)`.
        tokens: the target tokens, `(…, M)`.
        valid: False where a row is padding, `(…, M)`.
    """

    keys: Tensor
    values: Tensor
    tokens: Tensor
    valid: Tensor


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
    layer lets every target token attend to the tokens of all *other* pairs, whose values include
    the summaries of their sources, and runs another recurrence. What sources have in common that
    belong to similar pieces of targets tells which part of a source a piece translates.

    The pairs are a set: nothing depends on their order.

    Args:
        size: `H`, features of all states.
        cell: name of the recurrent layer in `nn.CELLS`.
        heads: heads of the attention.
        num_layers: number of layers with attention.
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, size: int, cell: str, heads: int, num_layers: int) -> None:
        super().__init__()

        def recurrence() -> nn.Module:
            return CELLS[cell](size, size // 2, batch_first=True, bidirectional=True)

        self.source = Linear(size, size)
        self.first = recurrence()
        self.attentions = nn.ModuleList(
            [MultiHeadAttention(size, heads, value_size=2 * size) for _ in range(num_layers)]
        )
        self.norms = nn.ModuleList([LayerNorm(size) for _ in range(2 * num_layers)])
        self.recurrences = nn.ModuleList([recurrence() for _ in range(num_layers)])
        self.norm = LayerNorm(size)
        self.key = Linear(2 * size, size)

    def forward(
        self, summaries: Tensor, embedded: Tensor, targets: Tensor, mask: Tensor | None
    ) -> PairMemory:
        """Encode the pairs.

        Shapes:
            summaries `(…, K, H)`, embedded targets `(…, K, T, H)`, targets `(…, K, T)`, mask
            `(…, K)` -> M = K T rows.
        """
        steps = targets.shape[-1]
        lengths = token_lengths(targets)
        inside = step_mask(lengths, steps)
        if mask is not None:
            inside = inside & mask.unsqueeze(-1)
        lengths = lengths.clamp_min(1)
        rows = Rows(inside)
        states = embedded + self.source(summaries).unsqueeze(-2)
        states = states + self.first(states, lengths=lengths)[0]
        pair = rows.index // steps
        others = (pair.unsqueeze(-1) != pair.unsqueeze(-2)) & rows.valid.unsqueeze(-2)
        bias = padding_bias(others, states.dtype)  # (…, M, M)
        summary = rows.pack(summaries.unsqueeze(-2).expand(*states.shape))  # (…, M, H)
        layers = zip(
            self.attentions, self.recurrences, self.norms[::2], self.norms[1::2], strict=True
        )
        for attention, recurrence, norm, other in layers:
            packed = rows.pack(norm(states))
            found = attention(packed, packed, torch.cat([packed, summary], -1), bias)
            states = states + rows.unpack(found)
            states = states + recurrence(other(states), lengths=lengths)[0]
        states = self.norm(states)
        before = F.pad(states[..., :-1, :], (0, 0, 1, 0))
        keys = self.key(torch.cat([before, states], -1))
        tokens = rows.pack(targets.unsqueeze(-1)).squeeze(-1)
        return PairMemory(rows.pack(keys), rows.pack(states), tokens, rows.valid)


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
        most = flat.shape[-1] if values is None else int(values.max())
        order = (~flat).to(torch.uint8).argsort(dim=-1, stable=True)
        self.index = order[..., :most]
        self.valid = torch.arange(most, device=flat.device) < counts
        self.inverse = order.argsort(dim=-1).clamp_max(max(most - 1, 0))

    def pack(self, x: Tensor) -> Tensor:
        """Return the rows of x: `(…, K, T, F)` -> `(…, M, F)`."""
        flat = x.flatten(-3, -2)
        return flat.gather(-2, self.index.unsqueeze(-1).expand(*self.index.shape, x.shape[-1]))

    def unpack(self, rows: Tensor) -> Tensor:
        """Put rows back; padding gets arbitrary rows: `(…, M, F)` -> `(…, K, T, F)`."""
        index = self.inverse.unsqueeze(-1).expand(*self.inverse.shape, rows.shape[-1])
        return rows.gather(-2, index).unflatten(-2, self.shape)
