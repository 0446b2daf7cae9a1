import itertools
import os
import threading

import pytest

from l2l_rnn.data.loading.prefetch import Prefetcher
from l2l_rnn.errors import DataError


def test_items_are_in_order():
    numbers = Prefetcher(iter(range(100)), ahead=3)
    assert list(numbers) == list(range(100))
    assert list(numbers) == []


def test_close_ends_the_iteration():
    numbers = Prefetcher(itertools.count(), ahead=1)
    assert list(itertools.islice(numbers, 3)) == [0, 1, 2]
    numbers.close()
    numbers.close()
    assert list(numbers) == []


def test_items_are_read_ahead_up_to_the_limit():
    read, full = [], threading.Event()

    def items():
        for i in range(10):
            read.append(i)
            if i == 3:  # two wait in the queue, and one to enter it, after item 0 was taken
                full.set()
            yield i

    numbers = Prefetcher(items(), ahead=2)
    assert next(numbers) == 0
    assert full.wait(20)
    assert len(read) == 4
    numbers.close()


def test_an_error_is_raised_in_place_of_its_item():
    def items():
        yield 0
        raise OSError("no more")

    numbers = Prefetcher(items(), ahead=5)
    assert next(numbers) == 0
    with pytest.raises(OSError, match="no more"):
        next(numbers)
    assert list(numbers) == []


def test_a_forked_child_lacks_the_thread(monkeypatch):
    numbers = Prefetcher(iter(range(3)), ahead=1)
    assert next(numbers) == 0
    with monkeypatch.context() as context:
        context.setattr(os, "getpid", lambda: -1)
        assert numbers.lost
        with pytest.raises(DataError, match=r"Prefetcher: .* a process forked from it"):
            next(numbers)
    assert list(numbers) == [1, 2]
