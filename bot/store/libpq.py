"""Statements on Postgres, each by one call of libpq: for `bot.store.prepared`.

The driver's own cursor sends, waits and fetches in steps, and lets go of Python's lock at each of them. To
get it back from the event loop beside it takes longer than the server needs for most statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from psycopg import Connection, InternalError, OperationalError
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import FeatureNotSupported, InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

_FINE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})
_UNUSABLE = (InvalidSqlStatementName, FeatureNotSupported)
"""What the server says of a statement that it has prepared and was told to forget, or whose tables have been
changed since by a migration."""


def begin(connection: Connection[Any], words: bytes) -> None:
    """`words`: BEGIN, and how. Raises the driver's errors, as all that is here."""
    _said(connection.pgconn, connection.pgconn.exec_(words))


def commit(connection: Connection[Any]) -> None:
    """Return when the transaction is durable. The server ends one in which a statement had failed with a mere
    ROLLBACK, and only warns where it had ended already; both are errors here."""
    server = connection.pgconn
    is_over = server.transaction_status == TransactionStatus.IDLE
    if _said(server, server.exec_(b"COMMIT")).command_status != b"COMMIT" or is_over:
        raise InternalError("nothing was kept of a transaction, as it had failed or ended before its COMMIT")


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
            self._answer = _said(self._server, self._server.exec_prepared(self._names[words], spelled))
        except _UNUSABLE:
            self._names.clear()  # most likely it is not the only one
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
        if self._answer is None:
            return []
        self._driver.set_pgresult(self._answer)
        return self._driver.load_rows(0, self._answer.ntuples, tuple)

    def close(self) -> None:
        """Keep nothing of what was answered."""
        self._answer = None
        self._driver.set_pgresult(None)

    def _prepare(self, words: str) -> bytes:
        name = b"countersign_%d" % next(self._numbers)
        _said(self._server, self._server.prepare(name, words.encode()))
        return name


def _said(server: PGconn, answer: PGresult) -> PGresult:
    """The answer, unless it is an error."""
    if server.status == ConnStatus.BAD:
        # The connection knows why it was closed. The answer may only know that it is.
        raise OperationalError(server.get_error_message())
    if answer.status not in _FINE:
        raise error_from_result(answer)
    return answer
