"""Scenarios of processes that fork after they ran compiled passes on two threads.

`python tests/functional/forked_children.py` runs them all. It fails if a child computes something
else than its parent, and hangs if a child waits for the threads of its parent.
"""

import multiprocessing
import os
import sys
import threading

import torch
from torch.utils.data import DataLoader, Dataset

from l2l_rnn import memory, nn
from l2l_rnn.data import TaskLoader
from l2l_rnn.functional import compiled_code
from l2l_rnn.functional.memory import compiled_passes as memory_passes
from l2l_rnn.functional.recurrence import compiled_passes as recurrent_passes
from l2l_rnn.tasksets import get_tasksets

LAYERS = {
    "LSTM": lambda: nn.LSTM(4, 20, bidirectional=True, batch_first=True),
    "GRU": lambda: nn.GRU(4, 20, batch_first=True),
    "RNN": lambda: nn.RNN(4, 20, batch_first=True),
    "ReLU RNN": lambda: nn.RNN(4, 20, nonlinearity="relu", batch_first=True),
    "MinGRU": lambda: nn.MinGRU(4, 20, batch_first=True),
    "MinLSTM": lambda: nn.MinLSTM(4, 20, batch_first=True),
    "NTM": lambda: memory.NTM(4, 3, 12, 10, 6),
    "MANN": lambda: memory.MANN(4, 3, 12, 10, 6),
    "DNC": lambda: memory.DNC(4, 3, 12, 10, 6),
}


def results():
    """Return outputs, first and second derivatives of every layer, and of a large product."""
    torch.manual_seed(0)
    found = []
    for make in LAYERS.values():
        layer, x = make(), torch.randn(24, 5, 4, requires_grad=True)
        y, _ = layer(x)
        plain = torch.autograd.grad(y.square().sum(), x, retain_graph=True)
        (g,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        second = torch.autograd.grad(g.square().sum(), layer.parameters(), allow_unused=True)
        found += [y, *plain, g, *(s for s in second if s is not None)]
    large = torch.randn(300, 300)
    found += [large @ large, large.exp()]
    return [part.detach() for part in found]


def check(expected):
    for one, other in zip(results(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def forked(work):
    """Run work in a forked child, and fail if it fails."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"a child ended with status {status}"


def in_thread(work):
    failures = []

    def run():
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


class Outputs(Dataset):
    """Outputs of a model, which the workers of a DataLoader compute."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.stack([part.double().sum() for part in results()])


def simple(expected):
    """The child runs everything, and so does its parent afterwards."""
    forked(lambda: check(expected))
    check(expected)


def nested(expected):
    """A child forks too, before and after it has run everything."""

    def child():
        forked(lambda: check(expected))
        check(expected)
        forked(lambda: check(expected))

    forked(child)


def threads(expected):
    """Threads of the parent fork, and threads of the child run everything."""
    in_thread(lambda: (check(expected), forked(lambda: check(expected))))
    forked(lambda: in_thread(lambda: check(expected)))
    forked(lambda: (in_thread(lambda: check(expected)), check(expected)))


def pools(expected):
    """Processes of Python's own pool."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(check, [expected] * 4, chunksize=1)


def workers(expected):
    """Workers of a DataLoader."""
    sums = torch.stack([part.double().sum() for part in expected])
    loader = DataLoader(Outputs(), batch_size=1, num_workers=2, multiprocessing_context="fork")
    for batch in loader:
        torch.testing.assert_close(batch[0], sums, rtol=1e-3, atol=1e-2)


def settings(expected):
    """A child may ask torch for more threads; passes do not follow. The parent keeps its own."""

    def child():
        assert torch.get_num_threads() == 1
        torch.set_num_threads(2)
        assert compiled_code.threads() == 1

    forked(child)
    assert compiled_code.threads() == torch.get_num_threads() == 2


def loaders(expected):
    """A loader with a thread that reads ahead continues in the parent and in every child."""
    train = get_tasksets("sinusoids", train_samples=6).train
    ours, other = (TaskLoader(train, tasks=3, shots=2, seed=0, prefetch=2) for _ in range(2))
    assert torch.equal(next(ours).support_x, next(other).support_x)
    wanted = [next(other) for _ in range(6)]

    def follow():
        for batch in wanted:
            assert torch.equal(next(ours).support_x, batch.support_x)

    def child():
        forked(follow)
        follow()
        forked(lambda: next(ours))
        ours._close()

    forked(child)
    follow()


def main():
    torch.set_num_threads(2)
    assert memory_passes.compiled(), "not compiled: reinstall the package"
    assert recurrent_passes.compiled(), "not compiled: reinstall the package"
    assert compiled_code.threads() == 2
    expected = results()
    for scenario in (simple, nested, threads, pools, workers, settings, loaders):
        sys.stderr.write(f"{scenario.__name__}\n")
        scenario(expected)


if __name__ == "__main__":
    main()
