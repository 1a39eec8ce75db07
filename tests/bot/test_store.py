"""What the database promises, on a real file and with other people's connections to it."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from bot.errors import StorageError
from bot.model import (
    ApprovalVoided,
    Approved,
    Denied,
    Event,
    OrderRead,
    Permitted,
    Request,
    Requested,
    State,
)
from bot.store import Store, Unit
from bot.store import store as storing
from bot.store.chain import Head
from bot.store.tables import ActionRow
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, NOW, TEAM, an_order
from tests.bot.stores import Clock, opened, sql, url_of

MINUTE = timedelta(minutes=1)
LEASE = timedelta(minutes=3)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[Store]:
    with opened(path, clock) as store:
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


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with sql(path) as database:
        return list(database.execute(query))


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


def test_one_approval_is_one_row_even_if_the_code_above_forgot(store: Store, path: Path) -> None:
    vote = Approved(BOB, "digest", True, "")
    after = save(store, begin(store), vote)
    with pytest.raises(StorageError):
        save(store, after, vote)
    assert present(store) == after
    assert rows(path, "SELECT request_id, person, digest FROM vote") == [("r1", str(BOB), "digest")]
    with sql(path) as database, pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        database.execute(
            "INSERT INTO vote (request_id, person, digest) VALUES ('r1', ?, 'digest')", [str(BOB)]
        )


@pytest.mark.parametrize("undone", [[ApprovalVoided(BOB, "left")], [OrderRead(an_order())]])
def test_whose_approval_was_voided_may_approve_again(
    store: Store, path: Path, undone: Sequence[Event]
) -> None:
    vote = Approved(BOB, "digest", True, "")
    request = save(store, begin(store), vote, Approved(CAROL, "digest", True, ""))
    request = save(store, request, *undone)
    save(store, request, vote)
    assert (str(BOB), "digest") in rows(path, "SELECT person, digest FROM vote")


def test_one_attempt_is_one_permit_even_if_the_code_above_forgot(store: Store, path: Path) -> None:
    request = save(store, begin(store), Permitted("e1", 1, an_order(), ()))
    for epoch, attempt in (("e2", 1), ("e1", 2)):
        with pytest.raises(IntegrityError):
            save(store, request, Permitted(epoch, attempt, an_order(), ()))
    assert rows(path, "SELECT epoch, attempt FROM permit") == [("e1", 1)]
    assert present(store) == request


def test_a_second_open_request_for_one_order_is_impossible_even_if_the_code_forgot(store: Store) -> None:
    first = begin(store)
    with pytest.raises(IntegrityError) as caught:
        begin(store, "r2")
    assert ALICE.user not in str(caught.value), "what was to be written does not get into a log"
    assert store.read_now(lambda unit: unit.history("r2")) == []
    assert store.read_now(lambda unit: unit.reference("r2")) is None
    begin(store, "r3", key="another order")
    save(store, first, Denied(BOB, "no"))
    assert begin(store, "r2").state is State.CHECKING


def test_an_exception_inside_of_a_unit_leaves_nothing(store: Store, path: Path) -> None:
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
        assert rows(path, f"SELECT * FROM {table}") == []  # noqa: S608  (the names are above)


async def test_those_who_wait_are_woken_after_a_commit_and_not_after_a_failure(store: Store) -> None:
    woken: list[int] = []
    store.on_commit(lambda: woken.append(1))
    await store.write(lambda unit: unit.note("started", {}))
    assert woken == [1]
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda unit: 1 // 0)
    assert woken == [1]


def test_the_exact_reference_is_wiped_from_the_file_when_a_request_ends(path: Path, clock: Clock) -> None:
    canary = "4711-canary-reference"
    with opened(path, clock) as store:
        request = store.write_now(lambda unit: unit.begin("r1", requested("key", "twice"), canary))
        assert store.read_now(lambda unit: unit.reference("r1")) == canary
        save(store, request, Denied(BOB, "no"))
        assert store.read_now(lambda unit: unit.reference("r1")) is None
    assert not any(canary.encode() in file.read_bytes() for file in path.parent.iterdir())


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
    store.write_now(lambda unit: unit.owe("lane", "reply", request_id="r1", target=text, body=text))
    read = present(store)
    assert (read.reason, read.decision) == (text, text)
    (message,) = store.read_now(lambda unit: unit.owed())
    assert (message.target, message.body) == (text, text)
    assert store.read_now(lambda unit: unit.verify(Head())).seq == 2
    store.read_now(lambda unit: unit.prove(read))


def test_half_a_character_is_refused_everywhere_and_leaves_nothing(store: Store, path: Path) -> None:
    half = "half \ud83d"
    request = begin(store)
    with pytest.raises(UnicodeEncodeError):
        begin(store, "r2", key="other", reason=half)
    with pytest.raises(UnicodeEncodeError):
        save(store, request, Denied(BOB, half))
    with pytest.raises(UnicodeEncodeError):
        store.write_now(lambda unit: unit.owe("lane", "reply", request_id=None, target="", body=half))
    assert present(store) == request
    assert rows(path, "SELECT count(*) FROM event") == [(1,)]
    assert rows(path, "SELECT count(*) FROM message") == [(0,)]


# --- work that is due -----------------------------------------------------------------------------------


def schedule(store: Store, kind: str = "cancel", lane: str = "digicert", due: timedelta = -MINUTE) -> None:
    store.write_now(lambda unit: unit.schedule(kind, "r1", lane, unit.now + due))


def claim(store: Store, token: str = "mine", full: Sequence[str] = ()) -> ActionRow | None:
    return store.write_now(lambda unit: unit.claim(token, LEASE, full))


def claimed(store: Store, token: str = "mine") -> int:
    row = claim(store, token)
    assert row is not None
    assert row.id is not None
    return row.id


def test_due_work_is_claimed_once_and_work_of_the_future_not_at_all(store: Store) -> None:
    schedule(store)
    schedule(store, "expire", due=MINUTE)
    row = claim(store)
    assert row is not None
    assert (row.kind, row.key, row.token, row.runs) == ("cancel", "r1", "mine", 1)
    assert claim(store, "another") is None


def test_of_many_who_claim_at_once_one_gets_it(path: Path, clock: Clock, store: Store) -> None:
    schedule(store)
    found: list[str] = []

    def race(token: str) -> None:
        with opened(path, clock) as mine:
            if claim(mine, token):
                found.append(token)

    racers = [threading.Thread(target=race, args=[f"t{n}"]) for n in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(found) == 1
    assert rows(path, "SELECT token FROM action") == [(found[0],)]


def test_what_is_due_longest_comes_first(store: Store) -> None:
    schedule(store, "remind", due=-MINUTE)
    schedule(store, "expire", due=-2 * MINUTE)
    assert [row.kind for _ in range(2) if (row := claim(store))] == ["expire", "remind"]


def test_a_lease_that_ran_out_can_be_claimed_again_and_its_old_holder_has_no_say(
    store: Store, clock: Clock, path: Path
) -> None:
    schedule(store)
    action = claimed(store, "old")
    clock.advance(LEASE)
    assert claim(store, "new") is None, "it holds until it is over"
    clock.advance(timedelta(microseconds=1))
    assert claimed(store, "new") == action
    store.write_now(lambda unit: unit.finish(action, "old"))
    store.write_now(lambda unit: unit.put_back(action, "old", unit.now - MINUTE))
    assert rows(path, "SELECT token, done, runs FROM action") == [("new", 0, 2)]
    assert claim(store, "third") is None


def test_finished_work_is_done_and_returned_work_comes_again(store: Store, clock: Clock) -> None:
    schedule(store)
    action = claimed(store)
    store.write_now(lambda unit: unit.put_back(action, "mine", unit.now + MINUTE))
    assert claim(store) is None
    clock.advance(MINUTE)
    assert claimed(store, "again") == action
    store.write_now(lambda unit: unit.finish(action, "again"))
    clock.advance(10 * LEASE)
    assert claim(store) is None
    assert store.read_now(lambda unit: unit.next_due()) is None


def test_rescheduling_takes_work_away_from_its_holder(store: Store, clock: Clock, path: Path) -> None:
    schedule(store)
    action = claimed(store)
    schedule(store, due=MINUTE)
    store.write_now(lambda unit: unit.finish(action, "mine"))
    store.write_now(lambda unit: unit.put_back(action, "mine", unit.now))
    assert rows(path, "SELECT token, done, runs FROM action") == [(None, 0, 0)]
    assert claim(store) is None
    clock.advance(MINUTE)
    assert claimed(store) == action


def test_a_lane_that_is_full_is_left_out(store: Store) -> None:
    schedule(store, "cancel", "digicert", due=-2 * MINUTE)
    schedule(store, "check", "cpanel")
    row = claim(store, full=["digicert"])
    assert row is not None
    assert row.lane == "cpanel"
    assert claim(store, full=["digicert"]) is None
    assert claim(store) is not None


def test_the_next_due_time_knows_leases(store: Store, clock: Clock) -> None:
    assert store.read_now(lambda unit: unit.next_due()) is None
    schedule(store, due=MINUTE)
    assert store.read_now(lambda unit: unit.next_due()) == NOW + MINUTE
    schedule(store, due=-MINUTE)
    claim(store)
    assert store.read_now(lambda unit: unit.next_due()) == NOW + LEASE
    schedule(store, "expire", due=2 * MINUTE)
    assert store.read_now(lambda unit: unit.next_due()) == NOW + 2 * MINUTE


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


# --- the file and other processes -----------------------------------------------------------------------


def test_every_connection_is_durable(store: Store) -> None:
    def pragmas(unit: Unit) -> list[object]:
        connection = unit._session.connection()
        names = ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert store.write_now(pragmas) == ["wal", 2, 1, 1]
    assert store.read_now(pragmas) == ["wal", 2, 1, 1]


def test_the_database_is_nobody_elses_to_read(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "deep" / "new.db"
    storing.prepare_file(url_of(new))
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    with opened(path, Clock()) as store:
        begin(store)
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("bot.db*")}
    assert modes == dict.fromkeys(["bot.db", "bot.db-wal", "bot.db-shm"], 0o600)


def test_a_file_that_cannot_be_durable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # What SQLite makes of a file system without shared memory: it stays with its old journal.
    store = Store("sqlite:///file:bot.db?vfs=unix-dotfile&uri=true", Clock())
    try:
        with pytest.raises(StorageError, match="its journal mode stays delete"):
            store.write_now(lambda unit: unit.note("started", {}))
    finally:
        store.close()


def test_whoever_writes_has_the_lock_from_the_first_moment(store: Store, path: Path) -> None:
    """Otherwise two could read the same and only then find out that one of them must not write."""

    def work(unit: Unit) -> None:
        assert unit.request("r1") is None
        with sql(path) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")

    store.write_now(work)


def test_a_lock_that_is_let_go_in_time_costs_only_the_wait(store: Store, path: Path) -> None:
    begin(store)
    with sql(path, begin="BEGIN EXCLUSIVE") as other:
        save_in_time = threading.Thread(target=lambda: save(store, present(store), Denied(BOB, "no")))
        save_in_time.start()
        save_in_time.join(1.0)
        assert save_in_time.is_alive(), "it does not give up before the lock is gone"
        other.rollback()
        save_in_time.join(5.0)
    assert present(store).state is State.DENIED


def test_a_lock_that_is_never_let_go_is_an_error_and_nothing_is_written(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "BUSY_MS", 20)
    with opened(path, clock) as store:
        request = begin(store)
        with sql(path, begin="BEGIN EXCLUSIVE"):
            with pytest.raises(StorageError, match="database is locked"):
                save(store, request, Denied(BOB, "no"))
            assert present(store) == request, "reading goes on"
        assert present(store) == request
        assert save(store, request, Denied(BOB, "no")).state is State.DENIED


def test_an_error_of_the_database_shows_neither_statement_nor_values(store: Store, path: Path) -> None:
    with sql(path) as database:
        database.execute("DROP TABLE message")
    with pytest.raises(StorageError) as caught:
        store.write_now(lambda unit: unit.owe("lane", "reply", request_id=None, target="", body="a secret"))
    assert "no such table" in caught.value.advice
    assert "INSERT" not in caught.value.advice
    assert "a secret" not in caught.value.advice
