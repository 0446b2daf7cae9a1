"""TF-IDF with a linear head equals scikit-learn's pipeline, and keeps the contract of learners."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from torch.nn import functional as F

from l2l_rnn.algorithms import TfIdfLearner
from l2l_rnn.algorithms.stacking.kernel_heads import logistic_head
from l2l_rnn.data import CharacterVocabulary, SequenceDataset
from l2l_rnn.errors import (
    AdaptationError,
    ArgumentError,
    ArgumentTypeError,
    ShapeError,
    UnknownNameError,
)
from l2l_rnn.functional import cross_entropy

WAYS, TASKS = 3, 4


def tokens(*lead, rows=12, steps=8, size=9, seed=0):
    """Draw ragged token ids, those of a class more often, and their labels in random order."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows).remainder(WAYS)[torch.randperm(rows, generator=generator)]
    x = torch.randint(1, size, (*lead, rows, steps), generator=generator)
    own = torch.rand(x.shape, generator=generator) < 0.4
    x = torch.where(own, 1 + y.unsqueeze(-1), x)
    lengths = torch.randint(1, steps + 1, (*lead, rows, 1), generator=generator)
    return x.masked_fill(torch.arange(steps) >= lengths, 0), y.expand(*lead, rows)


def texts(x):
    return [" ".join(f"t{one}" for one in row.tolist() if one) for row in x]


def sklearn_scores(x, y, query, head, strength, background=(), tol=1e-10, **options):
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", lowercase=False, **options)
    known = TfidfVectorizer(token_pattern=r"\S+", lowercase=False, **options).fit(texts(x))
    vectorizer.set_params(vocabulary=known.vocabulary_).fit([*texts(x), *background])
    support, query = (vectorizer.transform(texts(part)) for part in (x, query))
    if head == "ridge":
        model = RidgeClassifier(alpha=1 / strength, solver="cholesky").fit(support.toarray(), y)
        return model.decision_function(query.toarray())
    model = LogisticRegression(C=strength, tol=tol, max_iter=10_000).fit(support, y)
    return model.predict_log_proba(query)


def written(learner, x, y, **options):
    clone = learner.clone()
    clone.write(x, y, **options)
    return clone


@pytest.mark.parametrize("ways", [2, 3])
@pytest.mark.parametrize("strength", [0.1, 1.0, 100.0])
@pytest.mark.parametrize(
    ("ngrams", "sublinear"), [((1, 1), False), ((1, 3), False), ((2, 4), True)]
)
def test_probabilities_are_those_of_scikit_learn(ngrams, sublinear, strength, ways):
    (x, y), (query, _) = tokens(), tokens(seed=1, size=12)
    y = y % ways
    expected = sklearn_scores(
        x, y, query, "logistic", strength, ngram_range=ngrams, sublinear_tf=sublinear
    )
    learner = TfIdfLearner(ways, ngrams, strength, sublinear_tf=sublinear)
    scores = written(learner, x, y)(query).detach()
    np.testing.assert_allclose(scores.softmax(-1), np.exp(expected), atol=1e-5)
    assert (scores.argmax(-1).numpy() == expected.argmax(-1)).all()


@pytest.mark.parametrize("ways", [2, 3])
def test_ridge_scores_are_those_of_scikit_learn(ways):
    (x, y), (query, _) = tokens(), tokens(seed=1, size=12)
    expected = sklearn_scores(x, y % ways, query, "ridge", 2.0, ngram_range=(1, 2))
    scores = written(TfIdfLearner(ways, (1, 2), 2.0, head="ridge"), x, y % ways)(query).detach()
    if ways == 2:
        torch.testing.assert_close(scores[:, 0], -scores[:, 1])
        scores = scores[:, 1]
    np.testing.assert_allclose(scores, expected, atol=1e-10)


def test_a_background_adds_to_the_document_frequencies():
    (x, y), (query, _), (other, labels) = tokens(), tokens(seed=1), tokens(seed=2, rows=40)
    expected = sklearn_scores(
        x, y, query, "logistic", 1.0, background=texts(other), ngram_range=(1, 3)
    )
    learner = TfIdfLearner(WAYS).fit_background(SequenceDataset(other, labels), least=1)
    scores = written(learner, x, y)(query).detach()
    np.testing.assert_allclose(scores.softmax(-1), np.exp(expected), atol=1e-6)
    plain = written(TfIdfLearner(WAYS), x, y)(query)
    assert not torch.allclose(scores, plain, atol=1e-3)
    small = TfIdfLearner(WAYS).fit_background(other, least=3)
    assert 0 < small.background_size < learner.background_size


