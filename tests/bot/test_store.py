"""What the store promises, on either database and with other people's connections to it.

What only one of them has to keep is in `test_sqlite.py` and `test_postgres.py`.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from math import inf

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from bot.errors import StorageError
from bot.events import (
    ApprovalTakenBack,
    ApprovalVoided,
    Approved,
    Denied,
    Event,
    OrderRead,
    Permitted,
    Requested,
)
from bot.model import Request, State
from bot.store import Store, Unit, postgres, sqlite
from bot.store.chain import Head
from bot.store.slots import Claimed
from bot.store.transaction import News
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, NOW, TEAM, an_order
from tests.bot.stores import Clock, opened
from tests.past_the_bot import change, dumped, held, rows

MINUTE = timedelta(minutes=1)
LEASE = timedelta(minutes=3)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(database: str, clock: Clock) -> Iterator[Store]:
    with opened(database, clock) as store:
        yield store


def requested(key: str, reason: str) -> Requested:
    expires = NOW + timedelta(hours=24)
    return Requested(TEAM, CHANNEL, "digicert", "acct", "#1", key, ALICE, reason, 2, ("S0",), expires)


def begin(store: Store, request_id: str = "r1", key: str = "key", reason: str = "twice") -> Request:
    return store.write_now(lambda unit: unit.begin(request_id, requested(key, reason), "4711"))


def save(store: Store, before: Request, *events: Event) -> Request:
    return store.write_now(lambda unit: unit.save(before, events))


def present(store: Store, request_id: str = "r1") -> Request:
    request = store.read_now(lambda unit: unit.request(request_id))
    assert request is not None
    return request


# --- requests -----------------------------------------------------------------------------------------


def test_of_two_who_read_the_same_version_only_one_saves(store: Store) -> None:
    before = begin(store)
    save(store, before, OrderRead(an_order()))
    with pytest.raises(StorageError, match="kept changing"):
        save(store, before, Denied(BOB, "no"))
    assert present(store).state is State.PENDING
    history = store.read_now(lambda unit: unit.history("r1"))
    assert [event.kind for event, _ in history] == ["requested", "order_read"]


def test_a_unit_that_lost_the_race_is_run_again_on_what_is_there_now(store: Store) -> None:
    stale = [begin(store)]
    save(store, stale[0], OrderRead(an_order()))

    def deny(unit: Unit) -> Request:
        before = stale.pop() if stale else unit.request("r1")
        assert before is not None
        return unit.save(before, [Denied(BOB, "no")])

    assert store.write_now(deny).version == 3
    assert present(store).state is State.DENIED


def test_one_approval_is_one_row_even_if_the_code_above_forgot(store: Store, database: str) -> None:
    vote = Approved(BOB, "digest", True, "")
    after = save(store, begin(store), vote)
    with pytest.raises(StorageError):
        save(store, after, vote)
    assert present(store) == after
    assert rows(database, "SELECT request_id, person, digest FROM vote") == [("r1", str(BOB), "digest")]
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match=r"(?i)unique"):
        change(database, "INSERT INTO vote (request_id, person, digest) VALUES ('r1', ?, 'digest')", str(BOB))


@pytest.mark.parametrize(
    "undone", [[ApprovalVoided(BOB, "left")], [ApprovalTakenBack(BOB)], [OrderRead(an_order())]]
)
def test_whose_approval_was_voided_may_approve_again(
    store: Store, database: str, undone: Sequence[Event]
) -> None:
    vote = Approved(BOB, "digest", True, "")
    request = save(store, begin(store), vote, Approved(CAROL, "digest", True, ""))
    request = save(store, request, *undone)
    save(store, request, vote)
    assert (str(BOB), "digest") in rows(database, "SELECT person, digest FROM vote")


def test_one_attempt_is_one_permit_even_if_the_code_above_forgot(store: Store, database: str) -> None:
    request = save(store, begin(store), Permitted("e1", 1, an_order(), ()))
    for epoch, attempt in (("e2", 1), ("e1", 2)):
        with pytest.raises(IntegrityError):
            save(store, request, Permitted(epoch, attempt, an_order(), ()))
    assert rows(database, "SELECT epoch, attempt FROM permit") == [("e1", 1)]
    assert present(store) == request


def test_a_second_open_request_for_one_order_is_impossible_even_if_the_code_forgot(store: Store) -> None:
    first = begin(store)
    with pytest.raises(IntegrityError) as caught:
        begin(store, "r2")
    assert ALICE.user not in str(caught.value), "what was to be written does not get into a log"
    assert "(key)" not in str(caught.value), "nor what was in the way"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert store.read_now(lambda unit: unit.history("r2")) == []
    assert store.read_now(lambda unit: unit.reference("r2")) is None
    begin(store, "r3", key="another order")
    save(store, first, Denied(BOB, "no"))
    assert begin(store, "r2").state is State.CHECKING


def test_an_exception_inside_of_a_unit_leaves_nothing(store: Store, database: str) -> None:
    def work(unit: Unit) -> None:
        request = unit.begin("r1", requested("key", "twice"), "4711")
        unit.save(request, [Approved(BOB, "d", True, "")])
        unit.schedule("check", "r1", "digicert", NOW)
        unit.owe("r1", "card", request_id="r1", target=CHANNEL)
        unit.set_card("r1", CHANNEL, "1.0")
        unit.note("started", {})
        raise RuntimeError("the middle of it")

    with pytest.raises(RuntimeError, match="the middle of it"):
        store.write_now(work)
    for table in ("request", "event", "reference", "vote", "action", "message", "card"):
        assert rows(database, f"SELECT * FROM {table}") == []  # noqa: S608  (the names are above)


async def test_those_who_work_are_woken_only_when_there_is_something_to_do(store: Store) -> None:
    told: list[News] = []
    store.on_news(told.append)
    await store.write(lambda unit: unit.note("started", {}))
    assert told == []

    def plan(unit: Unit) -> None:
        for minutes, kind in enumerate(("check", "warn", "expire"), 1):
            unit.schedule(kind, "r1", "digicert", NOW + minutes * MINUTE)

    await store.write(plan)
    assert told.pop() == News(MINUTE, 0, (), frozenset(), frozenset())
    await store.write(lambda unit: unit.schedule_all([("check", one, "digicert", NOW) for one in "ab"]))
    assert told.pop() == News(timedelta(0), 2, (), frozenset(), frozenset())
    await store.write(lambda unit: unit.hasten("check", "digicert"))
    assert told.pop().due_now == inf, "nobody counts them"

    def owe(unit: Unit) -> None:
        for lane in ("r1", "r2", "r1"):
            unit.owe(lane, "card", request_id=lane, target=CHANNEL)
        unit.hurry(["r2"])

    await store.write(owe)
    assert told.pop() == News(None, 0, (), frozenset({"r1", "r2"}), frozenset({"r2"}))
    await store.write(lambda unit: unit.delivered(1))
    assert told == []


async def test_of_what_failed_there_is_no_news(store: Store) -> None:
    told: list[News] = []
    store.on_news(told.append)

    def owe_in_vain(unit: Unit) -> None:
        unit.owe("r1", "card", request_id="r1", target=CHANNEL)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(owe_in_vain)
    assert told == []


def test_what_was_heard_counts_once_and_is_forgotten_later(store: Store, database: str, clock: Clock) -> None:
    def first_time(mark: str, by: str) -> bool:
        return store.write_now(lambda unit: unit.first_time(mark, by))

    heard = [first_time(mark, str(n)) for n, mark in enumerate(("a", "a", "b", "", ""))]
    assert heard == [True, False, True, True, True]
    assert first_time("a", "0"), "it does the same once more, as the answer to its commit was lost"
    clock.advance(timedelta(minutes=59))
    assert not first_time("a", "another")
    clock.advance(timedelta(minutes=2))
    assert first_time("c", "1")
    assert rows(database, "SELECT mark FROM heard") == [("c",)]


def test_the_exact_reference_is_wiped_when_a_request_ends(store: Store, database: str) -> None:
    canary = "4711-canary-reference"
    request = store.write_now(lambda unit: unit.begin("r1", requested("key", "twice"), canary))
    assert store.read_now(lambda unit: unit.reference("r1")) == canary
    assert canary.encode() in dumped(database)
    save(store, request, Denied(BOB, "no"))
    assert store.read_now(lambda unit: unit.reference("r1")) is None
    assert canary.encode() not in dumped(database)


def test_a_request_is_found_by_the_beginning_of_its_id_and_nothing_else(store: Store) -> None:
    for request_id in ("abc1", "abc2", "b%_1"):
        begin(store, request_id, key=request_id)
    prefixes = ("abc", "abc1", "b%_", "%", "_", "bc1")
    found = store.read_now(lambda unit: [len(unit.find(prefix)) for prefix in prefixes])
    assert found == [2, 1, 1, 0, 0, 0]


# --- texts --------------------------------------------------------------------------------------------

TEXTS = ["nul \x00 inside", "four bytes \U0001f512", "\u202e\u2028\x1b[31m", "x" * 1_000_000, ""]


@pytest.mark.parametrize("text", TEXTS, ids=["nul", "four bytes", "controls", "long", "empty"])
def test_a_text_comes_back_as_it_was_from_wherever_it_is_kept(store: Store, text: str) -> None:
    request = begin(store, reason=text)
    save(store, request, Denied(BOB, text))
    body = json.dumps({"text": text}, ensure_ascii=False)
    store.write_now(lambda unit: unit.owe("lane", "reply", request_id="r1", target=CHANNEL, body=body))
    read = present(store)
    assert (read.reason, read.decision) == (text, text)
    (message,) = store.read_now(lambda unit: unit.owed())
    assert json.loads(message.body) == {"text": text}
    assert store.read_now(lambda unit: unit.verify(Head())).seq == 2
    store.read_now(lambda unit: unit.prove(read))


def test_half_a_character_is_refused_everywhere_and_leaves_nothing(store: Store, database: str) -> None:
    half = "half \ud83d"
    request = begin(store)
    with pytest.raises(UnicodeEncodeError):
        begin(store, "r2", key="other", reason=half)
    with pytest.raises(UnicodeEncodeError):
        save(store, request, Denied(BOB, half))
    with pytest.raises(UnicodeEncodeError):
        store.write_now(lambda unit: unit.owe("lane", "reply", request_id=None, target="", body=half))
    assert present(store) == request
    assert rows(database, "SELECT count(*) FROM event") == [(1,)]
    assert rows(database, "SELECT count(*) FROM message") == [(0,)]


# --- work that is due -----------------------------------------------------------------------------------


def schedule(store: Store, kind: str = "cancel", lane: str = "digicert", due: timedelta = -MINUTE) -> None:
    store.write_now(lambda unit: unit.schedule(kind, "r1", lane, unit.now + due))


def until_due(store: Store) -> timedelta | None:
    return store.read_now(lambda unit: unit.until_due())


def claim(store: Store, token: str = "mine", full: Sequence[str] = ()) -> Claimed | None:
    return store.write_now(lambda unit: unit.claim(token, LEASE, full))


def claimed(store: Store, token: str = "mine") -> int:
    row = claim(store, token)
    assert row is not None
    return row.id


def test_due_work_is_claimed_once_and_work_of_the_future_not_at_all(store: Store) -> None:
    schedule(store)
    schedule(store, "expire", due=MINUTE)
    row = claim(store)
    assert row is not None
    assert (row.kind, row.key, row.token, row.runs) == ("cancel", "r1", "mine", 1)
    assert claim(store, "another") is None


def test_claims_whose_commit_was_not_heard_of_are_found_by_their_token(store: Store) -> None:
    for kind in ("cancel", "expire", "check"):
        schedule(store, kind)
    mine = [claimed(store, "mine"), claimed(store, "mine")]
    claimed(store, "another")

    def held() -> list[int]:
        return [each.id for each in store.read_now(lambda unit: unit.held("mine"))]

    assert held() == mine
    store.write_now(lambda unit: unit.finish(mine[0], "mine"))
    assert held() == mine[1:]


def test_of_many_who_claim_at_once_one_gets_it(database: str, clock: Clock, store: Store) -> None:
    schedule(store)
    found: list[str] = []

    def race(token: str) -> None:
        with opened(database, clock) as mine:
            if claim(mine, token):
                found.append(token)

    racers = [threading.Thread(target=race, args=[f"t{n}"]) for n in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(found) == 1
    assert rows(database, "SELECT token FROM action") == [(found[0],)]


def test_what_is_due_longest_comes_first(store: Store) -> None:
    schedule(store, "remind", due=-MINUTE)
    schedule(store, "expire", due=-2 * MINUTE)
    assert [row.kind for token in "ab" if (row := claim(store, token))] == ["expire", "remind"]


def test_a_lease_that_ran_out_can_be_claimed_again_and_its_old_holder_has_no_say(
    store: Store, clock: Clock, database: str
) -> None:
    schedule(store)
    action = claimed(store, "old")
    clock.advance(LEASE)
    assert claim(store, "new") is None, "it holds until it is over"
    clock.advance(timedelta(microseconds=1))
    assert claimed(store, "new") == action
    store.write_now(lambda unit: unit.finish(action, "old"))
    assert store.write_now(lambda unit: unit.put_back(action, "old", NOW - MINUTE, -MINUTE)) is None
    assert rows(database, "SELECT token, done, runs FROM action") == [("new", 0, 2)]
    assert claim(store, "third") is None


def test_finished_work_is_done_and_returned_work_comes_again(store: Store, clock: Clock) -> None:
    schedule(store)
    action = claimed(store)
    for _ in range(2):
        assert (
            store.write_now(lambda unit: unit.put_back(action, "mine", unit.now - MINUTE, MINUTE)) == MINUTE
        )
        assert claim(store) is None
        clock.advance(MINUTE)
        assert claimed(store) == action
        clock.advance(MINUTE)
    store.write_now(lambda unit: unit.finish(action, "mine"))
    clock.advance(10 * LEASE)
    assert claim(store) is None
    assert until_due(store) is None


def test_rescheduling_takes_work_away_from_its_holder(store: Store, clock: Clock, database: str) -> None:
    schedule(store)
    action = claimed(store)
    schedule(store, due=MINUTE)
    store.write_now(lambda unit: unit.finish(action, "mine"))
    assert store.write_now(lambda unit: unit.put_back(action, "mine", NOW - MINUTE, timedelta(0))) is None
    assert rows(database, "SELECT token, done, runs FROM action") == [(None, 0, 0)]
    assert claim(store) is None
    clock.advance(MINUTE)
    assert claimed(store) == action


def test_what_is_hastened_while_it_is_under_way_is_due_again_at_once(store: Store) -> None:
    schedule(store)
    action = claimed(store)
    store.write_now(lambda unit: unit.hasten("cancel", "digicert"))
    assert claim(store, "another") is None, "it is under way still"
    wait = store.write_now(lambda unit: unit.put_back(action, "mine", NOW - MINUTE, MINUTE))
    assert wait == timedelta(0)
    assert claimed(store, "another") == action


def test_a_lane_that_is_full_is_left_out(store: Store) -> None:
    schedule(store, "cancel", "digicert", due=-2 * MINUTE)
    schedule(store, "check", "cpanel")
    row = claim(store, full=["digicert"])
    assert row is not None
    assert row.lane == "cpanel"
    assert claim(store, "next", full=["digicert"]) is None
    assert claim(store, "next") is not None


def test_the_next_due_time_knows_leases(store: Store, clock: Clock) -> None:
    assert until_due(store) is None
    schedule(store, due=MINUTE)
    assert until_due(store) == MINUTE
    schedule(store, due=-MINUTE)
    assert until_due(store) == -MINUTE
    claim(store)
    assert until_due(store) == LEASE
    clock.advance(MINUTE)
    assert until_due(store) == LEASE - MINUTE
    schedule(store, "expire", due=MINUTE)
    assert until_due(store) == MINUTE


def test_what_a_worker_held_that_is_gone_is_free_and_what_others_hold_is_not(store: Store) -> None:
    for kind in ("cancel", "check", "expire"):
        schedule(store, kind)
    gone, other, also_gone = (
        claimed(store, f"{name}{n}") for n, name in enumerate(["0000000a", "0000000b", "0000000a"])
    )
    assert store.read_now(lambda unit: unit.holders()) == {"0000000a", "0000000b"}
    store.write_now(lambda unit: unit.free_actions_of("0000000a"))
    assert store.read_now(lambda unit: unit.holders()) == {"0000000b"}
    assert {claimed(store, "c"), claimed(store, "d")} == {gone, also_gone}
    assert claim(store, "e") is None
    store.write_now(lambda unit: unit.finish(other, "0000000b1"))
    assert store.read_now(lambda unit: unit.holders()) == {"c", "d"}


def test_the_sole_process_voids_every_lease_at_its_start(store: Store) -> None:
    schedule(store)
    action = claimed(store, "before the crash")
    store.write_now(lambda unit: unit.free_all_actions())
    assert claimed(store, "after it") == action


# --- messages that are owed -----------------------------------------------------------------------------


def owe(store: Store, lane: str, kind: str, body: str = "") -> None:
    store.write_now(lambda unit: unit.owe(lane, kind, request_id=lane, target=CHANNEL, body=body))


def owed(store: Store) -> list[tuple[str, str]]:
    return [(m.lane, m.body or m.kind) for m in store.read_now(lambda unit: unit.owed())]


def first(store: Store, lane: str) -> int:
    return next(m.id or 0 for m in store.read_now(lambda unit: unit.owed()) if m.lane == lane)


def test_each_lane_delivers_in_the_order_in_which_it_was_written_down(store: Store) -> None:
    for body in ("one", "two"):
        for lane in ("r1", "r2"):
            owe(store, lane, "reply", f"{lane} {body}")
    assert owed(store) == [("r1", "r1 one"), ("r2", "r2 one")]
    store.write_now(lambda unit: unit.delivered(first(store, "r2")))
    assert owed(store) == [("r1", "r1 one"), ("r2", "r2 two")]


def test_a_message_that_was_postponed_holds_back_its_own_lane_only(store: Store) -> None:
    for lane in ("r1", "r2"):
        owe(store, lane, "reply", "first")
        owe(store, lane, "reply", "second")
    store.write_now(lambda unit: unit.postpone(first(store, "r1"), unit.now + MINUTE, "ratelimited"))
    waiting = {m.lane: m for m in store.read_now(lambda unit: unit.owed())}
    assert (waiting["r1"].body, waiting["r1"].due) == ("first", NOW + MINUTE)
    assert (waiting["r1"].tries, waiting["r1"].problem) == (1, "ratelimited")
    assert (waiting["r2"].body, waiting["r2"].due) == ("first", NOW)


def test_a_painted_card_covers_older_paintings_of_its_request_and_no_replies(store: Store) -> None:
    for kind in ("card", "reply", "card"):
        owe(store, "r1", kind)
    owe(store, "r2", "card")
    last = store.read_now(lambda unit: unit.last_owed_card("r1"))
    owe(store, "r1", "card")
    store.write_now(lambda unit: unit.covered("r1", last))
    assert owed(store) == [("r1", "reply"), ("r2", "card")]
    store.write_now(lambda unit: unit.delivered(first(store, "r1")))
    assert owed(store) == [("r2", "card"), ("r1", "card")], "what was owed after the painting is still owed"


# --- other processes ------------------------------------------------------------------------------------


def test_a_lock_that_is_let_go_in_time_costs_only_the_wait(store: Store, database: str) -> None:
    begin(store)
    with ExitStack() as other:
        other.enter_context(held(database))
        save_in_time = threading.Thread(target=lambda: save(store, present(store), Denied(BOB, "no")))
        save_in_time.start()
        save_in_time.join(1.0)
        assert save_in_time.is_alive(), "it does not give up before the lock is gone"
        other.close()
        save_in_time.join(5.0)
    assert present(store).state is State.DENIED


def test_a_lock_that_is_never_let_go_is_an_error_and_nothing_is_written(
    database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_MS", 20)
    monkeypatch.setattr(postgres, "_LIMITS", "-c lock_timeout=20")
    with opened(database, clock) as store:
        request = begin(store)
        with held(database):
            with pytest.raises(StorageError, match=r"database is locked|lock timeout"):
                save(store, request, Denied(BOB, "no"))
            assert present(store) == request, "reading goes on"
        assert present(store) == request
        assert save(store, request, Denied(BOB, "no")).state is State.DENIED


def test_an_error_of_the_database_shows_neither_statement_nor_values(store: Store, database: str) -> None:
    change(database, "DROP TABLE message")
    with pytest.raises(StorageError) as caught:
        store.write_now(lambda unit: unit.owe("lane", "reply", request_id=None, target="", body="a secret"))
    assert re.fullmatch(
        r'The database could not be used: (no such table: message|relation "message" does not exist)\.',
        caught.value.advice,
    )
