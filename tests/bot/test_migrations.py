"""The schema: what a new database gets, what an old one becomes, and what the bot says about others."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql as psql
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from bot.batch.rules import Batch, BatchRequested
from bot.errors import StorageError
from bot.events import Closed, Denied, PersonCalled
from bot.model import Finding
from bot.store import Store, Unit, schema
from bot.store.chain import Head
from bot.store.database import is_sqlite
from bot.store.postgres import LOCKS, MIGRATING
from bot.store.sqlite import path_of
from bot.store.tables import Table
from tests import postgres
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, TEAM
from tests.bot.stores import Clock, opened, sql, url_of
from tests.bot.test_store import begin, present, requested, save
from tests.past_the_bot import change, connected, rows

ROOT = Path(__file__).parents[2]
SCRIPTS = ScriptDirectory(str(schema.MIGRATIONS))
HEAD = SCRIPTS.get_current_head()
RELEASED = [script.revision for script in SCRIPTS.walk_revisions()]
EMPTY = "The database is empty. Run: python -m bot db upgrade"
DAMAGED = "{} is not a database of this bot, or it is damaged. Restore a backup; nothing was changed."

TABLES = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, character_maximum_length
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, column_name
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
"""
INDICES = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(storage: str, tmp_path: Path) -> Iterator[str]:
    """Of a file that is not there yet, or of a database without a table."""
    if storage == "sqlite":
        yield url_of(tmp_path / "data" / "bot.db")
        return
    with postgres.new_database(empty=True) as url:
        yield url


