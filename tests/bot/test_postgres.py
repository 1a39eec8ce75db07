"""What only Postgres has to promise: connections that break, servers that are set up otherwise, and
processes that stop in the middle."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from bot.errors import StorageError
from bot.events import Requested
from bot.model import Request
from bot.store import Store, Unit, schema
from bot.store import postgres as in_postgres
from bot.store.chain import Head
from bot.store.slots import Terms
from tests import postgres
from tests.bot.builders import ALICE, CHANNEL, NOW, TEAM
from tests.bot.stores import opened
from tests.past_the_bot import change, held, rows
from tests.wire import Moment, Wire, wired

INSERT = b"INSERT INTO event"
COMMIT = b"COMMIT\x00"
"""As it is said on the wire; not `READ COMMITTED`."""


@pytest.fixture
def storage() -> str:
    return "postgres"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with opened(database, None) as store:
        yield store


@pytest.fixture
def wire(database: str) -> Iterator[Wire]:
    with wired(database) as wire:
        yield wire


def note(unit: Unit) -> None:
    unit.note("started", {})


def requested(reason: str = "twice") -> Requested:
    expires = NOW + timedelta(days=3650)
    return Requested(TEAM, CHANNEL, "digicert", "acct", "#1", "key", ALICE, reason, 2, ("S0",), expires)


def setting(unit: Unit, name: str) -> object:
    return unit._connection.exec_driver_sql(f"SHOW {name}").scalar()


def prepared(unit: Unit) -> dict[str, str]:
    """What it has prepared for this connection, and under which name."""
    found = unit._connection.exec_driver_sql("SELECT statement, name FROM pg_prepared_statements")
    return {words: name for words, name in found if name.startswith("countersign")}


# --- connections that break ---------------------------------------------------------------------------


def known_to_the_server(unit: Unit) -> dict[bytes, bytes]:
    """Of some statements that are there for good, the names by which they are said from now on."""
    unit.begin("r0", replace(requested(), reference_key="key0"), "4710")
    return {words.split(" (")[0].encode(): f"{name}\x00".encode() for words, name in prepared(unit).items()}


@pytest.mark.parametrize("word", [b"BEGIN", INSERT, COMMIT], ids=["begin", "insert", "commit"])
@pytest.mark.parametrize("moment", ["before", "in", "after"])
def test_whenever_the_connection_breaks_the_unit_is_run_again_and_has_its_effect_once(
    wire: Wire, database: str, word: bytes, moment: Moment
) -> None:
    found: list[Request | None] = []

    def ask(unit: Unit) -> Request:
        found.append(unit.request("r1"))
        return found[-1] or unit.begin("r1", requested(), "4711")

    with opened(wire.url, None) as store:
        known = store.write_now(known_to_the_server)
        wire.cut(known.get(word, word), moment)
        asked = store.write_now(ask)
        assert wire.cuts == 1
        assert store.read_now(lambda unit: unit.request("r1")) == asked
        was_committed = word == COMMIT and moment != "before"
        assert found == ([None, asked] if was_committed else [None] if word == b"BEGIN" else [None, None])
        assert store.read_now(lambda unit: unit.verify(Head())).seq == 2
    assert rows(database, "SELECT count(*) FROM event") == [(2,)]


def test_claims_whose_answer_was_lost_are_not_left_lying_until_their_lease_ends(wire: Wire) -> None:
    with opened(wire.url, None) as store:
        store.write_now(lambda unit: unit.schedule("cancel", "r1", "digicert", unit.now))
        store.write_now(lambda unit: unit.schedule("check", "r2", "digicert", unit.now))
        wire.cut(COMMIT, "after")
        store.slots.open(Terms("mine", timedelta(minutes=3)))
        store.write_now(lambda unit: unit.claim_all())
        held = store.read_now(lambda unit: unit.held("mine"))
        assert [(one.kind, one.runs) for one in held] == [("cancel", 1), ("check", 1)]
        assert set(store.slots.running()) == {one.id for one in held}


def test_a_server_that_hung_up_meanwhile_is_not_noticed(store: Store, database: str) -> None:
    store.write_now(note)
    store.read_now(lambda unit: unit.head())
    with postgres.admin() as connection:
        assert postgres.hang_up(connection, "datname = %s", postgres.name_in(database)) == 2
    store.write_now(note)
    assert store.read_now(lambda unit: unit.head()).seq == 2


def test_a_server_that_is_gone_is_an_error_and_one_that_comes_back_is_used_again(database: str) -> None:
    with wired(database) as wire, opened(wire.url, None) as store:
        store.write_now(note)
        wire.close()
        for use in (store.write_now, store.read_now):
            with pytest.raises(StorageError, match=r"^The database could not be used: .*[a-z]\.$"):
                use(lambda unit: unit.head())
    with postgres.somebody(database, options="CONNECTION LIMIT 1") as url, opened(url, None) as store:
        with (
            psycopg.connect(url),
            pytest.raises(StorageError, match=r"too many connections for role \S+\.$"),
        ):
            store.write_now(note)
        store.write_now(note)


# --- statements that the server has prepared --------------------------------------------------------------


def test_each_is_prepared_once_for_a_connection_whatever_becomes_of_the_transactions(store: Store) -> None:
    def fail(unit: Unit) -> None:
        note(unit)
        raise RuntimeError("the middle of it")

    store.write_now(note)
    before = store.write_now(prepared)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            store.write_now(fail)
        store.write_now(note)
    assert store.write_now(prepared) == before
    assert len(before) == 3


def test_what_the_server_has_forgotten_is_prepared_anew(store: Store) -> None:
    def ask(unit: Unit, number: int) -> None:
        unit.begin(f"r{number}", replace(requested(), reference_key=f"key{number}"), "4711")
        unit.schedule("check", f"r{number}", "digicert", unit.now)

    store.write_now(lambda unit: ask(unit, 1))
    store.write_now(lambda unit: unit._connection.exec_driver_sql("DEALLOCATE ALL").close())
    store.write_now(lambda unit: ask(unit, 2))
    assert store.read_now(lambda unit: unit.verify(Head())).seq == 2


def test_what_was_prepared_before_a_table_was_changed_is_prepared_anew(store: Store, database: str) -> None:
    def owe(unit: Unit) -> None:
        unit.owe("r1", "said", request_id=None, target=CHANNEL)

    store.write_now(owe)
    for use in (store.write_now, store.read_now):
        assert len(use(lambda unit: unit.owed())) == 1
    change(database, "ALTER TABLE message ALTER COLUMN target TYPE text")
    for use in (store.write_now, store.read_now):
        assert len(use(lambda unit: unit.owed())) == 1


def test_a_transaction_that_failed_or_is_over_is_never_taken_for_written(store: Store) -> None:
    """The server answers COMMIT without an error, and keeps nothing."""

    def go_on_all_the_same(unit: Unit) -> None:
        note(unit)
        unit._known.head = Head()  # so that it writes a second link with the number of the first
        with suppress(IntegrityError):
            note(unit)

    def end_it(unit: Unit) -> None:
        note(unit)
        unit._connection.exec_driver_sql("ROLLBACK")

    for work in (go_on_all_the_same, end_it):
        with pytest.raises(StorageError, match="nothing was kept of a transaction"):
            store.write_now(work)
        assert store.read_now(lambda unit: unit.head()) == Head()
    store.write_now(note)


# --- those who stand in the way ---------------------------------------------------------------------------


def test_a_lock_that_is_never_let_go_is_given_up_while_slack_still_waits(store: Store, database: str) -> None:
    with held(database):
        started = time.monotonic()
        with pytest.raises(StorageError, match="lock timeout"):
            store.write_now(note)
        assert time.monotonic() - started < 3


def test_whoever_stops_in_the_middle_is_cut_off_and_starts_again(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that was suspended while it held the lock. It must not hold up the others for ever."""
    monkeypatch.setattr(in_postgres, "_LIMITS", "-c idle_in_transaction_session_timeout=100")
    stopped, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def stop(unit: Unit) -> None:
        seen.append(unit.head().seq)
        stopped.set()
        go_on.wait(10)
        note(unit)

    with opened(database, None) as slow:
        suspended = threading.Thread(target=lambda: slow.write_now(stop))
        suspended.start()
        assert stopped.wait(10)
        store.write_now(note)
        go_on.set()
        suspended.join(10)
    assert seen == [0, 1], "what it saw the first time was over"
    assert store.read_now(lambda unit: unit.verify(Head())).seq == 2


