"""Dynamic time warping equals the recursion written cell by cell."""

import pytest
import torch

from l2l_rnn.functional import dtw


def one_pair(x, y, window):
    """Return the distance of one pair of series by the definition."""
    steps, others = len(x), len(y)
    table = torch.full((steps + 1, others + 1), torch.inf)
    table[0, 0] = 0
    for i in range(steps):
        for j in range(others):
            off = abs(i / max(1, steps - 1) - j / max(1, others - 1))
            if off <= window + 1e-6:
                best = min(table[i, j], table[i, j + 1], table[i + 1, j])
                table[i + 1, j + 1] = (x[i] - y[j]).square().sum() + best
    return table[steps, others]


@pytest.mark.parametrize("window", [1.0, 0.3, 0.0])
@pytest.mark.parametrize(("steps", "others", "features"), [(9, 9, 1), (6, 9, 2), (1, 4, 1)])
def test_distances_are_those_of_the_definition(window, steps, others, features):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(5, steps, features, generator=draw)
    y = torch.randn(5, others, features, generator=draw)
    expected = torch.stack([one_pair(a, b, window) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(dtw(x, y, window), expected)
    if steps == 1:
        return
    lengths = torch.tensor([3, steps, 2, steps - 1, steps])
    others = torch.tensor([others, 2, others - 1, others, 3])
    rows = zip(x, y, lengths, others, strict=True)
    expected = torch.stack([one_pair(a[:n], b[:m], window) for a, b, n, m in rows])
    torch.testing.assert_close(dtw(x, y, window, lengths, others), expected)


def test_chunks_and_empty_sets(monkeypatch):
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 7, 6, 1, generator=draw)
    whole = dtw(x, y)
    monkeypatch.setattr("l2l_rnn.functional.warping._CELLS", 13)
    assert torch.equal(dtw(x, y), whole)
    assert dtw(x[:0], y[:0]).shape == (0,)
    assert torch.equal(dtw(x, x), torch.zeros(7))
