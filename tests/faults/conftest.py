"""Processes to kill, and disks to fill."""

from pathlib import Path

import pytest

from benchmarks.faults.processes import Starter
from tests.disks import small_disk


@pytest.fixture(scope="session")
def starter():
    """Starts processes that call a function of `actions.py` by its name."""
    with Starter("actions:call", "actions:prepare", Path(__file__).parent) as starter:
        yield starter


@pytest.fixture(name="small_disk")
def disk(tmp_path):
    """A folder on a disk of its own, of 400 KiB."""
    with small_disk(tmp_path / "disk", "400k") as folder:
        yield folder
