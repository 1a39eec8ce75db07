"""Clicks and commands stay as quick when there is a long past: the database goes by an index."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from bot.events import Denied, Expired
from bot.model import ENDED, State
from bot.store import Store, Unit
from bot.store.slots import Slots, Terms
from tests.bot.builders import ALICE, BOB
from tests.bot.stores import Clock, opened, told_to_the_driver
from tests.bot.test_store import MINUTE, begin, save

DAY = 1440 * MINUTE

ENDED_STATES = sorted(state.value for state in ENDED)
WAITING = [State.PENDING.value, State.APPROVED.value, State.NEEDS_PERSON.value]
HOT: dict[str, Callable[[Unit], object]] = {
    "lists that are open": lambda unit: unit.batches(is_open=True, oldest_first=True),
    "lists that have ended": lambda unit: unit.batches(is_open=False),
    "status of one": lambda unit: unit.find("0f3c"),
    "a list of several by its ID": lambda unit: unit.find_batches("0f3c"),
    "mine": lambda unit: unit.requests(requester=str(ALICE)),
    "pending": lambda unit: unit.requests(states=WAITING, oldest_first=True),
    "history": lambda unit: unit.requests(states=ENDED_STATES),
    "history of a provider": lambda unit: unit.requests(states=ENDED_STATES, provider="digicert"),
    "how many somebody has open": lambda unit: unit.open_requests_of(str(ALICE)),
    "history of somebody": lambda unit: unit.requests(states=ENDED_STATES, requester=str(ALICE)),
    "the next action": lambda unit: unit.until_due(),
    "what is owed": lambda unit: unit.owed(),
    "what is owed in a lane": lambda unit: unit.owed_in(["r1"]),
    "what a card covers": lambda unit: unit.last_owed_card("r1"),
    "the numbers on the App Home": lambda unit: unit.counts(unit.now - DAY, unit.now),
    "what they have to be counted anew for": lambda unit: unit.made_of_changed(7),
    "other requests for an order": lambda unit: unit.requests_for("key", unit.now - DAY),
    "what happened to a request": lambda unit: unit.history("r1"),
}


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


def take_at_once(unit: Unit) -> None:
    unit.slots = Slots()
    unit.slots.open(Terms("mine", MINUTE))
    unit.schedule("check", "r1", "digicert", unit.now)


HOT_CHANGES: dict[str, Callable[[Unit], object]] = {
    "claiming what became due": take_at_once,
    "claiming what is due": lambda unit: unit.claim("mine", MINUTE, ["full"], [7]),
    "putting work away": lambda unit: unit.finish(1, "mine"),
    "work that has to wait": lambda unit: unit.put_back(1, "mine", unit.now, MINUTE),
    "a message that Slack has taken": lambda unit: unit.delivered(1),
    "a message that has to wait": lambda unit: unit.postpone(1, unit.now, "ratelimited"),
    "what a card covers": lambda unit: unit.covered("r1", 1),
    "what a Home covers": lambda unit: unit.painted("home:U1", 1),
    "where a card is": lambda unit: unit.set_card("r1", "C1", "1.0"),
}


def plan_of(store: Store, work: Callable[[Unit], object], changes: bool = False) -> str:
    """How the database goes about it. Postgres would read small tables as a whole, unless told not to."""
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    engine = store._database.writer if changes else store._database.reader
    event.listen(engine, "before_cursor_execute", note)
    with told_to_the_driver() as told:
        (store.write_now if changes else store.read_now)(work)
    event.remove(engine, "before_cursor_execute", note)
    asked += [(words, values[0]) for words, values in told]
    queries = [
        each
        for each in asked
        if re.match(r"UPDATE|INSERT" if changes else r"SELECT\b.*\bFROM", each[0], re.S)
    ]
    assert queries
    explain = "EXPLAIN " if store.is_shared else "EXPLAIN QUERY PLAN "

    def explained(unit: Unit) -> str:
        run = unit._connection.exec_driver_sql
        if store.is_shared:
            run("SET LOCAL enable_seqscan = off")
        return "\n".join(str(row[-1]) for text, values in queries for row in run(explain + text, values))

    return store.read_now(explained)


def whole_tables(plan: str) -> list[str]:
    """What of it reads a whole table, or a whole index without looking up its rows; the one that has what
    is owed only may be."""
    by_index = r"(?! USING (?:COVERING INDEX ix_message_owed|INDEX))"
    return re.findall(rf"SCAN (?:request|batch|event|action|message|card)\b{by_index}|Seq Scan.*", plan)


@pytest.mark.parametrize("what", HOT)
def test_nothing_that_people_wait_for_reads_a_whole_table(store: Store, what: str) -> None:
    plan = plan_of(store, HOT[what])
    assert whole_tables(plan) == [], plan


@pytest.mark.parametrize("what", HOT_CHANGES)
def test_nothing_that_is_written_for_each_request_looks_through_a_whole_table(
    store: Store, what: str
) -> None:
    plan = plan_of(store, HOT_CHANGES[what], changes=True)
    assert whole_tables(plan) == [], plan


def test_what_has_ended_is_listed_from_all_states_the_newest_first(store: Store, clock: Clock) -> None:
    for number in range(6):
        clock.advance(MINUTE)
        end = Denied(BOB, "no") if number % 2 else Expired()
        save(store, begin(store, f"r{number}", key=f"key{number}"), end)
    begin(store, "r9", key="open")

    def ids(**how: Any) -> list[str]:
        return [each.id for each in store.read_now(lambda unit: unit.requests(states=ENDED_STATES, **how))]

    assert ids() == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert ids(limit=2, skip=1) == ["r4", "r3"]
    assert ids(limit=2, oldest_first=True) == ["r0", "r1"]
    assert ids(requester=str(ALICE)) == ids()
    assert ids(provider="nobody") == []


def test_an_id_is_found_by_its_beginning_and_by_nothing_else(store: Store) -> None:
    for number, request_id in enumerate(("0f3c9a", "0f3d00", "0f", "1f3c9a")):
        begin(store, request_id, key=f"key{number}")

    def found(prefix: str) -> list[str]:
        return sorted(each.id for each in store.read_now(lambda unit: unit.find(prefix)))

    assert found("0f3c") == ["0f3c9a"]
    assert found("0f3") == ["0f3c9a", "0f3d00"]
    assert found("1f3c9a") == ["1f3c9a"]
    assert found("f3") == found("0f3c9a0") == found("%") == []


def test_a_list_of_what_has_ended_takes_a_few_of_each_state_and_never_sorts_all(store: Store) -> None:
    plan = plan_of(store, HOT["history"])
    assert plan.count("ix_request_listed_state") == len(ENDED_STATES), plan


@pytest.mark.parametrize(
    ("what", "index"),
    [
        ("mine", "ix_request_listed_requester"),
        ("history of a provider", "ix_request_listed_provider"),
        ("how many somebody has open", "ix_request_open_requester"),
        ("how many somebody has open", "ix_batch_open_requester"),
        ("what is owed in a lane", "ix_message_owed"),
        ("what a card covers", "ix_message_owed"),
    ],
)
def test_what_few_rows_are_wanted_of_has_an_index_of_its_own(store: Store, what: str, index: str) -> None:
    assert index in plan_of(store, HOT[what])
