"""`PairMemoryLearner`: clones, writes, learn2learn's loop, tasks at once, saving and errors."""

import copy
import io
import pickle

import learn2learn
import pytest
import torch

from l2l_rnn.algorithms import PairMemoryLearner
from l2l_rnn.configuration import build, configuration_of
from l2l_rnn.errors import (
    AdaptationError,
    ArgumentError,
    ArgumentTypeError,
    L2LRNNError,
    ShapeError,
)
from l2l_rnn.functional import sequence_cross_entropy
from l2l_rnn.models import MemorySeq2Seq, Seq2Seq
from tests.models.seq2seq.pairs import SOURCES, TARGETS, pairs

TASKS = 3


def learner(seed=0):
    torch.manual_seed(seed)
    network = MemorySeq2Seq(SOURCES, TARGETS, hidden_size=4, max_length=12).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return PairMemoryLearner(network)


@pytest.fixture(params=[None, TASKS], ids=["one", "tasks"])
def tasks(request):
    return request.param


@pytest.fixture
def sets(tasks):
    lead = () if tasks is None else (tasks,)
    return *pairs(*lead, 5), *pairs(*lead, 2, source_steps=3, target_steps=7, seed=1)


def written(sets, tasks, seed=0):
    one = learner(seed).clone(tasks=tasks)
    one.write(*sets[:2])
    return one


def test_adapt_in_the_loop_of_learn2learn_equals_write(sets, tasks):
    x, y, qx, qy = sets
    one = learner().clone(tasks=tasks)
    assert isinstance(one, learn2learn.algorithms.base_learner.BaseLearner)
    before = one(qx, qy)
    one.adapt(sequence_cross_entropy(one(x, y), y))
    assert torch.equal(one(qx, qy), written(sets, tasks)(qx, qy))
    assert not torch.allclose(one(qx, qy), before)


