"""Peak memory of a meta-step, measured in a separate process."""

from __future__ import annotations

import dataclasses
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks.speed.contestants import Work, contestants


def peak_memory(work: Work, name: str, device: str) -> int:
    """Return the peak memory in bytes that a meta-step adds to a fresh process.

    Args:
        work: the meta-step.
        name: name of the contestant.
        device: `"cpu"`, `"cuda"` or `"cuda:1"`.

    Raises:
        OSError: `/proc` is not available.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_here, work, name, device, torch.get_num_threads()).result()


def _peak_here(work: Work, name: str, device: str, threads: int) -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    step = contestants(work, torch.device(device))[name]
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    # The first call loads libraries, which are not part of a step.
    tiny = dataclasses.replace(work, tasks=1, batch=1, steps=2)
    contestants(tiny, torch.device(device))[name]()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
