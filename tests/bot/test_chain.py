"""Whatever is done to the history behind the bot's back, it does not verify any more."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.errors import ChainBroken
from bot.model import (
    Answered,
    Approved,
    Event,
    Held,
    OrderRead,
    Permitted,
    Person,
    QuorumReached,
    Request,
    Requested,
    digest,
)
from bot.store import Store
from bot.store.chain import GENESIS, Head, link
from providers.contract import Outcome, Result
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, NOW, TEAM, an_order
from tests.bot.stores import Clock, opened, sql

EVENTS = 30
BEGINNING = Head()
COLUMNS = ("seq", "request_id", "at", "kind", "body", "previous", "hash")


def requested(key: str) -> Requested:
    expires = NOW + timedelta(hours=24)
    return Requested(TEAM, CHANNEL, "digicert", "acct", "#1", key, ALICE, "twice", 2, ("S0",), expires)


def write_history(store: Store, clock: Clock) -> None:
    """Thirty events: three requests in turn, up to the answer, and notes that belong to none."""
    requests: dict[str, Request] = {}
    store.write_now(lambda unit: unit.note("started", {"version": "1"}))
    for name in ("r1", "r2", "r3"):
        requests[name] = store.write_now(lambda unit, name=name: unit.begin(name, requested(name), "4711"))  # type: ignore[misc]
    steps: list[Event] = [
        OrderRead(an_order()),
        *(Approved(by, "", True, "on the list by name") for by in (BOB, CAROL)),
        QuorumReached(),
        Held("Slack could not be read"),
        Held("the provider could not be asked"),
        Permitted("", 1, an_order(), ()),
        Answered("", Outcome(Result.CANCELLED, "done")),
    ]
    for step in steps:
        for name, request in requests.items():
            clock.advance(timedelta(seconds=1, microseconds=7))
            event = _of(step, request)
            requests[name] = store.write_now(lambda unit, r=request, e=event: unit.save(r, [e]))  # type: ignore[misc]
    for kind in ("stopped", "started"):
        store.write_now(lambda unit, kind=kind: unit.note(kind, {"version": "1"}))  # type: ignore[misc]


def _of(step: Event, request: Request) -> Event:
    match step:
        case Approved(by, _, verified, why):
            return Approved(by, digest(request), verified, why)
        case Permitted(_, attempt, order, judged):
            return Permitted(request.id, attempt, order, judged)
        case Answered(_, outcome):
            return Answered(request.id, outcome)
        case _:
            return step


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "bot.db"
    clock = Clock()
    with opened(path, clock) as store:
        write_history(store, clock)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "bot.db"))


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with opened(path, Clock(NOW + timedelta(hours=1))) as store:
        yield store


def heads(path: Path) -> list[Head]:
    """The head after each event, as somebody noted them down at the time."""
    with sql(path) as database:
        return [Head(), *(Head(*row) for row in database.execute("SELECT seq, hash FROM event ORDER BY seq"))]


def broken_at(store: Store, since: Head = BEGINNING) -> int:
    with pytest.raises(ChainBroken) as broken:
        store.read_now(lambda unit: unit.verify(since))
    return broken.value.seq


def test_an_untouched_history_verifies_from_everywhere(store: Store, path: Path) -> None:
    known = heads(path)
    assert known[-1].seq == EVENTS
    assert known[0].hash == GENESIS
    for head in known:
        assert store.read_now(lambda unit, head=head: unit.verify(head)) == known[-1]  # type: ignore[misc]
    assert store.read_now(lambda unit: unit.verify(Head(), limit=10)) == known[10]
    for name in ("r1", "r2", "r3"):
        request = store.read_now(lambda unit, name=name: unit.request(name))  # type: ignore[misc]
        store.read_now(lambda unit, request=request: unit.prove(request))  # type: ignore[misc]


# --- changes of one byte ---------------------------------------------------------------------------------


def flip(database: sqlite3.Connection, column: str, seq: int, position: int) -> bool:
    """Change one bit of one byte of a text as it lies in the file; False when there is no such byte."""
    (stored,) = database.execute(f"SELECT CAST({column} AS BLOB) FROM event WHERE seq = ?", [seq]).fetchone()  # noqa: S608
    if not stored:
        return False
    changed = bytearray(stored)
    changed[position % len(changed)] ^= 1
    update = f"UPDATE event SET {column} = CAST(? AS TEXT) WHERE seq = ?"  # noqa: S608
    database.execute(update, [bytes(changed), seq])
    return True


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_one_changed_byte_anywhere_is_found_and_its_row_named(store: Store, path: Path, column: str) -> None:
    known = heads(path)
    with sql(path) as database:
        for seq in range(1, EVENTS + 1):
            for position in (0, seq, -1):
                database.execute("BEGIN")
                is_changed = flip(database, column, seq, position)
                database.execute("COMMIT")
                if not is_changed:
                    continue
                assert broken_at(store) == seq
                assert broken_at(store, known[seq - 1]) == seq
                flip(database, column, seq, position)
    assert store.read_now(lambda unit: unit.verify(Head())) == known[-1]


def test_every_byte_of_a_time_counts(store: Store, path: Path) -> None:
    with sql(path) as database:
        for position in range(len("2026-11-21 03:00:00.000000")):
            assert flip(database, "at", 7, position)
            assert broken_at(store) == 7
            flip(database, "at", 7, position)


@pytest.mark.parametrize("column", COLUMNS[1:])
@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"2026-11-21 03:00"])
def test_what_is_no_text_or_no_time_is_found_as_well(
    store: Store, path: Path, column: str, value: bytes
) -> None:
    with sql(path) as database:
        database.execute(f"UPDATE event SET {column} = CAST(? AS TEXT) WHERE seq = 5", [value])  # noqa: S608
    assert broken_at(store) == 5


def test_an_event_taken_away_from_its_request_is_found(store: Store, path: Path) -> None:
    with sql(path) as database:
        database.execute("UPDATE event SET request_id = NULL WHERE seq = 5")
    assert broken_at(store) == 5


def test_a_changed_number_is_a_gap(store: Store, path: Path) -> None:
    with sql(path) as database:
        for seq in range(1, EVENTS + 1):
            database.execute("UPDATE event SET seq = seq + 1000 WHERE seq = ?", [seq])
            assert broken_at(store) == seq
            database.execute("UPDATE event SET seq = seq - 1000 WHERE seq = ?", [seq + 1000])


# --- rows that are gone, new, or in another place ----------------------------------------------------------


@pytest.mark.parametrize("seq", range(1, EVENTS))
def test_a_removed_row_is_missed(store: Store, path: Path, seq: int) -> None:
    known = heads(path)
    with sql(path) as database:
        database.execute("DELETE FROM event WHERE seq = ?", [seq])
    assert broken_at(store) == seq
    assert broken_at(store, known[seq - 1]) == seq


@pytest.mark.parametrize("seq", range(1, EVENTS))
def test_a_row_that_was_removed_and_the_gap_closed_is_missed(store: Store, path: Path, seq: int) -> None:
    with sql(path) as database:
        database.execute("DELETE FROM event WHERE seq = ?", [seq])
        for later in range(seq + 1, EVENTS + 1):
            database.execute("UPDATE event SET seq = seq - 1 WHERE seq = ?", [later])
    assert broken_at(store) == seq


COPY = """
    INSERT INTO event (seq, request_id, at, kind, body, previous, hash)
    SELECT ?, request_id, at, kind, body, previous, hash FROM event WHERE seq = ?
