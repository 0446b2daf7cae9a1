"""DistributionalSignatures against a plain computation of one task, and its parts."""

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import DistributionalSignatures, WordAttention, word_counts
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    UnknownNameError,
)
from l2l_rnn.functional import cross_entropy
from l2l_rnn.nn import Embedding
from l2l_rnn.training import Pretrained

WAYS, WORDS, SIZE, TASKS = 3, 12, 5, 4


def make(seed=0, frozen=True, **options):
    """Make a learner with random word vectors and word counts."""
    torch.manual_seed(seed)
    vectors = Embedding.from_pretrained(torch.randn(WORDS, SIZE), freeze=frozen)
    options = {"hidden_size": 4, "dropout": 0.0, "epsilon": 0.1, **options}
    learner = DistributionalSignatures(vectors, WAYS, WORDS, **options)
    generator = torch.Generator().manual_seed(seed)
    return learner.fit(torch.randint(1, WORDS, (20, 7), generator=generator)).double()


def data(*lead, seed=1, steps=6, batch=6):
    """Draw texts with at least one known word, padded with 0, and labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(1, WORDS, (*lead, batch, steps), generator=generator)
    x[..., 0].clamp_min_(2)
    lengths = torch.randint(1, steps + 1, (*lead, batch, 1), generator=generator)
    y = torch.arange(batch).remainder(WAYS).expand(*lead, batch)
    return x.masked_fill(torch.arange(steps) >= lengths, 0), y


def plain(learner, x, y, query, importance="margin"):
    """Compute the scores of one task text by text, with scikit-learn's ridge regression."""
    vectors = learner.module.weight.detach().numpy()
    source = learner.frequencies.numpy()
    reference = nn.LSTM(2, 4, bidirectional=True, batch_first=True).double()
    reference.load_state_dict(learner.attention.recurrence.state_dict())
    targets = F.one_hot(y, WAYS).double().numpy()

    def words(text):
        return [w for w in text.tolist() if w != 0]

    def mean(text):
        return np.mean([vectors[w] for w in words(text) if w != 1], 0)

    first = Ridge(alpha=learner.penalty).fit(np.stack([mean(text) for text in x]), targets)

    def encode(text):
        statistics = []
        for w in words(text):
            scores = first.coef_ @ vectors[w]
            if importance == "margin":
                specific = np.abs(scores).max()
            else:
                p = np.exp(scores) / np.exp(scores).sum()
                specific = -1 / (p * np.log(p)).sum()
            general = learner.epsilon / (learner.epsilon + source[w])
            statistics.append([general, specific] if w != 1 else [0.0, 0.0])
        h, _ = reference(torch.tensor(statistics)[None])
        scores = (h[0] @ learner.attention.score.weight[0]).tolist()
        e = [0 if w == 1 else math.exp(s) for w, s in zip(words(text), scores, strict=True)]
        vector = sum(a * vectors[w] for a, w in zip(e, words(text), strict=True)) / sum(e)
        return vector / np.linalg.norm(vector) if learner.unit else vector

    alpha = learner.log_regularization.exp().item()
    second = Ridge(alpha=alpha).fit(np.stack([encode(text) for text in x]), targets)
    predicted = second.predict(np.stack([encode(text) for text in query]))
    return learner.log_scale.exp().item() * torch.from_numpy(predicted)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("importance", ["margin", "entropy"])
def test_scores_equal_the_plain_computation(importance, unit):
    learner = make(importance=importance, unit=unit)
    (x, y), (query, _) = data(), data(seed=2)
    clone = learner.clone()
    clone.write(x, y)
    torch.testing.assert_close(clone(query), plain(learner, x, y, query, importance))


def test_tasks_at_once_equal_the_plain_computation():
    learner = make()
    (x, y), (query, _) = data(TASKS), data(TASKS, seed=2)
    clone = learner.clone(tasks=TASKS)
    clone.write(x, y)
    wanted = torch.stack([plain(learner, x[n], y[n], query[n]) for n in range(TASKS)])
    torch.testing.assert_close(clone(query), wanted)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("importance", ["margin", "entropy"])