def test_every_connection_has_its_limits(store: Store) -> None:
    for use in (store.write_now, store.read_now):
        assert use(lambda unit: setting(unit, "lock_timeout")) == "400ms"
        assert use(lambda unit: setting(unit, "idle_in_transaction_session_timeout")) == "10s"
    assert store.write_now(lambda unit: setting(unit, "transaction_isolation")) == "read committed"
    assert store.read_now(lambda unit: setting(unit, "transaction_isolation")) == "repeatable read"


def test_whoever_reads_sees_one_moment_whatever_is_written_meanwhile(store: Store, database: str) -> None:
    def read(unit: Unit) -> tuple[int, int]:
        before = unit.head().seq
        with opened(database, None) as other:
            other.write_now(note)
        return before, unit.head().seq

    assert store.read_now(read) == (0, 0)
    assert store.read_now(lambda unit: unit.head().seq) == 1


def test_those_who_write_at_once_write_one_after_the_other(database: str) -> None:
    """Nobody sees the same head of the chain as somebody else, and times never go back."""

    def write() -> None:
        with opened(database, None) as mine:
            for _ in range(10):
                mine.write_now(note)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    with opened(database, None) as store:
        assert store.read_now(lambda unit: unit.verify(Head())).seq == 40
    times = [at for (at,) in rows(database, "SELECT at FROM event ORDER BY seq")]
    assert times == sorted(times)


