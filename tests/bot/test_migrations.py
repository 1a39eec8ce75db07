"""The schema: what a new database gets, what an old one becomes, and what the bot says about others."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from bot.store import schema
from bot.store.tables import Table
from tests.bot.stores import Clock, opened, sql, url_of

ROOT = Path(__file__).parents[2]
HEAD = ScriptDirectory(str(schema.MIGRATIONS)).get_current_head()
EMPTY = "The database is empty. Run: python -m bot db upgrade"
DAMAGED = "{} is not a database of this bot, or it is damaged. Restore a backup; nothing was changed."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "bot.db"


@pytest.fixture
def upgraded(path: Path) -> Path:
    schema.upgrade(url_of(path))
    return path


def described(path: Path) -> list[tuple[str, str, str]]:
    with sql(path) as database:
        return database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()


def revision(path: Path) -> str:
    with sql(path) as database:
        return str(database.execute("SELECT version_num FROM alembic_version").fetchone()[0])


# --- upgrading --------------------------------------------------------------------------------------------


def test_a_new_database_has_exactly_the_tables_of_the_code(upgraded: Path) -> None:
    engine = create_engine(url_of(upgraded))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    engine.dispose()


def test_the_indices_and_constraints_are_those_of_the_code_too(upgraded: Path, tmp_path: Path) -> None:
    """Alembic does not compare everything: conditions of indices and constraints without a name."""
    made = tmp_path / "made.db"
    engine = create_engine(url_of(made))
    Table.metadata.create_all(engine)
    engine.dispose()
    migrated = {" ".join(str(found).split()) for found in described(upgraded) if "alembic" not in found[1]}
    assert migrated == {" ".join(str(found).split()) for found in described(made)}


def test_a_new_database_is_ready_and_stays_as_it_is_when_upgraded_again(upgraded: Path) -> None:
    assert schema.problem(url_of(upgraded)) is None
    with opened(upgraded, Clock()) as store:
        store.write_now(lambda unit: unit.note("started", {}))
    before = described(upgraded)
    schema.upgrade(url_of(upgraded))
    assert described(upgraded) == before
    with opened(upgraded, Clock()) as store:
        assert store.read_now(lambda unit: unit.head()).seq == 1


def test_two_processes_that_upgrade_at_once_both_succeed(path: Path) -> None:
    program = "import sys; from bot.store import schema; sys.stdin.read(1); schema.upgrade(sys.argv[1])"
    command = [sys.executable, "-c", program, url_of(path)]
    both = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) for _ in range(2)]
    for process in both:
        assert process.stdin
        process.stdin.close()
    assert [process.wait(60) for process in both] == [0, 0]
    assert schema.problem(url_of(path)) is None


# --- a migration that does not get to its end -------------------------------------------------------------

NEXT = """
import os, signal
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = "next", "{head}", None, None

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


def one_event(path: Path) -> None:
    with opened(path, Clock()) as store:
        store.write_now(lambda unit: unit.note("started", {}))


def test_a_migration_that_fails_half_way_leaves_the_old_schema(upgraded: Path, next_version: Path) -> None:
    one_event(upgraded)
    before = described(upgraded)
    next_version.write_text(next_migration(then='raise RuntimeError("half way")'))
    with pytest.raises(RuntimeError, match="half way"):
        schema.upgrade(url_of(upgraded))
    assert (described(upgraded), revision(upgraded)) == (before, HEAD)
    with opened(upgraded, Clock()) as store:
        assert store.read_now(lambda unit: unit.head()).seq == 1
    next_version.write_text(next_migration(then="pass"))
    schema.upgrade(url_of(upgraded))
    assert revision(upgraded) == "next"
    assert described(upgraded) != before


def test_a_migration_that_is_killed_half_way_leaves_the_old_schema(
    upgraded: Path, next_version: Path
) -> None:
    one_event(upgraded)
    before = described(upgraded)
    next_version.write_text(next_migration(then="os.kill(os.getpid(), signal.SIGKILL)"))
    program = (
        "import sys, pathlib; from bot.store import schema; "
        "schema.MIGRATIONS = pathlib.Path(sys.argv[2]); schema.upgrade(sys.argv[1])"
    )
    folder = str(next_version.parent.parent)
    killed = subprocess.run([sys.executable, "-c", program, url_of(upgraded), folder], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert (described(upgraded), revision(upgraded)) == (before, HEAD)
    with opened(upgraded, Clock()) as store:
        assert store.read_now(lambda unit: unit.head()).seq == 1


def test_a_first_migration_that_fails_leaves_a_database_that_can_be_upgraded(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("alembic.op.batch_alter_table", _raise)
        with pytest.raises(RuntimeError, match="half way"):
            schema.upgrade(url_of(path))
    assert described(path) == []
    schema.upgrade(url_of(path))
    assert schema.problem(url_of(path)) is None


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError("half way")


# --- what is said about a file that is not right -----------------------------------------------------------


def test_no_database_yet_is_told_how_to_make_one(path: Path) -> None:
    assert schema.problem(url_of(path)) == EMPTY
    assert schema.is_empty(url_of(path))
    assert not path.exists(), "looking makes nothing"
    path.parent.mkdir()
    path.touch()
    assert schema.problem(url_of(path)) == EMPTY
    assert schema.is_empty(url_of(path))


def test_a_database_without_tables_is_told_how_to_make_them(path: Path) -> None:
    path.parent.mkdir()
    with sql(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size
    assert schema.problem(url_of(path)) == "Run: python -m bot db upgrade"
    assert not schema.is_empty(url_of(path))


def test_a_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with sql(path) as database:
        database.execute("CREATE TABLE bookmarks (id INTEGER)")
    before = path.read_bytes()
    assert schema.problem(url_of(path)) == f"{path} belongs to another program."
    assert path.read_bytes() == before


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
def test_a_damaged_file_is_named_and_not_touched(upgraded: Path, harm: object) -> None:
    assert callable(harm)
    harm(upgraded)
    before = upgraded.read_bytes()
    assert schema.problem(url_of(upgraded)) == DAMAGED.format(upgraded)
    assert upgraded.read_bytes() == before


def test_a_database_that_somebody_holds_is_not_called_damaged(
    upgraded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "create_engine", lambda url: create_engine(url, connect_args={"timeout": 0}))
    with sql(upgraded, begin="PRAGMA locking_mode = EXCLUSIVE") as other:
        other.execute("BEGIN EXCLUSIVE")
        said = schema.problem(url_of(upgraded))
    assert said == f"{upgraded} cannot be opened now (database is locked). Nothing was changed."


def test_an_older_database_is_to_be_upgraded(upgraded: Path, next_version: Path) -> None:
    next_version.write_text(next_migration(then="pass"))
    older = "The database is older than this version. Run: python -m bot db upgrade"
    assert schema.problem(url_of(upgraded)) == older
    schema.upgrade(url_of(upgraded))
    assert schema.problem(url_of(upgraded)) is None


def test_a_newer_database_needs_the_newer_program(upgraded: Path) -> None:
    with sql(upgraded) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = "The database is newer than this version of the bot. Install the newer version again."
    assert schema.problem(url_of(upgraded)) == newer


def test_a_path_with_odd_characters_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "50% off, größer & more" / "bot.db"
    schema.upgrade(url_of(path))
    assert schema.problem(url_of(path)) is None
    assert path.exists()
    with pytest.raises(sqlite3.OperationalError, match="already exists"), sql(path) as database:
        database.execute("CREATE TABLE event (seq INTEGER)")
