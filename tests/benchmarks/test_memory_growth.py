"""The benchmark of memory growth, and the objects that each job leaves behind."""

import gc
import itertools
import json
import tracemalloc
from pathlib import Path

import pytest
import torch

from benchmarks import memory_growth


@pytest.mark.slow
def test_a_quick_run_saves_what_it_prints(tmp_path, capsys):
    arguments = ["--quick", "--jobs", "loader", "--out", str(tmp_path)]
    assert memory_growth.main(arguments) == 0
    result = json.loads((tmp_path / "memory-growth-quick.json").read_text())
    assert memory_growth.table(result) in capsys.readouterr().out
    assert result["jobs"]["loader"]["first"] > 2**20


@pytest.mark.parametrize("name", memory_growth.JOBS)
def test_no_job_keeps_objects(name):
    """Later steps leave no more Python objects and tensors than earlier ones."""
    torch.manual_seed(0)
    step = memory_growth.JOBS[name]()
    steps = 5

    def counts():
        for _ in range(steps):
            step()
        gc.collect()
        objects = gc.get_objects()
        tensors = sum(type(one) in (torch.Tensor, torch.nn.Parameter) for one in objects)
        return len(objects), tensors

    # Each of the 100 tasks of one job is drawn on first use, and kept.
    for _ in range(150 if name == "one by one" else 5):
        step()
    gc.freeze()  # leaves out what the other tests made, which is slow to walk through
    try:
        counts()
        first, last = counts(), counts()
    finally:
        gc.unfreeze()
    assert last[1] <= first[1] + 2
    assert last[0] <= first[0] + 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maml", "evaluation", "varied loader"])
def test_no_job_keeps_memory_of_python(name):
    """After a warm-up, rounds of 20 steps add less than 10 kB of Python memory on average.

    The warm-up is traced as well. Objects that the interpreter recycles are counted when they are
    allocated again, so that the first traced rounds always grow.
    """
    step = memory_growth.JOBS[name]()
    traced = []
    tracemalloc.start()
    try:
        for _ in range(8):
            for _ in range(20):
                step()
            gc.collect()
            traced.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    growth = [after - before for before, after in itertools.pairwise(traced)]
    assert sum(growth[-3:]) < 3 * 10_000, growth


def test_the_published_result_meets_its_target():
    path = Path(memory_growth.__file__).parent / "results/memory-growth-full.json"
    result = json.loads(path.read_text())
    assert result["steps"] == {"first": 200, "last": 2000}
    assert set(result["jobs"]) == set(memory_growth.JOBS)
    for name, one in result["jobs"].items():
        assert one["growth"] < memory_growth.MOST_GROWTH, name