"""


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_duplicated_row_is_found(store: Store, path: Path, seq: int) -> None:
    known = heads(path)
    with sql(path) as database:
        database.execute(COPY, [EVENTS + 1, seq])
    assert broken_at(store) == EVENTS + 1
    assert broken_at(store, known[-1]) == EVENTS + 1


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_row_put_in_between_is_found(store: Store, path: Path, seq: int) -> None:
    with sql(path) as database:
        for later in range(EVENTS, seq - 1, -1):
            database.execute("UPDATE event SET seq = seq + 1 WHERE seq = ?", [later])
        database.execute(COPY, [seq, seq + 1])
    assert broken_at(store) == (seq + 1), "the copy itself follows; what it pushed away does not"


@pytest.mark.parametrize("seq", [0, -1, -1000])
def test_a_row_in_front_of_the_first_is_found(store: Store, path: Path, seq: int) -> None:
    with sql(path) as database:
        database.execute(COPY, [seq, 2])
    assert broken_at(store) == 1


@pytest.mark.parametrize("seq", range(1, EVENTS))
def test_two_swapped_rows_are_found(store: Store, path: Path, seq: int) -> None:
    with sql(path) as database:
        for old, new in ((seq, 0), (seq + 1, seq), (0, seq + 1)):
            database.execute("UPDATE event SET seq = ? WHERE seq = ?", [new, old])
    assert broken_at(store) == seq


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_row_that_is_right_in_itself_but_follows_another_past_is_found(
    store: Store, path: Path, seq: int
) -> None:
    row = link(Head(seq - 1, "f" * 64), "r1", NOW, "held", "{}")
    with sql(path) as database:
        database.execute(
            "UPDATE event SET request_id = 'r1', at = ?, kind = 'held', body = '{}', previous = ?, hash = ? "
            "WHERE seq = ?",
            [f"{NOW:%Y-%m-%d %H:%M:%S.%f}", row.previous, row.hash, seq],
        )
    assert broken_at(store) == seq


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_tail_that_was_cut_off_is_missed_by_whoever_knows_a_later_head(
    store: Store, path: Path, seq: int
) -> None:
    known = heads(path)
    with sql(path) as database:
        database.execute("DELETE FROM event WHERE seq >= ?", [seq])
    assert broken_at(store, known[-1]) == EVENTS
    assert broken_at(store, known[seq]) == seq
    assert store.read_now(lambda unit: unit.verify(Head())) == known[seq - 1], "alone it cannot be seen"
    for _ in range(EVENTS):
        store.write_now(lambda unit: unit.note("started", {}))
    assert broken_at(store, known[-1]) == EVENTS, "nor does writing on hide it"


def test_a_history_that_was_written_anew_as_a_whole_is_known_by_its_heads(path: Path, tmp_path: Path) -> None:
    known = heads(path)
    clock = Clock(NOW + timedelta(seconds=1))
    with opened(tmp_path / "forged.db", clock) as forged:
        write_history(forged, clock)
        assert forged.read_now(lambda unit: unit.verify(Head())).seq == EVENTS
        assert broken_at(forged, known[-1]) == EVENTS


# --- a request against its history ------------------------------------------------------------------------


def is_not_proved(store: Store, request_id: str = "r1") -> None:
    request = store.read_now(lambda unit: unit.request(request_id))
    assert request is not None
    with pytest.raises(ChainBroken):
        store.read_now(lambda unit: unit.prove(request))


MALLORY = Person(TEAM, "U0MALLORY")


@pytest.mark.parametrize(
    "change",
    [
        "state = 'approved'",
        "is_open = 1",
        "version = version + 1",
        "requester = 'T0NORTH/U0MALLORY'",
        "reference_key = 'another'",
        "provider = 'cpanel'",
        "created_at = '2026-11-21 03:00:00.000009'",
        """body = replace(body, '"quorum":2', '"quorum":1')""",
        """body = replace(body, '"state":"cancelled"', '"state":"approved"')""",
        """body = replace(body, '"user":"U0ALICE"', '"user":"U0MALLORY"')""",
        """body = replace(body, '"verified":true', '"verified":false')""",
        """body = replace(body, '"attempts":1', '"attempts":0')""",
        """body = replace(body, '"reference_key":"r1"', '"reference_key":"r2"')""",
    ],
)
def test_a_request_that_was_changed_directly_is_not_what_its_history_says(
    store: Store, path: Path, change: str
) -> None:
    with sql(path) as database:
        before = database.execute("SELECT * FROM request WHERE id = 'r1'").fetchone()
        database.execute(f"UPDATE request SET {change} WHERE id = 'r1'")  # noqa: S608
        assert database.execute("SELECT * FROM request WHERE id = 'r1'").fetchone() != before
    store.read_now(lambda unit: unit.verify(Head()))
    is_not_proved(store)


def test_a_request_without_any_history_is_not_proved(store: Store, path: Path) -> None:
    with sql(path) as database:
        database.execute("CREATE TEMP TABLE forged AS SELECT * FROM request WHERE id = 'r1'")
        database.execute("""UPDATE forged SET id = 'r9', body = replace(body, '"id":"r1"', '"id":"r9"')""")
        database.execute("INSERT INTO request SELECT * FROM forged")
    is_not_proved(store, "r9")


def test_a_past_changed_behind_a_head_that_is_still_right_proves_nothing(store: Store, path: Path) -> None:
    """While the bot runs it verifies only what is new; a request is proved from its own beginning."""
    known = heads(path)
    with sql(path) as database:
        for table in ("event", "request"):
            database.execute(f"UPDATE {table} SET body = replace(body, 'U0CAROL', 'U0MALLORY')")  # noqa: S608
        assert database.execute("SELECT count(*) FROM event WHERE body LIKE '%MALLORY%'").fetchone() == (3,)
    assert store.read_now(lambda unit: unit.verify(known[-1])) == known[-1]
    request = store.read_now(lambda unit: unit.request("r1"))
    assert request is not None
    assert MALLORY in {approval.by for approval in request.approvals}
    is_not_proved(store)


def test_a_forged_request_in_front_of_the_history_is_not_proved(store: Store, path: Path) -> None:
    """Rows below the first number are never reached from a known head."""
    known = heads(path)
    with sql(path) as database:
        for seq in range(1, EVENTS + 1):
            database.execute(COPY, [seq - 1000, seq])
        database.execute("UPDATE event SET request_id = 'r8' WHERE seq < 0 AND request_id = 'r1'")
        database.execute("""UPDATE request SET body = replace(body, '"id":"r1"', '"id":"r8"')""")
        database.execute("UPDATE request SET id = 'r8' WHERE id = 'r1'")
    assert store.read_now(lambda unit: unit.verify(known[-1])) == known[-1]
    is_not_proved(store, "r8")
