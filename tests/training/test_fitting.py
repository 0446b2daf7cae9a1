"""`fit` saves, resumes and requeues, so that a broken run equals an unbroken one."""

import functools
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from l2l_rnn.errors import ArgumentError
from l2l_rnn.training import MetaLearning, TaskData, fit, make_trainer
from l2l_rnn.training.checkpoints import Checkpoints, SafeCheckpointIO
from tests.training.cases import LEARNERS

ROOT = Path(__file__).parents[2]
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def task_data(tasksets, **options):
    sizes = {"tasks": 4, "shots": 2, "batches_per_epoch": 3, "validation_tasks": 4}
    return TaskData(tasksets, **{**sizes, **options})


def weights_of(module):
    return {name: value.clone() for name, value in module.learner.state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


class StopAt(pl.Callback):
    """Fails after a number of steps, as a crash would."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise RuntimeError("crash")


@pytest.mark.parametrize("name", ["MAML", "memory", "MAML++"])
@pytest.mark.parametrize("crash", [2, 3, 5])
def test_a_resumed_run_equals_an_unbroken_one(name, crash, make_learner, tasksets, tmp_path):
    options = {"max_steps": 8, "every_n_steps": 1, "load_best": False, **QUIET}

    def module():
        return MetaLearning(make_learner(name), scheduler="cosine")

    whole = module()
    fit(whole, task_data(tasksets), folder=tmp_path / "whole", **options)
    folder = tmp_path / "broken"
    with pytest.raises(RuntimeError, match="crash"):
        fit(module(), task_data(tasksets), folder=folder, callbacks=[StopAt(crash)], **options)
    torch.manual_seed(1234)
    resumed = module()
    trainer = fit(resumed, task_data(tasksets), folder=folder, **options)
    assert trainer.global_step == 8
    assert_equal(weights_of(resumed), weights_of(whole))


def test_a_finished_run_is_not_trained_again(make_learner, tasksets, tmp_path):
    options = {"folder": tmp_path / "run", "max_steps": 3, **QUIET}
    module = MetaLearning(make_learner())
    fit(module, task_data(tasksets), **options)
    again = MetaLearning(make_learner())
    fit(again, task_data(tasksets), **options)
    assert_equal(weights_of(module), weights_of(again))


def test_the_best_weights_are_loaded(make_learner, tasksets, tmp_path):
    fast = functools.partial(torch.optim.SGD, lr=3e3)  # too fast, so that the first are best
    for load_best in (True, False):
        module = MetaLearning(make_learner("ProtoNet"), optimizer=fast)
        folder = tmp_path / str(load_best)
        fit(module, task_data(tasksets), folder=folder, max_steps=9, load_best=load_best, **QUIET)
        name = "best.ckpt" if load_best else "last.ckpt"
        saved = SafeCheckpointIO().load_checkpoint(folder / name)
        assert_equal(
            {f"learner.{n}": v for n, v in weights_of(module).items()}, saved["state_dict"]
        )
        scores = saved["global_step"]
        assert (scores < 9) == load_best


def test_other_settings_are_refused_with_all_differences(make_learner, tasksets, tmp_path):
    options = {"folder": tmp_path, "max_steps": 2, **QUIET}
    fit(MetaLearning(make_learner(), steps=1), task_data(tasksets), **options)
    other = MetaLearning(make_learner("MetaSGD"), steps=2, scheduler="cosine")
    with pytest.raises(ArgumentError) as caught:
        fit(other, task_data(tasksets, tasks=5, seed=1), **options)
    for part in (
        "learner.class",
        "steps=2 instead of 1",
        "scheduler",
        "data.tasks=5",
        "data.seed=1",
    ):
        assert part in str(caught.value)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_a_checkpoint_evaluates_another_training_of_the_same_learner(
    make_learner, tasksets, tmp_path
):
    module = MetaLearning(make_learner())
    fit(module, task_data(tasksets), folder=tmp_path, max_steps=2, load_best=False, **QUIET)
    other = MetaLearning(make_learner(), test_steps=4, optimizer=torch.optim.SGD)
    trainer = make_trainer(plugins=[SafeCheckpointIO()], **QUIET)
    trainer.validate(other, task_data(tasksets), ckpt_path=tmp_path / "last.ckpt", verbose=False)
    assert_equal(weights_of(other), weights_of(module))
    with pytest.raises(ArgumentError, match="learner"):
        trainer.validate(
            MetaLearning(make_learner("MetaSGD")),
            task_data(tasksets),
            ckpt_path=tmp_path / "last.ckpt",
        )


def test_without_validation_the_last_weights_stay(make_learner, tasksets, tmp_path):
    options = {"max_steps": 3, **QUIET}
    data = TaskData(tasksets.train, tasks=4, shots=2, batches_per_epoch=3)
    fit(make_learner(), data, folder=tmp_path / "none", **options)
    off = {"folder": tmp_path / "off", "limit_val_batches": 0}
    fit(make_learner(), task_data(tasksets), **off, **options)
    for name in ("none", "off"):
        assert [path.name for path in (tmp_path / name).glob("*.ckpt")] == ["last.ckpt"]


def test_learners_are_trained_with_defaults(make_learner, tasksets):
    learner = make_learner("ProtoNet")
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    fit(learner, task_data(tasksets), max_steps=2, **QUIET)
    assert any(not torch.equal(value, before[n]) for n, value in learner.state_dict().items())


def test_skipped_steps_and_slices_are_saved(make_learner, tasksets, tmp_path):
    module = MetaLearning(make_learner(), tasks_per_slice="auto")
    module.skipped_steps, module.slices.size = 3, 2
    fit(module, task_data(tasksets), folder=tmp_path, max_steps=1, **QUIET)
    again = MetaLearning(make_learner(), tasks_per_slice="auto")
    fit(again, task_data(tasksets), folder=tmp_path, max_steps=2, **QUIET)
    assert (again.skipped_steps, again.slices.size) == (3, 2)


def test_a_trainer_has_what_meta_learning_needs(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=5, **QUIET)
    assert isinstance(trainer.strategy.checkpoint_io, SafeCheckpointIO)
    assert any(isinstance(callback, Checkpoints) for callback in trainer.callbacks)
    assert make_trainer(**QUIET).checkpoint_callback is None
    with pytest.raises(ArgumentError, match="inference_mode"):
        make_trainer(inference_mode=True)


# A SLURM job

JOB = """
    import sys, warnings
    warnings.simplefilter("ignore")
    sys.path.insert(0, "tests/training")
    import torch
    from cases import LEARNERS, WAYS
    from l2l_rnn.tasksets import get_tasksets
    from l2l_rnn.training import MetaLearning, TaskData, fit

    torch.manual_seed(0)
    sizes = {f"{s}_{n}": k for s in ("train", "test") for n, k in {"ways": 3, "samples": 4}.items()}
    tasksets = get_tasksets("languages", **sizes)
    module = MetaLearning(LEARNERS["MAML"](tasksets.vocab_size))
    data = TaskData(tasksets, tasks=4, shots=2, batches_per_epoch=50, validation_tasks=4)
    quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False)
    fit(module, data, folder=sys.argv[1], max_steps=1_000_000, load_best=False, **quiet)
