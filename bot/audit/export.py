"""The history as a file, and such a file checked by itself, without the database it comes from.

An export of everything carries the chain. One of some events has gaps where events were left out, so each
row is checked by its own hash, and by its `selection`: a hash over all rows of the file up to it.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

from sqlalchemy import Connection

from bot.audit.formats import CSV, JSONL, Format
from bot.audit.history import Choice, Row, chosen, verify
from bot.errors import ChainBroken
from bot.store.chain import GENESIS, Head

LONGEST_LINE = 2**24
"""No event comes near; a file without line ends is not read into memory."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file turned out to be."""

    rows: int
    first: int
    last: Head
    is_whole: bool
    """It begins with event 1 and leaves none out."""


def export(connection: Connection, choice: Choice, form: Format) -> Iterator[bytes]:
    """The lines of an export, the same for the same events. Raises `ChainBroken`, before the first line,
    when the history does not verify."""
    verify(connection)
    yield form.head(not choice.is_all)
    selection = "" if choice.is_all else GENESIS
    for row in chosen(connection, choice):
        selection = select(selection, row)
        yield form.write(row, selection)


def select(before: str, row: Row) -> str:
    """The `selection` of a row: SHA-256 over the one before and the row's hash. Nothing of nothing."""
    return before and hashlib.sha256(f"{before}{row.hash}".encode()).hexdigest()


def check(file: IO[bytes]) -> Checked:
    """Check an export by itself. Raises `ChainBroken`, which names the first row that is wrong."""
    csv.field_size_limit(LONGEST_LINE)
    lines = _lines(file)
    first = next(lines, b"")
    form = JSONL if first.startswith(b"{") else CSV
    with_selection = first == form.head(True) if form is CSV else b'"selection":' in first
    if form is CSV and first and not with_selection and first != form.head(False):
        raise ChainBroken(0, "this is not an export of the history: its first line is not the heading")
    rows = _rows(form, [first] if form is JSONL else [], lines)
    return _walk(rows, with_selection)


def _rows(form: Format, first: list[bytes], lines: Iterator[bytes]) -> Iterator[tuple[Row, str]]:
    number = 0 if first else 1
    for line in _both(first, lines):
        number += 1
        try:
            row, selection = form.read(line)
        except (ValueError, TypeError, csv.Error, RecursionError):
            raise ChainBroken(0, f"line {number} of the file is no event") from None
        if form.write(row, selection) != line:
            raise ChainBroken(row.seq, f"event {row.seq}, in line {number} of the file, was changed")
        yield row, selection


def _walk(rows: Iterable[tuple[Row, str]], with_selection: bool) -> Checked:
    count, first, last, selection = 0, 0, Head(), GENESIS if with_selection else ""
    for row, selected in rows:
        _follows(row, last, is_whole=not with_selection)
        selection = select(selection, row)
        if selected != selection:
            raise ChainBroken(
                row.seq, f"event {row.seq} does not follow in the file: rows before it were changed"
            )
        count, first, last = count + 1, first or row.seq, Head(row.seq, row.hash)
    if not count:
        raise ChainBroken(0, "there is no event in the file")
    return Checked(count, first, last, is_whole=not with_selection)


def _follows(row: Row, last: Head, *, is_whole: bool) -> None:
    if is_whole and row.seq != last.seq + 1:
        raise ChainBroken(last.seq + 1, f"event {last.seq + 1} is missing from the file")
    if row.seq <= last.seq:
        raise ChainBroken(row.seq, f"event {row.seq} is in the wrong place")
    follows = row.seq != last.seq + 1 or row.previous == last.hash
    if not follows or row.hash != row.sealed:
        raise ChainBroken(row.seq, f"event {row.seq} was changed")


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE):
        yield line


def _both(first: Iterable[bytes], then: Iterable[bytes]) -> Iterator[bytes]:
    yield from first
    yield from then
