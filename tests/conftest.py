"""Fixtures and settings of all tests."""

import os
import shutil
import tempfile

import pytest
import torch

# Tensors in tests are so small that a second thread would slow them down.
torch.set_num_threads(1)


def pytest_configure(config):
    """Set a temporary home folder for the session, so that cached task sets are made in it once.

    The caches of other programs are used as usual. The processes of pytest-xdist share the home.
    """
    if hasattr(config, "workerinput"):  # a process of pytest-xdist inherits the home
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
    """Return a function that computes the p-value of Pearson's chi-square test.

    The null hypothesis is that all events are equally likely (one row of counts), or that all rows
    have the same distribution (several rows).
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
        assert expected.min() >= 1  # this and the next line: rule of W. G. Cochran, 1954
        assert (expected < 5).double().mean() <= 0.2
        statistic = ((counts - expected) ** 2 / expected).sum()
        return torch.special.gammaincc(torch.tensor(freedom / 2).double(), statistic / 2).item()

    assert of([[50, 50]]) == 1
    assert of([[60, 40]]) == pytest.approx(0.0455, abs=1e-4)  # statistic 4, one degree of freedom
    return of
