"""Attention over the words of texts from their statistics alone."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.nn import LSTM, Linear
from l2l_rnn.nn.torch_layers import run_ragged


@configurable
class WordAttention(nn.Module):
    """Weights of the words of a text, computed by a bidirectional LSTM from their statistics.

    `a = softmax_s(v · h_s)`, where `h` are the outputs of the LSTM. It does not see which words
    they are, so it applies to words and classes that it was not trained on.

    Args:
        hidden_size: `H`, hidden units of each direction.
        dropout: probability of zeroing, in training, the elements of `h`.
        statistics: `F`, statistics of a word.

    Shapes:
        forward: statistics `(…, B, S, F)`, known `(…, B, S)` bool, lengths `(…, B)` of at least 1
        -> `(…, B, S)`. A word that is not known has the weight 0; the others of a text sum to 1.

    Example:
        >>> known = torch.tensor([[True, False, True], [False, False, False]])
        >>> weights = WordAttention()(torch.rand(2, 3, 2), known, torch.tensor([3, 1]))
        >>> weights[0, 1].item(), round(weights[0].sum().item(), 4), weights[1].sum().item()
        (0.0, 1.0, 0.0)

    Source: Y. Bao et al., 2020, Few-shot Text Classification with Distributional Signatures, 4.1.
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, hidden_size: int = 25, dropout: float = 0.1, statistics: int = 2) -> None:
        super().__init__()
        who = "WordAttention"
        hidden_size = check_int(who, "hidden_size", hidden_size)
        statistics = check_int(who, "statistics", statistics)
        self.recurrence = LSTM(statistics, hidden_size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(check_number(who, "dropout", dropout, least=0, below=1))
        self.score = Linear(2 * hidden_size, 1, bias=False)

    def forward(self, statistics: Tensor, known: Tensor, lengths: Tensor) -> Tensor:
        outputs = run_ragged(self.recurrence, statistics, lengths)
        scores = self.score(self.dropout(outputs)).squeeze(-1)
        # Finite, so that a text without known words has the weights 0 and not NaN.
        scores = scores.masked_fill(~known, torch.finfo(scores.dtype).min)
        return scores.softmax(-1) * known
