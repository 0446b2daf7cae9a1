"""A rank that is killed: torchrun starts both again, and the losses are those of one process."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.faults import problem
from benchmarks.faults.processes import environment
from l2l_rnn.training.checkpoints import SafeCheckpointIO


def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@pytest.mark.slow
def test_a_lost_rank_is_restarted_from_the_last_checkpoint(tmp_path):
    # Not --standalone, whose rendezvous is closed after a failure in torch 2.3.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    options = ["--max-restarts=1", f"--master-port={free_port()}", "--monitor-interval=0.1"]
    script = [str(Path(__file__).with_name("lost_rank.py")), str(tmp_path), "13"]
    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(
            [*launcher, *options, *script],
            env=environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            status = run.wait(300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    assert status == 0, (tmp_path / "log").read_text()[-4000:]
    assert (tmp_path / "killed").exists()
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    problem.train(tmp_path / "one", 20, epoch=8, log=False, module=problem.make_module(dropout=0.0))
    one = SafeCheckpointIO().load_checkpoint(tmp_path / "one" / "last.ckpt")
    for name in ("losses", "validations"):
        expected = torch.tensor(one["callbacks"]["History"][name])
        assert len(expected) == {"losses": 20, "validations": 2}[name]
        found = torch.tensor(ranks[0][name])
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    for name, tensor in one["state_dict"].items():
        found = torch.tensor(ranks[0]["weights"][name])
        torch.testing.assert_close(found, tensor, rtol=1e-4, atol=1e-5)
