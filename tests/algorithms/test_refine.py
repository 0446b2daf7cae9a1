"""Class means that move toward unlabeled sequences."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import AdaptationError, ArgumentError, ShapeError

N, C, B, E = 3, 4, 30, 6


def clusters(seed=0):
    """Return N tasks with one labeled vector for each class and many unlabeled ones."""
    generator = torch.Generator().manual_seed(seed)
    means = 3 * torch.randn(N, C, E, generator=generator, dtype=torch.float64)
    y = torch.arange(C).expand(N, C)
    labels = torch.randint(0, C, (N, B), generator=generator)
    noise = [torch.randn(N, rows, E, generator=generator, dtype=torch.float64) for rows in (C, B)]
    x = means.gather(1, labels.unsqueeze(-1).expand(N, B, E)) + 1.5 * noise[1]
    return TaskBatch(means + 3.0 * noise[0], y, x, labels)


def prior():
    generator = torch.Generator().manual_seed(1)
    means = 3 * torch.randn(40, 1, E, generator=generator, dtype=torch.float64)
    vectors = means + torch.randn(40, 30, E, generator=generator, dtype=torch.float64)
    return GaussianPrior(E).double().fit(vectors.flatten(0, 1), torch.arange(1200) // 30)


@pytest.fixture(params=["means", "prior"])
def learner(request):
    return ProtoNet(nn.Identity(), C, prior() if request.param == "prior" else None)


def written(learner, batch):
    copy = learner.clone()
    copy.write(batch.support_x, batch.support_y)
    return copy


def test_one_step_is_the_formula():
    batch = clusters()
    copy = written(ProtoNet(nn.Identity(), C), batch)
    r = 0.5 * (copy(batch.query_x) / 2).softmax(-1)
    expected = batch.support_x + torch.einsum("nbc,nbe->nce", r, batch.query_x)
    expected = expected / (1 + r.sum(1)).unsqueeze(-1)
    copy.refine(batch.query_x, weight=0.5, temperature=2.0, steps=1)
    torch.testing.assert_close(copy.prototypes, expected)


def test_it_finds_the_clusters(learner):
    batches = [clusters(seed) for seed in range(20)]
    right = {}
    for weight in (0.0, 0.3):
        scores = []
        for batch in batches:
            copy = written(learner, batch)
            copy.refine(batch.query_x, weight=weight, temperature=2.0)
            scores.append((copy(batch.query_x).argmax(-1) == batch.query_y).double().mean())
        right[weight] = torch.stack(scores).mean()
    assert right[0.3] > right[0.0] + 0.03


def test_a_weight_of_zero_changes_nothing(learner):
    batch = clusters()
    copy, other = written(learner, batch), written(learner, batch)
    copy.refine(batch.query_x, weight=0.0)
    torch.testing.assert_close(copy(batch.query_x), other(batch.query_x))


def test_tasks_equal_a_loop_and_order_does_not_matter(learner):
    batch = clusters()
    together = written(learner, batch)
    together.refine(batch.query_x.flip(1))
    for task in range(N):
        alone = learner.clone()
        alone.write(batch.support_x[task], batch.support_y[task])
        alone.refine(batch.query_x[task])
        torch.testing.assert_close(
            alone(batch.query_x[task]), together(batch.query_x)[task], rtol=1e-9, atol=1e-9
        )


def test_padding_is_ignored(learner):
    batch = clusters()
    copy, padded = written(learner, batch), written(learner, batch)
    copy.refine(batch.query_x[:, :10])
    x = batch.query_x[:, :15].clone()
    x[:, 10:] = torch.nan
    padded.refine(x, mask=torch.arange(15).expand(N, 15) < 10)
    torch.testing.assert_close(padded.prototypes, copy.prototypes)


def test_a_class_without_examples_stays_absent(learner):
    batch = clusters()
    copy = learner.clone()
    copy.write(batch.support_x[:, 1:], batch.support_y[:, 1:])
    copy.refine(batch.query_x)
    assert not (copy(batch.query_x).argmax(-1) == 0).any()
    assert not copy.prototypes[:, 0].any()


def test_gradients_reach_both_sets(learner):
    def loss(support, query):
        copy = learner.clone()
        copy.write(support, batch.support_y[0])
        copy.refine(query, steps=2)
        return copy(query).log_softmax(-1)[:, 0].sum()

    batch = clusters()
    x = batch.support_x[0].requires_grad_(), batch.query_x[0, :5].requires_grad_()
    assert torch.autograd.gradcheck(loss, x)
    assert torch.autograd.gradgradcheck(loss, x, atol=1e-4)


def test_bad_input_leaves_it_unchanged(learner):
    batch = clusters()
    with pytest.raises(AdaptationError, match=r"no prototypes; call write\(x, y\) first"):
        learner.clone().refine(batch.query_x)
    copy = written(learner, batch)
    before = copy.prototypes.clone()
    for options, error in (
        ({"weight": -1.0}, ArgumentError),
        ({"temperature": 0.0}, ArgumentError),
        ({"steps": 0}, ArgumentError),
        ({"mask": torch.ones(N, B + 1, dtype=torch.bool)}, ShapeError),
    ):
        with pytest.raises(error):
            copy.refine(batch.query_x, **options)
    with pytest.raises(ShapeError, match="leading axes of the support set"):
        copy.refine(batch.query_x[0])
    torch.testing.assert_close(copy.prototypes, before, rtol=0, atol=0)