@pytest.fixture
def upgraded(url: str) -> str:
    schema.upgrade(url)
    return url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a SQLite database that is at the newest schema."""
    path = tmp_path / "data" / "bot.db"
    schema.upgrade(url_of(path))
    return path


def described(url: str) -> list[tuple[object, ...]]:
    queries = [TABLES] if is_sqlite(url) else [COLUMNS, CONSTRAINTS, INDICES]
    with connected(url) as client:
        return [row for query in queries for row in client.rows(query)]


def in_one_line(found: tuple[object, ...]) -> str:
    """A column that was added later stands in the line of the one before."""
    return " ".join(" ".join(str(each) for each in found).split())


def revision(url: str) -> str:
    ((found,),) = rows(url, "SELECT version_num FROM alembic_version")
    return str(found)


def one_event(url: str) -> None:
    with opened(url, Clock()) as store:
        store.write_now(lambda unit: unit.note("started", {}))


def events(url: str) -> int:
    with opened(url, Clock()) as store:
        return store.read_now(lambda unit: unit.verify(Head())).seq


# --- upgrading --------------------------------------------------------------------------------------------


def test_a_new_database_has_exactly_the_tables_of_the_code(upgraded: str) -> None:
    engine = create_engine(upgraded)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_the_indices_and_constraints_are_those_of_the_code_too(
    upgraded: str, storage: str, tmp_path: Path
) -> None:
    """Alembic does not compare everything: conditions of indices and constraints without a name."""
    with ExitStack() as kept:
        is_file = storage == "sqlite"
        made = (
            url_of(tmp_path / "made.db") if is_file else kept.enter_context(postgres.new_database(empty=True))
        )
        engine = create_engine(made)
        Table.metadata.create_all(engine)
        engine.dispose()
        wanted = {in_one_line(found) for found in described(made)}
    migrated = {in_one_line(found) for found in described(upgraded) if "alembic" not in str(found)}
    assert migrated == wanted
    assert any("is_open" in each and "uq_request_open_order" in each for each in wanted)


def test_a_new_database_is_ready_and_stays_as_it_is_when_upgraded_again(upgraded: str) -> None:
    assert schema.problem(upgraded) is None
    one_event(upgraded)
    before = described(upgraded)
    schema.upgrade(upgraded)
    assert described(upgraded) == before
    assert events(upgraded) == 1


@pytest.mark.parametrize("version", RELEASED)
def test_every_schema_so_far_becomes_the_newest_and_keeps_its_history(url: str, version: str) -> None:
    if is_sqlite(url):
        path_of(url).parent.mkdir()
    command.upgrade(schema._config(url), version)
    one_event(url)
    before = rows(url, "SELECT seq, at, kind, body, previous, hash FROM event")
    schema.upgrade(url)
    assert schema.problem(url) is None
    assert rows(url, "SELECT seq, at, kind, body, previous, hash FROM event") == before
    assert events(url) == 1


LINES = ("line", "left to people", "closed")


def asked_for_at_0005(unit: Unit) -> None:
    asked = requested("", '"batch":"in words","batch":""')
    batch = BatchRequested(
        TEAM, CHANNEL, "digicert", "acct", ALICE, "twice", 2, ("S0",), asked.expires_at, LINES
    )
    unit.begin_batch(Batch("list", unit.now, batch))
    alone = unit.begin("alone", replace(asked, reference_key="alone"), "1")
    line, left, closed = (
        unit.begin(one, replace(asked, reference_key=one, batch="list"), "1") for one in LINES
    )
    unit.save(alone, [Denied(BOB, "no")])
    unit.save(line, [Denied(BOB, "no")])
    unit.save(left, [PersonCalled("nobody knows")])
    unit.save(closed, [PersonCalled("nobody knows"), Closed(CAROL, Finding.CANCELLED, "", "approver")])


def test_requests_of_before_are_listed_as_they_were_and_proved(url: str) -> None:
    """Until 0005 it was looked up for each whether it is a line."""
    if is_sqlite(url):
        path_of(url).parent.mkdir()
    command.upgrade(schema._config(url), "0005")
    columns = "SELECT id, version, state, is_open, provider, reference_key, created_at, body FROM request"
    with opened(url, Clock()) as store:
        store.write_now(asked_for_at_0005)
        before = rows(url, f"{columns} ORDER BY id")
    schema.upgrade(url)
    assert rows(url, f"{columns} ORDER BY id") == before
    with opened(url, Clock()) as store:
        assert listed(store) == {"alone", "left to people"}
        for one in ("alone", *LINES):
            request = present(store, one)
            store.read_now(lambda unit, request=request: unit.prove(request))  # type: ignore[misc]
        closed = Closed(CAROL, Finding.CANCELLED, "", "approver")
        save(store, present(store, "left to people"), closed)
        assert listed(store) == {"alone"}
        begin(store, "another", "another")
        assert listed(store) == {"alone", "another"}


def listed(store: Store) -> set[str]:
    return {one.id for one in store.read_now(lambda unit: unit.requests(requester=str(ALICE)))}


WAITS = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
UPGRADE = "import sys; from bot.store import schema; sys.stdin.read(1); schema.upgrade(sys.argv[1])"


def test_two_processes_that_upgrade_at_once_both_succeed(url: str) -> None:
    start = [sys.executable, "-c", UPGRADE, url]
    both = [subprocess.Popen(start, cwd=ROOT, stdin=subprocess.PIPE) for _ in range(2)]
    for process in both:
        assert process.stdin
        process.stdin.close()
    assert [process.wait(60) for process in both] == [0, 0]
    assert schema.problem(url) is None


def test_on_postgres_whoever_comes_second_waits_for_the_first_however_long_it_takes() -> None:
    with postgres.new_database(empty=True) as url, connected(url) as first:
        first.change(f"SELECT pg_advisory_lock({LOCKS}, {MIGRATING})")
        second = threading.Thread(target=schema.upgrade, args=[url])
        second.start()
        second.join(1.5)  # longer than the bot waits for any other lock
        assert second.is_alive()
        assert described(url) == []
        first.change(f"SELECT pg_advisory_unlock({LOCKS}, {MIGRATING})")
        second.join(20)
        assert schema.problem(url) is None


def test_on_postgres_whoever_waits_can_be_interrupted() -> None:
    with postgres.new_database(empty=True) as url, connected(url) as first:
        first.change(f"SELECT pg_advisory_lock({LOCKS}, {MIGRATING})")
        # Whoever is begun in the background by a shell is deaf to it, and so is everybody they begin.
        hears = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        command = [sys.executable, "-c", f"{hears}; {UPGRADE}", url]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as second:
            assert second.stdin
            second.stdin.close()
            try:
                until = time.monotonic() + 30
                while not first.rows(WAITS):
                    assert time.monotonic() < until
                    time.sleep(0.01)  # it has to be asked; nothing tells us
                second.send_signal(signal.SIGINT)
                assert second.wait(10) != 0
            finally:
                second.kill()
        assert described(url) == []


# --- a migration that does not get to its end -------------------------------------------------------------

NEXT = """
import os, signal
from alembic import op
import sqlalchemy as sa
revision = "next"
down_revision = "{head}"
branch_labels = None
depends_on = None