"""


@pytest.mark.slow
def test_a_requeued_job_continues_exactly(tasksets, tmp_path, monkeypatch):
    script, tools = tmp_path / "job.py", tmp_path / "bin"
    script.write_text(textwrap.dedent(JOB))
    tools.mkdir()
    control = tools / "scontrol"
    control.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/requeued\n')
    control.chmod(control.stat().st_mode | stat.S_IXUSR)
    slurm = {"JOB_ID": "17", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    slurm |= {"JOB_NAME": "train", "NTASKS_PER_NODE": "1", "JOB_NUM_NODES": "1", "NNODES": "1"}
    environment = {f"SLURM_{name}": value for name, value in slurm.items()}
    environment |= {"PATH": f"{tools}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    folder = tmp_path / "run"
    command = [sys.executable, str(script), str(folder)]
    job = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
    try:
        deadline = time.monotonic() + 200
        while not (folder / "last.ckpt").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        job.send_signal(signal.SIGUSR1)
        while not (tmp_path / "requeued").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        job.kill()
        job.wait()
    assert (tmp_path / "requeued").read_text().split() == ["requeue", "17"]
    (saved,) = folder.glob("hpc_ckpt_*.ckpt")
    step = SafeCheckpointIO().load_checkpoint(saved)["global_step"]

    def module():
        torch.manual_seed(0)
        return MetaLearning(LEARNERS["MAML"](tasksets.vocab_size))

    whole, resumed = module(), module()
    sizes = {"batches_per_epoch": 50}
    fit(whole, task_data(tasksets, **sizes), max_steps=step + 5, **QUIET)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    options = {"folder": folder, "max_steps": step + 5, "load_best": False, **QUIET}
    trainer = fit(resumed, task_data(tasksets, **sizes), **options)
    assert trainer.global_step == step + 5
    assert_equal(weights_of(resumed), weights_of(whole))
    steps = SafeCheckpointIO().load_checkpoint(folder / "previous.ckpt")["global_step"]
    assert step - 50 < steps <= step + 5