def test_derivatives_are_exact_twice(frozen, importance):
    """With respect to every parameter, through the support and the query set."""
    learner = make(frozen=frozen, importance=importance)
    (x, y), (query, query_y) = data(2, steps=3), data(2, seed=2, steps=3)
    trained = {n: p for n, p in learner.named_parameters() if p.requires_grad}
    assert len(trained) == 11 + (not frozen)

    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.learner = learner

        def forward(self):
            clone = self.learner.clone(tasks=2)
            clone.write(x, y)
            return cross_entropy(clone(query), query_y)

    module = Loss()

    def loss(*values):
        given = {f"learner.{name}": v for name, v in zip(trained, values, strict=True)}
        return torch.func.functional_call(module, given, ())

    values = tuple(v.detach().requires_grad_() for v in trained.values())
    assert torch.autograd.gradcheck(loss, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, values, fast_mode=True)


@pytest.mark.parametrize("frozen", ["nothing", "vectors", "everything"])
def test_adapt_reads_the_labels_from_the_loss(frozen):
    learner = make(frozen=frozen != "nothing")
    if frozen == "everything":
        learner.requires_grad_(False)
    (x, y), (query, _) = data(), data(seed=2)
    by_loss, written = learner.clone(), learner.clone()
    for _ in range(2):  # the second step sees scores of the first
        for part in (slice(0, 2), slice(2, 6)):
            by_loss.adapt(F.cross_entropy(by_loss(x[part]), y[part]))
            written.write(x[part], y[part])
    torch.testing.assert_close(by_loss(query), written(query))


def test_padding_and_the_order_of_the_support_set_change_nothing():
    learner = make()
    (x, y), (query, _) = data(), data(seed=2)
    one, other = learner.clone(), learner.clone()
    one.write(x, y)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    other.write(F.pad(x[order[:4]], (0, 3)), y[order[:4]])
    other.write(x[order[4:]], y[order[4:]])
    torch.testing.assert_close(other(F.pad(query, (0, 2))), one(query))


def test_masked_rows_change_nothing_even_without_words():
    learner = make()
    (x, y), (query, _) = data(), data(seed=2)
    one, other = learner.clone(), learner.clone()
    one.write(x, y)
    more = torch.cat([x, torch.zeros_like(x[:2])])
    mask = torch.arange(8) < 6
    other.write(more, torch.cat([y, torch.tensor([77, -1])]), mask=mask)
    torch.testing.assert_close(other(query), one(query))


def test_unknown_words_get_no_weight():
    learner = make().clone()
    x, y = data()
    learner.write(x, y)
    texts = torch.tensor([[3, 1, 4, 0], [1, 1, 0, 0]])
    weights = learner.weights(texts)
    assert weights.shape == texts.shape
    torch.testing.assert_close(weights.sum(-1), torch.tensor([1.0, 0.0]).double())
    assert weights[0, 1] == weights[0, 3] == 0
    assert learner(texts).isfinite().all()
    every = make(unknown=None).clone()
    every.write(x, y)
    assert every.weights(texts)[0, 1] > 0


def test_statistics_decide_the_weights():
    """With its weights set by hand, the attention prefers rare words."""
    learner = make()
    with torch.no_grad():
        for parameter in learner.attention.parameters():
            parameter.zero_()
        recurrence = learner.attention.recurrence
        recurrence.weight_ih_l0[8, 0] = 5.0  # the cell input of the first hidden unit sees s
        learner.attention.score.weight[0, 0] = 20.0
    learner.frequencies.copy_(torch.tensor([0, 0, 0.9, *[0.01] * 9]))
    clone = learner.clone()
    clone.write(*data())
    common, rare = clone.weights(torch.tensor([[2, 5]]))[0]
    assert rare > 1.5 * common
    swapped = learner.frequencies.clone()
    swapped[2], swapped[5] = 0.01, 0.9
    other = learner.clone(frequencies=swapped)
    other.write(*data())
    common, rare = other.weights(torch.tensor([[5, 2]]))[0]
    assert rare > 1.5 * common
    assert torch.equal(learner.clone().frequencies, learner.frequencies)


