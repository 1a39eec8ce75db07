"""What is prepared once says and reads the same as SQLAlchemy would each time, on either database."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy import Connection, bindparam, create_engine, event, insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, select

from bot.errors import StorageError
from bot.events import ApprovalTakenBack, Approved, Denied, OrderRead, Permitted
from bot.model import Person, order_key
from bot.store import Store, Unit, postgres, prepared
from bot.store.chain import Head
from bot.store.database import said
from bot.store.prepared import Prepared, Upsert
from bot.store.reading import reading
from bot.store.slots import Slots, Terms
from bot.store.tables import VoteRow
from tests.bot.builders import BOB, CAROL, CHANNEL, an_order
from tests.bot.stores import Clock, opened, told_to_the_driver
from tests.bot.test_long_past import HOME, WORK, asked_in_a_list
from tests.bot.test_store import MINUTE, requested

EPOCH = "e" * 32
SENT = Permitted(EPOCH, 1, an_order(), ())


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    with opened(database, clock) as store:
        yield store


def approved(by: Person) -> Approved:
    return Approved(by, "card", verified=True, why="on the list by name")


def live(unit: Unit) -> None:
    """A life with everything in it."""
    for _ in range(2):
        unit.first_time("mark", "me")
    unit.note("started", {})
    request = unit.begin("r1", requested("key", "twice"), "4711")
    unit.open_request_for("key")
    request = unit.save(request, [OrderRead(an_order())])
    request = unit.save(request, [approved(BOB), approved(CAROL)])
    request = unit.save(request, [ApprovalTakenBack(BOB)])
    request = unit.save(request, [approved(BOB)])
    request = unit.save(request, [OrderRead(an_order(identity="cert-7"))])
    request = unit.save(request, [approved(BOB), approved(CAROL)])
    unit.open_requests_with(order_key(request) or "", but="another")
    unit.prove(request)
    unit.prove(request, verified=unit.head())
    request = unit.save(request, [SENT])
    unit.has_permit("r1", EPOCH)
    unit.reference("r1")
    unit.save(unit.begin("r2", requested("other", "twice"), "4712"), [Denied(BOB, "no")])
    unit.begin("now", requested("now", "twice"), "4713")
    asked_in_a_list(unit, 1)
    unit.batch("list1")
    unit.line_states("list1")


def work(unit: Unit) -> None:
    unit.slots = Slots()
    unit.slots.open(Terms("mine", MINUTE))
    unit.schedule_all([("check", key, "digicert", unit.now) for key in ("r1", "r2", "r3")])
    unit.claim_at_once()
    held = unit.held("mine")
    unit.slots = Slots()
    unit.slots.open(Terms("mine", MINUTE))
    unit.claim_all()
    unit.finish(held[0].id, "mine")
    unit.put_back(held[1].id, "mine", held[1].due, MINUTE)
    unit.put_back(held[2].id, "mine", unit.now - MINUTE, MINUTE)


def tell(unit: Unit) -> None:
    unit.owe_all([("r1", "card", "r1", CHANNEL, ""), ("r1", "said", "r1", CHANNEL, "text")])
    unit.owe(HOME, "home", request_id=None, target="U0BOB")
    unit.owe("r1", "card", request_id="r1", target=CHANNEL)
    unit.covered("r1", unit.last_owed_card("r1"))
    unit.owe("r1", "said", request_id="r1", target=CHANNEL)
    for one in (*unit.owed(), *unit.owed_in(["r1"]), *unit.owed_in(["r1", HOME])):
        unit.postpone(one.id, unit.now + MINUTE, "ratelimited")
        unit.delivered(one.id)
    unit.home_opened(str(BOB))
    unit.home_opened(str(BOB))
    for ts in ("1.0", "2.0"):
        unit.set_card("r1", CHANNEL, ts)
    unit.card("r1")
    unit.owe(HOME, "home", request_id=None, target="U0BOB")
    unit.painted(HOME, unit.last_owed_in(HOME))


def pause(unit: Unit) -> None:
    unit.pauses.begin("digicert", str(BOB), "why")
    unit.pauses.stopping("digicert")
    unit.pauses.all()
    unit.pauses.count_unknown("digicert")
    unit.pauses.count_known("digicert")
    unit.pauses.end("digicert")


def look(unit: Unit) -> None:
    unit.first_time("another mark", "me")
    unit.verify(Head())
    unit.verify(unit.head(), 5)
    unit.history("r1")
    unit.requests_for("key", unit.now - timedelta(days=1))
    for each in WORK.values():
        each(unit)


LIFE: tuple[Callable[[Unit], None], ...] = (live, work, tell, pause, look)


THE_TIME = {postgres._LOCK, postgres._NOW}
"""It is another one each time."""


class Sent(list[Any]):
    """What the driver is told: words, and values, the latest last."""

    def note(self, words: str, values: Any) -> None:
        self.append((words, values if isinstance(values, list) else [values]))


def spelled_out(found: Any) -> str:
    """So that True is not the same as 1."""
    if isinstance(found, dict):
        return spelled_out(sorted(found.items()))
    if isinstance(found, list | tuple):
        return f"({', '.join(map(spelled_out, found))})"
    return repr(found)


@contextmanager
def overheard() -> Iterator[tuple[Sent, set[Prepared]]]:
    """Each statement is carried out by SQLAlchemy first, and undone; then as it was prepared. Yields what was
    said, and the statements that found or changed something."""
    sent, compared = Sent(), set[Prepared]()
    ask, change, carry_out = Prepared.ask, Prepared.change, prepared.carry_out

    def asked(self: Prepared, connection: Connection, values: Any) -> Any:
        if self in THE_TIME:
            return ask(self, connection, values)
        theirs, _ = by_sqlalchemy(self, connection, values)
        ours = ask(self, connection, values)
        assert spelled_out(list(ours)) == spelled_out(theirs)
        the_same_was_said()
        compared.update([self] if theirs else [])
        return ours

    def changed(self: Prepared, connection: Connection, rows: Sequence[Any]) -> int:
        _, theirs = by_sqlalchemy(self, connection, rows)
        ours = change(self, connection, rows)
        assert theirs in (ours, -1)  # it does not count what was inserted
        the_same_was_said()
        compared.update([self] if ours else [])
        return ours

    def by_sqlalchemy(self: Prepared, connection: Connection, values: Any) -> tuple[list[Any], int]:
        statement = self.statement
        if isinstance(statement, Upsert):
            statement = statement.statement(connection.dialect)
        with connection.begin_nested() as point:
            event.listen(connection, "before_cursor_execute", heard)
            try:
                result = connection.execute(statement, values)
            finally:
                event.remove(connection, "before_cursor_execute", heard)
            found = [tuple(row) for row in result] if result.returns_rows else []
            point.rollback()
        return found, result.rowcount

    def heard(_connection: Any, _cursor: Any, words: str, values: Any, *_: Any) -> None:
        nobodys = re.compile(r"(INSERT .*) RETURNING \w+\.id", re.DOTALL)  # nobody asks for the new key
        sent.note(nobodys.sub(r"\1", words), values)

    def told(cursor: Any, words: str, spelled: Sequence[Any]) -> None:
        sent.note(words, list(spelled))
        carry_out(cursor, words, spelled)

    def the_same_was_said() -> None:
        theirs, ours = sent[-2:]
        assert spelled_out(ours) == spelled_out(theirs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prepared, "ask", asked)
        patch.setattr(Prepared, "change", changed)
        patch.setattr(prepared, "carry_out", told)
        yield sent, compared


def all_there_are() -> dict[Prepared, str]:
    modules = [module for name, module in sys.modules.items() if name.startswith("bot.")]
    return {
        found: f"{module.__name__}.{name}"
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, Prepared) and found not in THE_TIME
    }


def test_every_statement_says_and_reads_what_sqlalchemy_would(store: Store, clock: Clock) -> None:
    with overheard() as (sent, compared):
        for part in LIFE:
            store.write_now(part)
            clock.advance(timedelta(hours=2))
    assert len(sent) > 100
    assert [name for one, name in all_there_are().items() if one not in compared] == []


VOTE: Prepared = Prepared(insert(VoteRow))
VOTES = Prepared(select(VoteRow.person).where(col(VoteRow.request_id) == bindparam("request")))
OF_R1 = {"request": "r1"}


def vote(person: str) -> dict[str, str]:
    return {"request_id": "r1", "person": person, "digest": "card"}


def test_the_drivers_errors_are_those_of_sqlalchemy_and_show_no_values(store: Store) -> None:
    told: list[IntegrityError] = []

    def twice(unit: Unit) -> None:
        VOTE.change(unit._connection, [vote("secret")])
        try:
            VOTE.change(unit._connection, [vote("secret")])
        except IntegrityError as problem:
            told.append(problem)
            raise

    with pytest.raises(IntegrityError):
        store.write_now(twice)
    assert isinstance(told[0].orig, (sqlite3.IntegrityError, psycopg.IntegrityError))
    assert (told[0].params, told[0].hide_parameters, told[0].connection_invalidated) == (None, True, False)
    assert store.read_now(lambda unit: VOTES.ask(unit._connection, OF_R1).all()) == []


@pytest.mark.parametrize("values", [{}, {"request": "r1", "more": 1}, {"other": "r1"}])
def test_values_that_the_statement_does_not_have_are_an_error_and_nothing_is_said(
    store: Store, values: dict[str, Any]
) -> None:
    with told_to_the_driver() as told, pytest.raises(TypeError):
        store.read_now(lambda unit: VOTES.ask(unit._connection, values))
    assert [words for words, _ in told if "clock_timestamp" not in words] == []


def test_rows_that_differ_in_what_they_have_are_an_error(store: Store) -> None:
    rows = [vote("a"), {"request_id": "r1", "person": "b"}]
    with told_to_the_driver() as told, pytest.raises(TypeError):
        store.write_now(lambda unit: VOTE.change(unit._connection, rows))
    assert [words for words, _ in told if "clock_timestamp" not in words] == []


def test_a_statement_is_the_same_for_whoever_only_reads(store: Store, database: str) -> None:
    """On Postgres their connection has another way to write down where values belong."""
    store.write_now(lambda unit: VOTE.change(unit._connection, [vote("a"), vote("b")]))
    with reading(database) as connection:
        for ask in (VOTES.ask, lambda *_: store.read_now(lambda unit: VOTES.ask(unit._connection, OF_R1))):
            assert sorted(ask(connection, OF_R1).scalars()) == ["a", "b"]


@pytest.mark.parametrize("storage", ["postgres"])
def test_a_connection_that_is_lost_is_not_used_again(store: Store) -> None:
    def kill(unit: Unit) -> None:
        VOTES.ask(unit._connection, OF_R1)  # so that the server knows the statement already
        seen.append(unit._connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        if len(seen) == 1:
            with killer.connect() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({seen[0]}, 5000)")
        try:
            VOTES.ask(unit._connection, OF_R1)
        except DBAPIError as problem:
            told.append((problem.connection_invalidated, unit._connection.invalidated, said(problem)))
            raise

    seen: list[int] = []
    told: list[tuple[bool, bool, str]] = []
    killer = create_engine(store._database.writer.url)
    store.write_now(kill)
    killer.dispose()
    assert len(set(seen)) == len(seen) == 2
    ((is_lost, is_renewed, why),) = told
    assert (is_lost, is_renewed) == (True, True)
    assert "terminating connection due to administrator command" in why


@pytest.mark.parametrize("storage", ["sqlite"])
def test_a_connection_on_which_the_disk_failed_is_not_used_again(store: Store) -> None:
    """Afterwards it would take for written what is lost."""
    broken = sqlite3.OperationalError("disk I/O error")
    broken.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    seen: list[Any] = []

    def write(unit: Unit) -> None:
        seen.append(unit._connection.connection.dbapi_connection)
        VOTE.change(unit._connection, [vote("a")])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "carry_out", Mock(side_effect=broken))
        with pytest.raises(StorageError, match="disk I/O error"):
            store.write_now(write)
    store.write_now(write)
    assert seen[0] is not seen[1]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        seen[0].execute("SELECT 1")
