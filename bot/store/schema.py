"""Is the database at the version this code was written for, and how it gets there."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.exc import DatabaseError, OperationalError

from bot.errors import StorageError
from bot.store.database import is_sqlite, said
from bot.store.postgres import CONNECTION
from bot.store.sqlite import path_of, prepare_file

STEPS_AT_ONCE = 20_000
"""Of SQLite, between two looks at whether a check is to go on: about a millisecond."""
MIGRATIONS = Path(__file__).parent.parent / "migrations"
_REVISION = re.compile(r"^(revision|down_revision) = (?:None|[\"'](\w+)[\"'])$", re.MULTILINE)


@contextmanager
def sole_process(url: str) -> Iterator[None]:
    """Hold a SQLite file for this process alone. Raises `StorageError` when another one has it.

    SQLite lets two bots share a file; each would believe that the other's unfinished work was left
    behind by a crash. The lock goes away with the process, however it ends. Postgres is made for
    several, so there is nothing to hold.
    """
    if not is_sqlite(url):
        yield
        return
    with _lock_file(url, "lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageError(
                f"Another bot is running on this database ({path_of(url).name}). Stop it first."
            ) from None
        yield


@contextmanager
def one_at_a_time(url: str) -> Iterator[None]:
    """Wait for whoever else looks whether the schema has to be upgraded: web and worker start together,
    and find the same empty database."""
    if not is_sqlite(url):
        yield  # the migrations take a lock of their own there
        return
    with _lock_file(url, "upgrade.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _lock_file(url: str, ending: str) -> Iterator[IO[str]]:
    path = Path(f"{path_of(url)}.{ending}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        yield lock


def prepare(url: str) -> None:
    """Make sure of a file that can be written. SQLite would open one that cannot be, and leave a log beside
    it that cannot be written later either. Raises `StorageError`."""
    if is_sqlite(url):
        prepare_file(url)


def upgrade(url: str) -> None:
    """Bring the database to the newest schema. Does nothing when it is there already."""
    from alembic import command  # heavy, and not needed while the bot runs

    command.upgrade(_config(url), "head")


def _engine(url: str) -> Engine:
    return create_engine(url, connect_args={} if is_sqlite(url) else CONNECTION)


def problem(url: str, connect: Callable[[str], Engine] = _engine) -> str | None:
    """What is wrong with the schema, in a sentence that says what to do; None when it is right."""
    if is_sqlite(url) and not path_of(url).exists():
        return (
            f"There is no database at {path_of(url).absolute()}. If it is elsewhere, this command lacks the "
            "settings of the bot, such as DATABASE_URL; for a new one, run: python -m bot db upgrade"
        )
    if is_empty(url, connect):
        return "The database is empty. Run: python -m bot db upgrade"
    where = str(path_of(url)) if is_sqlite(url) else "The database"
    try:
        present, _ = _present_revision(connect(url))
    except OperationalError as problem:
        return f"{where} cannot be opened now ({said(problem)}). Nothing was changed."
    except DatabaseError:
        return (
            f"{where} is not a database of this bot, or it is damaged. Restore a backup; nothing was changed."
        )
    wanted, known = _revisions()
    if present == wanted:
        return None
    if present is None:
        return f"{where} belongs to another program."
    if present in known:
        return "The database is older than this version. Run: python -m bot db upgrade"
    return "The database is newer than this version of the bot. Install the newer version again."


class Unfinished(Exception):
    """It was told to stop before it had seen all."""


def damage(url: str, stop: Callable[[], bool] = lambda: False) -> str | None:
    """What is wrong with the file, page by page, in a sentence; None when it is whole. Takes about a second
    for 300 MB. Postgres looks after its own files.

    `stop` is asked all the time; raises `Unfinished` when it says so, and `StorageError` when the file
    cannot be read now.
    """
    if not is_sqlite(url):
        return None
    path = path_of(url)
    try:
        with closing(sqlite3.connect(path)) as database:
            database.set_progress_handler(stop, STEPS_AT_ONCE)
            (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            database.set_progress_handler(None, 0)
            (page,) = database.execute("PRAGMA page_size").fetchone()
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise Unfinished from None
        raise StorageError(f"{path} cannot be opened now ({problem}). Nothing was changed.") from None
    except sqlite3.DatabaseError as problem:
        found = str(problem)
    if found == "ok" and not path.with_name(f"{path.name}-wal").exists() and path.stat().st_size % page:
        found = "its end is missing"
    if found == "ok":
        return None
    return f"{path} is damaged ({' '.join(found.split())})."


def is_small(url: str, most: int) -> bool:
    """Whether the file has no more than so many bytes; a server has no file."""
    return not is_sqlite(url) or path_of(url).stat().st_size <= most


def is_empty(url: str, connect: Callable[[str], Engine] = _engine) -> bool:
    """True for a file that does not exist yet, and a database without a table: a first start that was
    killed leaves one.

    Raises `StorageError` when Postgres cannot be asked.
    """
    if is_sqlite(url):
        path = path_of(url)
        if not path.exists() or path.stat().st_size == 0:
            return True
    try:
        return _present_revision(connect(url)) == (None, [])
    except DatabaseError as problem:
        if is_sqlite(url):
            return False  # something is there, and `problem` says what is wrong with it
        raise StorageError(f"The database cannot be opened now ({said(problem)}).") from None


def _present_revision(engine: Engine) -> tuple[str | None, list[str]]:
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            if "alembic_version" not in tables:
                return None, tables
            row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
            return (None if row is None else str(row[0])), tables
    finally:
        engine.dispose()


def _revisions() -> tuple[str, set[str]]:
    """The newest one, and all, from the same files that Alembic would read them from. Importing it for that
    would cost every start and every command 60 ms and 9 MiB."""
    texts = [path.read_text("utf-8") for path in (MIGRATIONS / "versions").glob("*.py")]
    scripts = [dict(_REVISION.findall(text)) for text in texts]
    known = {script["revision"] for script in scripts}
    (newest,) = known - {script["down_revision"] for script in scripts}
    return newest, known


def _config(url: str):  # type: ignore[no-untyped-def]
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config
