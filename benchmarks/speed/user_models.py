"""Five models as a user of torch writes them, and axis-agnostic versions of four of them.

The models use `torch.nn` and know nothing of this package or of a task axis: `l2l_rnn.nn.convert`
does the rest. `user_tasks.MODELS` lists them. The convolutions have no task axis, so their model
has no version that declares `task_axis = True`.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of a model and of its tasks; support and query set have the same size.

    Attributes:
        tasks, batch, steps, features, hidden: `N`, `B`, `S`, `F`, `H`.
        vocab: number of token ids; 0 is padding.
        ways: `C`, number of classes or tags.
        target_steps: steps of the decoder in the encoder-decoder.
    """

    tasks: int = 16
    batch: int = 25
    steps: int = 32
    features: int = 16
    hidden: int = 64
    vocab: int = 50
    ways: int = 5
    target_steps: int = 8


class AttentionClassifier(nn.Module):
    """Embedding, bidirectional LSTM, additive attention over the steps, linear head."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.vocab, sizes.features, padding_idx=0)
        self.lstm = nn.LSTM(sizes.features, sizes.hidden, batch_first=True, bidirectional=True)
        self.key = nn.Linear(2 * sizes.hidden, sizes.hidden)
        self.query = nn.Linear(sizes.hidden, 1, bias=False)
        self.head = nn.Linear(2 * sizes.hidden, sizes.ways)

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.lstm(self.embedding(tokens))  # (B, S, 2H)
        scores = self.query(torch.tanh(self.key(outputs))).squeeze(2)
        weights = scores.masked_fill(tokens == 0, float("-inf")).softmax(dim=1)
        pooled = torch.bmm(weights.unsqueeze(1), outputs).squeeze(1)
        return self.head(pooled)


class DeclaredAttentionClassifier(AttentionClassifier):
    """The same, with axes counted from the end."""

    task_axis = True

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.lstm(self.embedding(tokens))  # (…, B, S, 2H)
        scores = self.query(torch.tanh(self.key(outputs))).squeeze(-1)
        weights = scores.masked_fill(tokens == 0, float("-inf")).softmax(-1)
        return self.head((weights.unsqueeze(-2) @ outputs).squeeze(-2))


class ConvolutionalGRU(nn.Module):
    """Two convolutions with a pooling between them, a GRU, and a head on its last state."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.first = nn.Conv1d(sizes.features, sizes.hidden, kernel_size=5, padding=2)
        self.second = nn.Conv1d(sizes.hidden, sizes.hidden, kernel_size=3, padding=1)
        self.gru = nn.GRU(sizes.hidden, sizes.hidden, batch_first=True)
        self.head = nn.Linear(sizes.hidden, sizes.ways)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x.transpose(1, 2)))  # (B, H, S)
        x = torch.relu(self.second(max_pool1d(x, 2)))
        _, state = self.gru(x.transpose(1, 2))
        return self.head(state[-1])


class Seq2Seq(nn.Module):
    """GRU encoder, and a loop over a GRUCell that attends to the encoder's outputs.

    The decoder reads the correct previous token (teacher forcing).
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.hidden_size = sizes.hidden
        self.embedding = nn.Embedding(sizes.vocab, sizes.features)
        self.encoder = nn.GRU(sizes.features, sizes.hidden, batch_first=True)
        self.cell = nn.GRUCell(sizes.features + sizes.hidden, sizes.hidden)
        self.key = nn.Linear(sizes.hidden, sizes.hidden)
        self.output = nn.Linear(2 * sizes.hidden, sizes.vocab)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        encoded, state = self.encoder(self.embedding(source))  # (B, S, H)
        keys, hidden = self.key(encoded), state[0]
        context = torch.zeros(source.shape[0], self.hidden_size, dtype=encoded.dtype)
        previous = self.embedding(target)
        logits = []
        for step in range(target.shape[1]):
            hidden = self.cell(torch.cat([previous[:, step], context], dim=1), hidden)
            weights = torch.bmm(keys, hidden.unsqueeze(2)).softmax(dim=1)  # (B, S, 1)
            context = (weights * encoded).sum(dim=1)
            logits.append(self.output(torch.cat([hidden, context], dim=1)))
        return torch.stack(logits, dim=1)  # (B, T, vocab)


class DeclaredSeq2Seq(Seq2Seq):
    """The same, with axes counted from the end and no tensor made from the batch size."""

    task_axis = True

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        encoded, state = self.encoder(self.embedding(source))  # (…, B, S, H)
        keys, hidden = self.key(encoded), state.select(-3, 0)
        context = torch.zeros_like(hidden)
        logits = []
        for previous in self.embedding(target).unbind(-2):
            hidden = self.cell(torch.cat([previous, context], -1), hidden)
            weights = (keys @ hidden.unsqueeze(-1)).softmax(-2)
            context = (weights * encoded).sum(-2)
            logits.append(self.output(torch.cat([hidden, context], -1)))
        return torch.stack(logits, -2)


class NormalizedLSTM(nn.Module):
    """Two LSTM layers with a LayerNorm after each, and a head on the last step."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.first = nn.LSTM(sizes.features, sizes.hidden, batch_first=True)
        self.first_norm = nn.LayerNorm(sizes.hidden)
        self.second = nn.LSTM(sizes.hidden, sizes.hidden, batch_first=True)
        self.second_norm = nn.LayerNorm(sizes.hidden)
        self.head = nn.Linear(sizes.hidden, sizes.ways)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_norm(self.first(x)[0])
        x = x + self.second_norm(self.second(x)[0])
        return self.head(x[:, -1])


