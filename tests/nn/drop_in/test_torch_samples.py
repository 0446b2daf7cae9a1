"""The samples of torch's own `ModuleInfo`, on our layers: values and two orders of derivatives."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

import l2l_rnn.nn

ROOT = Path(__file__).parents[3]
CELLS = ("RNNCell", "GRUCell", "LSTMCell")
NAMES = ("RNN", "GRU", "LSTM", "Linear", "Embedding", "LayerNorm")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report():
    """What `module_samples` prints, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("module_samples.py"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])  # importing torch's tests prints, too


@pytest.mark.parametrize("name", [*NAMES, *(n for n in CELLS if hasattr(l2l_rnn.nn, n))])
def test_samples(report, name):
    assert hasattr(nn, name)
    assert report[name]["samples"] >= 4
    assert not report[name]["failures"], report[name]["failures"][0]
