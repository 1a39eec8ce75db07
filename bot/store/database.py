"""What SQLite and Postgres do differently, behind one small port. The tables and rules are the same."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from bot.store import postgres, sqlite


class Database(Protocol):
    is_shared: bool
    """Whether several processes may work on it at once."""
    writer: Engine
    """Its transactions come one after the other: what one has read stays true until it commits."""
    reader: Engine
    """Each of its transactions sees one consistent state."""

    def begin(self, connection: Connection) -> datetime | None:
        """Called first in each writing transaction; waits for those before. Returns the database's time
        where several machines have to agree on it, and None where the machine's own will do."""
        ...

    def check(self, connection: Connection) -> None:
        """Called first in each transaction that reads. Raises `StorageError` when what is there is not the
        database of the beginning any more."""
        ...

    def time(self, connection: Connection) -> datetime | None:
        """What `begin` returns, for a transaction that reads and asks what time it is."""
        ...

    def tell(self, connection: Connection, words: str) -> None:
        """Let other processes know, once this transaction is committed. The words are in letters, digits
        and spaces."""
        ...

    def may_pass(self, problem: DBAPIError) -> bool:
        """Whether the whole transaction may be tried again: it was in the way of another one, or the
        connection was lost. In the second case it may have been committed already."""
        ...

    def tidy(self) -> bool:
        """After secrets were wiped: leave nothing of them behind. False: try again later."""
        ...


def open_database(url: str) -> Database:
    return sqlite.SQLite(url) if is_sqlite(url) else postgres.Postgres(url)


def engine_for_migrations(url: str) -> Engine:
    """One transaction at a time, alone on the database."""
    return sqlite.engine_for_migrations(url) if is_sqlite(url) else postgres.engine_for_migrations(url)


def is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def said(problem: DBAPIError) -> str:
    """What the driver complained about, on one line. Postgres goes on to quote the statement and the row
    that was in the way; that is left out."""
    primary = getattr(getattr(problem.orig, "diag", None), "message_primary", None)
    return primary or " ".join(str(problem.orig).partition("\n\t")[0].split())
