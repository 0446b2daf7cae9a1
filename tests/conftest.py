"""Setup and fixtures that all tests share."""

import os
import shutil
import tempfile

import pytest
import torch

# Tensors in tests are small, so a second thread would cost more time than it saves.
torch.set_num_threads(1)


def pytest_configure(config):
    """Give the session an empty home directory, in which each task set is generated once.

    The caches of other programs stay where they are. With pytest-xdist, all processes share the
    directory.
    """
    if hasattr(config, "workerinput"):  # a pytest-xdist process, started with it
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
    """A function that returns the p-value of Pearson's chi-square test on rows of counts.

    The null hypothesis for one row is that all events are equally likely, and for several rows that
    they come from one distribution.
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
        assert expected.min() >= 1  # this and the next line are the rule of W. G. Cochran, 1954
        assert (expected < 5).double().mean() <= 0.2
        statistic = ((counts - expected) ** 2 / expected).sum()
        return torch.special.gammaincc(torch.tensor(freedom / 2).double(), statistic / 2).item()

    assert of([[50, 50]]) == 1
    assert of([[60, 40]]) == pytest.approx(0.0455, abs=1e-4)  # statistic 4, one degree of freedom
    return of