def test_frequencies_of_each_task():
    learner = make()
    (x, y), (query, _) = data(TASKS), data(TASKS, seed=2)
    own = torch.rand(TASKS, WORDS, generator=torch.Generator().manual_seed(3)).double()
    clone = learner.clone(tasks=TASKS, frequencies=own)
    clone.write(x, y)
    for n in range(TASKS):
        one = learner.clone(frequencies=own[n])
        one.write(x[n], y[n])
        torch.testing.assert_close(clone(query)[n], one(query[n]))
    fresh = learner.clone(tasks=TASKS)
    fresh.load_state_dict(clone.state_dict())
    assert torch.equal(fresh(query), clone(query))


def test_a_model_that_sees_the_context():
    class Context(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(WORDS, SIZE)

        def forward(self, x):
            vectors = self.embedding(x)
            return vectors + vectors.roll(1, -2)

    torch.manual_seed(0)
    learner = DistributionalSignatures(Context(), WAYS, WORDS, hidden_size=4, dropout=0.0)
    (x, y), (query, _) = data(TASKS), data(TASKS, seed=2)
    many = learner.clone(tasks=TASKS)
    many.write(x, y)
    one = learner.clone()
    one.write(x[0], y[0])
    torch.testing.assert_close(many(query)[0], one(query[0]))


def test_a_class_without_texts_is_not_predicted():
    learner = make().clone()
    x, y = data()
    learner.write(x, y.clamp_max(1))
    scores = learner(data(seed=2)[0])
    assert (scores.argmax(-1) < 2).all()
    assert scores.isfinite().all()


def test_vectors_of_texts():
    learner = make()
    x, y = data()
    means = learner.encoded(x)
    wanted = learner.module(x[0])[x[0] > 1].mean(0)
    torch.testing.assert_close(means[0], wanted)
    clone = learner.clone()
    clone.write(x, y)
    weights = clone.weights(x)
    mean = weights[0] @ learner.module(x[0])
    torch.testing.assert_close(clone.encoded(x)[0], mean / mean.norm())


def test_fit_counts_the_source_texts():
    learner = make().fit(torch.tensor([[2, 2, 3, 1], [2, 0, 0, 0]]))
    assert learner.frequencies[:4].tolist() == [0, 0, 0.75, 0.25]
    counts = word_counts(torch.tensor([[2, 5], [3, 0], [2, 1]]), 6, torch.tensor([1, 0, 1]))
    assert counts.tolist() == [[0, 0, 0, 1, 0, 0], [0, 0, 2, 0, 0, 1]]
    assert word_counts(torch.tensor([[1, 1]]), 3, unknown=None).tolist() == [0, 2, 0]


def test_meta_learning_finds_the_words_that_matter():
    """Half of the words are noise and frequent in the source texts; the other half tell classes."""
    torch.manual_seed(0)
    words, size = 42, 16
    vectors = torch.cat([torch.zeros(2, size), torch.randn(words - 2, size)])
    learner = DistributionalSignatures(Embedding.from_pretrained(vectors), WAYS, words)
    source = torch.zeros(words)
    source[2:22], source[22:] = 0.05, 1e-6
    learner.frequencies.copy_(source)
    generator = torch.Generator().manual_seed(0)

    def draw(tasks, each):
        own = 22 + torch.rand(tasks, 20, generator=generator).argsort(-1)[:, :WAYS]
        y = torch.arange(WAYS).repeat_interleave(each).expand(tasks, -1)
        x = torch.randint(2, 22, (tasks, WAYS * each, 9), generator=generator)
        x[..., 4] = own.gather(1, y)
        return x, y

    def loss(tasks):
        x, y = draw(tasks, 6)
        support = torch.arange(6 * WAYS).remainder(6) < 2
        clone = learner.clone(tasks=tasks)
        clone.write(x[:, support], y[:, support])
        scores = clone(x[:, ~support])
        return cross_entropy(scores, y[:, ~support]).mean(), scores, y[:, ~support]

    def score():
        learner.eval()
        with torch.no_grad():
            _, scores, y = loss(100)
        return (scores.argmax(-1) == y).float().mean()

    before = score()
    optimizer = torch.optim.Adam([p for p in learner.parameters() if p.requires_grad], 0.02)
    learner.train()
    for _ in range(40):
        optimizer.zero_grad()
        loss(8)[0].backward()
        optimizer.step()
    assert before < 0.75
    assert score() > 0.95


def test_it_is_saved_and_loaded(tmp_path):
    learner = make().float()
    Pretrained(learner).save_pretrained(tmp_path / "model")
    loaded = Pretrained.from_pretrained(tmp_path / "model").learner
    assert type(loaded) is DistributionalSignatures
    (x, y), (query, _) = data(), data(seed=2)
    one, other = learner.clone(), loaded.clone()
    for clone in (one, other):
        clone.write(x, y)
    assert torch.equal(one(query), other(query))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("who", ["write", "adapt"])
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_support_texts_without_known_words(who, tasks):
    learner = make().clone(tasks=tasks)
    lead = () if tasks is None else (tasks,)
    x, y = data(*lead)
    x[..., 2, :] = torch.tensor([1, 1, 0, 0, 0, 0])
    place = "2" if tasks is None else r"\(0, 2\)"
    message = rf"{who}: text {place} must have a known word, got only padding and unknown words"

    def write():
        learner.adapt(loss) if who == "adapt" else learner.write(x, y)

    loss = cross_entropy(learner(x), y)
    with pytest.raises(ArgumentError, match=message):
        write()
    assert not learner._adaptation()


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[3, 4]], ArgumentTypeError, "x must be a tensor"),
        (torch.ones(2, 3), ArgumentTypeError, "token ids must be integers"),
        (torch.ones(2, 3).bool(), ArgumentTypeError, "token ids must be integers"),
        (torch.ones(3).long(), ShapeError, r"x must be \(…, B, S\)"),
        (torch.ones(3, 0).long(), ShapeError, "at least one word"),
        (torch.full((2, 3), WORDS), ArgumentError, "from 0 to 11, got 12; set vocab_size"),
        (torch.full((2, 3), -1), ArgumentError, "from 0 to 11, got -1"),
    ],
)
def test_bad_texts(x, error, message):
    learner = make().clone()
    learner.write(*data())
    for call in (learner, learner.weights, lambda x: learner.write(x, torch.zeros(2).long())):
        with pytest.raises(error, match=message):
            call(x)


