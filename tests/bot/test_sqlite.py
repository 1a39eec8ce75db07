"""What only SQLite has to promise: a file that is durable, private, and holds nothing that was wiped."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import StorageError
from bot.events import Denied, Requested
from bot.store import Store, Unit, sqlite
from bot.store.chain import Head
from tests.bot.builders import ALICE, BOB, CHANNEL, NOW, TEAM
from tests.bot.stores import Clock, opened, sql, url_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with opened(path, Clock()) as store:
        yield store


def note(unit: Unit) -> None:
    unit.note("started", {})


def test_neither_postgres_nor_alembic_is_imported_to_run_on_it(store: Store, path: Path) -> None:
    """They are a tenth of the start and of the memory."""
    store.write_now(note)
    runs = (
        "import sys; from bot.cli import run; from bot.store import Store, Unit; "
        "run.make_ready(sys.argv[1]); Store(sys.argv[1]).read_now(Unit.head); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    started = subprocess.run(
        [sys.executable, "-c", runs, url_of(path)], capture_output=True, text=True, timeout=60, check=True
    )
    imported = set(started.stdout.split())
    assert "sqlalchemy" in imported
    assert imported & {"psycopg", "psycopg_binary", "alembic", "matplotlib", "opentelemetry"} == set()


def test_every_connection_is_durable(store: Store) -> None:
    def pragmas(unit: Unit) -> list[object]:
        connection = unit._connection
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert store.write_now(pragmas) == ["wal", 2, 1, 1]
    assert store.read_now(pragmas) == ["wal", 2, 1, 1]


def test_the_database_is_nobody_elses_to_read(store: Store, path: Path, tmp_path: Path) -> None:
    new = tmp_path / "deep" / "new.db"
    sqlite.prepare_file(url_of(new))
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    store.write_now(note)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("bot.db*")}
    assert modes == dict.fromkeys(["bot.db", "bot.db-wal", "bot.db-shm"], 0o600)


def test_a_file_that_cannot_be_durable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What SQLite makes of a file system without shared memory: it stays with its old journal.
    store = Store("sqlite:///file:bot.db?vfs=unix-dotfile&uri=true", Clock())
    try:
        with pytest.raises(StorageError, match="its journal mode stays delete"):
            store.write_now(note)
    finally:
        store.close()


def test_whoever_writes_has_the_lock_from_the_first_moment(store: Store, path: Path) -> None:
    """Otherwise two could read the same and only then find out that one of them must not write."""

    def work(unit: Unit) -> None:
        assert unit.head() == Head()
        with sql(path) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")

    store.write_now(work)


async def test_what_was_wiped_is_in_no_file_soon_after(store: Store, path: Path) -> None:
    canary = "4711-canary-reference"
    expires = NOW + timedelta(hours=24)
    asked = Requested(TEAM, CHANNEL, "digicert", "acct", "#1", "key", ALICE, "twice", 2, ("S0",), expires)

    def is_anywhere() -> bool:
        return any(canary.encode() in file.read_bytes() for file in path.parent.iterdir())

    request = await store.write(lambda unit: unit.begin("r1", asked, canary))
    assert is_anywhere()
    await store.write(lambda unit: unit.save(request, [Denied(BOB, "no")]))
    await store.write(note)  # behind the tidying, on the same thread
    assert not is_anywhere()
    assert store.read_now(lambda unit: unit.head()).seq == 3
