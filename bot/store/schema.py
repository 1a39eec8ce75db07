"""Is the database at the version this code was written for, and how it gets there."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from bot.errors import StorageError
from bot.store.store import prepare_file

MIGRATIONS = Path(__file__).parent.parent / "migrations"


@contextmanager
def sole_process(url: str) -> Iterator[None]:
    """Hold the database for this process alone. Raises `StorageError` when another one has it.

    SQLite lets two bots share a file; each would believe that the other's unfinished work was left
    behind by a crash. The lock goes away with the process, however it ends.
    """
    path = Path(f"{make_url(url).database}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageError(
                f"Another bot is running on this database ({path.stem}). Stop it first."
            ) from None
        yield


def upgrade(url: str) -> None:
    """Bring the database to the newest schema. Does nothing when it is there already."""
    from alembic import command  # heavy, and not needed while the bot runs

    prepare_file(url)
    command.upgrade(_config(url), "head")


def problem(url: str) -> str | None:
    """What is wrong with the schema, in a sentence that says what to do; None when it is right."""
    path = Path(make_url(url).database or "")
    if not path.exists() or path.stat().st_size == 0:
        return "The database is empty. Run: python -m bot db upgrade"
    try:
        present, tables = _present_revision(url)
    except OperationalError as problem:
        return f"{path} cannot be opened now ({problem.orig}). Nothing was changed."
    except DatabaseError:
        return (
            f"{path} is not a database of this bot, or it is damaged. Restore a backup; nothing was changed."
        )
    wanted, known = _revisions()
    if present == wanted:
        return None
    if present is None:
        return f"{path} belongs to another program." if tables else "Run: python -m bot db upgrade"
    if present in known:
        return "The database is older than this version. Run: python -m bot db upgrade"
    return "The database is newer than this version of the bot. Install the newer version again."


def is_empty(url: str) -> bool:
    """True for a file that does not exist yet or holds nothing at all."""
    path = Path(make_url(url).database or "")
    return not path.exists() or path.stat().st_size == 0


def _present_revision(url: str) -> tuple[str | None, list[str]]:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            if "alembic_version" not in tables:
                return None, tables
            row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
            return (None if row is None else str(row[0])), tables
    finally:
        engine.dispose()


def _revisions() -> tuple[str | None, set[str]]:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(MIGRATIONS))
    return script.get_current_head(), {revision.revision for revision in script.walk_revisions()}


def _config(url: str):  # type: ignore[no-untyped-def]
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    return config
