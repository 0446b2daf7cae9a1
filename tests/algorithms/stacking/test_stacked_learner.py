"""Learners as one: the pool's formula, its weights, and members that are better in other tasks."""

import copy

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import (
    LRD2,
    R2D2,
    EnsemblePrior,
    GaussianPrior,
    PriorCoordinates,
    ProtoNet,
    StackedLearner,
    TfIdfLearner,
)
from l2l_rnn.algorithms.labels import mask_absent
from l2l_rnn.algorithms.stacking.pool import LogLinearPool, PoolInputs
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import EncoderEnsemble, SequenceEncoder
from l2l_rnn.training import Pretrained

WAYS, TASKS = 3, 4


def encoder(size=4):
    return SequenceEncoder(vocab_size=9, embedding_size=3, hidden_size=size)


def make(seed=0):
    torch.manual_seed(seed)
    prior = GaussianPrior(4).fit(torch.randn(40, 4), torch.arange(40) // 4)
    members = [ProtoNet(nn.Identity(), WAYS, prior), R2D2(PriorCoordinates(prior), WAYS)]
    return StackedLearner(encoder(), WAYS, members, [TfIdfLearner(WAYS, (1, 2))]).double()


def data(*lead, rows=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(1, 9, (*lead, rows, 5), generator=generator)
    return x, torch.arange(rows).remainder(WAYS).expand(*lead, rows)


def test_the_score_is_a_weighted_sum_of_log_probabilities():
    base = make()
    with torch.no_grad():
        base.pool.coefficients.normal_()
    x, y = data()
    x, y = x[:8], y[:8]  # 3, 3 and 2 examples
    query, _ = data(seed=1)
    learner = base.clone()
    learner.write(x, y)
    members = [*base.vector_learners, *base.input_learners]
    clones = [one.clone() for one in members]
    for one, inputs in zip(clones, [base.encoder(x), base.encoder(x), x], strict=True):
        one.write(inputs, y)
    queries = base.encoder(query)
    logs = [c(q).log_softmax(-1) for c, q in zip(clones, [queries, queries, query], strict=True)]
    shots, ways = torch.tensor(8 / 3).double().log(), torch.tensor(3.0).double().log()
    features = torch.stack([torch.ones_like(shots), shots, ways, shots**2])
    weights = nn.functional.softplus(base.pool.coefficients @ features)
    share = torch.tensor([3, 3, 2]).double().div(8).log()
    expected = sum(w * log for w, log in zip(weights, logs, strict=False)) + weights[-1] * share
    torch.testing.assert_close(learner(query), expected)
    torch.testing.assert_close(base.pool.weights(torch.tensor([3, 3, 2])), weights)


def test_all_members_have_the_same_weight_at_the_start():
    weights = LogLinearPool(4).weights(torch.tensor([[1, 1], [50, 20]]))
    torch.testing.assert_close(weights[:, :4], torch.full((2, 4), 0.25))
    assert (weights[:, 4] < 0.02).all()


def test_gradients_reach_the_encoder_the_members_and_the_weights():
    """Not only through the query set: they equal those of the formula, written out."""
    base, (x, y), (query, query_y) = make(), data(), data(seed=1)
    learner = base.clone()
    learner.adapt(cross_entropy(learner(x), y))
    cross_entropy(learner(query), query_y).backward()
    other = copy.deepcopy(base)
    other.zero_grad()
    clones = [one.clone() for one in other.vector_learners]
    support, queries = other.encoder(x), other.encoder(query)
    for one in clones:
        one.write(support, y)
    constant = other.input_learners[0].clone()
    constant.write(x, y)
    logs = [*(one(queries).log_softmax(-1) for one in clones), constant(query).log_softmax(-1)]
    scores = other.pool(PoolInputs(logs, torch.full((3,), 3.0).double()))
    cross_entropy(mask_absent(scores, torch.ones(3).bool()), query_y).backward()
    for (name, one), two in zip(base.named_parameters(), other.parameters(), strict=True):
        if "bias" not in name or "recurrence" in name:  # that of a ridge head cancels out
            assert one.grad.abs().max() > 0, name
        torch.testing.assert_close(one.grad, two.grad)


def test_second_derivatives():
    torch.manual_seed(0)
    members = [ProtoNet(nn.Identity(), 2), LRD2(nn.Identity(), 2)]
    base = StackedLearner(nn.Identity(), 2, members).double()
    y = torch.tensor([0, 1, 0, 1])

    def scores(x, query, coefficients):
        learner = base.clone()
        learner.pool._parameters["coefficients"] = coefficients
        learner.write(x, y)
        return learner(query)

    arguments = torch.randn(4, 2), torch.randn(2, 2), base.pool.coefficients.detach()
    arguments = [part.double().requires_grad_() for part in arguments]
    assert torch.autograd.gradcheck(scores, arguments)
    assert torch.autograd.gradgradcheck(scores, arguments)


def test_several_encoders_with_their_priors():
    torch.manual_seed(0)
    priors = [GaussianPrior(n).fit(torch.randn(40, n), torch.arange(40) // 4) for n in (4, 6)]
    both = EncoderEnsemble([encoder(4), encoder(6)])
    member = ProtoNet(nn.Identity(), WAYS, EnsemblePrior(priors))
    learner = StackedLearner(both, WAYS, [member]).clone()
    alone = ProtoNet(both, WAYS, EnsemblePrior(priors)).clone()
    (x, y), (query, _) = data(), data(seed=1)
    learner.write(x, y)
    alone.write(x, y)
    torch.testing.assert_close(
        learner(query).log_softmax(-1), alone(query).log_softmax(-1), rtol=1e-4, atol=1e-4
    )


def test_the_coordinates_of_a_prior():
    """Their scalar products are those of the prior's expected class means, scaled to length 1."""
    torch.manual_seed(0)
    priors = [GaussianPrior(n).fit(torch.randn(60, n), torch.arange(60) // 2) for n in (3, 2)]
    x = torch.randn(7, 5)
    products, lengths = torch.zeros(7, 7), torch.zeros(7)
    for prior, part in zip(priors, x.split([3, 2], -1), strict=True):
        z = (part - prior.mean) @ prior.transform.mT
        expected = z * prior.variances / (prior.variances + 1)  # the mean of a class of one example
        products, lengths = products + z @ expected.mT, lengths + (z * expected).sum(-1)
    assert (lengths > 0).all()
    found = PriorCoordinates(EnsemblePrior(priors))(x)
    norms = lengths.sqrt().unsqueeze(-1)
    torch.testing.assert_close(found @ found.mT, products / norms / norms.mT)
    alone = PriorCoordinates(priors[0])(x[:, :3])
    torch.testing.assert_close(alone.norm(dim=-1), torch.ones(7))
    with pytest.raises(ArgumentTypeError, match="must be a GaussianPrior or an EnsemblePrior"):
        PriorCoordinates(nn.Identity())


def test_further_examples_and_classes():
    base, (x, y), (query, _) = make(), data(), data(seed=1)
    whole, parts = base.clone(), base.clone()
    parts.ways = 2
    first = y < 2
    parts.write(x[first], y[first])
    parts = base.continued(parts, WAYS)
    assert (parts(query).softmax(-1)[:, 2] < 1e-30).all()
    parts.write(x[~first], y[~first])
    whole.write(x, y)
    torch.testing.assert_close(parts(query), whole(query), rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ learned weights


class Flagged(nn.Module):
    """The vector of a text is its first token: the class, but wrong in a quarter of the texts."""

    output_size = WAYS
    task_axis = True

    def forward(self, x):
        return nn.functional.one_hot(x[..., 0].clamp(2, 4) - 2, WAYS).double()


def tasks(number, shots, seed, queries=20):
    """Texts whose words also tell their class, which takes more examples to find out."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(WAYS).repeat(shots + queries).expand(number, -1)
    wrong = torch.rand(y.shape, generator=generator) < 0.25
    flag = torch.where(wrong, torch.randint(0, WAYS, y.shape, generator=generator), y) + 2
    own = torch.randint(0, 12, (*y.shape, 8), generator=generator)
    common = torch.randint(41, 60, own.shape, generator=generator)
    chosen = torch.rand(own.shape, generator=generator) < 0.35
    words = torch.where(chosen, 5 + 12 * y.unsqueeze(-1) + own, common)
    x = torch.cat([flag.unsqueeze(-1), words], -1)
    support = WAYS * shots
    return TaskBatch(x[:, :support], y[:, :support], x[:, support:], y[:, support:])


class Words(TfIdfLearner):
    """Reads the words, but not the first token."""

    def encoded(self, x):
        return super().encoded(x[..., 1:])


def stacked():
    return StackedLearner(Flagged(), WAYS, [ProtoNet(nn.Identity(), WAYS)], [Words(WAYS, (1, 1))])


def accuracies(learner, batch):
    """The accuracy of the pool and of each member on each task."""
    clone = learner.clone(tasks=len(batch))
    with torch.no_grad():
        clone.write(batch.support_x, batch.support_y)
        inputs = clone._pool_inputs(clone.encoded(batch.query_x), batch.query_x)
        every = [clone(batch.query_x), *inputs.logs]
    return torch.stack([accuracy(scores, batch.query_y) for scores in every])


def test_learned_weights_make_the_pool_better_than_each_member():
    learner = stacked()
    test = {shots: tasks(40, shots, seed=10 + shots) for shots in (1, 4, 30)}
    losses = learner.fit_weights([tasks(40, shots, seed=shots) for shots in (1, 4, 30)])
    assert losses[-1] < losses[0]
    assert all(module.training for module in learner.modules())
    found = {shots: accuracies(learner, batch).mean(-1) for shots, batch in test.items()}
    for pooled, vectors, words in found.values():
        assert pooled > max(vectors, words) - 0.005
    assert found[1][1] > found[1][2] + 0.1  # one example: the flag is better
    assert found[30][2] > found[30][1] + 0.03  # many: the words are
    assert found[4][0] > found[4][1:].max() + 0.02  # between: both together
    shares = [learner.pool.weights(torch.tensor([k, k, k]))[1] for k in (1, 30)]
    assert shares[1] > 1.1 * shares[0]


def test_cross_fitting_uses_the_members_of_other_learners():
    """A member that is weak in the other learners gets less weight than from the learner itself."""
    batches = [tasks(20, shots, seed=shots) for shots in (1, 4)]
    own, same, crossed = stacked(), stacked(), stacked()
    values = own.fit_weights(batches)
    assert same.fit_weights(batches, learners=[stacked(), stacked()]) == values
    torch.testing.assert_close(own.pool.coefficients, same.pool.coefficients, rtol=0, atol=0)
    weak = stacked()
    weak.vector_learners[0].module = Constant()  # says nothing of the classes
    crossed.fit_weights(batches, learners=(weak for _ in batches))
    shares = [one.pool.weights(torch.tensor([4, 4, 4])) for one in (own, crossed)]
    assert shares[1][0] < 0.5 * shares[0][0]
    assert torch.equal(weak.pool.coefficients, stacked().pool.coefficients)  # it is only read


class Constant(nn.Module):
    """Maps all vectors to zero."""

    task_axis = True

    def forward(self, x):
        return 0 * x


def test_weights_are_constant_outside_of_the_fitted_range():
    learner = stacked()
    learner.fit_weights([tasks(10, shots, seed=shots) for shots in (2, 5)])
    of = {k: learner.pool.weights(torch.tensor([k] * 3)) for k in (1, 2, 3, 5, 500)}
    assert torch.equal(of[1], of[2])
    assert torch.equal(of[5], of[500])
    assert not torch.equal(of[3], of[2])


def test_one_batch_needs_no_list():
    batch = tasks(10, 2, seed=0)
    assert stacked().fit_weights(batch) == stacked().fit_weights([batch])


def test_batches_of_several_sizes_are_padded():
    """Padding has no effect on the fit."""
    small, large = tasks(6, 1, seed=0, queries=5), tasks(6, 4, seed=1)
    one, other = stacked(), stacked()
    one.fit_weights([TaskBatch.joined([small, large])])
    other.fit_weights([small, large])
    torch.testing.assert_close(one.pool.coefficients, other.pool.coefficients, rtol=0.02, atol=0.02)


def test_the_weights_are_saved(tmp_path):
    torch.manual_seed(0)
    learner = make().float()
    learner.fit_weights([TaskBatch(*data(TASKS, rows=n), *data(TASKS, seed=1)) for n in (3, 9)])
    for dtype in ("float32", "float16"):
        Pretrained(learner).save_pretrained(tmp_path / dtype, dtype=dtype)
        loaded = Pretrained.from_pretrained(tmp_path / dtype).learner
        x, y = data()
        clones = [one.eval().clone() for one in (learner, loaded)]
        for clone in clones:
            clone.write(x, y)
        tolerance = 0 if dtype == "float32" else 0.05
        torch.testing.assert_close(*(one(x) for one in clones), rtol=0, atol=tolerance)


# ------------------------------------------------------------------ invalid arguments


@pytest.mark.parametrize(
    "members", [[[], []], [[nn.Linear(2, 2)], []], [[], [TfIdfLearner(2)]]], ids=str
)
def test_bad_members(members):
    with pytest.raises(ArgumentTypeError, match="members must be learners that keep a support set"):
        StackedLearner(encoder(), 2, *members)


def test_no_batches():
    with pytest.raises(DataError, match="expected at least one batch"):
        make().fit_weights([])


@pytest.mark.parametrize("others", [0, 1, "members", "encoder"])
def test_bad_learners_of_cross_fitting(others):
    learner = stacked()
    kinds = {"members": make, "encoder": encoder}
    found = [stacked()] * others if isinstance(others, int) else [kinds[others](), stacked()]
    with pytest.raises(ArgumentError, match="with the same members for each of 2 batches"):
        learner.fit_weights([tasks(2, 1, seed=0)] * 2, learners=found)


def test_errors_change_nothing():
    learner, (x, y) = make().clone(), data()
    learner.write(x, y)
    before = learner(x)
    with pytest.raises(ArgumentError, match=r"^StackedLearner\.write: labels must be from 0 to 2"):
        learner.write(x, y + 3)
    with pytest.raises(ShapeError, match="leading axes of the support set"):
        learner.write(x.expand(2, *x.shape), y.expand(2, *y.shape))
    assert torch.equal(learner(x), before)


def test_series_need_vector_learners_only():
    of_series = SequenceEncoder(input_size=2, hidden_size=4)
    members = [[ProtoNet(nn.Identity(), 2)], [TfIdfLearner(2)]]
    learner = StackedLearner(of_series, 2, *members).clone()
    x, y = torch.randn(4, 5, 2), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ArgumentTypeError, match="inputs of input_learners must be token ids"):
        learner.write(x, y)
    alone = StackedLearner(of_series, 2, members[0]).clone()
    alone.write(x, y)
    assert alone(x).shape == (4, 2)
