"""The history's chain: each row's hash covers its content and the hash of the row before it.

Changing, removing, inserting or swapping rows breaks every hash from there on, so whoever wants to
rewrite the past has to rewrite all of it, and the heads posted in the channel give that away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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


def follow(head: Head, rows: Iterable[Sequence[Any]]) -> Iterator[Head]:
    """Walk rows in order of `seq`, yielding the head after each. Raises `ChainBroken` at the first
    row that does not follow from the one before it.

    Each row is its `seq` and then the bytes of its other columns as they lie on the disk: what cannot
    even be read as text or as a time was changed as well.
    """
    for seq, *columns in rows:
        if seq != head.seq + 1:
            raise ChainBroken(head.seq + 1, f"event {head.seq + 1} is missing from the history")
        try:
            texts: list[Any] = [None if raw is None else raw.decode() for raw in columns]
            request_id, at, kind, body, previous, digest = texts
            is_next = previous == head.hash and digest == _hash(
                seq, request_id, _time(at), kind, body, previous
            )
        except (TypeError, ValueError):
            is_next = False
        if not is_next:
            raise ChainBroken(seq, f"event {seq} of the history was changed")
        head = Head(seq, digest)
        yield head


def _time(stored: str) -> datetime:
    """A time from its one spelling on the disk."""
    at = datetime.fromisoformat(stored).replace(tzinfo=UTC)
    if f"{at:%Y-%m-%d %H:%M:%S.%f}" != stored:
        raise ValueError(stored)
    return at


def _hash(seq: int, request_id: str | None, at: datetime, kind: str, body: str, previous: str) -> str:
    content = canonical([seq, request_id, at.isoformat(), kind, body, previous])
    return hashlib.sha256(content).hexdigest()
