"""A database as somebody sees and treats it who is not the bot: with a client of their own."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bot.store.database import is_sqlite
from bot.store.postgres import LOCKS, WRITING, arguments
from bot.store.sqlite import path_of
from bot.store.tables import Table
from tests import postgres


class Client:
    """Each statement is committed at once. `?` stands for a value, on both databases."""

    def __init__(self, connection: Any, is_sqlite: bool) -> None:
        self._connection = connection
        self.is_sqlite = is_sqlite

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._execute(query, values).fetchall()
        return found

    def change(self, statement: str, *values: Any) -> int:
        """How many rows it changed."""
        changed: int = self._execute(statement, values).rowcount
        return changed

    def _execute(self, query: str, values: Sequence[Any]) -> Any:
        if self.is_sqlite:
            return self._connection.execute(query, values)
        if values:
            query = query.replace("%", "%%").replace("?", "%s")
        return self._connection.execute(query, values or None)


@contextmanager
def connected(url: str) -> Iterator[Client]:
    if is_sqlite(url):
        with closing(sqlite3.connect(path_of(url), isolation_level=None)) as file:
            yield Client(file, is_sqlite=True)
    else:
        with psycopg.connect(**arguments(url), autocommit=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            yield Client(connection, is_sqlite=False)


def rows(url: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with connected(url) as client:
        return client.rows(query, *values)


def change(url: str, statement: str, *values: Any) -> int:
    with connected(url) as client:
        return client.change(statement, *values)


@contextmanager
def held(url: str) -> Iterator[None]:
    """Somebody writes and does not come to an end, so that nobody else can write."""
    with connected(url) as client:
        if client.is_sqlite:
            client.change("BEGIN EXCLUSIVE")
            yield
            client.change("ROLLBACK")
        else:
            client.change(f"SELECT pg_advisory_lock({LOCKS}, {WRITING})")
            yield


@contextmanager
def gone(url: str, folder: Path) -> Iterator[None]:
    """The database cannot be used at all; afterwards it is as it was. `folder` is empty."""
    if is_sqlite(url):
        path = path_of(url)
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy(file, folder)
            with file.open("r+b") as damaged:
                damaged.write(b"\0" * max(file.stat().st_size, 100))
        yield
        for file in folder.iterdir():
            (path.parent / file.name).write_bytes(file.read_bytes())
        return
    name = postgres.name_in(url)
    change_access = "ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}"
    with postgres.admin() as connection:
        shut, opened = (sql.SQL(change_access).format(sql.Identifier(name), each) for each in (False, True))
        connection.execute(shut)
        postgres.hang_up(connection, "datname = %s", name)
        yield
        connection.execute(opened)


@contextmanager
def copied(url: str, folder: Path) -> Iterator[str]:
    """The URL of a copy, which may be spoilt. Nobody is connected to the original."""
    if is_sqlite(url):
        folder.mkdir(exist_ok=True)
        yield f"sqlite:///{shutil.copy(path_of(url), folder / 'copy.db')}"
    else:
        with postgres.new_database(like=url) as copy:
            yield copy


def dumped(url: str) -> bytes:
    """Everything in the bot's tables."""
    query = "SELECT * FROM {}" if is_sqlite(url) else "SELECT whole::text FROM {} AS whole"
    with connected(url) as client:
        found = [client.rows(query.format(name)) for name in Table.metadata.tables]
    return "\n".join(repr(row) if is_sqlite(url) else str(row[0]) for rows in found for row in rows).encode()
