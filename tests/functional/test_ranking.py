"""Measures of rankings, compared with scikit-learn's."""

import numpy as np
import pytest
import torch

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import ndcg_at, recall_at


@pytest.fixture
def users():
    """Scores of 40 items for 3 x 5 users, and one to thirty relevant items of each."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 5, 40, generator=generator, dtype=torch.float64)
    order = torch.rand(3, 5, 40, generator=generator).argsort(-1)
    counts = torch.randint(1, 31, (3, 5, 1), generator=generator)
    return scores, order < counts


@pytest.mark.parametrize("count", [1, 10, 40, 100])
def test_ndcg_is_that_of_scikit_learn(users, count):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, relevant = users
    expected = [
        metrics.ndcg_score(r[None].numpy(), s[None].numpy(), k=count)
        for s, r in zip(scores.flatten(0, 1), relevant.flatten(0, 1).double(), strict=True)
    ]
    found = ndcg_at(scores, relevant, count)
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-12)


def test_recall_counts_and_seen_items_are_left_out(users):
    scores, relevant = users
    seen = ~relevant & (scores > 0.5)
    for place in np.ndindex(3, 5):
        ranking = [i for i in scores[place].argsort(descending=True).tolist() if not seen[place][i]]
        hits = [bool(relevant[place][i]) for i in ranking[:10]]
        total = int(relevant[place].sum())
        found = recall_at(scores, relevant, 10, seen=seen)[place]
        assert found.item() == pytest.approx(sum(hits) / total)
        gain = sum(hit / np.log2(rank + 2) for rank, hit in enumerate(hits))
        best = sum(1 / np.log2(rank + 2) for rank in range(min(10, total)))
        assert ndcg_at(scores, relevant, 10, seen=seen)[place].item() == pytest.approx(gain / best)


def test_ties_are_ranked_by_id():
    relevant = torch.eye(4).bool()
    assert recall_at(torch.zeros(4, 4), relevant, 2).tolist() == [1, 1, 0, 0]


def test_bad_input(users):
    scores, relevant = users
    with pytest.raises(ArgumentError, match="each user must have a relevant item, got 15 without"):
        ndcg_at(scores, torch.zeros_like(relevant))
    with pytest.raises(ArgumentError, match="relevant items must not be among those seen"):
        recall_at(scores, relevant, seen=relevant)
    with pytest.raises(ArgumentTypeError, match=r"relevant must be bool, got torch\.int64"):
        recall_at(scores, relevant.long())
    with pytest.raises(ShapeError, match="seen must have a value for each score"):
        recall_at(scores, relevant, seen=relevant[0])
    with pytest.raises(ArgumentTypeError, match="scores must be floating point"):
        recall_at(scores.long(), relevant)
    with pytest.raises(ArgumentError, match="scores must not be NaN"):
        recall_at(scores * torch.nan, relevant)