class DeclaredNormalizedLSTM(NormalizedLSTM):
    """The same, with the steps counted from the end."""

    task_axis = True

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_norm(self.first(x)[0])
        x = x + self.second_norm(self.second(x)[0])
        return self.head(x[..., -1, :])


class Tagger(nn.Module):
    """Linear-chain CRF on a bidirectional LSTM.

    `forward` returns the mean negative log-likelihood of the tags, with the log-partition function
    by the forward algorithm.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.vocab, sizes.features, padding_idx=0)
        self.lstm = nn.LSTM(sizes.features, sizes.hidden, batch_first=True, bidirectional=True)
        self.emission = nn.Linear(2 * sizes.hidden, sizes.ways)
        self.transitions = nn.Parameter(0.1 * torch.randn(sizes.ways, sizes.ways))
        self.start = nn.Parameter(0.1 * torch.randn(sizes.ways))

    def forward(self, tokens: Tensor, tags: Tensor) -> Tensor:
        emissions = self.emissions(tokens)
        return (self.log_partition(emissions) - self.score(emissions, tags)).mean()

    def emissions(self, tokens: Tensor) -> Tensor:
        """Compute the score of each tag at each step, `(B, S, C)`."""
        return self.emission(self.lstm(self.embedding(tokens))[0])

    def log_partition(self, emissions: Tensor) -> Tensor:
        """Compute the log of the sum over all tag sequences, `(B,)`."""
        alpha = self.start + emissions[:, 0]
        for step in range(1, emissions.shape[1]):
            scores = alpha.unsqueeze(2) + self.transitions + emissions[:, step].unsqueeze(1)
            alpha = torch.logsumexp(scores, dim=1)
        return torch.logsumexp(alpha, dim=1)

    def score(self, emissions: Tensor, tags: Tensor) -> Tensor:
        """Compute the score of the given tags, `(B,)`."""
        chosen = emissions.gather(2, tags.unsqueeze(2)).squeeze(2).sum(dim=1)
        moves = self.transitions[tags[:, :-1], tags[:, 1:]].sum(dim=1)
        return self.start[tags[:, 0]] + chosen + moves


class DeclaredTagger(Tagger):
    """The same, with axes counted from the end and own parameters that may be `(N, …)`."""

    task_axis = True

    def forward(self, tokens: Tensor, tags: Tensor) -> Tensor:
        emissions = self.emissions(tokens)
        return (self.log_partition(emissions) - self.score(emissions, tags)).mean(-1)

    def log_partition(self, emissions: Tensor) -> Tensor:
        first, *others = emissions.unbind(-2)
        alpha = self.start.unsqueeze(-2) + first
        transitions = self.transitions.unsqueeze(-3)  # (…, 1, C, C)
        for emission in others:
            scores = alpha.unsqueeze(-1) + transitions + emission.unsqueeze(-2)
            alpha = torch.logsumexp(scores, -2)
        return torch.logsumexp(alpha, -1)

    def score(self, emissions: Tensor, tags: Tensor) -> Tensor:
        count = emissions.shape[-1]
        chosen = emissions.gather(-1, tags.unsqueeze(-1)).squeeze(-1).sum(-1)
        lead = tags.shape[:-2]  # (N,) with a task axis
        pairs = (count * tags[..., :-1] + tags[..., 1:]).flatten(len(lead))
        moves = self.transitions.flatten(-2).gather(-1, pairs)
        moves = moves.unflatten(-1, (tags.shape[-2], -1)).sum(-1)
        return self.start.gather(-1, tags[..., 0]) + chosen + moves
