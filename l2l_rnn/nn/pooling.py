"""Pooling over the valid steps of ragged sequences: from `(…, B, S, H)` to `(…, B, H)`.

Each layer takes the outputs of all steps and the lengths of the sequences, and reads only the first
`length` steps of a sequence. Shapes: outputs `(…, B, S, H)`, lengths `(…, B)` of at least 1 ->
`(…, B, H)`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.configuration import configurable
from l2l_rnn.functional import step_mask
from l2l_rnn.nn.affine import Linear


@configurable
class LastStep(nn.Module):
    """Last output of each direction: at step `length - 1` forward, at step 0 backward.

    Args:
        size: `H`, features of an output step, all directions together.
        bidirectional: whether the second half of the features is from the backward direction.

    Example:
        >>> LastStep(1)(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([2]))
        tensor([[2.]])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.size = size
        self.bidirectional = bidirectional

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        last = (lengths - 1).clamp_min(0)[..., None, None].expand(*lengths.shape, 1, self.size)
        final = outputs.gather(-2, last).squeeze(-2)
        if not self.bidirectional:
            return final
        half = self.size // 2
        return torch.cat([final[..., :half], outputs[..., 0, half:]], -1)


@configurable
class MeanPooling(nn.Module):
    """Mean over the valid steps. `size` and `bidirectional` are ignored.

    Example:
        >>> MeanPooling(1)(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([2]))
        tensor([[1.5000]])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, size: int, bidirectional: bool = False) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        inside = step_mask(lengths, outputs.shape[-2]).unsqueeze(-1)
        total = outputs.masked_fill(~inside, 0).sum(-2)
        return total / lengths.clamp_min(1).unsqueeze(-1)


@configurable
class MaxPooling(nn.Module):
    """Maximum of each feature over the valid steps. `size` and `bidirectional` are ignored.

    Example:
        >>> MaxPooling(1)(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([2]))
        tensor([[2.]])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, size: int, bidirectional: bool = False) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        inside = step_mask(lengths, outputs.shape[-2]).unsqueeze(-1)
        return outputs.masked_fill(~inside, -torch.inf).amax(-2)


@configurable
class AttentionPooling(nn.Module):
    """Mean over the valid steps with learned weights `a = softmax_s(v · tanh(W y_s))`.

    `W` and `v` are `key` and `query`.

    Args:
        size: `H`, features of an output step and units of the hidden layer.
        bidirectional: ignored.

    Example:
        >>> AttentionPooling(2)(torch.ones(3, 5, 2), torch.tensor([1, 5, 3])).shape
        torch.Size([3, 2])

    Source: Z. Yang et al., 2016, Hierarchical Attention Networks for Document
    Classification, eq. 5-7.
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.key = Linear(size, size)
        self.query = Linear(size, 1, bias=False)

    def forward(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        return (self.weights(outputs, lengths).unsqueeze(-1) * outputs).sum(-2)

    def weights(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Compute the weight of each step, `(…, B, S)`, which is 0 past the length."""
        scores = self.query(torch.tanh(self.key(outputs))).squeeze(-1)
        inside = step_mask(lengths, outputs.shape[-2])
        return scores.masked_fill(~inside, -torch.inf).softmax(-1)
