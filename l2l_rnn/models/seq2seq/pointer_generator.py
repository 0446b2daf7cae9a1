"""Output layer that generates tokens, and copies them from a memory and from the source."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.models.seq2seq.relational_attention import Relations, zero_linear
from l2l_rnn.models.seq2seq.support_encoder import PairMemory
from l2l_rnn.nn import Linear

LOG_TINY = -1e4  # a score instead of -inf, where all scores may be masked


class EncodedSource(NamedTuple):
    """An encoded source.

    Attributes:
        states: the states of its steps, `(…, B, S, H)`.
        summary: the last states of both directions, `(…, B, H)`.
        bias: 0 at tokens and very negative at padding, `(…, B, S)`.
        copies: the target ids of the tokens that can be copied, else 0, `(…, B, S)`.
        ends: its last tokens, the last one first, `(…, B, places)`.
    """

    states: Tensor
    summary: Tensor
    bias: Tensor
    copies: Tensor
    ends: Tensor


class PointerGenerator(nn.Module):
    """Mix what is generated, copied from the memory, and copied from the source.

    `p = g_1 softmax(W h) + g_2 sum_m a_m onehot(token_m) + g_3 sum_s c_s onehot(token_s)`, with
    gates `g` and weights `a` and `c` that are computed from h. A gate is closed where there is
    nothing to copy.

    Args:
        size: `H`, features of h.
        vocab_size: `V`, number of target ids.
        lengths, places: numbers of lengths of a common context and of sets of shared places.
        features: number of further features of the relation of a source to that of a pair.
        from_source: whether tokens of the source can be copied.

    Source: A. See et al., 2017, Get To The Point: Summarization with Pointer-Generator Networks.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        size: int,
        vocab_size: int,
        lengths: int,
        places: int,
        features: int,
        from_source: bool,
    ) -> None:
        super().__init__()
        self.generator = Linear(size, vocab_size)
        self.gate = Linear(size, 2 + from_source)
        self.pointer = Linear(size, size)
        self.biases = Linear(size, lengths * places)
        nn.init.zeros_(self.biases.weight)
        with torch.no_grad():  # initially, longer contexts weigh more
            self.biases.bias.copy_(torch.arange(float(lengths)).repeat_interleave(places))
        self.feature_weights = zero_linear(size, features) if features else None
        self.source_pointer = Linear(size, size) if from_source else None

    def forward(
        self,
        x: Tensor,
        source: EncodedSource,
        memory: PairMemory,
        bias: Tensor,
        relations: Relations,
    ) -> Tensor:
        """Compute log-probabilities.

        Args:
            x: `h`, the decoder's states.
            source: the sources.
            memory: the pairs.
            bias: 0 at rows of the memory and -inf at padding.
            relations: relations of the steps to the rows, see `PairMemory.relations`.

        Shapes:
            x `(…, B, T, H)`, bias `(…, 1, M)`, relations of B T queries -> `(…, B, T, V)`.
        """
        scale = math.sqrt(x.shape[-1])
        shares = self._shares(x, source, memory)
        p = shares[..., :1] * self.generator(x).softmax(-1)
        rows = x.flatten(-3, -2)
        scores = (self.pointer(rows) / scale) @ memory.keys.mT
        scores = scores + self.biases(rows).gather(-1, relations.kinds) + bias.clamp_min(LOG_TINY)
        if self.feature_weights is not None:
            weights = self.feature_weights(rows).unsqueeze(-2)  # of one head
            scores = scores + relations.biases(weights).squeeze(-3)
        copied = _by_token(scores.softmax(-1), memory.tokens, p)
        p = p + shares[..., 1:2] * copied.unflatten(-2, x.shape[-3:-1])
        if self.source_pointer is not None:
            scores = (self.source_pointer(x) / scale) @ source.states.mT
            scores = scores.masked_fill((source.copies == 0).unsqueeze(-2), LOG_TINY)
            p = p + shares[..., 2:] * _by_token(scores.softmax(-1), source.copies, p)
        return p.clamp_min(torch.finfo(p.dtype).tiny).log()

    def _shares(self, x: Tensor, source: EncodedSource, memory: PairMemory) -> Tensor:
        """Compute the gates, `(…, B, T, 2 or 3)`."""
        gates = self.gate(x)
        closed = [torch.zeros_like(gates[..., :1], dtype=torch.bool)]
        closed.append((~memory.valid.any(-1))[..., None, None, None].expand(closed[0].shape))
        if self.source_pointer is not None:
            closed.append((source.copies == 0).all(-1)[..., None, None].expand(closed[0].shape))
        return gates.masked_fill(torch.cat(closed, -1), -torch.inf).softmax(-1)


def _by_token(weights: Tensor, tokens: Tensor, like: Tensor) -> Tensor:
    """Sum the weights of equal tokens: `(…, Q, M)`, `(…, M)` -> `(…, Q, V)`, V as in `like`."""
    zeros = weights.new_zeros(*weights.shape[:-1], like.shape[-1])
    return zeros.scatter_add(-1, tokens.unsqueeze(-2).expand(weights.shape), weights)