def test_other_errors():
    learner, (x, y) = make(), data()
    with pytest.raises(ArgumentError, match="expected a support set, got none"):
        learner.clone().weights(x)
    with pytest.raises(ShapeError, match=r"frequencies must be \(12,\), or \(N, 12\)"):
        learner.clone(frequencies=torch.ones(11))
    with pytest.raises(ShapeError, match="frequencies must be"):
        learner.clone(frequencies=torch.ones(2, 12))
    clone = learner.clone()
    clone.write(x, y)
    with pytest.raises(ShapeError, match="add the task axis"):
        clone(x[None])
    with pytest.raises(ShapeError, match="return one vector per word"):
        DistributionalSignatures(nn.Identity(), WAYS, WORDS).encoded(x)
    with pytest.raises(DataError, match="texts must have known words, got none"):
        learner.fit(torch.ones(2, 3).long())
    with pytest.raises(ShapeError, match=r"texts must be \(items, S\)"):
        word_counts(x, WORDS, y[:2])
    state = copy.deepcopy(clone.state_dict())
    state["adaptation.members"] = state["adaptation.members"][:2]
    with pytest.raises(ArgumentError, match="expected token ids"):
        learner.clone().load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"vocab_size": 0}, ArgumentError),
        ({"epsilon": 0.0}, ArgumentError),
        ({"penalty": -1.0}, ArgumentError),
        ({"regularization": 0.0}, ArgumentError),
        ({"scale": 0.0}, ArgumentError),
        ({"hidden_size": 0}, ArgumentError),
        ({"dropout": 1.0}, ArgumentError),
        ({"importance": "margins"}, UnknownNameError),
    ],
)
def test_bad_arguments(options, error):
    arguments = {"vocab_size": WORDS, **options}
    with pytest.raises(error, match=r"^(DistributionalSignatures|WordAttention): "):
        DistributionalSignatures(Embedding(WORDS, SIZE), WAYS, **arguments)


def test_attention_takes_any_number_of_statistics():
    attention = WordAttention(hidden_size=3, dropout=0.5, statistics=4).eval()
    known = torch.ones(2, 5).bool()
    weights = attention(torch.rand(2, 5, 4), known, torch.tensor([5, 5]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))
