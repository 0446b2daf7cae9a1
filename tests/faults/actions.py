"""What processes that are killed do in the tests: `call` in a process of `Starter`."""

import resource
import signal

from benchmarks.faults import problem
from l2l_rnn.cli import main


def prepare():
    """Import and load once what all of them need."""
    problem.prepare()


def train(folder, steps):
    problem.train(folder, steps, epoch=8)


def train_with_limit(folder, steps, size):
    """Train where no file can be larger than `size` bytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    train(folder, steps)


def command_line(*arguments):
    raise SystemExit(main(list(arguments)))


def call(name, *arguments):
    globals()[name](*arguments)
