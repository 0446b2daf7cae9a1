"""Attention of a decoder to the states of its source."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.nn import Linear

SCORES = ("dot", "additive")


class SourceAttention(nn.Module):
    """Weights of the steps of a source, `a = softmax_s score(h, k_s)`.

    The score is `h · k_s` (`"dot"`) or `v · tanh(W h + k_s)` (`"additive"`), with the keys
    `k_s = W_k e_s` of the encoder's states. With coverage, `k_s` also gets `w_c c_s`, where `c_s`
    is the sum of the weights of step s so far, so that the decoder can tell which steps it has
    translated.

    Args:
        source_size: features of the encoder's states.
        size: `H`, features of the decoder's state.
        score: `"dot"` or `"additive"`.
        coverage: whether the keys depend on earlier weights.

    Raises:
        ArgumentError: a size is not a positive integer.
        UnknownNameError: the score is unknown.

    Example:
        >>> attention = SourceAttention(6, 4)
        >>> keys = attention.keys(torch.zeros(2, 5, 6))
        >>> attention(torch.zeros(2, 4), keys, padding_bias(torch.ones(2, 5, dtype=torch.bool)))[0]
        tensor([0.2000, 0.2000, 0.2000, 0.2000, 0.2000], grad_fn=...)

    Source: M. Luong et al., 2015, Effective Approaches to Attention-based Neural Machine
    Translation, eq. 8 (their "general" score); D. Bahdanau et al., 2015, Neural Machine Translation
    by Jointly Learning to Align and Translate, section 3.1 and appendix A.1.2; coverage after A.
    See et al., 2017, Get To The Point, eq. 10-11.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self, source_size: int, size: int, score: str = "dot", coverage: bool = False
    ) -> None:
        super().__init__()
        who = "SourceAttention"
        source_size = check_int(who, "source_size", source_size)
        size = check_int(who, "size", size)
        check_choice(who, "attention", score, SCORES)
        self.key = Linear(source_size, size, bias=score == "additive")
        self.query = self.score = self.cover = None
        if score == "additive":
            self.query, self.score = Linear(size, size, bias=False), Linear(size, 1, bias=False)
        if coverage:
            self.cover = Linear(1, size, bias=False)

    def keys(self, states: Tensor) -> Tensor:
        """Compute the keys of the encoder's states, `(…, B, S, F)` -> `(…, B, S, H)`."""
        keys: Tensor = self.key(states)
        return keys

    def forward(
        self, h: Tensor, keys: Tensor, bias: Tensor, coverage: Tensor | None = None
    ) -> Tensor:
        """Compute the weights.

        Args:
            h: the decoder's state.
            keys: the keys of the source.
            bias: see `padding_bias`.
            coverage: the sum of earlier weights; needed only with coverage.

        Shapes:
            h `(…, B, H)`, keys `(…, B, S, H)`, bias and coverage `(…, B, S)` -> `(…, B, S)`.
        """
        if self.cover is not None and coverage is not None:
            keys = keys + self.cover(coverage.unsqueeze(-1))
        if self.query is not None and self.score is not None:
            scores = self.score((self.query(h).unsqueeze(-2) + keys).tanh()).squeeze(-1)
        else:
            scores = (keys @ h.unsqueeze(-1)).squeeze(-1)
        return (scores + bias).softmax(-1)


def padding_bias(valid: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return what to add to attention scores: 0 where a row is valid, and -inf where it is not.

    Shapes:
        valid `(…)` bool -> `(…)`.

    Example:
        >>> padding_bias(torch.tensor([True, False]))
        tensor([0., -inf])
    """
    zeros = torch.zeros(valid.shape, dtype=dtype, device=valid.device)
    return zeros.masked_fill(~valid, -torch.inf)
