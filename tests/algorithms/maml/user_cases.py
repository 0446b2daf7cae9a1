"""Models as users write them, with the features that users' models have, and their losses."""

import dataclasses
import warnings
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from benchmarks.speed.user_models import Sizes
from benchmarks.speed.user_tasks import MODELS, mean_loss
from benchmarks.speed.user_tasks import draw as draw_data
from l2l_rnn.functional import cross_entropy
from tests.algorithms.maml.equality import BATCH, HIDDEN, SIZE, STEPS, TASKS, VOCAB, WAYS, Case

SIZES = Sizes(TASKS, BATCH, STEPS, SIZE, HIDDEN, VOCAB, WAYS, 4)

# ---------------------------------------------------------------- data


def series(seed):
    """Sequences and labels: `(N, B, S, F)` and `(N, B)`."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(TASKS, BATCH, STEPS, SIZE, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, WAYS, (TASKS, BATCH), generator=generator)


def ragged(seed):
    """Padded sequences, lengths, mask and labels."""
    x, y = series(seed)
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, STEPS + 1, (TASKS, BATCH), generator=generator)
    mask = torch.arange(STEPS) < lengths.unsqueeze(-1)
    return x.masked_fill(~mask.unsqueeze(-1), 0), lengths, mask, y


def tokens(seed):
    """Token ids `(N, B, S)`."""
    return (torch.randint(VOCAB, (TASKS, BATCH, STEPS), generator=torch.manual_seed(seed)),)


def classified(learner, data):
    x, y = data
    return cross_entropy(learner(x), y)


# ---------------------------------------------------------------- layers


class Recurrent(nn.Module):
    """A recurrent layer, something on its outputs, and a head on their mean."""

    def __init__(self, layer=None, between=None):
        super().__init__()
        self.recurrence = layer or nn.LSTM(SIZE, HIDDEN, batch_first=True)
        self.between = between or nn.Identity()
        size = (self.recurrence.proj_size or self.recurrence.hidden_size) * (
            1 + self.recurrence.bidirectional
        )
        self.head = nn.Linear(size, WAYS)

    def forward(self, x):
        return self.head(self.between(self.recurrence(x)[0].mean(dim=1)))


class Channels(nn.Module):
    """A norm over the channels of `(B, H, S)`."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm
        self.gru = nn.GRU(SIZE, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, WAYS)

    def forward(self, x):
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return self.head(self.gru(x)[1][0])


class StepsFirst(nn.Module):
    """The layout that torch's layers have by default, with a learned initial state."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(SIZE, HIDDEN, num_layers=2, bidirectional=True)
        self.h = nn.Parameter(0.1 * torch.randn(4, 1, HIDDEN))
        self.c = nn.Parameter(0.1 * torch.randn(4, 1, HIDDEN))
        self.head = nn.Linear(4 * HIDDEN, WAYS)

    def forward(self, x):
        state = tuple(s.expand(-1, len(x), -1).contiguous() for s in (self.h, self.c))
        _, (h, _) = self.lstm(x.permute(1, 0, 2), state)
        return self.head(h.permute(1, 0, 2).reshape(len(x), -1))


class Cells(nn.Module):
    """A loop over cells."""

    def __init__(self, kind):
        super().__init__()
        self.cell = kind(SIZE, HIDDEN)
        self.head = nn.Linear(HIDDEN, WAYS)

    def forward(self, x):
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class StepByStep(nn.Module):
    """A layer that is called one step at a time."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(SIZE, HIDDEN, num_layers=2, batch_first=True)
        self.head = nn.Linear(HIDDEN, WAYS)

    def forward(self, x):
        state = None
        for step in x.split(1, dim=1):
            y, state = self.gru(step, state)
        return self.head(y.squeeze(1))


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(SIZE, HIDDEN + 1, batch_first=True)
        self.attention = nn.MultiheadAttention(HIDDEN + 1, 2, batch_first=True)
        self.head = nn.Linear(HIDDEN + 1, WAYS)
        self.register_buffer("positions", torch.arange(STEPS).unsqueeze(-1) / STEPS)

    def forward(self, x):
        y = self.lstm(x)[0] + self.positions
        return self.head(self.attention(y, y, y)[0].mean(1))


class LanguageModel(nn.Module):
    """The output layer has the embedding's weight."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, VOCAB, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return self.output(self.lstm(self.embedding(tokens))[0])


def next_token(learner, data):
    (tokens,) = data
    logits = learner(tokens[..., :-1])
    return cross_entropy(logits.flatten(-3, -2), tokens[..., 1:].flatten(-2))


class FrozenEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB, SIZE).requires_grad_(False)
        self.gru = nn.GRU(SIZE, HIDDEN, batch_first=True)
        self.gru.bias_hh_l0.requires_grad_(False)
        self.output = nn.Linear(HIDDEN, VOCAB)

    def forward(self, tokens):
        return self.output(self.gru(self.embedding(tokens))[0])


class Siamese(nn.Module):
    """Two inputs and one encoder; a bilinear layer that this package does not have."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(SIZE, HIDDEN, batch_first=True, bidirectional=True)
        self.similarity = nn.Bilinear(2 * HIDDEN, 2 * HIDDEN, WAYS)

    def encode(self, x):
        return self.encoder(x)[0].amax(dim=1)

    def forward(self, first, second):
        return self.similarity(self.encode(first), self.encode(second))