def test_documents_of_real_length():
    """5 ways, 50 shots, 200 words, as in scikit-learn."""
    generator = torch.Generator().manual_seed(0)
    often = 1 / torch.arange(1, 401)
    orders = [torch.randperm(400, generator=generator) for _ in range(5)]
    chances = torch.stack([often[order] + often for order in orders])
    y = torch.arange(250) % 5
    x = torch.multinomial(chances[y], 200, replacement=True, generator=generator) + 1
    query = torch.multinomial(chances[y[:20]], 200, replacement=True, generator=generator) + 1
    expected = sklearn_scores(x, y, query, "logistic", 1.0, tol=1e-6, ngram_range=(1, 2))
    scores = written(TfIdfLearner(5, (1, 2)), x, y)(query).detach()
    np.testing.assert_allclose(scores.softmax(-1), np.exp(expected), atol=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_the_head_is_a_minimum(scale):
    """Its gradient vanishes, also for features far from unit length, and with padding."""
    torch.manual_seed(0)
    x = scale * torch.randn(2, 20, 6, dtype=torch.float64)
    members = F.one_hot(torch.arange(20) % 4, 4).double().expand(2, 20, 4).clone()
    members[0, 15:] = 0
    members[1, :, 2] = 0
    head = logistic_head(x @ x.mT, members, 0.5)
    weights, bias = (x.mT @ head.alpha).requires_grad_(), head.bias.clone().requires_grad_()
    rows, absent = members.sum(-1), members.sum(-2, keepdim=True) == 0
    logs = (x @ weights + bias).masked_fill(absent, -torch.inf).log_softmax(-1)
    loss = -0.5 * (logs.masked_fill(absent, 0) * members).sum() + weights.square().sum() / 2
    found = torch.autograd.grad(loss, [weights, bias])
    for gradient in found:
        assert gradient.abs().max() < 1e-6 * max(1, scale)
    assert not (head.alpha * (1 - rows).unsqueeze(-1)).any()


# ------------------------------------------------------------------ the contract of learners


@pytest.fixture
def learner():
    return TfIdfLearner(WAYS, (1, 2))


def test_tasks_at_once_equal_a_loop(learner):
    (x, y), (query, _) = tokens(TASKS), tokens(TASKS, seed=1)
    many = learner.clone(tasks=TASKS)
    many.write(x, y)
    together = many(query)
    for n in range(TASKS):
        torch.testing.assert_close(together[n], written(learner, x[n], y[n])(query[n]))


def test_padding_changes_nothing(learner):
    (x, y), (query, _) = tokens(TASKS), tokens(TASKS, seed=1)
    mask = torch.rand(y.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    many = learner.clone(tasks=TASKS)
    many.write(F.pad(x, (0, 3)), y.masked_fill(~mask, -1), mask=mask)
    together = many(F.pad(query, (0, 5)))
    for n in range(TASKS):
        one = written(learner, x[n][mask[n]], y[n][mask[n]])
        torch.testing.assert_close(together[n], one(query[n]), rtol=1e-6, atol=1e-8)


def test_the_order_and_slices_of_the_support_set(learner):
    (x, y), (query, _) = tokens(), tokens(seed=1)
    expected = written(learner, x, y)(query)
    order = torch.randperm(len(y))
    torch.testing.assert_close(written(learner, x[order], y[order])(query), expected)
    parts = learner.clone()
    parts.write(x[:5, :6].masked_fill(x[:5, 6:].any(-1, keepdim=True), 2), y[:5])
    parts.reset()
    parts.write(F.pad(x[:5], (0, 2)), y[:5])
    parts.write(x[5:], y[5:])
    torch.testing.assert_close(parts(query), expected)


def test_adapt_reads_the_labels_from_the_loss(learner):
    (x, y), (query, _) = tokens(TASKS), tokens(TASKS, seed=1)
    one, other = learner.clone(tasks=TASKS), learner.clone(tasks=TASKS)
    one.adapt(cross_entropy(one(x), y))
    other.write(x, y)
    assert torch.equal(one(query), other(query))
    one.adapt(cross_entropy(one(query), y).sum())  # more documents
    other.write(query, y)
    assert torch.equal(one(query), other(query))
    with torch.no_grad():
        one(x)
    with pytest.raises(AdaptationError, match="no outputs to learn from"):
        one.adapt(torch.tensor(1.0))


def test_an_absent_class_is_never_predicted(learner):
    x, y = tokens(TASKS)
    y = torch.where(torch.arange(TASKS).unsqueeze(-1) == 1, y % 2, 2)
    many = learner.clone(tasks=TASKS)
    many.write(x, y)
    scores = many(x)
    assert set(scores[0].argmax(-1).tolist()) == {2}  # a single class
    assert set(scores[1].argmax(-1).tolist()) == {0, 1}
    assert scores.isfinite().all()
    alone = TfIdfLearner(2, (1, 2))
    torch.testing.assert_close(scores[1, :, :2], written(alone, x[1], y[1])(x[1]))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("tasks", [None, TASKS])
def test_copies_and_state_dicts(copied, tasks, learner):
    lead = () if tasks is None else (tasks,)
    (x, y), (query, _) = tokens(*lead), tokens(*lead, seed=1)
    clone = learner.clone(tasks=tasks)
    clone.write(x, y)
    expected = clone(query)
    twin = learner.clone(tasks=tasks)
    twin.load_state_dict(clone.state_dict())
    double = copied(clone).double()
    for each in (twin, double):
        assert torch.equal(each(query), expected)
        each.write(query, y)
        assert not torch.equal(each(query), expected)
    assert torch.equal(clone(query), expected)
    assert not any("adaptation" in key for key in learner.state_dict())
    assert not learner(query).any()
    other = TfIdfLearner(WAYS + 1).clone(tasks=tasks)
    with pytest.raises(ShapeError, match="a support set of 3 classes"):
        other.load_state_dict(clone.state_dict())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode, learner):
    (x, y), (query, _) = tokens(), tokens(seed=1)
    with mode():
        clone = learner.clone()
        clone.write(x, y)
        scores = clone(query)
    assert torch.equal(clone(query), scores)
    assert not any(value.is_inference() for value in clone.state_dict().values())
    clone.adapt(cross_entropy(clone(query), y))


def test_documents_without_known_ngrams_get_the_intercept(learner):
    x, y = tokens()
    clone = written(learner, x, y)
    scores = clone(torch.tensor([[99, 98], [0, 0], [77, 0]]))
    assert torch.equal(scores[0], scores[1])
    assert torch.equal(scores[0], scores[2])


def test_the_ids_of_a_vocabulary():
    """Unknown characters all have the id 1, which counts as any other token."""
    vocabulary = CharacterVocabulary(["abc"])
    rows = ["abz", "ab!", "ccb", "cb?"]
    x = torch.tensor([vocabulary.encode(row) for row in rows])
    y = torch.tensor([0, 0, 1, 1])
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    support = vectorizer.fit_transform(["ab_", "ab_", "ccb", "cb_"])
    expected = LogisticRegression(tol=1e-10).fit(support, y).predict_proba(support)
    scores = written(TfIdfLearner(2, (1, 2)), x, y)(x).detach()
    np.testing.assert_allclose(scores.softmax(-1), expected, atol=1e-6)


# ------------------------------------------------------------------ invalid arguments


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"ways": 0}, ArgumentError, "ways must be a positive integer"),
        ({"ngrams": (0, 2)}, ArgumentError, r"ngrams\[0\] must be a positive integer"),
        ({"ngrams": (3, 2)}, ArgumentError, r"ngrams\[1\] must be an integer of at least 3"),
        ({"ngrams": 3}, ArgumentError, r"pass a pair such as \(1, 3\)"),
        ({"regularization": 0}, ArgumentError, "regularization must be a number above 0"),
        ({"head": "linear"}, UnknownNameError, "unknown head 'linear'"),
    ],
)
def test_bad_arguments(options, error, match):
    with pytest.raises(error, match=f"^TfIdfLearner: .*{match}"):
        TfIdfLearner(**{"ways": 2, **options})


def test_bad_inputs_change_nothing(learner):
    x, y = tokens()
    clone = written(learner, x, y)
    before = clone(x)
    with pytest.raises(ArgumentTypeError, match="x must be token ids, an integer tensor, got"):
        clone.write(x.float(), y)
    with pytest.raises(ShapeError, match=r"x must be \(…, B, S\)"):
        clone(x[0])
    with pytest.raises(ArgumentError, match="labels must be from 0 to 2"):
        clone.write(x, y + 5)
    with pytest.raises(ShapeError, match="leading axes of the support set"):
        clone(x.expand(2, *x.shape))
    with pytest.raises(ShapeError, match=r"ids must be \(D, S\)"):
        learner.fit_background(x.unsqueeze(0))
    assert torch.equal(clone(x), before)
