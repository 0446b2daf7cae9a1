"""What processes that are killed do in the tests: `call` in a process of `Starter`."""

import itertools
import resource
import signal
import sys
import warnings
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).parents[1] / "estimators"))

# isort: split
from models import make_model  # of those tests

from benchmarks.faults import problem
from l2l_rnn.cli import main
from l2l_rnn.errors import CheckpointError
from l2l_rnn.estimators import UserStore
from l2l_rnn.training.fitting import make_trainer


def prepare():
    """Import and load once what all of them need."""
    problem.prepare()


def train(folder, steps):
    problem.train(folder, steps, epoch=8)


def train_with_limit(folder, steps, size, said):
    """Train where no file can be larger than `size` bytes, and write down the error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        problem.train(folder, steps, epoch=8, log=False)
    except CheckpointError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        Path(said).write_text(f"{type(error).__name__} {error}")


def serve_users(path, done):
    """Add examples of one user, and add and remove others, and write down what is finished."""
    store = UserStore(path, make_model("prior"), keep_examples=True)
    with open(done, "a") as file:
        for number in itertools.count():
            store.partial_fit("shared", [f"victim{'ab'[number % 2]}"], ["victim"])
            store.partial_fit_many({f"user{number}": (["abc", "cba"], ["a", "b"])})
            store.remove(f"user{number}")
            file.write(f"{number}\n")
            file.flush()


def command_line(*arguments):
    raise SystemExit(main(list(arguments)))


def train_in_memory(folder, megabytes, tasks_per_slice):
    """Take 2 steps of 64 tasks where no more than some megabytes can be allocated."""
    module = problem.make_module(hidden_size=64, dropout=0.0, tasks_per_slice=tasks_per_slice)
    data = problem.make_data(tasks=64, prefetch=0)
    trainer = make_trainer(
        folder, max_steps=2, limit_val_batches=0, num_sanity_val_steps=0, **problem.QUIET
    )
    torch.ones(2, requires_grad=True).sum().backward()
    if megabytes is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        trainer.fit(module, data)


def call(name, *arguments):
    globals()[name](*arguments)
