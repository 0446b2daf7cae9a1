"""JAX as a peer of the speed benchmark: equal meta-gradients, and its number of threads."""

import dataclasses
import os
import warnings

import numpy
import pytest
import torch

from benchmarks.speed import contestants, meta_step
from benchmarks.speed.jax_process import JaxProcess, jax_version
from benchmarks.speed.timing import Seconds, interleaved_seconds

# jax itself is imported in other processes only: it starts threads, and a later fork would warn.
needs_jax = pytest.mark.skipif(jax_version() is None, reason="jax is not installed")
CPU = torch.device("cpu")
SMALL = contestants.Work(tasks=3, batch=4, steps=6, features=3, hidden=5, inner_steps=2)


@pytest.fixture(scope="module")
def jax():
    process = JaxProcess(1)
    yield process
    process.close()


@needs_jax
@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_the_meta_gradients_equal_ours(cell, first_order, jax, monkeypatch):
    work = dataclasses.replace(SMALL, cell=cell, first_order=first_order)
    meta_step.load(jax, work)
    seconds = jax.step()
    assert isinstance(seconds, Seconds)
    assert seconds > 0
    models = contestants.make_models(work, CPU)
    batch = contestants.make_batch(work, CPU)
    monkeypatch.setattr(contestants, "make_models", lambda *given: models)
    monkeypatch.setattr(contestants, "make_batch", lambda *given: batch)
    contestants.contestants(work, CPU)["l2l_rnn"]()
    found = jax.gradients()
    assert set(found) == {name for name, _ in models["l2l_rnn"].named_parameters()}
    for name, parameter in models["l2l_rnn"].named_parameters():
        gradient = torch.tensor(found[name])
        error, size = (gradient - parameter.grad).abs().max(), parameter.grad.abs().max()
        assert error <= 1e-4 * size, name


@needs_jax
def test_two_works_follow_each_other_and_errors_are_named(jax):
    for hidden in (3, 4):
        meta_step.load(jax, dataclasses.replace(SMALL, hidden=hidden))
        jax.step()
        assert jax.gradients()["head.weight"].shape == (contestants.WAYS, hidden)
    with pytest.raises(RuntimeError, match="jax: KeyError: 'LRU'"):
        meta_step.load(jax, dataclasses.replace(SMALL, cell="LRU"))


@needs_jax
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no CPU time per thread")
def test_one_thread_computes(jax):
    """Otherwise its time would not be comparable with torch's on one thread."""
    work = contestants.Work(tasks=16, batch=25, steps=24, hidden=64)
    meta_step.load(jax, work)
    for _ in range(6):
        jax.step()
    assert jax.busy_threads() == 1


@needs_jax
def test_jax_is_a_column_of_the_table(jax):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # learn2learn's clones of torch's layers warn
        row = meta_step.measure(SMALL, CPU, 1, jax)
    assert list(row["seconds"]) == ["learn2learn", "vmap", "jax", "l2l_rnn"]
    table = meta_step.table({"rows": [row], "jax": jax_version()})
    assert "| jax, ms |" in table
    assert "not installed" not in table


@needs_jax
def test_closing_ends_the_process():
    process = JaxProcess(1)
    process.close()
    assert process._process.returncode == 0


def test_a_process_that_ended_is_an_error():
    process = JaxProcess(1)
    process._process.kill()
    process._process.wait()
    with pytest.raises(RuntimeError, match="the process of jax ended"):
        process.step()
    process.close()


def test_without_jax_its_cells_say_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(meta_step, "jax_version", lambda: None)
    monkeypatch.setattr(meta_step.memory, "main", lambda arguments: 0)
    monkeypatch.setattr(meta_step, "peak_memory", lambda *given: 0)
    assert meta_step.main(["--quick", "--out", str(tmp_path)]) == 0
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in table[0].split("|")[3:7]] == [
        "learn2learn, ms",
        "vmap, ms",
        "jax, ms",
        "l2l_rnn, ms",
    ]
    for line in table[2:]:
        cells = [cell.strip() for cell in line.split("|")]
        assert cells[5] == "not installed"
        assert cells[9] == "-"


def test_a_row_without_peers_has_no_jax_either():
    rows = [
        {"work": {"first_order": False}, "label": "LSTM", "seconds": seconds}
        for seconds in ({"learn2learn": 1.0, "vmap": 1.0, "l2l_rnn": 1.0}, {"l2l_rnn": 1.0})
    ]
    assert meta_step.table({"rows": rows, "jax": None}).count("not installed") == 1
    assert "jax" not in meta_step.table({"rows": rows})


def test_a_call_may_measure_its_own_time():
    found = interleaved_seconds({"own": lambda: Seconds(7.0), "other": lambda: 7.0}, 2)
    assert found["own"] == [7.0, 7.0]
    assert max(found["other"]) < 1
    assert numpy.isfinite(found["other"]).all()
