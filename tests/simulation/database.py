"""One real database for all schedules of a run, emptied in between: opening one takes longer than playing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from bot.store import Store
from bot.store.tables import Table
from tests import postgres
from tests.bot.builders import NOW
from tests.bot.stores import new_database

TABLES = tuple(reversed([table.name for table in Table.metadata.sorted_tables]))
RAM = Path("/dev/shm")
"""Durability is not what is tried here."""

OpenStore = Callable[[str, Callable[[], datetime]], Store]


class _AtOnce(ThreadPoolExecutor):
    """No thread: the order of things must not depend on one."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*args, **options))
        return done


class Database:
    """The bot's store, and a look past it at what is really on disk."""

    def __init__(self, url: str, open_store: OpenStore = Store) -> None:
        self.clock: Callable[[], datetime] = lambda: NOW
        self.store = open_store(url, lambda: self.clock())
        for name, value in vars(self.store).items():
            if isinstance(value, ThreadPoolExecutor):
                setattr(self.store, name, _AtOnce(1))
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")
        self._connection = self._engine.connect()
        self._raw: Any = self._connection.connection.dbapi_connection
        self._is_sqlite = self._engine.dialect.name == "sqlite"

    @property
    def name(self) -> str:
        return "SQLite" if self._is_sqlite else "Postgres"

    def rows(self, query: str) -> list[Any]:
        """What a query finds, in words that both databases understand."""
        cursor = self._raw.cursor()
        cursor.execute(query)
        found: list[Any] = cursor.fetchall()
        cursor.close()
        return found

    def empty(self) -> None:
        if self._is_sqlite:
            self.store.write_now(lambda unit: None)  # nothing of an earlier schedule is under way
            for table in TABLES:
                self._connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
        else:
            self._connection.exec_driver_sql(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()
        self.store.close()


@contextmanager
def on_sqlite() -> Iterator[Database]:
    with (
        tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as folder,
        opened(new_database(Path(folder, "bot.db"))) as database,
    ):
        yield database


@contextmanager
def on_postgres() -> Iterator[Database]:
    """On a server that is brought along and started for this."""
    with postgres.new_database() as url, opened(postgres.as_sqlalchemy(url)) as database:
        yield database


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """On a database that is there, migrated, and nobody else's: it is emptied."""
    database = Database(url)
    try:
        yield database
    finally:
        database.close()
