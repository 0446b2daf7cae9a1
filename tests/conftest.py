"""What all tests share."""

import os
import shutil
import tempfile

import pytest
import torch

# The tensors of a test are small: a second thread costs more than it gives.
torch.set_num_threads(1)


def pytest_configure(config):
    """Give the session a home of its own: task sets are made once in it, and none was kept before.

    Other programs' caches, which no test is about, stay where they are. Where pytest-xdist shares
    the tests among processes, they share the home too.
    """
    if hasattr(config, "workerinput"):  # a process of pytest-xdist, started with that home
        return
    home = tempfile.mkdtemp(prefix="l2l_rnn-tests-")
    environment = pytest.MonkeyPatch()
    if "XDG_CACHE_HOME" not in os.environ:
        environment.setenv("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    environment.setenv("HOME", home)
    config.add_cleanup(environment.undo)
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))


@pytest.fixture
def chance_of():
    """Pearson's chi-square test: how likely counts so uneven are by chance.

    Of one row of counts, that its events are equally likely; of several, that they come from one
    distribution.
    """

    def of(rows):
        counts = torch.tensor(rows, dtype=torch.float64)
        events = counts.shape[1]
        if events == 1:
            return 1.0
        if len(counts) == 1:
            expected, freedom = counts.mean().expand_as(counts), events - 1
        else:
            expected = counts.sum(1, keepdim=True) * counts.sum(0) / counts.sum()
            freedom = (len(counts) - 1) * (events - 1)
        assert expected.min() >= 1  # with the next line, W. G. Cochran's rule of 1954
        assert (expected < 5).double().mean() <= 0.2
        statistic = ((counts - expected) ** 2 / expected).sum()
        return torch.special.gammaincc(torch.tensor(freedom / 2).double(), statistic / 2).item()

    assert of([[50, 50]]) == 1
    assert of([[60, 40]]) == pytest.approx(0.0455, abs=1e-4)  # 4 at one degree of freedom
    return of
