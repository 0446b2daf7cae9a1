"""Two processes train like one, and errors reach all of them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.training.distributed import check_world_size, launched_processes, sum_over_ranks
from tests.training.processes import RUNS, STEPS, poisoned, survive, train

ROOT = Path(__file__).parents[2]


def run_two(out, *arguments, launcher):
    """Run two processes, and return what they write, by rank."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *launcher]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [*command, "tests/training/processes.py", str(out), *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    return [json.loads(Path(f"{out}.{rank}").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    out = tmp_path_factory.mktemp("processes") / "found.json"
    return run_two(out, launcher=["--standalone"])


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_equal_one(name, processes, tasksets):
    one = train(name, tasksets)
    for found in processes:
        assert len(found[name]["losses"]) == STEPS
        for key in one:
            torch.testing.assert_close(
                torch.tensor(found[name][key]), torch.tensor(one[key]), rtol=1e-6, atol=1e-6
            )
    assert processes[0][name]["weights"] == processes[1][name]["weights"]
    assert one["losses"][-1] != one["losses"][0]


@pytest.mark.slow
def test_a_step_is_skipped_on_all_ranks(processes, tasksets):
    skipped, steps, weights = poisoned(tasksets, skip=True)
    assert (skipped, steps) == (1, 3)
    for found in processes:
        assert found["skipped"][:2] == [1, 3]
        torch.testing.assert_close(torch.tensor(found["skipped"][2]), torch.tensor(weights))


@pytest.mark.slow
def test_the_error_on_all_ranks_names_the_task(processes):
    for found in processes:
        assert "task 3 of training batch 1 (seed 0" in found["error"]


@pytest.mark.slow
def test_processes_that_train_alone_are_refused(processes):
    for found in processes:
        assert "2 processes that torchrun started, got 1" in found["world size"]


@pytest.mark.slow
def test_a_lost_process_is_restarted_from_the_last_checkpoint(tasksets, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    # The rendezvous c10d of torch 2.3, also that of --standalone, does not restart.
    launcher = ["--max-restarts=2", f"--master-port={port}"]
    found = run_two(tmp_path / "found.json", tmp_path / "run", launcher=launcher)
    expected = torch.tensor(survive(tasksets))
    for rank in found:
        assert rank["restarts"] == 1
        torch.testing.assert_close(torch.tensor(rank["weights"]), expected, rtol=1e-6, atol=1e-6)


class Trainer:
    world_size = 1


def test_the_world_size_is_checked(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    check_world_size(Trainer)
    check_world_size(Trainer, expected=1)
    with pytest.raises(ArgumentError, match="in 2 processes, got 1; start the script"):
        check_world_size(Trainer, expected=2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_world_size(Trainer)  # set by something else, without a rank
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ArgumentError, match="4 processes that torchrun started"):
        check_world_size(Trainer)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_NTASKS": "3", "SLURM_PROCID": "0"}, (3, "srun")),
        ({"SLURM_NTASKS": "3"}, None),  # in the batch script, outside srun
        ({"SLURM_NTASKS": "3", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "interactive"}, None),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, (2, "mpirun")),
    ],
)
def test_launchers(environment, expected):
    assert launched_processes(environment) == expected


def test_one_process_sums_nothing():
    assert sum_over_ranks([1.0, 2.0], torch.device("cpu")) == [1.0, 2.0]
