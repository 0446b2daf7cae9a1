"""Damaged copies of files for the tests of readers, and limits on what reading them may take."""

import contextlib
import os
import random
import re
import signal
import time
import tracemalloc
import warnings

import pytest

from l2l_rnn.errors import L2LRNNError

SPECIAL = [
    *(b"nan", b"inf", b"-1", b"1e999", b"9" * 30, b"9" * 5000, b"?", b"@data", b":", b",", b"\n"),
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b'"', b"{", b"[" * 2000, b"null", b"\xed\xa0\x80"),
    *(b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"),
]
SECONDS = 5  # for one small file, on a machine that is busy with other tests
_TOKEN = re.compile(rb"[\w.+-]+")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return a damaged copy of a file's content.

    One to four times, a bit is flipped, bytes are cut, inserted, repeated or overwritten, or two
    words or numbers are swapped.
    """
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place, kind = rng.randrange(len(data) + 1), rng.randrange(6)
        few = rng.choice((1, 2, 8, 64))
        if kind == 0 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place : rng.choice((place + few, len(data)))]
        elif kind == 2:
            data[place:place] = rng.choice((rng.randbytes(few), rng.choice(SPECIAL)))
        elif kind == 3:
            data[place:place] = data[place : place + few] * rng.choice((1, 3))
        elif kind == 4:
            special = rng.choice(SPECIAL)
            data[place : place + len(special)] = special
        elif tokens := list(_TOKEN.finditer(data)):
            one, other = sorted(rng.choices(tokens, k=2), key=lambda token: token.start())
            if one.end() <= other.start():
                data[other.start() : other.end()] = one.group()
                data[one.start() : one.end()] = other.group()
    return bytes(data)


def check_reader(read, path, content: bytes, count: int, seed: int = 0) -> int:
    """Read damaged copies of a file, and return how many were read without an error.

    Only errors of the library are allowed, each in one line, within a few seconds.
    """
    rng, intact = random.Random(seed), 0
    for number in range(count):
        data = mutated(content, rng)
        path.write_bytes(data)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read()
            intact += 1
        except L2LRNNError as error:
            if "\n" in str(error):
                pytest.fail(f"copy {number} of seed {seed} raised a message of two lines: {error}")
        except BaseException as error:
            pytest.fail(f"copy {number} of seed {seed} raised {error!r}: {data!r}")
        assert time.perf_counter() - start < SECONDS, data
    return intact


@contextlib.contextmanager
def limited(seconds: float = SECONDS, megabytes: float | None = None):
    """Fail if a block takes too long, even if it waits for a file, or too much memory of Python."""

    def stop(number, frame):
        raise TimeoutError(f"this took more than {seconds} seconds")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if megabytes is not None:
        tracemalloc.start()
    try:
        yield
        assert megabytes is None or tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def odd_paths(folder, suffix: str):
    """Return paths that are not regular files, each with a name."""
    os.mkfifo(folder / f"fifo{suffix}")
    (folder / f"folder{suffix}").mkdir()
    (folder / f"loop{suffix}").symlink_to(folder / f"loop{suffix}")
    (folder / f"device{suffix}").symlink_to("/dev/zero")
    return {
        "a FIFO": folder / f"fifo{suffix}",
        "a folder": folder / f"folder{suffix}",
        "a device": folder / f"device{suffix}",
        "a link to itself": folder / f"loop{suffix}",
        "a missing file": folder / f"none{suffix}",
        "a NUL": f"{folder}/a\0b{suffix}",
        "a surrogate": f"{folder}/\ud800{suffix}",
        "a long name": f"{folder}/{'x' * 5000}{suffix}",
        "nobody's home": f"~no-such-person/x{suffix}",
        "a file below a file": f"{__file__}/x{suffix}",
        "an empty path": "",
    }
