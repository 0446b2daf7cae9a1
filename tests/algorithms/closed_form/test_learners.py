"""R2D2 and LRD2: what they keep, and their parameters, scores and errors."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn
from torch.nn import functional as F

from l2l_rnn.algorithms import LRD2, R2D2, ProtoNet
from l2l_rnn.errors import AdaptationError, ArgumentError, ShapeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceEncoder

WAYS, TASKS, BATCH = 3, 4, 9
KINDS = {"R2D2": R2D2, "LRD2": LRD2}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def make(kind, **options):
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=2, hidden_size=4, cell="gru")
    return kind(encoder, WAYS, **options).double()


def data(*lead, seed=1):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(*lead, BATCH, 4, 2, generator=draw, dtype=torch.float64)
    return x, torch.arange(BATCH).remainder(WAYS)[torch.randperm(BATCH, generator=draw)].expand(
        *lead, BATCH
    )


def written(learner, *parts):
    clone = learner.clone()
    for x, y in parts:
        clone.write(x, y)
    return clone


def test_scores_are_those_of_scikit_learn():
    (x, y), (query, _) = data(), data(seed=2)
    ridge = make(R2D2, regularization=0.3, scale=4.0)
    with torch.no_grad():
        ridge.bias += 0.5
        logistic = LRD2(ridge.module, WAYS, regularization=0.3).double()
        vectors, queries = ridge.module(x), ridge.module(query)
        found = [written(learner, (x, y))(query) for learner in (ridge, logistic)]
    theirs = Ridge(0.3).fit(vectors, F.one_hot(y)).predict(queries)
    torch.testing.assert_close(found[0], 4 * torch.from_numpy(theirs) + 0.5, rtol=1e-6, atol=1e-6)
    theirs = LogisticRegression(C=1 / 0.3, tol=1e-10, solver="newton-cg").fit(vectors, y)
    expected = torch.from_numpy(theirs.predict_proba(queries))
    torch.testing.assert_close(found[1].softmax(-1), expected, rtol=1e-6, atol=1e-6)


LOSSES = {
    "cross_entropy": F.cross_entropy,
    "nll": lambda s, y: F.nll_loss(s.log_softmax(-1), y),
    "ours": cross_entropy,
    "hinge": F.multi_margin_loss,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_adapt_reads_the_labels_from_the_loss(kind, loss):
    base, (x, y), query = make(kind), data(), data(seed=2)[0]
    learner = base.clone()
    for part in (slice(0, 2), slice(2, 7), slice(7, 9)):
        learner.adapt(LOSSES[loss](learner(x[part]), y[part]))
    torch.testing.assert_close(learner(query), written(base, (x, y))(query))


def test_further_sequences_add_to_the_support_set(kind):
    base, one, other, query = make(kind), data(), data(seed=3), data(seed=2)[0]
    both = [torch.cat(parts) for parts in zip(one, other, strict=True)]
    twice, once = written(base, one, other), written(base, both)
    torch.testing.assert_close(twice(query), once(query))
    assert not torch.equal(once(query), written(base, one)(query))
    shuffled = torch.randperm(2 * BATCH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(written(base, [part[shuffled] for part in both])(query), once(query))


def test_without_a_support_set_all_classes_have_the_score_zero(kind):
    learner = make(kind).clone()
    assert learner.head is None
    scores = learner(data()[0])
    assert scores.shape == (BATCH, WAYS)
    assert not scores.any()
    assert scores.requires_grad
    learner.write(*data())
    learner.reset()
    assert not learner(data()[0]).any()


def test_all_parameters_are_learned(kind):
    """The bias of R2D2 is the same for all classes, so only some losses depend on it."""
    base = make(kind)
    learner = written(base, data())
    learner(data(seed=2)[0]).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in base.parameters())
    names = {n for n, _ in base.named_parameters() if not n.startswith("module.")}
    assert names == {"log_regularization"} | ({"log_scale", "bias"} if kind is R2D2 else set())


def test_training_lowers_the_loss(kind):
    """The encoder learns to read the small first feature instead of the loud second one."""
    torch.manual_seed(0)
    learner, losses = kind(nn.Sequential(nn.Flatten(), nn.Linear(8, 4)), WAYS), []
    draw = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(learner.parameters(), 0.02)
    y = torch.arange(2 * BATCH).remainder(WAYS)
    for _ in range(60):
        x = torch.randn(2 * BATCH, 4, 2, generator=draw) * torch.tensor([0.1, 3.0])
        x[..., 0] += 0.3 * (y - 1).unsqueeze(-1)
        clone = learner.clone()
        clone.write(x[:BATCH], y[:BATCH])
        loss = F.cross_entropy(clone(x[BATCH:]), y[BATCH:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_clone_does_not_change_the_parameters_of_its_base(kind):
    base = make(kind)
    clone = base.clone()
    clone.float()
    with torch.no_grad():
        clone.log_regularization.add_(1)
    assert base.log_regularization.dtype == torch.float64
    assert base.log_regularization == 0


def test_the_head_is_solved_once_without_gradients(kind):
    learner = written(make(kind), data())
    with torch.no_grad():
        head = learner.head
        assert learner.head is head
        learner.log_regularization.add_(1)  # an optimizer changes parameters in place
        changed = learner.head
        assert not torch.equal(changed.weight, head.weight)
        learner.write(*data(seed=3))
        assert not torch.equal(learner.head.weight, changed.weight)
    with torch.inference_mode():
        inside = learner.head
    assert learner.head.weight.requires_grad
    torch.testing.assert_close(learner.head.weight, inside.weight)


@pytest.mark.parametrize("call", ["write", "adapt"])
def test_an_absent_class_is_never_predicted(kind, call):
    draw = torch.Generator().manual_seed(0)
    x, query = (torch.randn(3, n, 2, generator=draw) for n in (8, 20))
    y = torch.tensor([[0, 1], [1, 2], [2, 2]]).repeat(1, 4)
    learner = kind(nn.Linear(2, 2), 4).clone(tasks=3)
    learner.write(x, y) if call == "write" else learner.adapt(cross_entropy(learner(x), y).mean())
    scores = learner(query)
    for n, present in enumerate([{0, 1}, {1, 2}, {2}]):
        assert set(scores[n].argmax(-1).tolist()) <= present
        absent = [c for c in range(4) if c not in present]
        assert scores[n].softmax(-1)[:, absent].max() < 1e-40
    one = kind(learner.module, 4).clone()
    one.write(x[0], y[0])
    torch.testing.assert_close(one(query[0]), scores[0])


def test_a_learner_continued_with_more_classes(kind):
    base, (x, y), query = make(kind), data(), data(seed=2)[0]
    more = base.continued(written(base, (x, y)), WAYS + 2)
    torch.testing.assert_close(more(query)[:, :WAYS], written(base, (x, y))(query))
    more.write(x, y + 2)
    whole = base.continued(None, WAYS + 2)
    whole.write(torch.cat([x, x]), torch.cat([y, y + 2]))
    torch.testing.assert_close(more(query), whole(query))


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), float("inf"), "1", None, True])
def test_bad_regularization(kind, bad):
    with pytest.raises(ArgumentError, match=rf"^{kind.__name__}: regularization must be a number"):
        kind(nn.Identity(), 2, regularization=bad)


def test_other_bad_arguments(kind):
    for ways in (0, 2.0, None):
        with pytest.raises(ArgumentError, match=f"^{kind.__name__}: ways must be a positive int"):
            kind(nn.Identity(), ways)
    with pytest.raises(ArgumentError, match=r"^R2D2: scale must be a number above 0"):
        R2D2(nn.Identity(), 2, scale=0)
    with pytest.raises(ArgumentError, match=r"^LRD2: newton_steps must be a positive integer"):
        LRD2(nn.Identity(), 2, newton_steps=0)


def test_bad_support_sets_change_nothing(kind):
    base = make(kind)
    learner = written(base, data(TASKS))
    query = data(TASKS, seed=2)[0]
    before = learner(query)
    x, y = data(TASKS, seed=3)
    who = rf"^{kind.__name__}\.write: "
    infinite = x.clone()
    infinite[2, 1] = torch.inf
    with pytest.raises(AdaptationError, match=who + "the support vectors of task 2 are NaN or inf"):
        learner.write(infinite, y)
    with pytest.raises(ArgumentError, match=who + "labels must be from 0 to 2, got"):
        learner.write(x, y + 1)
    with pytest.raises(ShapeError, match=who + "x must have the leading axes of the support set"):
        learner.write(x[0], y[0])
    with pytest.raises(AdaptationError, match="does not depend on the learner's last outputs"):
        learner.adapt(torch.tensor(1.0, requires_grad=True))
    with pytest.raises(ShapeError, match=f"^{kind.__name__}: x must have the leading axes"):
        learner(query[:2])
    assert torch.equal(learner(query), before)


def test_a_non_finite_row_of_padding_is_left_out(kind):
    (x, y), query = data(), data(seed=2)[0]
    base = kind(nn.Flatten(), WAYS).double()
    mask = torch.ones(BATCH).bool()
    mask[3] = False
    learner = base.clone()
    learner.write(x.masked_fill(~mask.view(-1, 1, 1), torch.nan), y, mask=mask)
    expected = written(base, (x[mask], y[mask]))(query)
    torch.testing.assert_close(learner(query), expected)


def test_an_encoder_with_parameters_of_the_same_names(kind):
    """learn2learn's learners show the attributes of their module as their own."""
    encoder = nn.Linear(3, 3)
    encoder.log_scale, encoder.log_regularization = nn.Parameter(torch.ones(2)), None
    learner = written(
        kind(encoder, 2, regularization=1e-3), (torch.eye(3), torch.tensor([0, 1, 1]))
    )
    assert learner.log_regularization.shape == ()
    assert learner(torch.eye(3)).argmax(-1).tolist() == [0, 1, 1]


def test_the_state_of_another_learner_is_refused(kind):
    learner = written(make(kind), data())
    saved = written(ProtoNet(learner.module, WAYS), data()).state_dict()
    saved |= {n: v for n, v in learner.state_dict().items() if not n.startswith("adaptation")}
    before = learner(data(seed=2)[0])
    message = f"expected vectors .*load the state of a {kind.__name__}"
    with pytest.raises(ArgumentError, match=message):
        learner.load_state_dict(saved)
    assert torch.equal(learner(data(seed=2)[0]), before)
