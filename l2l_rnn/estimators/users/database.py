"""A file of users' states: an SQLite database that several processes can write to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from l2l_rnn.configuration import differences
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.files import parse_json

_APPLICATION, _VERSION = 0x6C326C75, 1  # marks the file as ours: "l2lu"
_MOST_NAMES = 500  # in one query
_TABLES = (
    "CREATE TABLE IF NOT EXISTS model (about TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, described TEXT NOT NULL, "
    "state BLOB NOT NULL, digest BLOB NOT NULL, examples BLOB)",
)


class UserRow(NamedTuple):
    """What the database holds of a user.

    Attributes:
        described: the classes and numbers of examples, as JSON.
        state: the adapted state of the learner.
        examples: the examples, or None if there are none or they were not read.
    """

    described: str
    state: bytes
    examples: bytes | None


class UserDatabase:
    """Read and write the states of users, each in one transaction.

    Each thread and each process has its own connection. An acknowledged write survives a killed
    process and a power failure: the database uses a write-ahead log, which is flushed to disk at
    every commit.

    Args:
        who: begins error messages.
        path: the file, which is created if it does not exist.
        model: what identifies the model, as JSON. The file of another model is refused.
        timeout: how long to wait for another process that writes, in seconds.

    Raises:
        DataError: the file is damaged, is no database of users, or is of a newer version.
        ArgumentError: it belongs to another model.
        OSError: it cannot be opened or written to.
    """

    def __init__(
        self, who: str, path: str | os.PathLike[str], model: Mapping[str, str], timeout: float
    ) -> None:
        self.who, self.path, self.timeout = who, Path(path).expanduser(), timeout
        self._start()
        self._create(dict(model))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the only right to write until the block ends; undo its writes after an error."""
        connection = self._connection()
        with self._errors():
            connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            with self._errors():
                connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def read(self, name: str, *, examples: bool = False) -> UserRow | None:
        """Return what is held of a user, or None."""
        return self.read_many([name], examples=examples).get(name)

    def read_many(self, names: Sequence[str], *, examples: bool = False) -> dict[str, UserRow]:
        """Return what is held of users, as one consistent state, without those that are not there.

        Raises:
            DataError: the row of a user is damaged.
        """
        columns = "name, described, state, digest, " + ("examples" if examples else "NULL")
        found: dict[str, UserRow] = {}
        with self._reading() as connection:
            for start in range(0, len(names), _MOST_NAMES):
                some = names[start : start + _MOST_NAMES]
                marks = ", ".join("?" * len(some))
                query = f"SELECT {columns} FROM users WHERE name IN ({marks})"
                with self._errors():
                    rows = connection.execute(query, some).fetchall()
                found |= {row[0]: self._checked(*row, examples=examples) for row in rows}
        return found

    def write(self, name: str, row: UserRow) -> None:
        """Write a user in the place of what is held; call it inside `writing`."""
        digest = _digest(row.described.encode(), row.state)
        if row.examples is not None:
            digest += _digest(row.examples)
        with self._errors():
            self._connection().execute(
                "INSERT OR REPLACE INTO users (name, described, state, digest, examples) "
                "VALUES (?, ?, ?, ?, ?)",
                (name, row.described, row.state, digest, row.examples),
            )

    def remove(self, name: str) -> bool:
        """Remove a user, and return whether there was one; call it inside `writing`."""
        with self._errors():
            return (
                self._connection().execute("DELETE FROM users WHERE name = ?", (name,)).rowcount > 0
            )

    def names(self) -> list[str]:
        """Return the names of all users, sorted."""
        with self._errors():
            rows = self._connection().execute("SELECT name FROM users ORDER BY name").fetchall()
        return [name for (name,) in rows]

    def count(self) -> int:
        """Return the number of users."""
        with self._errors():
            return int(self._connection().execute("SELECT COUNT(*) FROM users").fetchone()[0])

    def holds(self, name: str) -> bool:
        """Return whether there is a user."""
        query = "SELECT 1 FROM users WHERE name = ?"
        with self._errors():
            return self._connection().execute(query, (name,)).fetchone() is not None

    def close(self) -> None:
        """Close the connections of this process."""
        self._closing()
        self._start()

    def _start(self) -> None:
        """Have no connections yet, in this process."""
        self._process, self._local = os.getpid(), threading.local()
        self._connections: list[sqlite3.Connection] = []
        # Python 3.13 warns of connections that nothing closed.
        self._closing = weakref.finalize(self, _close, self._process, self._connections)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Let the queries of the block see one state of the file."""
        connection = self._connection()
        inside = connection.in_transaction
        with self._errors():
            if not inside:
                connection.execute("BEGIN")
        try:
            yield connection
        finally:
            if not inside:
                connection.execute("ROLLBACK")

    def _checked(
        self,
        name: str,
        described: str,
        state: bytes,
        digest: bytes,
        kept: bytes | None,
        *,
        examples: bool,
    ) -> UserRow:
        """Return a row whose digests fit."""
        last = b"" if kept is None else _digest(kept)
        if digest[:16] != _digest(described.encode(), state) or (examples and digest[16:] != last):
            raise DataError(
                f"{self.who}: the state of user {name!r:.60} in {self.path} must be complete, got "
                "damaged bytes; restore the file from a backup, or remove the user"
            )
        return UserRow(described, state, kept)

    def _create(self, model: dict[str, str]) -> None:
        connection = self._connection()
        with self._errors():
            kind = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if tables and kind != _APPLICATION:
            raise DataError(
                f"{self.who}: {self.path} must be a new file or a store of users, got a database "
                "of another program; choose another path"
            )
        if version > _VERSION:
            raise DataError(
                f"{self.who}: {self.path} must have the format version {_VERSION}, got {version}; "
                "install the version of l2l_rnn that wrote it"
            )
        if not tables:
            self._use_log(connection)
            with self.writing(), self._errors():
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
                for table in _TABLES:
                    connection.execute(table)
                if not connection.execute("SELECT about FROM model").fetchall():
                    connection.execute("INSERT INTO model VALUES (?)", (json.dumps(model),))
        with self._errors():
            rows = connection.execute("SELECT about FROM model").fetchall()
        if len(rows) != 1:
            raise self._damaged(ValueError(f"{len(rows)} models"))
        self._check_model(rows[0][0], model)

    def _use_log(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log; SQLite does not wait for others that do so now."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > end:
                    with self._errors():
                        raise
                time.sleep(0.01)
            except sqlite3.Error:
                with self._errors():
                    raise

    def _check_model(self, about: str, model: dict[str, str]) -> None:
        try:
            held = parse_json(about)
        except (ValueError, RecursionError) as error:
            raise self._damaged(error) from error
        found = differences(held, model)
        if found:
            raise ArgumentError(
                f"{self.who}: {self.path} must be the store of this model, got one of another "
                f"model ({'; '.join(found)}); open it as before, or choose another path"
            )

    def _connection(self) -> sqlite3.Connection:
        if self._process != os.getpid():  # after a fork, connections are those of the parent
            self._start()
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            with self._errors():
                # Another thread may close it. Transactions are begun and ended explicitly.
                found = sqlite3.connect(
                    self.path,
                    timeout=self.timeout,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._connections.append(found)
                found.execute("PRAGMA synchronous = FULL")
                found.execute("PRAGMA secure_delete = ON")  # overwrites what is removed
            self._local.connection = found
        return found

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise TimeoutError(
                    f"{self.who}: {self.path} must be free within {self.timeout} s, got a process "
                    "that still writes to it; set a longer timeout"
                ) from error
            if "no such" in str(error):
                raise self._damaged(error) from error
            raise OSError(
                f"{self.who}: {self.path} cannot be read or written ({error}); check the folder, "
                "its permissions and the free space"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.who}: {self.path} must be a complete store of users, got a damaged file "
            f"({error}); restore it from a backup"
        )


def _close(process: int, connections: list[sqlite3.Connection]) -> None:
    """Close connections, unless they are those of the parent of this process."""
    if process == os.getpid():
        for connection in connections:
            connection.close()


def _digest(*parts: bytes) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.digest()
