"""A history of two hundred events: every change of a byte, and every row that is gone, new or elsewhere, is
noticed. What no history can tell of itself, that its end is gone, the channel tells."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import col

from bot.anchors import Anchor, forgotten
from bot.audit.history import verify
from bot.errors import ChainBroken
from bot.store import Store, raw
from bot.store.chain import Head, follow
from bot.store.reading import reading, streamed
from bot.store.tables import EventRow
from tests.bot.builders import NOW
from tests.bot.histories import EVENTS, write_history
from tests.bot.stores import Clock, opened, sql, url_of

COLUMNS = ("seq", "request_id", "at", "kind", "body", "previous", "hash")
Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tampering") / "bot.db"
    clock = Clock()
    with opened(path, clock) as store:
        write_history(store, clock)
    return path


@pytest.fixture(scope="module")
def rows(database: Path) -> list[Row]:
    """As they lie on the disk."""
    with (
        reading(url_of(database)) as connection,
        streamed(connection, select(*raw.COLUMNS).order_by(col(EventRow.seq))) as found,
    ):
        return [tuple(row) for row in found]


@pytest.fixture(scope="module")
def heads(rows: list[Row]) -> list[Head]:
    """The head after each event, and before the first."""
    return [Head(), *(Head(row[0], row[-1].decode()) for row in rows)]


def broken_at(rows: Sequence[Row], since: Head) -> int:
    try:
        follow(since, rows)
    except ChainBroken as broken:
        return broken.seq
    return 0


def test_it_is_a_history_of_two_hundred_events_that_verifies(rows: list[Row], heads: list[Head]) -> None:
    assert len(rows) == EVENTS
    assert follow(Head(), rows) == heads[-1]


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_no_byte_of_any_row_can_be_changed(rows: list[Row], heads: list[Head], column: str) -> None:
    """Each byte in turn becomes another one: one bit of it, and all of them."""
    at, tried = COLUMNS.index(column), 0
    for number, row in enumerate(rows):
        value = row[at] or b""
        for position in range(len(value)):
            for other in (value[position] ^ 1, value[position] ^ 0xFF):
                changed = value[:position] + bytes([other]) + value[position + 1 :]
                found = broken_at([(*row[:at], changed, *row[at + 1 :])], heads[number])
                assert found == row[0], (row[0], position)
                tried += 1
    assert tried >= 2 * EVENTS * 8


@pytest.mark.parametrize("column", COLUMNS[1:])
def test_no_byte_can_be_added_or_taken_away(rows: list[Row], heads: list[Head], column: str) -> None:
    at = COLUMNS.index(column)
    for number, row in enumerate(rows):
        value = row[at] or b""
        others = [value + b" ", value + b"\0", b" " + value, value[1:], value[:-1], b"", None]
        for other in (other for other in others if other != row[at]):
            assert broken_at([(*row[:at], other, *row[at + 1 :])], heads[number]) == row[0], other


def test_no_number_can_be_changed(rows: list[Row], heads: list[Head]) -> None:
    for number, row in enumerate(rows):
        for other in {row[0] ^ (1 << bit) for bit in range(12)} | {0, -row[0], row[0] + EVENTS}:
            assert broken_at([(other, *row[1:])], heads[number]) == row[0]


def test_what_belongs_to_one_column_is_not_taken_for_another(rows: list[Row], heads: list[Head]) -> None:
    """A hash over texts one after the other would not notice where one ends."""
    for number, row in enumerate(rows):
        if row[1] is not None:
            seq, owner, at, kind, body, *rest = row
            for moved in ((owner + kind[:1], at, kind[1:], body), (owner, at, kind + body[:1], body[1:])):
                assert broken_at([(seq, *moved, *rest)], heads[number]) == seq


def test_no_row_can_be_removed_doubled_inserted_or_swapped(rows: list[Row], heads: list[Head]) -> None:
    for at in range(EVENTS - 1):
        one, two = rows[at], rows[at + 1]
        follower = rows[at + 2 : at + 3]
        assert broken_at([two, *follower], heads[at]) == at + 1, "removed"
        assert broken_at([one, one, two], heads[at]) == at + 2, "doubled"
        assert broken_at([two, one], heads[at]) == at + 1, "swapped"
        renumbered = [(one[0], *two[1:]), (two[0], *one[1:])]
        assert broken_at(renumbered, heads[at]) == at + 1, "swapped, and the numbers with them"
        assert broken_at([one, (two[0], *one[1:])], heads[at]) == at + 2, "the same event once more"


def test_any_two_rows_that_change_places_are_noticed(rows: list[Row]) -> None:
    dice = random.Random(7)  # noqa: S311 - nothing secret
    for _ in range(300):
        one, two = sorted(dice.sample(range(EVENTS), 2))
        changed = list(rows)
        changed[one], changed[two] = changed[two], changed[one]
        assert broken_at(changed, Head()) == one + 1
        numbered = [(number, *row[1:]) for number, row in enumerate(changed, start=1)]
        assert broken_at(numbered, Head()) == one + 1


# --- in the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", [1, 2, 5, 100, 199, 200])
@pytest.mark.parametrize("column", COLUMNS[1:])
def test_what_is_changed_in_the_file_is_noticed_by_whoever_reads_it(
    database: Path, column: str, seq: int
) -> None:
    with sql(database) as client:
        ((before,),) = client.execute(f"SELECT {column} FROM event WHERE seq = ?", [seq])  # noqa: S608
        client.execute(f"UPDATE event SET {column} = ? WHERE seq = ?", [f"{before or ''} ", seq])  # noqa: S608
        try:
            with pytest.raises(ChainBroken) as broken, reading(url_of(database)) as connection:
                verify(connection)
        finally:
            client.execute(f"UPDATE event SET {column} = ? WHERE seq = ?", [before, seq])  # noqa: S608
    assert broken.value.seq == seq


# --- the end ---------------------------------------------------------------------------------------------


@pytest.fixture
def cut(tmp_path: Path) -> Iterator[tuple[Store, Clock]]:
    clock = Clock()
    with opened(tmp_path / "bot.db", clock) as store:
        write_history(store, clock)
        yield store, clock


def test_an_end_that_was_cut_off_is_missed_by_the_channel(
    cut: tuple[Store, Clock], heads: list[Head], tmp_path: Path
) -> None:
    store, clock = cut
    anchors = [Anchor(heads[seq], "r", "cancelled", NOW) for seq in (50, 120, EVENTS)]
    for left in (EVENTS, EVENTS - 1, 120, 119, 50, 49, 1, 0):
        with sql(tmp_path / "bot.db") as client:
            client.execute("DELETE FROM event WHERE seq > ?", [left])
        with reading(url_of(tmp_path / "bot.db")) as connection:
            assert verify(connection).seq == left, "by itself it is right"
        missed = store.read_now(lambda unit: forgotten(unit, anchors))
        assert {anchor.head.seq for anchor in missed} == {seq for seq in (50, 120, EVENTS) if seq > left}
    clock.advance(timedelta(hours=1))
    for _ in range(EVENTS):
        store.write_now(lambda unit: unit.note("started", {}))
    missed = store.read_now(lambda unit: forgotten(unit, anchors))
    assert len(missed) == 3, "a past that was written anew is another one"
