"""Small sequence models and the ragged sequences that they read."""

import torch
from torch import nn

from l2l_rnn.models import SequenceClassifier

TASKS, BATCH, STEPS = 3, 4, 6
LENGTHS = [[1, 6, 3, 2], [2, 2, 5, 1], [6, 1, 1, 4]]
KINDS = {"tokens": {"vocab_size": 9, "embedding_size": 3}, "steps": {"input_size": 3}}


def make(kind="tokens", ways=5, **options):
    torch.manual_seed(0)
    return SequenceClassifier(ways, hidden_size=4, **KINDS[kind], **options).double()


def data(kind, steps=STEPS, tasks=TASKS):
    """Return sequences `(N, B, S)` or `(N, B, S, F)`, the same for any padded length."""
    generator = torch.Generator().manual_seed(1)
    inside = torch.arange(steps) < torch.tensor(LENGTHS)[:tasks].unsqueeze(-1)
    if kind == "tokens":
        tokens = torch.randint(1, 9, (TASKS, BATCH, STEPS), generator=generator)[:tasks]
        return nn.functional.pad(tokens, (0, steps - STEPS)) * inside
    x = torch.randn(TASKS, BATCH, STEPS, 3, generator=generator, dtype=torch.float64)[:tasks]
    x = nn.functional.pad(x, (0, 0, 0, steps - STEPS))
    return x.masked_fill(~inside.unsqueeze(-1), float("nan"))
