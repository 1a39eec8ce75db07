"""Whatever is done to the history behind the bot's back, it does not verify any more: on either database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from bot.errors import ChainBroken
from bot.events import Answered, Approved, Event, Held, OrderRead, Permitted, QuorumReached, Requested
from bot.model import Person, Request, digest
from bot.store import Store, history
from bot.store.chain import GENESIS, Head, link
from bot.store.tables import Table
from providers.contract import Outcome, Result
from tests import postgres
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, NOW, TEAM, an_order
from tests.bot.stores import Clock, opened, url_of
from tests.past_the_bot import Client, connected

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


KEPT = ("event", "request")


def columns(table: str) -> str:
    """Those that can be written."""
    return ", ".join(each.name for each in Table.metadata.tables[table].c if not each.computed)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With a history in it, and a copy of that beside it."""
    with ExitStack() as made:
        file = tmp_path_factory.mktemp("chain") / "bot.db"
        is_postgres = request.param == "postgres"
        url = made.enter_context(postgres.new_database()) if is_postgres else url_of(file)
        clock = Clock()
        with opened(url, clock) as store:
            write_history(store, clock)
        with connected(url) as client:
            for table in KEPT:
                client.change(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")  # noqa: S608
        yield url


@pytest.fixture(scope="module")
def lasting(database: str) -> Iterator[Store]:
    with opened(database, Clock(NOW + timedelta(hours=1))) as store:
        yield store


@pytest.fixture
def client(database: str) -> Iterator[Client]:
    """Whoever tampers with it; it is as it was before each test."""
    with connected(database) as client:
        for table in KEPT:
            client.change(f"DELETE FROM {table}")  # noqa: S608
            written = columns(table)
            client.change(f"INSERT INTO {table} ({written}) SELECT {written} FROM kept_{table}")  # noqa: S608
        yield client


@pytest.fixture
def store(lasting: Store, client: Client) -> Store:
    return lasting


def heads(client: Client) -> list[Head]:
    """The head after each event, as somebody noted them down at the time."""
    return [Head(), *(Head(*row) for row in client.rows("SELECT seq, hash FROM event ORDER BY seq"))]


def proved(store: Store, request: Request | None, verified: Head | None) -> Head:
    assert request is not None
    return store.read_now(lambda unit: unit.prove(request, verified))


def broken_at(store: Store, since: Head = BEGINNING) -> int:
    with pytest.raises(ChainBroken) as broken:
        store.read_now(lambda unit: unit.verify(since))
    return broken.value.seq


def test_an_untouched_history_verifies_from_everywhere(store: Store, client: Client) -> None:
    known = heads(client)
    assert known[-1].seq == EVENTS
    assert known[0].hash == GENESIS
    for head in known:
        assert store.read_now(lambda unit, head=head: unit.verify(head)) == known[-1]  # type: ignore[misc]
    assert store.read_now(lambda unit: unit.verify(Head(), limit=10)) == known[10]
    for name in ("r1", "r2", "r3"):
        request = store.read_now(lambda unit, name=name: unit.request(name))  # type: ignore[misc]
        assert proved(store, request, None) == known[-1]
        for head in known:
            assert proved(store, request, head) == known[-1]


@pytest.mark.parametrize("page", [1, 7, EVENTS - 1, EVENTS, EVENTS + 1])
def test_a_walk_in_pages_comes_to_the_same_end(
    store: Store, client: Client, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    known = heads(client)
    monkeypatch.setattr(history, "PAGE", page)
    for limit in range(1, EVENTS + 2):
        end = store.read_now(lambda unit, limit=limit: unit.verify(Head(), limit))  # type: ignore[misc]
        assert end == known[min(limit, EVENTS)]
    client.change("UPDATE event SET body = '{}' WHERE seq = ?", EVENTS)
    assert broken_at(store) == EVENTS


def test_a_request_is_only_proved_where_the_chain_goes_on_from_what_was_known(
    store: Store, client: Client
) -> None:
    request = store.read_now(lambda unit: unit.request("r2"))
    assert request is not None
    for head in heads(client)[1:]:
        with pytest.raises(ChainBroken, match="was there before"):
            proved(store, request, replace(head, hash="f" * 64))
    with pytest.raises(ChainBroken, match="was there before"):
        proved(store, request, Head(EVENTS + 1, "f" * 64))


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_nothing_is_proved_over_a_row_that_was_changed(store: Store, client: Client, seq: int) -> None:
    """Whether it lies behind what was known before or behind where the request begins."""
    known = heads(client)
    request = store.read_now(lambda unit: unit.request("r3"))
    assert request is not None
    began = client.rows("SELECT min(seq) FROM event WHERE request_id = 'r3'")[0][0]
    client.change("UPDATE event SET kind = 'changed' WHERE seq = ?", seq)
    for head in known:
        if seq > min(head.seq, began - 1):
            with pytest.raises(ChainBroken):
                proved(store, request, head)


# --- changes of one byte ---------------------------------------------------------------------------------


SPELLING = "YYYY-MM-DD HH24:MI:SS.US"
"""Of a time on Postgres, as SQLite has it."""


def stored(client: Client, column: str, seq: int) -> bytes:
    """A text or time as the bytes it is."""
    text = f"to_char({column} AT TIME ZONE 'UTC', '{SPELLING}')" if column == "at" else column
    read = f"CAST({column} AS BLOB)" if client.is_sqlite else f"convert_to({text}, 'UTF8')"
    ((found,),) = client.rows(f"SELECT {read} FROM event WHERE seq = ?", seq)  # noqa: S608
    return bytes(found or b"")


def put(client: Client, column: str, seq: int, value: bytes) -> bool:
    """Write these bytes there instead. False when the database does not take them, or for the same time."""
    before = stored(client, column, seq)
    kind = "timestamp AT TIME ZONE 'UTC'" if column == "at" else "text"
    write = "CAST(? AS TEXT)" if client.is_sqlite else f"convert_from(?, 'UTF8')::{kind}"
    try:
        client.change(f"UPDATE event SET {column} = {write} WHERE seq = ?", value, seq)  # noqa: S608
    except psycopg.DataError:
        return False
    return stored(client, column, seq) != before


def flipped(value: bytes, position: int) -> bytes:
    """The same but for one bit of one byte."""
    changed = bytearray(value)
    changed[position % len(changed)] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_one_changed_byte_anywhere_is_found_and_its_row_named(
    store: Store, client: Client, column: str
) -> None:
    known, found = heads(client), 0
    for seq in range(1, EVENTS + 1):
        before = stored(client, column, seq)
        for position in (0, seq, -1) if before else ():
            if not put(client, column, seq, flipped(before, position)):
                assert column == "at", "a database that knows times does not take what is none"
                assert not client.is_sqlite
                continue
            assert broken_at(store) == seq
            assert broken_at(store, known[seq - 1]) == seq
            put(client, column, seq, before)
            found += 1
    assert found >= EVENTS
    assert store.read_now(lambda unit: unit.verify(Head())) == known[-1]


def test_every_byte_of_a_time_counts(store: Store, client: Client) -> None:
    before, digits = stored(client, "at", 7), 0
    for position, byte in enumerate(before):
        if put(client, "at", 7, flipped(before, position)):
            assert broken_at(store) == 7
            digits += chr(byte).isdigit()
            put(client, "at", 7, before)
    assert digits >= 18, "a few make a time that is none"


@pytest.mark.parametrize("column", COLUMNS[1:])
@pytest.mark.parametrize("value", [b"", b"\xff\xfe", b"2026-11-21 03:00", b"infinity", b"0044-03-15 BC"])
def test_what_is_no_text_or_no_time_is_found_as_well(
    store: Store, client: Client, column: str, value: bytes
) -> None:
    if put(client, column, 5, value):
        assert broken_at(store) == 5
        return
    assert not client.is_sqlite
    assert value == b"\xff\xfe" or column == "at"
    assert store.read_now(lambda unit: unit.verify(Head())).seq == EVENTS


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 BC", "20000-01-01"])
def test_a_time_that_only_postgres_knows_is_found(store: Store, client: Client, value: str) -> None:
    if client.is_sqlite:
        value = f"'{value}'"
    client.change("UPDATE event SET at = ? WHERE seq = 5", value)
    assert broken_at(store) == 5
    is_not_proved(store)


@pytest.fixture
def no_rules(client: Client) -> Iterator[None]:
    """The table takes whatever it is given."""
    client.change("ALTER TABLE event RENAME TO real_event")
    client.change("CREATE TABLE event AS SELECT * FROM real_event")
    yield
    client.change("DROP TABLE event")
    client.change("ALTER TABLE real_event RENAME TO event")


@pytest.mark.usefixtures("no_rules")
@pytest.mark.parametrize("column", [*COLUMNS[2:], "seq"])
def test_nothing_where_something_must_be_is_found(store: Store, client: Client, column: str) -> None:
    client.change(f"UPDATE event SET {column} = NULL WHERE seq = 5")  # noqa: S608
    assert broken_at(store) in {1, 5}


def test_an_event_taken_away_from_its_request_is_found(store: Store, client: Client) -> None:
    client.change("UPDATE event SET request_id = NULL WHERE seq = 5")
    assert broken_at(store) == 5


def test_a_changed_number_is_a_gap(store: Store, client: Client) -> None:
    for seq in range(1, EVENTS + 1):
        client.change("UPDATE event SET seq = seq + 1000 WHERE seq = ?", seq)
        assert broken_at(store) == seq
        client.change("UPDATE event SET seq = seq - 1000 WHERE seq = ?", seq + 1000)


# --- rows that are gone, new, or in another place ----------------------------------------------------------


@pytest.mark.parametrize("seq", range(1, EVENTS))
def test_a_removed_row_is_missed(store: Store, client: Client, seq: int) -> None:
    known = heads(client)
    client.change("DELETE FROM event WHERE seq = ?", seq)
    assert broken_at(store) == seq
    assert broken_at(store, known[seq - 1]) == seq


@pytest.mark.parametrize("seq", range(1, EVENTS))
def test_a_row_that_was_removed_and_the_gap_closed_is_missed(store: Store, client: Client, seq: int) -> None:
    client.change("DELETE FROM event WHERE seq = ?", seq)
    for later in range(seq + 1, EVENTS + 1):
        client.change("UPDATE event SET seq = seq - 1 WHERE seq = ?", later)
    assert broken_at(store) == seq


COPY = """
    INSERT INTO event (seq, request_id, at, kind, body, previous, hash)
    SELECT ?, request_id, at, kind, body, previous, hash FROM event WHERE seq = ?
"""


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_duplicated_row_is_found(store: Store, client: Client, seq: int) -> None:
    known = heads(client)
    client.change(COPY, EVENTS + 1, seq)
    assert broken_at(store) == EVENTS + 1
    assert broken_at(store, known[-1]) == EVENTS + 1


@pytest.mark.usefixtures("no_rules")
@pytest.mark.parametrize("page", [1, 5, EVENTS])
@pytest.mark.parametrize("what", ["*", "seq, request_id, at, 'forged', body, previous, hash"])
def test_a_second_row_of_a_number_is_found_wherever_a_page_ends(
    store: Store, client: Client, monkeypatch: pytest.MonkeyPatch, page: int, what: str
) -> None:
    known = heads(client)
    monkeypatch.setattr(history, "PAGE", page)
    for seq in range(1, EVENTS + 1):
        client.change(f"INSERT INTO event SELECT {what} FROM real_event WHERE seq = ?", seq)  # noqa: S608
        for head in known[: seq + 1]:
            assert broken_at(store, head) in {seq, seq + 1}
        client.change("DELETE FROM event")
        client.change("INSERT INTO event SELECT * FROM real_event")


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_row_put_in_between_is_found(store: Store, client: Client, seq: int) -> None:
    for later in range(EVENTS, seq - 1, -1):
        client.change("UPDATE event SET seq = seq + 1 WHERE seq = ?", later)
    client.change(COPY, seq, seq + 1)
    assert broken_at(store) == (seq + 1), "the copy itself follows; what it pushed away does not"


@pytest.mark.parametrize("seq", [0, -1, -1000])
def test_a_row_in_front_of_the_first_is_found(store: Store, client: Client, seq: int) -> None:
    client.change(COPY, seq, 2)
    assert broken_at(store) == 1


@pytest.mark.parametrize("seq", range(1, EVENTS))
def test_two_swapped_rows_are_found(store: Store, client: Client, seq: int) -> None:
    for old, new in ((seq, 0), (seq + 1, seq), (0, seq + 1)):
        client.change("UPDATE event SET seq = ? WHERE seq = ?", new, old)
    assert broken_at(store) == seq


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_row_that_is_right_in_itself_but_follows_another_past_is_found(
    store: Store, client: Client, seq: int
) -> None:
    row = link(Head(seq - 1, "f" * 64), "r1", NOW, "held", "{}")
    client.change(
        "UPDATE event SET request_id = 'r1', at = ?, kind = 'held', body = '{}', previous = ?, hash = ? "
        "WHERE seq = ?",
        f"{NOW:%Y-%m-%d %H:%M:%S.%f}",
        row.previous,
        row.hash,
        seq,
    )
    assert broken_at(store) == seq


@pytest.mark.parametrize("seq", range(1, EVENTS + 1))
def test_a_tail_that_was_cut_off_is_missed_by_whoever_knows_a_later_head(
    store: Store, client: Client, seq: int
) -> None:
    known = heads(client)
    client.change("DELETE FROM event WHERE seq >= ?", seq)
    assert broken_at(store, known[-1]) == EVENTS
    assert broken_at(store, known[seq]) == seq
    assert store.read_now(lambda unit: unit.verify(Head())) == known[seq - 1], "alone it cannot be seen"
    for _ in range(EVENTS):
        store.write_now(lambda unit: unit.note("started", {}))
    assert broken_at(store, known[-1]) == EVENTS, "nor does writing on hide it"


def test_a_history_that_was_written_anew_as_a_whole_is_known_by_its_heads(
    client: Client, tmp_path: Path
) -> None:
    known = heads(client)
    clock = Clock(NOW + timedelta(seconds=1))
    with ExitStack() as made:
        new = tmp_path / "forged.db" if client.is_sqlite else made.enter_context(postgres.new_database())
        forged = made.enter_context(opened(new, clock))
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
        "is_open = true",
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
    store: Store, client: Client, change: str
) -> None:
    before = client.rows("SELECT * FROM request WHERE id = 'r1'")
    client.change(f"UPDATE request SET {change} WHERE id = 'r1'")  # noqa: S608
    assert client.rows("SELECT * FROM request WHERE id = 'r1'") != before
    store.read_now(lambda unit: unit.verify(Head()))
    is_not_proved(store)


def test_a_request_without_any_history_is_not_proved(store: Store, client: Client) -> None:
    client.change("CREATE TEMP TABLE forged AS SELECT * FROM request WHERE id = 'r1'")
    client.change("""UPDATE forged SET id = 'r9', body = replace(body, '"id":"r1"', '"id":"r9"')""")
    written = columns("request")
    client.change(f"INSERT INTO request ({written}) SELECT {written} FROM forged")  # noqa: S608
    is_not_proved(store, "r9")


def test_a_past_changed_behind_a_head_that_is_still_right_proves_nothing(
    store: Store, client: Client
) -> None:
    """While the bot runs it verifies only what is new; a request is proved from its own beginning."""
    known = heads(client)
    for table in ("event", "request"):
        client.change(f"UPDATE {table} SET body = replace(body, 'U0CAROL', 'U0MALLORY')")  # noqa: S608
    assert client.rows("SELECT count(*) FROM event WHERE body LIKE '%MALLORY%'") == [(3,)]
    assert store.read_now(lambda unit: unit.verify(known[-1])) == known[-1]
    request = store.read_now(lambda unit: unit.request("r1"))
    assert request is not None
    assert MALLORY in {approval.by for approval in request.approvals}
    for head in (None, *known):
        with pytest.raises(ChainBroken):
            proved(store, request, head)


def test_a_forged_request_in_front_of_the_history_is_not_proved(store: Store, client: Client) -> None:
    """Rows below the first number are never reached from a known head."""
    known = heads(client)
    for seq in range(1, EVENTS + 1):
        client.change(COPY, seq - 1000, seq)
    client.change("UPDATE event SET request_id = 'r8' WHERE seq < 0 AND request_id = 'r1'")
    client.change("""UPDATE request SET body = replace(body, '"id":"r1"', '"id":"r8"')""")
    client.change("UPDATE request SET id = 'r8' WHERE id = 'r1'")
    assert store.read_now(lambda unit: unit.verify(known[-1])) == known[-1]
    is_not_proved(store, "r8")
