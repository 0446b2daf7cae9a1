"""Processes to kill, and disks to fill."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.faults.processes import Starter


@pytest.fixture(scope="session")
def starter():
    """Starts processes that call a function of `actions.py` by its name."""
    with Starter("actions:call", "actions:prepare", Path(__file__).parent) as starter:
        yield starter


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of 400 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("needs the right to mount a disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
