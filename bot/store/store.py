"""Transactions on one database: one writer thread, one reader thread, durable before it returns.

SQLite in WAL mode with `synchronous=FULL`: what was committed survives a power cut. Python's own
defaults do not promise that, so the pragmas are set on every connection and read back at the start.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session

from bot.errors import Conflict, StorageError
from bot.store.unit import Unit

T = TypeVar("T")
TRIES = 5
BUSY_MS = 400
"""How long a transaction waits for another process that holds the write lock."""


class Store:
    """The only way to the database. Times are UTC and come from `clock`."""

    def __init__(self, url: str, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._path = prepare_file(url)
        self._writer = open_engine(url, begin="BEGIN IMMEDIATE")
        self._reader = open_engine(url, begin="BEGIN")
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._must_truncate = False
        self._after_commit: list[Callable[[], None]] = []

    def on_commit(self, wake: Callable[[], None]) -> None:
        """Call `wake` in the event loop after each transaction that was written."""
        self._after_commit.append(wake)

    async def write(self, work: Callable[[Unit], T]) -> T:
        """Run `work` in one transaction and return when it is durable.

        Raises whatever `work` raised, with nothing written, or `StorageError` when the database
        cannot be written. `work` may run more than once; it must not act outside of the unit.
        """
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._write_thread, self._run, self._writer, work)
        if self._must_truncate:
            self._write_thread.submit(self._truncate_log)  # behind the answer, before the next write
        for wake in self._after_commit:
            wake()
        return result

    async def read(self, work: Callable[[Unit], T]) -> T:
        """Run `work` on one consistent snapshot."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_thread, self._run, self._reader, work)

    def write_now(self, work: Callable[[Unit], T]) -> T:
        """`write` for programs without an event loop: the command line."""
        return self._run(self._writer, work)

    def read_now(self, work: Callable[[Unit], T]) -> T:
        return self._run(self._reader, work)

    def close(self) -> None:
        self._write_thread.shutdown(wait=True)
        self._read_thread.shutdown(wait=True)
        self._writer.dispose()
        self._reader.dispose()

    def _truncate_log(self) -> None:
        """Empty the write-ahead log, which still holds what was wiped. A reader may be in the way; then
        the next write tries again."""
        try:
            with self._writer.connect() as connection:
                raw: Any = connection.connection.dbapi_connection
                raw.execute("PRAGMA busy_timeout = 100")
                (busy, *_) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                raw.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                self._must_truncate = bool(busy)
        except DBAPIError:
            return

    def _run(self, engine: Engine, work: Callable[[Unit], T]) -> T:
        for last in (*[False] * (TRIES - 1), True):
            try:
                with Session(engine, expire_on_commit=False) as session, session.begin():
                    unit = Unit(session, self._clock())
                    result = work(unit)
                self._must_truncate = self._must_truncate or unit.wiped
                return result
            except Conflict:
                if last:
                    raise StorageError("The request kept changing. Nothing was done; try again.") from None
            except OperationalError as problem:
                if last or "locked" not in str(problem.orig):
                    raise StorageError(_plain(problem)) from None
            except DBAPIError as problem:
                if type(problem).__name__ == "IntegrityError":
                    raise
                raise StorageError(_plain(problem)) from None
        raise AssertionError("unreachable")


def prepare_file(url: str) -> Path:
    """Create the folder and the file, readable by the owner only, before SQLite does it openly."""
    path = Path(make_url(url).database or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return path


def open_engine(url: str, begin: str) -> Engine:
    """Connections that are durable, and transactions that begin as told."""
    engine = create_engine(url, hide_parameters=True, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        (mode,) = cursor.execute("PRAGMA journal_mode = WAL").fetchone()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # a wiped reference leaves no bytes behind
        cursor.close()
        if mode != "wal":
            raise StorageError(f"The database cannot be used durably: its journal mode stays {mode}.")

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _plain(problem: DBAPIError) -> str:
    """What the driver said, without SQL and without parameters."""
    return f"The database could not be used: {problem.orig}."
