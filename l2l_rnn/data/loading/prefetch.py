"""Background-thread prefetcher."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

from l2l_rnn.errors import DataError

T = TypeVar("T")


class Prefetcher(Iterator[T], Generic[T]):
    """Reads items from an iterator in a background thread, and yields them in order.

    An exception in the iterator is raised in place of its item. The thread ends when the iterator
    ends, at `close`, and when this object is garbage collected.

    A forked child gets a copy of this object without the thread. `lost` is True there, and reading
    raises a DataError.

    Args:
        items: the iterator. It must not hold a reference to this object or its owner; otherwise
            neither would be garbage collected.
        ahead: maximum length of the queue.

    Example:
        >>> list(Prefetcher(iter("abc"), ahead=2))
        ['a', 'b', 'c']
    """

    def __init__(self, items: Iterator[T], ahead: int) -> None:
        self._queue: _Items[T] = queue.Queue(ahead)
        stop = threading.Event()
        thread = threading.Thread(
            target=_fill, args=(items, self._queue, stop), name="l2l_rnn prefetch", daemon=True
        )
        self._finish = weakref.finalize(self, _end, self._queue, stop, thread)
        self._process = os.getpid()
        thread.start()

    @property
    def lost(self) -> bool:
        """Whether this process was forked after the thread had started, and lacks it."""
        return os.getpid() != self._process

    def __next__(self) -> T:
        if not self._finish.alive:
            raise StopIteration
        if self.lost:
            raise DataError(
                "Prefetcher: items must be read in the process that started the thread, got a "
                "process forked from it; make a Prefetcher after the fork"
            )
        taken = self._queue.get()
        if isinstance(taken, BaseException):
            self.close()
            raise taken
        return taken[0]

    def close(self) -> None:
        """End the thread and discard the items in the queue."""
        self._finish()


_Items = queue.Queue[tuple[T] | BaseException]


def _fill(items: Iterator[T], into: _Items[T], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            taken: tuple[T] | BaseException = (next(items),)
        except BaseException as error:  # the consumer waits for an item or an error
            taken = error
        into.put(taken)
        if isinstance(taken, BaseException):
            return


def _end(waiting: _Items[T], stop: threading.Event, thread: threading.Thread) -> None:
    stop.set()
    while thread.is_alive() and thread is not threading.current_thread():
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()  # unblocks a thread that waits in put
        thread.join(timeout=0.01)
