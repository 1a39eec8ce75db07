"""What people wait for takes as long as ever when there is a long past, counted in the steps of SQLite.

A plan alone does not tell: an index on the requester finds the few open requests of somebody among all that
they ever made. So everything is done with a little past and with a lot, all of it in the way: by the same
people, in the same state, in lists only, and in the lane of one App Home.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import Session

from bot.audit.promised import _posted
from bot.batch.rules import Batch, BatchRequested
from bot.events import Denied
from bot.model import ENDED, State
from bot.store import Store, Unit
from bot.store.slots import Slots, Terms
from tests.bot.builders import ALICE, BOB, CHANNEL, TEAM
from tests.bot.stores import Clock, opened
from tests.bot.test_store import MINUTE, requested

LITTLE, MUCH = 12, 240
"""Requests that ended, and as many again in lists. More than is shown of any list."""
TOLERATED = 1.25
"""A few steps more, such as for a longer free list."""
SHOWN = 5
HOME = "home:U0BOB"
ENDED_STATES = sorted(state.value for state in ENDED)
WAITING = [State.PENDING.value, State.APPROVED.value, State.NEEDS_PERSON.value]

Work = Callable[[Unit], object]


def lived_through(store: Store, clock: Clock, past: int) -> None:
    for number in range(past):
        clock.advance(MINUTE)
        store.write_now(lambda unit, n=number: asked_and_denied(unit, n))  # type: ignore[misc]
        store.write_now(lambda unit, n=number: asked_in_a_list(unit, n))  # type: ignore[misc]
    clock.advance(timedelta(days=2))
    store.write_now(lambda unit: unit.begin("now", requested("now", "twice"), "1"))
    store.write_now(lambda unit: owe(unit, "now", 2))


def asked_and_denied(unit: Unit, number: int) -> None:
    one = f"single{number}"
    unit.save(unit.begin(one, requested(one, "twice"), "4711"), [Denied(BOB, "no")])
    unit.schedule("expire", one, "digicert", unit.now)
    for held in iter(lambda: unit.claim("mine", MINUTE, []), None):
        unit.finish(held.id, held.token)
    owe(unit, one, 2)
    for owed in unit.owed():
        unit.delivered(owed.id)


def owe(unit: Unit, request_id: str, times: int) -> None:
    for _ in range(times):
        unit.owe(request_id, "card", request_id=request_id, target=CHANNEL)
    unit.owe(HOME, "home", request_id=None, target="U0BOB")
    unit.covered(request_id, unit.last_owed_card(request_id) - 1)


def asked_in_a_list(unit: Unit, number: int) -> None:
    lines = (f"line{number}a", f"line{number}b")
    first = requested("", "twice")
    asked = BatchRequested(
        TEAM, CHANNEL, "digicert", "acct", ALICE, "twice", 2, ("S0",), first.expires_at, lines
    )
    batch = Batch(f"list{number}", unit.now, asked)
    unit.begin_batch(batch)
    mine = [(one, replace(first, reference_key=one, batch=batch.id), "4711") for one in lines]
    unit.save_all([(line, [Denied(BOB, "no")]) for line in unit.begin_all(mine)])
    unit.close_batch(batch.id)


def ask(unit: Unit) -> None:
    unit.open_request_for("new")
    unit.open_requests_of(str(ALICE))
    unit.requests_for("new", unit.now - timedelta(days=1))
    unit.begin("new", requested("new", "twice"), "2")


def decide(unit: Unit) -> None:
    request = unit.request("now")
    assert request
    unit.save(request, [Denied(BOB, "no")])


def take_at_once(unit: Unit) -> None:
    unit.slots = Slots()
    unit.slots.open(Terms("mine", MINUTE))
    unit.schedule("check", "now", "digicert", unit.now)
    unit.claim_at_once()


def listed(**which: object) -> Work:
    return lambda unit: unit.requests(limit=SHOWN, **which)  # type: ignore[arg-type]


WORK: dict[str, Work] = {
    "asking": ask,
    "deciding": decide,
    "status": lambda unit: unit.find("single7"),
    "mine": listed(requester=str(ALICE)),
    "mine of somebody new": listed(requester=str(BOB)),
    "pending": listed(states=WAITING, oldest_first=True),
    "what has ended": listed(states=ENDED_STATES),
    "what has ended of a provider": listed(states=ENDED_STATES, provider="digicert"),
    "what has ended of a provider that was never asked": listed(states=ENDED_STATES, provider="payvalida"),
    "what has ended of somebody": listed(states=ENDED_STATES, requester=str(ALICE)),
    "all, on the command line": listed(with_lines=True),
    "lists of somebody": lambda unit: unit.batches(requester=str(ALICE), limit=SHOWN),
    "lists that are open": lambda unit: unit.batches(is_open=True, oldest_first=True, limit=SHOWN),
    "lists that have ended": lambda unit: unit.batches(is_open=False, limit=SHOWN),
    "lists that have ended of a provider that was never asked": lambda unit: unit.batches(
        is_open=False, provider="payvalida", limit=SHOWN
    ),
    "how many are open": lambda unit: unit.open_now(),
    "numbers of a day": lambda unit: unit.counts(unit.now - timedelta(hours=1), unit.now),
    "what changed": lambda unit: unit.made_of_changed(unit.head().seq - 1),
    "the metrics": lambda unit: unit.numbers(),
    "references that are secret": lambda unit: unit.references_at(["digicert"]),
    "work that becomes due": take_at_once,
    "the next work": lambda unit: unit.claim("mine", MINUTE, []),
    "when there is more": lambda unit: unit.until_due(),
    "who holds work": lambda unit: unit.holders(),
    "the work of a worker that is gone": lambda unit: unit.free_actions_of("8 digits"),
    "the work of a process before this one": lambda unit: unit.free_all_actions(),
    "what is owed": lambda unit: unit.owed(),
    "what is owed to a Home": lambda unit: unit.owed_in([HOME]),
    "the last of it": lambda unit: unit.last_owed_in(HOME),
    "a Home that was painted": lambda unit: unit.painted(HOME, 10**9),
    "the last card that is owed": lambda unit: unit.last_owed_card("now"),
    "a card that was painted": lambda unit: unit.covered("now", 10**9),
    "what was posted, for an audit": lambda unit: _posted(Session(unit._connection), unit, "single7"),
    "who watches": lambda unit: unit.home_watchers(unit.now - timedelta(days=2), 30),
}


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """How many steps SQLite took for each, with a little past and with a lot."""
    taken: dict[str, list[int]] = {what: [] for what in WORK}
    for past in (LITTLE, MUCH):
        clock = Clock()
        with opened(tmp_path_factory.mktemp("past") / "bot.db", clock) as store:
            lived_through(store, clock, past)
            for what, work in WORK.items():
                taken[what].append(counted(store, work))
    return taken


class Undone(Exception):
    """So that the next finds what this one found."""


def counted(store: Store, work: Work) -> int:
    taken = 0

    def one_more() -> None:
        nonlocal taken
        taken += 1

    def watched(unit: Unit) -> None:
        connection = unit._connection.connection.dbapi_connection
        assert connection
        connection.set_progress_handler(one_more, 1)
        try:
            work(unit)
        finally:
            connection.set_progress_handler(None, 1)
        raise Undone

    with pytest.raises(Undone):
        store.write_now(watched)
    return taken


@pytest.mark.parametrize("what", WORK)
def test_it_takes_no_more_steps_when_there_is_a_long_past(steps: dict[str, list[int]], what: str) -> None:
    little, much = steps[what]
    assert little > 0
    assert much <= TOLERATED * little, f"{little} steps became {much}"


def test_a_long_past_is_one(tmp_path: Path) -> None:
    """So that what is counted above could have been in the way."""
    clock = Clock()
    with opened(tmp_path / "bot.db", clock) as store:
        lived_through(store, clock, 3)

        def seen(unit: Unit) -> tuple[int, ...]:
            kinds = (listed(requester=str(ALICE)), listed(states=ENDED_STATES, with_lines=True))
            lists = unit.batches(requester=str(ALICE))
            return (*(len(kind(unit)) for kind in kinds), len(lists))  # type: ignore[arg-type]

        assert store.read_now(seen) == (4, 5, 3)
        owed = store.read_now(lambda unit: [(one.lane, one.is_last) for one in unit.owed()])
        assert owed == [("now", True), (HOME, True)]
