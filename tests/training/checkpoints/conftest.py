"""Disks that are full or read-only."""

import contextlib
import subprocess

import pytest

from tests.disks import small_disk


@pytest.fixture(name="small_disk")
def disk(tmp_path):
    """A folder on a disk of its own, of 1 MiB."""
    with small_disk(tmp_path / "disk", "1m") as folder:
        yield folder


@pytest.fixture
def read_only(small_disk):
    """A context in which the disk cannot be written to, though files on it may be open."""

    @contextlib.contextmanager
    def context():
        folder = str(small_disk)
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
        subprocess.run(["umount", "-l", folder], check=True)

    return context