def upgrade() -> None:
    op.add_column("request", sa.Column("half", sa.Text()))
    op.execute("DELETE FROM event")
    {then}
    op.create_table("whole", sa.Column("id", sa.Integer(), primary_key=True))
"""


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migrations of a version to come, and code that uses them."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    return folder / "versions" / "the_next.py"


def next_migration(then: str) -> str:
    return NEXT.format(head=HEAD, then=then)


def test_a_migration_that_fails_half_way_leaves_the_old_schema(upgraded: str, next_version: Path) -> None:
    one_event(upgraded)
    before = described(upgraded)
    next_version.write_text(next_migration(then='raise RuntimeError("half way")'))
    with pytest.raises(RuntimeError, match="half way"):
        schema.upgrade(upgraded)
    assert (described(upgraded), revision(upgraded), events(upgraded)) == (before, HEAD, 1)
    next_version.write_text(next_migration(then="pass"))
    schema.upgrade(upgraded)
    assert revision(upgraded) == "next"
    assert described(upgraded) != before


def test_a_migration_that_is_killed_half_way_leaves_the_old_schema(upgraded: str, next_version: Path) -> None:
    one_event(upgraded)
    before = described(upgraded)
    next_version.write_text(next_migration(then="os.kill(os.getpid(), signal.SIGKILL)"))
    program = (
        "import sys, pathlib; from bot.store import schema; "
        "schema.MIGRATIONS = pathlib.Path(sys.argv[2]); schema.upgrade(sys.argv[1])"
    )
    folder = str(next_version.parent.parent)
    killed = subprocess.run([sys.executable, "-c", program, upgraded, folder], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert (described(upgraded), revision(upgraded), events(upgraded)) == (before, HEAD, 1)
    next_version.write_text(next_migration(then="pass"))
    schema.upgrade(upgraded)
    assert revision(upgraded) == "next"


def test_a_first_migration_that_fails_leaves_a_database_that_can_be_upgraded(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("alembic.op.batch_alter_table", _raise)
        with pytest.raises(RuntimeError, match="half way"):
            schema.upgrade(url)
    assert described(url) == []
    schema.upgrade(url)
    assert schema.problem(url) is None


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError("half way")


def test_the_revisions_are_those_that_alembic_finds(next_version: Path) -> None:
    assert schema._revisions() == (HEAD, set(RELEASED))
    next_version.write_text(next_migration(then="pass"))
    assert schema._revisions() == ("next", {*RELEASED, "next"})


# --- what is said about a database that is not right --------------------------------------------------------


def test_no_database_yet_is_told_how_to_make_one(url: str) -> None:
    said = schema.problem(url) or ""
    assert said.endswith("python -m bot db upgrade")
    assert schema.is_empty(url)
    if is_sqlite(url):
        path = path_of(url)
        assert f"no database at {path}" in said
        assert not path.exists(), "looking makes nothing"
        path.parent.mkdir()
        path.touch()
        assert schema.problem(url) == EMPTY
        assert schema.is_empty(url)
    else:
        assert described(url) == []


def test_a_file_without_tables_is_empty_too(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    with sql(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size
    assert schema.problem(url_of(path)) == EMPTY
    assert schema.is_empty(url_of(path))


def test_a_database_of_another_program_is_left_alone(url: str) -> None:
    if is_sqlite(url):
        path_of(url).parent.mkdir()
    change(url, "CREATE TABLE bookmarks (id INTEGER)")
    before = described(url)
    where = str(path_of(url)) if is_sqlite(url) else "The database"
    assert schema.problem(url) == f"{where} belongs to another program."
    assert not schema.is_empty(url)
    assert described(url) == before


def test_an_older_database_is_to_be_upgraded(upgraded: str, next_version: Path) -> None:
    next_version.write_text(next_migration(then="pass"))
    older = "The database is older than this version. Run: python -m bot db upgrade"
    assert schema.problem(upgraded) == older
    schema.upgrade(upgraded)
    assert schema.problem(upgraded) is None


def test_a_newer_database_needs_the_newer_program(upgraded: str) -> None:
    change(upgraded, "UPDATE alembic_version SET version_num = '9999'")
    newer = "The database is newer than this version of the bot. Install the newer version again."
    assert schema.problem(upgraded) == newer


# --- files ------------------------------------------------------------------------------------------------


def _is_a_text(path: Path) -> None:
    path.write_text("APPROVERS=S0ONCALL\n" * 500)


def _has_no_header(path: Path) -> None:
    path.write_bytes(b"\x00" * 100 + path.read_bytes()[100:])


def _is_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _is_a_start(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _has_a_torn_page(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * 3996 + whole[4096:])


@pytest.mark.parametrize("harm", [_is_a_text, _has_no_header, _is_half, _is_a_start, _has_a_torn_page])
def test_a_damaged_file_is_named_and_not_touched(path: Path, harm: object) -> None:
    assert callable(harm)
    harm(path)
    before = path.read_bytes()
    assert schema.problem(url_of(path)) == DAMAGED.format(path)
    assert path.read_bytes() == before


def test_a_database_that_somebody_holds_is_not_called_damaged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        schema, "create_engine", lambda url, **_: create_engine(url, connect_args={"timeout": 0})
    )
    with sql(path, begin="PRAGMA locking_mode = EXCLUSIVE") as other:
        other.execute("BEGIN EXCLUSIVE")
        said = schema.problem(url_of(path))
    assert said == f"{path} cannot be opened now (database is locked). Nothing was changed."


def test_a_path_with_odd_characters_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "50% off, größer & more" / "bot.db"
    schema.upgrade(url_of(path))
    assert schema.problem(url_of(path)) is None
    assert path.exists()
    with pytest.raises(sqlite3.OperationalError, match="already exists"), sql(path) as database:
        database.execute("CREATE TABLE event (seq INTEGER)")


# --- servers ----------------------------------------------------------------------------------------------


def test_a_server_that_cannot_be_asked_is_not_called_empty(tmp_path: Path) -> None:
    nowhere = f"postgresql://bot:c4n4ry@/bot?host={tmp_path}"
    for ask in (schema.is_empty, schema.problem):
        with pytest.raises(StorageError) as caught:
            ask(nowhere)
        assert caught.value.advice.startswith("The database cannot be opened now (")
        assert caught.value.advice.isprintable()
        assert "c4n4ry" not in caught.value.advice


def test_a_name_with_odd_characters_is_a_name() -> None:
    name = 'größer "and" 50% off/more & 1=1'
    postgres.create(name)
    try:
        url = make_url(postgres.url_of("x")).set(database=name).render_as_string(hide_password=False)
        schema.upgrade(url)
        assert schema.problem(url) is None
        with pytest.raises(psycopg.errors.DuplicateTable):
            change(url, "CREATE TABLE event (seq INTEGER)")
    finally:
        postgres.drop(name)


def test_a_role_that_may_not_make_tables_is_told_so_and_nothing_is_made() -> None:
    with postgres.new_database(empty=True) as url, postgres.admin() as admin:
        admin.execute("CREATE ROLE stranger LOGIN")
        try:
            guest = make_url(url).set(username="stranger").render_as_string(hide_password=False)
            with pytest.raises(ProgrammingError, match="permission denied for schema public"):
                schema.upgrade(guest)
            assert described(url) == []
        finally:
            admin.execute(psql.SQL("DROP ROLE stranger"))
