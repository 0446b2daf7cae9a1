"""Processes that fork after they ran compiled passes on two threads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("forked_children.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_children_compute_what_their_parent_does():
    """Runs every scenario in one process, because it takes longer to start than to run them."""
    # Without "passive", threads spin while they wait, which is slow on a busy machine.
    environment = {"PYTHONPATH": str(PROGRAM.parents[2]), "OMP_WAIT_POLICY": "passive"}
    program = subprocess.Popen(
        [sys.executable, PROGRAM],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, errors = program.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)  # its children too, which do not end by themselves
        _, errors = program.communicate()
        pytest.fail(f"a child hangs in the last of these scenarios: {errors}")
    assert program.returncode == 0, errors