def test_tasks_at_once_equal_a_loop():
    x, y = pairs(TASKS, 5)
    qx, qy = pairs(TASKS, 2, seed=1)
    original = learner()
    many = original.clone(tasks=TASKS)
    mask = torch.ones(TASKS, 5, dtype=torch.bool)
    mask[2, 1:] = False
    many.write(x, y, mask=mask)
    outputs, tokens = many(qx, qy), many.greedy(qx, 8)
    beams = many.beam_search(qx, 3, 8)
    sequence_cross_entropy(outputs, qy).sum().backward()
    gradients = [parameter.grad.clone() for parameter in original.parameters()]
    original.zero_grad()
    for n in range(TASKS):
        one = original.clone()
        one.write(x[n][mask[n]], y[n][mask[n]])
        torch.testing.assert_close(outputs[n], one(qx[n], qy[n]))
        own = one.greedy(qx[n], 8)
        assert torch.equal(tokens[n, :, : own.shape[-1]], own)
        torch.testing.assert_close(beams.scores[n], one.beam_search(qx[n], 3, 8).scores)
        sequence_cross_entropy(one(qx[n], qy[n]), qy[n]).backward()
    for parameter, gradient in zip(original.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_pairs_are_a_set_in_any_calls(sets, tasks):
    x, y, qx, qy = sets
    expected = written(sets, tasks)(qx, qy)
    one = learner().clone(tasks=tasks)
    one.write(x[..., 3:, :], y[..., 3:, :])
    one.write(x[..., :0, :], y[..., :0, :])
    one.write(x[..., :3, :], y[..., :3, :])
    torch.testing.assert_close(one(qx, qy), expected)
    one.reset()
    assert one.pairs is None
    assert torch.equal(one(qx, qy), learner().clone(tasks=tasks)(qx, qy))


def test_longer_pairs_can_follow_shorter_ones(sets, tasks):
    x, y, qx, qy = sets
    one, other = (learner().clone(tasks=tasks) for _ in range(2))
    for parts in ((x, y), (qx, qy)):
        one.write(*parts)
    for parts in ((qx, qy), (x, y)):
        other.write(*parts)
    torch.testing.assert_close(one(qx, qy), other(qx, qy))
    assert one.pairs.target.shape[-2:] == (7, 7)


def test_a_clone_is_blank_and_changes_nothing_else(sets, tasks):
    _, _, qx, qy = sets
    one = written(sets, tasks)
    before = one(qx, qy)
    twin = one.clone()
    assert twin.pairs is None
    assert twin.tasks == tasks
    twin.write(qx, qy)
    assert torch.equal(one(qx, qy), before)


def test_reading_changes_nothing(sets, tasks):
    _, _, qx, qy = sets
    one = written(sets, tasks)
    before = one(qx, qy)
    pairs_before = one.pairs
    one.greedy(qx), one.beam_search(qx, 2)
    assert one.pairs is pairs_before
    assert torch.equal(one(qx, qy), before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_writes_without_gradients_can_be_read_with_them(mode, sets, tasks):
    _, _, qx, qy = sets
    expected = written(sets, tasks)(qx, qy)
    original = learner()
    one = original.clone(tasks=tasks)
    with mode():
        one.write(*sets[:2])
        torch.testing.assert_close(one(qx, qy), expected)
    outputs = one(qx, qy)
    torch.testing.assert_close(outputs, expected)
    sequence_cross_entropy(outputs, qy).sum().backward()
    sequence_cross_entropy(one(qx, qy), qy).sum().backward()  # a second graph
    assert original.module.support_encoder.key.weight.grad.any()


def test_a_kept_memory_follows_the_parameters_and_the_pairs(sets, tasks):
    x, y, qx, qy = sets
    one = learner().eval()
    one.tasks = tasks
    with torch.no_grad():
        one.write(x, y)
        first = one(qx, qy)
        assert torch.equal(one(qx, qy), first)
        one.module.support_encoder.key.weight.mul_(1.5)
        second = one(qx, qy)
        one._kept = None
        assert torch.equal(one(qx, qy), second)
        assert not torch.allclose(first, second)
        one.write(qx, qy)
        assert not torch.allclose(one(qx, qy), second)


def test_it_is_saved_copied_and_pickled(sets, tasks):
    _, _, qx, qy = sets
    one = written(sets, tasks)
    expected = one(qx, qy).detach()
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    twin = learner(seed=5).clone(tasks=tasks)
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(qx, qy), expected)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert torch.equal(other(qx, qy), expected)
        other.write(qx, qy)
    assert torch.equal(one(qx, qy), expected)
    blank = learner()
    twin.load_state_dict(blank.state_dict())
    assert twin.pairs is None
    assert torch.equal(twin(qx, qy), learner().clone(tasks=tasks)(qx, qy))


def test_saved_pairs_need_the_same_tasks(sets, tasks):
    state = written(sets, tasks).state_dict()
    other = learner().clone(tasks=2 if tasks is None else None)
    with pytest.raises(ShapeError, match="saved learner holds"):
        other.load_state_dict(state)
    assert other.pairs is None
    state = {k: v for k, v in state.items() if k != "adaptation.mask"}
    with pytest.raises(ArgumentError, match="expected source, target and mask"):
        learner().clone(tasks=tasks).load_state_dict(state)


def test_it_is_built_again_from_json():
    one = learner()
    twin = build(configuration_of(one))
    assert isinstance(twin, PairMemoryLearner)
    twin.double().load_state_dict(one.state_dict())
    x, y = pairs(2)
    assert torch.equal(twin(x, y), one(x, y))


def test_errors_leave_the_learner_unchanged(sets, tasks):
    x, y, qx, qy = sets
    one = written(sets, tasks)
    before = one(qx, qy)
    mask = torch.ones(x.shape[:-1], dtype=torch.bool)
    attempts = [
        (lambda: one.write(x[..., 0, :], y), ShapeError, "x must be|one sequence for each|must be"),
        (lambda: one.write(x.unsqueeze(0), y.unsqueeze(0)), ShapeError, r"see clone\(tasks=…\)"),
        (lambda: one.write(x + 9, y), ArgumentError, "source ids must be from 0 to 6"),
        (lambda: one.write(x, 0 * y), ArgumentError, "target of pair .* is empty"),
        (lambda: one.write(x, y, mask=mask.float()), ArgumentTypeError, "mask"),
        (lambda: one.adapt(torch.ones(())), AdaptationError, "no outputs|no graph|depend"),
        (lambda: one.clone(tasks=0), ArgumentError, "tasks must be a positive integer"),
    ]
    for attempt, error, message in attempts:
        with pytest.raises(error, match=message):
            attempt()
    loss = sequence_cross_entropy(one(x, y), y)
    with pytest.raises(AdaptationError, match="NaN"):
        one.adapt((loss * torch.nan).sum())
    with pytest.raises(AdaptationError, match="does not depend"):
        one.adapt(sum(p.sum() for p in one.module.parameters()))
    with pytest.raises(ShapeError, match="loss must be a scalar"):
        one.adapt(one(x, y).sum((-1, -2)).flatten()[:2])
    with torch.no_grad():
        one(x, y)
    with pytest.raises(AdaptationError, match="no outputs"):
        one.adapt(loss.sum())
    assert torch.equal(one(qx, qy), before)
    assert one.pairs.source.shape == x.shape


def test_adapt_takes_a_mask(sets, tasks):
    x, y, qx, qy = sets
    mask = torch.ones(x.shape[:-1], dtype=torch.bool)
    mask[..., 2:4] = False
    one, other = (learner().clone(tasks=tasks) for _ in range(2))
    one.adapt(sequence_cross_entropy(one(x, y), y, mask), mask=mask)
    other.write(x, y, mask=mask)
    assert torch.equal(one(qx, qy), other(qx, qy))
    rows = torch.tensor([0, 1, 4])
    third = learner().clone(tasks=tasks)
    third.write(x[..., rows, :], y[..., rows, :])
    torch.testing.assert_close(one(qx, qy), third(qx, qy))


def test_models_of_another_kind_are_refused():
    with pytest.raises(ArgumentTypeError, match=r"MemorySeq2Seq, got Seq2Seq; use MAML"):
        PairMemoryLearner(Seq2Seq(SOURCES, TARGETS))
    many = learner().clone(tasks=2)
    with pytest.raises(L2LRNNError, match="already holds 2 tasks"):
        many.clone(tasks=2)


@pytest.mark.slow
def test_it_learns_to_translate_with_unseen_words():
    """Each task has its own word for each source token; training words are not those of tests."""
    torch.manual_seed(0)
    model = MemorySeq2Seq(12, 60, hidden_size=16, max_length=8, places=2, context=2)
    meta = PairMemoryLearner(model)
    optimizer = torch.optim.Adam(meta.parameters(), 1e-2)

    def batch(low, high, seed):
        generator = torch.Generator().manual_seed(seed)
        words = torch.rand(8, 60, generator=generator).argsort(-1) % (high - low) + low
        source = torch.randint(2, 12, (8, 14, 2), generator=generator)
        target = words[torch.arange(8)[:, None, None], source]
        target = torch.cat([target, torch.full((8, 14, 1), 2)], -1)
        return source[:, :10], target[:, :10], source[:, 10:], target[:, 10:]

    for step in range(200):
        x, y, qx, qy = batch(3, 30, step)
        one = meta.clone(tasks=8)
        one.write(x, y)
        loss = sequence_cross_entropy(one(qx, qy), qy).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y, qx, qy = batch(30, 60, 1000)
    with torch.no_grad():
        one = meta.clone(tasks=8)
        one.write(x, y)
        p = one(qx, qy).gather(-1, qy.unsqueeze(-1)).exp()
        without = meta.clone(tasks=8)(qx, qy).gather(-1, qy.unsqueeze(-1)).exp()
    assert p.mean() > 0.5
    assert without.mean() < 0.4
