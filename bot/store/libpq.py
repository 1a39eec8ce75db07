"""Statements on Postgres, each by one call of libpq: for `bot.store.prepared`.

The driver's own cursor sends, waits and fetches in steps, and lets go of Python's lock at each of them. It
has to wait for the lock each time, because the event loop beside it wants it too: the server is done sooner.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from psycopg import Connection, OperationalError
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

_FINE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


def begin(connection: Connection[Any], words: bytes) -> None:
    """`words`: BEGIN, and whatever belongs to the beginning. Raises the driver's errors."""
    _checked(connection.pgconn.exec_(words))


def commit(connection: Connection[Any]) -> None:
    """Return when the transaction is durable. One in which a statement failed ends as well, but nothing of it
    is kept: the server says so without calling it an error, so it is called one here."""
    if (said := _checked(connection.pgconn.exec_(b"COMMIT")).command_status) != b"COMMIT":
        raise OperationalError(f"nothing was kept of a transaction: {(said or b'').decode()}")


class Cursor:
    """What `Prepared` needs of one, inside of a transaction and for as long as the connection lasts. The
    server prepares a statement when it comes for the first time; values are spelled and read by the driver,
    and its errors are raised."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._server = connection.pgconn
        self._driver = Transformer(connection)
        self._names: dict[str, bytes] = {}
        """Of the statements that the server has prepared."""
        self._numbers = count()
        self._answer: PGresult | None = None
        self.rowcount = 0
        """How many rows were returned or changed."""

    def execute(self, words: str, values: Sequence[Any]) -> None:
        """`words`: with $1, $2 and so on for the values."""
        spelled: Any = self._driver.dump_sequence(values, [PyFormat.TEXT] * len(values))
        if words not in self._names:
            self._names[words] = self._prepare(words)
        try:
            self._answer = _checked(self._server.exec_prepared(self._names[words], spelled))
        except InvalidSqlStatementName:
            self._names.clear()  # somebody had the server forget what it has prepared: all of it, most likely
            raise
        self.rowcount = self._answer.command_tuples or 0

    def executemany(self, words: str, rows: Sequence[Sequence[Any]]) -> None:
        """One after the other; `rowcount` is that of all."""
        changed = 0
        for values in rows:
            self.execute(words, values)
            changed += self.rowcount
        self.rowcount = changed

    def fetchall(self) -> list[tuple[Any, ...]]:
        self._driver.set_pgresult(self._answer)
        return self._driver.load_rows(0, self.rowcount, tuple)

    def close(self) -> None:
        """Keep nothing of what was answered."""
        self._answer = None
        self._driver.set_pgresult(None)

    def _prepare(self, words: str) -> bytes:
        name = b"countersign_%d" % next(self._numbers)
        _checked(self._server.prepare(name, words.encode()))
        return name


def _checked(answer: PGresult) -> PGresult:
    if answer.status not in _FINE:
        raise error_from_result(answer)
    return answer
