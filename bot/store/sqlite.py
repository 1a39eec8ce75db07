"""SQLite: one file, used by one bot.

In WAL mode with `synchronous=FULL`, so that what was committed survives a power cut. Python's own
defaults do not promise that, so the pragmas are set on every connection and read back.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from bot.errors import StorageError

BUSY_MS = 400
"""How long a transaction waits for another process that holds the write lock."""
MOVED = (
    "The database file was moved, replaced or deleted while the bot was running. Nothing was written. Put "
    "it back, or stop the bot."
)


class SQLite:
    """See `bot.store.database.Database`.

    SQLite itself would go on with a file that has no name any more, and whatever is acknowledged then is
    gone when the process ends. So each transaction looks whether it is still the file of the beginning.
    """

    is_shared = False

    def __init__(self, url: str) -> None:
        self._path = os.fspath(prepare_file(url))
        self._log = f"{self._path}-wal"
        self._file = _identity(self._path)
        self.writer = _open(url, begin="BEGIN IMMEDIATE")
        self.reader = _open(url, begin="BEGIN")
        for engine in (self.writer, self.reader):
            event.listen(engine, "do_connect", self._before_connecting)

    def begin(self, connection: Connection) -> None:
        """The write lock is held already, by the BEGIN of the writer's engine."""
        self.check(connection)

    def check(self, connection: Connection) -> None:
        log = _identity(self._log)
        opened = connection.info["log"] = connection.info.get("log") or log
        if _identity(self._path) != self._file or opened != log:
            raise StorageError(MOVED)

    def time(self, _connection: Connection) -> None:
        """The machine's own will do."""
        return

    def _before_connecting(self, *_: object) -> None:
        """SQLite would make a new file where there is none."""
        if _identity(self._path) != self._file:
            raise StorageError(MOVED)

    def tell(self, _connection: Connection, _words: str) -> None:
        """There is nobody else to tell."""
        return

    def may_pass(self, problem: DBAPIError) -> bool:
        return isinstance(problem, OperationalError) and "locked" in str(problem.orig)

    def tidy(self) -> bool:
        """Empty the write-ahead log, which still holds what was wiped. False when a reader or the disk is
        in the way."""
        with suppress(DBAPIError, StorageError), self.writer.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            try:
                raw.execute("PRAGMA busy_timeout = 100")
                (busy, *_) = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                raw.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            except sqlite3.Error:
                connection.invalidate()
            else:
                return not busy
        return False


def engine_for_migrations(url: str) -> Engine:
    """Nobody else reads or writes while the schema changes."""
    prepare_file(url)
    return _open(url, begin="BEGIN EXCLUSIVE")


def path_of(url: str) -> Path:
    return Path(make_url(url).database or "")


def prepare_file(url: str) -> Path:
    """Create the folder and the file, readable by the owner only, before SQLite does it openly.

    Raises `StorageError` when it cannot be written.
    """
    path = path_of(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as problem:
        raise StorageError(f"The database cannot be used ({path}): {problem.strerror}.") from None
    if not path.stat().st_size:
        _keep_the_way_to(path)
    return path


def _keep_the_way_to(path: Path) -> None:
    """A power cut may forget a new file or folder for as long as the folder above it is not synced."""
    for folder in path.absolute().parents:
        with suppress(OSError):  # one that we may not read is none of those we made
            above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(above)
            finally:
                os.close(above)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file has this name now; None when there is none. Asked twice in each transaction, so without a
    `Path`, which costs more than the system does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(url: str, begin: str) -> Engine:
    """Connections that are durable, and transactions that begin as told."""
    engine = create_engine(url, hide_parameters=True, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        (mode,) = cursor.execute("PRAGMA journal_mode = WAL").fetchone()
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # a wiped reference leaves no bytes behind
        cursor.close()
        if mode != "wal":
            raise StorageError(f"The database cannot be used durably: its journal mode stays {mode}.")

    is_lost = engine.dialect.is_disconnect

    def never_again(problem: Any, *used: Any) -> bool:
        """After an error of the disk this connection is closed. A second sync would succeed although what
        the first one lost is still lost; a new connection takes nothing for written but what it reads."""
        code = getattr(problem, "sqlite_errorcode", 0)
        return code & 0xFF == sqlite3.SQLITE_IOERR or is_lost(problem, *used)

    def begin_transaction(dbapi_connection: Any) -> None:
        dbapi_connection.execute(begin)

    # SQLAlchemy has an event for it as well, which costs more than the rest of an empty transaction.
    engine.dialect.do_begin = begin_transaction  # type: ignore[method-assign]
    engine.dialect.is_disconnect = never_again  # type: ignore[method-assign,assignment]
    return engine
