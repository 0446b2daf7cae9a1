"""What processes that are killed do in the tests: `call` in a process of `Starter`."""

import resource
import signal
from pathlib import Path

from benchmarks.faults import problem
from l2l_rnn.cli import main
from l2l_rnn.errors import CheckpointError


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


def command_line(*arguments):
    raise SystemExit(main(list(arguments)))


def call(name, *arguments):
    globals()[name](*arguments)