class SeveralInputs(nn.Module):
    """Positional and keyword tensors, a list, a dictionary, None, a number and a string."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(SIZE, HIDDEN, batch_first=True)
        self.static = nn.Linear(SIZE, HIDDEN)
        self.head = nn.Linear(2 * HIDDEN, WAYS)

    def forward(self, x, extras, *, mask=None, bias=None, scale=1.0, pooling="max"):
        y = self.lstm(x)[0]
        if bias is not None:
            y = y + bias
        if mask is not None:
            y = y.masked_fill(~mask.unsqueeze(-1), 0)
        y = y.sum(1) / mask.sum(1, keepdim=True) if pooling == "mean" else y.amax(1)
        static = self.static(extras["static"] + extras["more"][0])
        return scale * self.head(torch.cat([y, static.tanh()], dim=-1))


def several_inputs(learner, data):
    x, _, mask, y = data
    extras = {"static": x.mean(-2), "more": [x.amax(-2), None], "name": "task"}
    return cross_entropy(
        learner(x, extras, mask=mask, bias=None, scale=0.5, pooling="mean"), y
    ) + cross_entropy(learner(x, extras), y)


class Masked(nn.Module):
    """The last valid step and the mean of the valid steps of padded sequences."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(SIZE, HIDDEN, batch_first=True)
        self.head = nn.Linear(2 * HIDDEN, WAYS)

    def forward(self, x, lengths, mask):
        y, _ = self.gru(x)
        last = y[torch.arange(len(y)), lengths - 1]
        mean = (y * mask.unsqueeze(-1)).sum(1) / lengths.unsqueeze(1)
        return self.head(torch.cat([last, mean], 1))


def masked(learner, data):
    x, lengths, mask, y = data
    return cross_entropy(learner(x, lengths, mask), y)


# ---------------------------------------------------------------- outputs


class OutputTuple(NamedTuple):
    logits: Tensor
    features: Tensor
    extra: Tensor | None


@dataclasses.dataclass
class OutputData:
    logits: Tensor
    features: Tensor
    extra: Tensor | None = None
    count: int = 0


class Outputs(nn.Module):
    """Logits and features in a container."""

    def __init__(self, wrap):
        super().__init__()
        self.gru = nn.GRU(SIZE, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, WAYS)
        self.wrap = wrap

    def forward(self, x):
        features = self.gru(x)[0].mean(1)
        return self.wrap(self.head(features), features)


def outputs_case(wrap, logits, features):
    def loss(learner, data):
        x, y = data
        found = learner(x)
        return cross_entropy(logits(found), y) + features(found).square().mean((-2, -1))

    return Case(lambda: Outputs(wrap), series, loss)


OUTPUTS = {
    "tuple": outputs_case(lambda z, f: (z, f), lambda o: o[0], lambda o: o[1]),
    "nested": outputs_case(
        lambda z, f: [{"logits": z}, (f,)], lambda o: o[0]["logits"], lambda o: o[1][0]
    ),
    "dictionary": outputs_case(
        lambda z, f: {"logits": z, "features": f},
        lambda o: o["logits"],
        lambda o: o["features"],
    ),
    "None and a number": outputs_case(
        lambda z, f: (z, None, {"features": f, "name": "gru", "count": 2}),
        lambda o: o[0],
        lambda o: o[2]["features"] * (o[1] is None) * o[2]["count"],
    ),
    "named tuple": outputs_case(
        lambda z, f: OutputTuple(z, f, None), lambda o: o.logits, lambda o: o.features
    ),
    "dataclass": outputs_case(
        lambda z, f: OutputData(z, f, count=3), lambda o: o.logits, lambda o: o.features * o.count
    ),
    "dataclass in a list": outputs_case(
        lambda z, f: [OutputData(z, f)], lambda o: o[0].logits, lambda o: o[0].features
    ),
}

# ---------------------------------------------------------------- methods and kept state


class Methods(nn.Module):
    """A model whose methods are called one by one."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(SIZE, HIDDEN, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN, WAYS)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def encode(self, x, *, pooling="mean"):
        y = self.lstm(x)[0]
        return self.scale * (y.mean(1) if pooling == "mean" else y.amax(1))

    def loss(self, x, y):
        return F.cross_entropy(self(x), y)

    def forward(self, x):
        return self.head(self.encode(x))


def by_methods(learner, data):
    x, y = data
    return cross_entropy(learner.head(learner.encode(x, pooling="max")), y)


def by_one_method(learner, data):
    return learner.loss(*data)


class KeptState(nn.Module):
    """Each call continues from the state of the one before."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(SIZE, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, WAYS)
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, x):
        y, self.state = self.lstm(x, self.state)
        return self.head(y[:, -1])


