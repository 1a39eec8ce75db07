"""The database for somebody who only looks: while the bot works on it, or a copy that nobody may change.

Nothing is written, not even beside the file: a copy that is evidence stays what it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Executable, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from bot.errors import StorageError
from bot.store import schema
from bot.store.database import is_sqlite, said
from bot.store.postgres import CONNECTION, options
from bot.store.sqlite import BUSY_MS, path_of

NEEDS_ITS_LOG = (
    "The database file has a write-ahead log beside it ({name}-wal), and this folder does not let it be "
    "read. Copy both files into a folder of your own and look at them there."
)
REPLACED = "The database file changed in the middle of the reading. Try again."


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """One consistent state of the database, for as long as it is held.

    Raises `StorageError` when there is no database of this version, or it cannot be read.
    """
    engine = engine_for_reading(url)
    try:
        if problem := schema.problem(url, engine_for_reading):
            raise StorageError(problem)
        before = _lying_still(url)
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(
                "SELECT version_num FROM alembic_version"
            )  # from here on it stands still
            yield connection
        if before is not None and before != _lying_still(url):
            raise StorageError(REPLACED)
    except DBAPIError as problem:
        raise StorageError(f"The database could not be used: {said(problem).rstrip('.')}.") from None
    finally:
        engine.dispose()


@contextmanager
def streamed(connection: Connection, query: Executable) -> Iterator[Iterable[Sequence[Any]]]:
    """The rows as the driver gives them, a few at a time. Raises `StorageError` where the file is damaged."""
    driver: Any = connection.dialect.loaded_dbapi
    # SQLite's own cursor is a stream already; without SQLAlchemy's rows a walk is faster by a third.
    is_stream = connection.dialect.name == "sqlite"
    buffer = {} if is_stream else {"yield_per": 2000}
    with connection.execute(query, execution_options=buffer) as result:
        rows: Any = result.cursor if is_stream else result
        try:
            yield rows
        except driver.Error as problem:
            text = " ".join(str(problem).split())
            raise StorageError(f"The database could not be used: {text.rstrip('.')}.") from None


def engine_for_reading(url: str) -> Engine:
    return _of_a_file(path_of(url)) if is_sqlite(url) else _of_a_server(url)


def _of_a_server(url: str) -> Engine:
    given = {**CONNECTION, "options": options(url, "-c default_transaction_read_only=on")}
    return create_engine(
        url,
        hide_parameters=True,
        isolation_level="REPEATABLE READ",
        poolclass=NullPool,
        connect_args=given | {"application_name": "countersign audit"},
    )


def _of_a_file(path: Path) -> Engine:
    def connect() -> sqlite3.Connection:
        log = path.with_name(f"{path.name}-wal")
        if not log.exists():
            return _connect(
                path, "&immutable=1"
            )  # nobody is at work on it, and nothing need be made beside it
        try:
            return _connect(path, "")
        except sqlite3.OperationalError as problem:
            if "unable to open" not in str(problem):
                raise
            if log.stat().st_size:
                raise StorageError(NEEDS_ITS_LOG.format(name=path.name)) from None
            return _connect(path, "&immutable=1")

    engine = create_engine("sqlite://", creator=connect, hide_parameters=True, poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _connect(path: Path, more: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro{more}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _lying_still(url: str) -> tuple[int, int] | None:
    """Which state of the file is read, where nothing but the file is; None where a bot may be at work."""
    if not is_sqlite(url) or path_of(url).with_name(f"{path_of(url).name}-wal").exists():
        return None
    found = path_of(url).stat()
    return found.st_mtime_ns, found.st_size
