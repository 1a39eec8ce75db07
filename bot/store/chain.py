"""The history's chain: each row's hash covers its content and the hash of the row before it.

Changing, removing, inserting or swapping rows breaks every hash from there on, so whoever wants to
rewrite the past has to rewrite all of it, and the heads posted in the channel give that away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from bot.errors import ChainBroken
from bot.model import canonical
from bot.store.tables import EventRow

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """The last link: how many events there are and what they hash to."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def link(head: Head, request_id: str | None, at: datetime, kind: str, body: str) -> EventRow:
    """The row that follows `head`."""
    seq = head.seq + 1
    digest = _hash(seq, request_id, at, kind, body, head.hash)
    return EventRow(
        seq=seq, request_id=request_id, at=at, kind=kind, body=body, previous=head.hash, hash=digest
    )


def follow(head: Head, rows: Iterable[EventRow]) -> Iterator[Head]:
    """Walk rows in order of `seq`, yielding the head after each. Raises `ChainBroken` at the first
    row that does not follow from the one before it."""
    for row in rows:
        if row.seq != head.seq + 1:
            raise ChainBroken(head.seq + 1, f"event {head.seq + 1} is missing from the history")
        expected = _hash(row.seq, row.request_id, row.at, row.kind, row.body, row.previous)
        if row.previous != head.hash or row.hash != expected:
            raise ChainBroken(row.seq, f"event {row.seq} of the history was changed")
        head = Head(row.seq, row.hash)
        yield head


def _hash(seq: int, request_id: str | None, at: datetime, kind: str, body: str, previous: str) -> str:
    content = canonical([seq, request_id, at.isoformat(), kind, body, previous])
    return hashlib.sha256(content).hexdigest()
