"""The history's chain: each row's hash covers its content and the hash of the row before it.

Changing, removing, inserting or swapping rows breaks every hash from there on, so whoever wants to
rewrite the past has to rewrite all of it, and the heads posted in the channel give that away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from json.encoder import encode_basestring as quoted
from typing import Any, NamedTuple

from bot.errors import ChainBroken

GENESIS = "0" * 64
_HEAD = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """The last link: how many events there are and what they hash to."""

    seq: int = 0
    hash: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def read(cls, text: object) -> Head | None:
        """A head as it was written down somewhere; None for anything else."""
        found = _HEAD.fullmatch(text) if isinstance(text, str) else None
        return found and cls(int(found[1]), found[2])


class Link(NamedTuple):
    """A row of the history, by the names of its columns."""

    seq: int
    request_id: str | None
    at: datetime
    kind: str
    body: str
    previous: str
    hash: str


def link(head: Head, request_id: str | None, at: datetime, kind: str, body: str) -> Link:
    """The row that follows `head`."""
    seq = head.seq + 1
    digest = seal(seq, request_id, at.isoformat(), kind, body, head.hash)
    return Link(seq, request_id, at, kind, body, head.hash, digest)


def follow(head: Head, rows: Iterable[Sequence[Any]]) -> Head:
    """Walk rows in order of `seq`; returns the last link. Raises `ChainBroken` at the first row that does
    not follow from the one before it.

    Each row is its `seq` and then the bytes of its other columns as they lie on the disk: what cannot
    even be read as text or as a time was changed as well.
    """
    seq, last = head.seq, head.hash
    for found, *columns in rows:
        if found != seq + 1:
            raise ChainBroken(seq + 1, f"event {seq + 1} is missing from the history")
        try:
            texts: list[Any] = [None if raw is None else raw.decode() for raw in columns]
            request_id, at, kind, body, previous, digest = texts
            is_next = previous == last and digest == seal(found, request_id, time(at), kind, body, previous)
        except (TypeError, ValueError):
            is_next = False
        if not is_next:
            raise ChainBroken(found, f"event {found} of the history was changed")
        seq, last = found, digest
    return Head(seq, last) if seq != head.seq else head


def time(stored: str) -> str:
    """A time as it is hashed, `2026-11-21T17:00:00.000001+00:00`, from its one spelling on the disk."""
    if len(stored) != 26 or stored[10] != " ":
        raise ValueError(stored)
    fraction = "" if stored.endswith(".000000") else stored[19:]
    return f"{stored[:10]}T{stored[11:19]}{fraction}+00:00"


def seal(seq: int, request_id: str | None, at: str, kind: str, body: str, previous: str) -> str:
    """The hash of a row: SHA-256 over `canonical([seq, request_id, at, kind, body, previous])`, spelled out
    here because that is most of the work of a walk. Raises `TypeError` for what is no text."""
    owner = "null" if request_id is None else quoted(request_id)
    content = f"[{seq},{owner},{quoted(at)},{quoted(kind)},{quoted(body)},{quoted(previous)}]"
    return hashlib.sha256(content.encode()).hexdigest()