def kept_state(learner, data):
    """Read the halves of each sequence in two calls."""
    x, y = data
    learner.reset()
    half = STEPS // 2
    first = cross_entropy(learner(x[..., :half, :]), y)
    return first + cross_entropy(learner(x[..., half:, :]), y)


# ---------------------------------------------------------------- all cases


def five(name):
    model = MODELS[name]
    return Case(
        lambda: model.make(SIZES),
        lambda seed: draw_data(SIZES, seed, torch.float64),
        lambda learner, data: mean_loss(model, learner, data, cross_entropy),
    )


def first_order(case):
    return dataclasses.replace(case, options={**case.options, "first_order": True})


def in_eval(model):
    return model.eval()


def weight_normed(model, path, name, norm=weight_norm):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.nn.utils.weight_norm is deprecated")
        norm(model.get_submodule(path), name)
    return model


def with_statistics(model):
    """In eval mode, with running statistics that differ from 0 and 1."""
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5, generator=torch.manual_seed(len(name)))
    return model.eval()


def classifier(make):
    return Case(make, series, classified)


FIVE = {name: five(name) for name in MODELS}
LAYERS = {
    "RNN": classifier(lambda: Recurrent(nn.RNN(SIZE, HIDDEN, batch_first=True))),
    "two layers, steps first, learned initial state": classifier(StepsFirst),
    "projections": classifier(
        lambda: Recurrent(nn.LSTM(SIZE, HIDDEN, batch_first=True, proj_size=2))
    ),
    "one step at a time": classifier(StepByStep),
    "RNNCell": classifier(lambda: Cells(nn.RNNCell)),
    "GRUCell": classifier(lambda: Cells(nn.GRUCell)),
    "LSTMCell": classifier(lambda: Cells(nn.LSTMCell)),
    "self-attention and a buffer": classifier(SelfAttention),
    "dropout in eval mode": classifier(
        lambda: in_eval(
            Recurrent(
                nn.GRU(SIZE, HIDDEN, 2, batch_first=True, dropout=0.5), between=nn.Dropout(0.5)
            )
        )
    ),
    "tied weights": Case(LanguageModel, tokens, next_token),
    "frozen weights": Case(FrozenEmbedding, tokens, next_token, {"allow_nograd": True}),
    "two inputs": Case(
        Siamese, series, lambda learner, data: cross_entropy(learner(data[0], -data[0]), data[1])
    ),
    "several inputs": Case(SeveralInputs, ragged, several_inputs),
    "lengths and mask": Case(Masked, ragged, masked),
}
NORMS = {
    "BatchNorm of features": classifier(lambda: Recurrent(between=nn.BatchNorm1d(HIDDEN))),
    "BatchNorm of channels": classifier(lambda: Channels(nn.BatchNorm1d(SIZE))),
    "BatchNorm without statistics": classifier(
        lambda: Channels(nn.BatchNorm1d(SIZE, track_running_stats=False))
    ),
    "BatchNorm in eval mode": classifier(
        lambda: with_statistics(Recurrent(between=nn.BatchNorm1d(HIDDEN)))
    ),
    "InstanceNorm": classifier(lambda: Channels(nn.InstanceNorm1d(SIZE, affine=True))),
    "InstanceNorm with statistics": classifier(
        lambda: Channels(nn.InstanceNorm1d(SIZE, affine=True, track_running_stats=True))
    ),
    "InstanceNorm in eval mode": classifier(
        lambda: with_statistics(Channels(nn.InstanceNorm1d(SIZE, track_running_stats=True)))
    ),
    "GroupNorm": classifier(lambda: Recurrent(between=nn.GroupNorm(1, HIDDEN))),
}
WEIGHTS = {
    "weight norm of the head": classifier(lambda: weight_normed(Recurrent(), "head", "weight")),
    "weight norm of a recurrence": classifier(
        lambda: weight_normed(Recurrent(), "recurrence", "weight_hh_l0")
    ),
    "old weight norm of the head": classifier(
        lambda: weight_normed(Recurrent(), "head", "weight", nn.utils.weight_norm)
    ),
}
METHODS = {
    "a method, then a layer": Case(Methods, series, by_methods),
    "a method that returns the loss": Case(Methods, series, by_one_method),
    "kept state": Case(KeptState, series, kept_state),
}
CASES = FIVE | LAYERS | NORMS | WEIGHTS | OUTPUTS | METHODS

# Cases for which vmap over torch's operations fails, warns or takes a slow path.
BEYOND_VMAP = (
    "seq2seq",
    "RNNCell",
    "GRUCell",
    "LSTMCell",
    "two inputs",
    "BatchNorm of features",
    "BatchNorm of channels",
    "InstanceNorm with statistics",
    "weight norm of the head",
    "weight norm of a recurrence",
    "old weight norm of the head",
    "None and a number",
    "named tuple",
    "dataclass",
    "dataclass in a list",
    "a method, then a layer",
    "a method that returns the loss",
)
