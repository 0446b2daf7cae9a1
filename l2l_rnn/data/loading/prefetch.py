"""A thread that runs an iterator ahead of who reads it."""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Iterator[T], Generic[T]):
    """Reads an iterator in a thread of its own, a few items ahead, and gives them in order.

    An exception of the iterator is raised where its item would have been. The thread ends when the
    iterator does, at `close`, and when this object is no longer held by anyone.

    Args:
        items: what is read; it must not refer to this object or to who holds it.
        ahead: how many items at most wait to be taken.

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
        thread.start()

    def __next__(self) -> T:
        if not self._finish.alive:
            raise StopIteration
        taken = self._queue.get()
        if isinstance(taken, BaseException):
            self.close()
            raise taken
        return taken[0]

    def close(self) -> None:
        """End the thread; what it had read ahead is gone."""
        self._finish()


_Items = queue.Queue[tuple[T] | BaseException]


def _fill(items: Iterator[T], into: _Items[T], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            taken: tuple[T] | BaseException = (next(items),)
        except BaseException as error:  # any at all: the reader waits for it
            taken = error
        into.put(taken)
        if isinstance(taken, BaseException):
            return


def _end(waiting: _Items[T], stop: threading.Event, thread: threading.Thread) -> None:
    stop.set()
    while thread.is_alive() and thread is not threading.current_thread():
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.get_nowait()  # makes room for a thread that waits to put
        thread.join(timeout=0.01)