# --- servers that are set up otherwise --------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"])
def test_the_time_is_the_servers_and_the_history_is_the_same_in_every_zone(database: str, zone: str) -> None:
    name = sql.Identifier(postgres.name_in(database))
    with postgres.admin() as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} SET timezone = {}").format(name, zone))
    with opened(database, None) as store:
        store.write_now(note)
        assert store.read_now(lambda unit: unit.verify(Head())).seq == 1
        now = store.read_now(lambda unit: unit.now)
        assert now.tzinfo is UTC
        assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)
        assert store.write_now(lambda unit: unit.now) >= now


@pytest.mark.parametrize("whose", ["ROLE", "DATABASE"])
def test_a_commit_that_would_not_be_on_the_disk_is_overruled(database: str, whose: str) -> None:
    with postgres.somebody(database) as url:
        name = make_url(url).username if whose == "ROLE" else postgres.name_in(url)
        for given, kept in (("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")):
            change(
                database,
                sql.SQL("ALTER {} {} SET synchronous_commit = {}")
                .format(sql.SQL(whose), sql.Identifier(name or ""), given)
                .as_string(),
            )
            with opened(url, None) as store:
                assert store.write_now(lambda unit: setting(unit, "synchronous_commit")) == kept
                assert store.write_now(lambda unit: setting(unit, "synchronous_commit")) == kept


@contextmanager
def without_fsync(database: str) -> Iterator[None]:
    with postgres.admin() as connection:
        try:
            for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
                connection.execute(statement)
            while rows(database, "SHOW fsync") != [("off",)]:
                time.sleep(0.01)  # it has to be asked; nothing tells us
            yield
        finally:
            for statement in ("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()"):
                connection.execute(statement)
            while rows(database, "SHOW fsync") != [("on",)]:
                time.sleep(0.01)


def test_a_server_that_forgets_in_a_power_cut_is_refused(database: str) -> None:
    with without_fsync(database), opened(database, None) as store:
        for use in (store.write_now, store.read_now):
            with pytest.raises(StorageError, match="its setting fsync is off"):
                use(note)
    assert rows(database, "SELECT count(*) FROM event") == [(0,)]


def test_a_database_that_cannot_keep_every_text_is_refused() -> None:
    name = f"test_{secrets.token_hex(6)}"
    create = "CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
    with postgres.admin() as connection:
        connection.execute(sql.SQL(create).format(sql.Identifier(name)))
    try:
        with pytest.raises(StorageError, match="its encoding is SQL_ASCII and not UTF8"):
            schema.upgrade(postgres.url_of(name))
    finally:
        postgres.drop(name)


ODD = {"PGCLIENTENCODING": "LATIN1", "PGOPTIONS": "-c statement_timeout=1", "PGDATESTYLE": "SQL, DMY"}
"""Of these libpq takes notice by itself."""


def test_the_surroundings_do_not_spoil_what_is_read(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "four bytes \U0001f512"
    with monkeypatch.context() as surroundings, opened(database, None) as store:
        for name, value in ODD.items():
            surroundings.setenv(name, value)
        asked = store.write_now(lambda unit: unit.begin("r1", requested(text), "4711"))
        body = json.dumps(text, ensure_ascii=False)
        store.write_now(lambda unit: unit.owe("lane", "reply", request_id=None, target="", body=body))
        assert store.read_now(lambda unit: unit.request("r1")) == asked
        assert [m.body for m in store.read_now(lambda unit: unit.owed())] == [body]
        store.read_now(lambda unit: unit.prove(asked))


def test_settings_of_the_server_in_the_url_are_kept() -> None:
    with postgres.new_database(empty=True) as url:
        change(url, "CREATE SCHEMA ours")
        ours = str(make_url(url).update_query_dict({"options": "-c search_path=ours"}))
        schema.upgrade(ours)
        assert schema.problem(ours) is None
        with opened(ours, None) as store:
            store.write_now(note)
        assert rows(url, "SELECT count(*) FROM ours.event") == [(1,)]
        assert schema.is_empty(url)
