"""Networks that read a whole episode as one sequence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.sizes import matching_size
from l2l_rnn.memory import MANN, NTM, DeltaFastWeights, HebbianRNN, MemoryLayer, MemoryNetwork
from l2l_rnn.nn import LSTM, Linear

CELLS: dict[str, Callable[..., nn.Module]] = {
    "lstm": lambda inputs, size: LSTM(inputs, size, batch_first=True),
    "mann": lambda inputs, size, **options: MANN(inputs, size, size, **options),
    "ntm": lambda inputs, size, **options: NTM(inputs, size, size, **options),
    "memory network": lambda inputs, size, **options: MemoryLayer(
        inputs, MemoryNetwork(size, size, **options)
    ),
    "hebbian": lambda inputs, size, **options: HebbianRNN(inputs, size, **options),
    "delta": lambda inputs, size, **options: MemoryLayer(
        inputs, DeltaFastWeights(size, size, **options)
    ),
}


class EpisodeNetwork(nn.Module):
    """Predicts the label of each item of an episode from the items and labels before it.

    A step reads the item's features and the previous item's label. With `before`, it also reads the
    previous item's features, so that a step contains an item together with its label. This adds no
    information, but makes the task easier.

    Args:
        vector_size: features per item.
        ways: `C`, number of labels.
        cell: the network that reads the episode, one of `CELLS`.
        size: hidden units, or the size of keys and values.
        before: whether a step also reads the previous item.
        dropout: dropout probability of an item's features in training.
        options: further options of the cell.

    Shapes:
        vectors (N, T, vector_size), previous (N, T, C) -> scores (N, T, C).
    """

    def __init__(
        self,
        vector_size: int,
        ways: int,
        *,
        cell: str,
        size: int,
        before: bool = True,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.before, self.dropout = before, dropout
        self.network = CELLS[cell]((1 + before) * vector_size + ways, size, **options)
        self.head = Linear(size, ways)

    def forward(self, vectors: Tensor, previous: Tensor) -> Tensor:
        vectors = F.layer_norm(vectors, vectors.shape[-1:])
        vectors = F.dropout(vectors, self.dropout, self.training)
        parts = [vectors, previous]
        if self.before:
            parts.append(F.pad(vectors, (0, 0, 1, -1)))
        outputs, _ = self.network(torch.cat(parts, -1))
        return self.head(outputs)


def network_of_size(parameters: int, vector_size: int, ways: int, **options: Any) -> EpisodeNetwork:
    """Make the network with the closest number of parameters.

    Args:
        parameters: the desired number of parameters.
        vector_size, ways: as in `EpisodeNetwork`.
        options: further options of `EpisodeNetwork`, without its size.
    """

    def of_size(size: int) -> EpisodeNetwork:
        return EpisodeNetwork(vector_size, ways, size=size, **options)

    return of_size(matching_size(of_size, parameters))
