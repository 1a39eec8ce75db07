"""The history inside one transaction: adding links to the chain, walking it, and reading what happened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from math import inf
from typing import Any

from sqlalchemy import BindParameter, bindparam, func, insert
from sqlalchemy import select as sqlalchemy_select
from sqlmodel import col, select

from bot.errors import ChainBroken
from bot.events import Event
from bot.store import chain
from bot.store.codec import dump_event, load_event
from bot.store.prepared import Prepared
from bot.store.raw import COLUMNS, Raw
from bot.store.tables import EventRow
from bot.store.transaction import Transaction

_THIS: BindParameter[str] = bindparam("request")
_HASH = Raw(EventRow.hash)
_HISTORY = Prepared(
    select(EventRow.body, EventRow.at).where(col(EventRow.request_id) == _THIS).order_by(col(EventRow.seq))
)
_HEAD = Prepared(select(EventRow.seq, EventRow.hash).order_by(col(EventRow.seq).desc()).limit(1))
_HASH_AT = Prepared(select(_HASH).where(col(EventRow.seq) == bindparam("at_seq")))
_BEGINS = select(func.min(EventRow.seq)).where(col(EventRow.request_id) == _THIS)
_HEAD_BEFORE = Prepared(
    select(EventRow.seq, _HASH)
    .where(col(EventRow.seq) < _BEGINS.scalar_subquery())
    .order_by(col(EventRow.seq).desc())
    .limit(1)
)
_ALONG = sqlalchemy_select(*COLUMNS).order_by(col(EventRow.seq)).limit(bindparam("most"))
_LINKS = Prepared(_ALONG)
_LINKS_FROM = Prepared(_ALONG.where(col(EventRow.seq) >= bindparam("since")))
_ADD_LINKS = Prepared(insert(EventRow))
PAGE = 1000
"""Links that are read at once."""


class History(Transaction):
    def history(self, request_id: str) -> list[tuple[Event, datetime]]:
        return [(load_event(body), at) for body, at in self._ask(_HISTORY, request=request_id)]

    def note(self, kind: str, body: dict[str, Any]) -> None:
        """Add something to the history that belongs to no request: a start, a stop."""
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        self._link([(None, kind, text)])
        self.saved.append((None, kind))

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """What was added by `note`, the oldest first."""
        of_none = select(EventRow.body).where(col(EventRow.request_id).is_(None), EventRow.kind == kind)
        return [json.loads(body) for body in self._ask(of_none.order_by(col(EventRow.seq))).scalars()]

    def known(self, heads: Sequence[chain.Head]) -> frozenset[chain.Head]:
        """Those of `heads` that the history went through."""
        there = select(EventRow.seq, EventRow.hash).where(col(EventRow.seq).in_([head.seq for head in heads]))
        return frozenset(heads) & {chain.Head(*row) for row in self._ask(there)}

    def head(self) -> chain.Head:
        if self._known.head is None:
            row = self._ask(_HEAD).first()
            self._known.head = chain.Head() if row is None else chain.Head(*row)
        return self._known.head

    def verify(self, since: chain.Head, limit: float = inf) -> chain.Head:
        """Walk the chain from `since`. Raises `ChainBroken` at the first row that is wrong, `since` itself
        included."""
        head = since
        while limit > 0:
            size = int(min(limit, PAGE))
            rows = self._links(head, size)
            head = chain.follow(head, rows)
            limit = limit - len(rows) if len(rows) == size else 0
        return head

    def _links(self, head: chain.Head, most: int) -> Sequence[Sequence[Any]]:
        """Those after `head`. A page at a time: most walks are one, and the server's own way to stream takes
        longer for that."""
        if not head.seq:
            return self._ask(_LINKS, most=most).all()  # rows in front of the first one are wrong as well
        # With the one that is known: it must be there, and a second one of its number must not.
        known = self._ask(_LINKS_FROM, since=head.seq, most=most + 1).all()
        if not known or (known[0][0], known[0][-1]) != (head.seq, head.hash.encode()):
            raise self._gone(head)
        return known[1:]

    def _must_be_there(self, known: chain.Head) -> None:
        if known.seq and self._ask(_HASH_AT, at_seq=known.seq).scalar() != known.hash.encode():
            raise self._gone(known)

    def _gone(self, known: chain.Head) -> ChainBroken:
        return ChainBroken(known.seq, f"event {known.seq} of the history was there before and is not")

    def _head_before(self, request_id: str) -> chain.Head:
        """The link that the first event of a request follows."""
        before = self._ask(_HEAD_BEFORE, request=request_id).first()
        if before is None or before[1] is None:
            return chain.Head()
        return chain.Head(before[0], before[1].decode(errors="replace"))

    def _append(self, events: Sequence[tuple[str, Event]]) -> None:
        self._link([(request_id, event.kind, dump_event(event)) for request_id, event in events])
        self.saved += events

    def _link(self, entries: Sequence[tuple[str | None, str, str]]) -> None:
        """Add to the history: whom it is about, its kind and its body."""
        head, rows = self.head(), []
        for request_id, kind, body in entries:
            row = chain.link(head, request_id, self.now, kind, body)
            rows.append(row._asdict())
            head = chain.Head(row.seq, row.hash)
        self._known.head = None  # should this fail, nobody knows how much of it is there
        self._change_all(_ADD_LINKS, rows)
        self._known.head = head
