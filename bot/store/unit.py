"""One transaction about orders that were asked for together, besides what it does about each of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Executable, bindparam, func, insert, update
from sqlmodel import col, select

from bot.batch.rules import Batch, BatchEvent, BatchQuestioned
from bot.errors import ChainBroken
from bot.model import BEFORE_PERMIT, Request, State
from bot.store.codec import dump_batch, dump_batch_event, load_batch, load_batch_event, load_request
from bot.store.prepared import Prepared
from bot.store.requests import RequestUnit, begins_with
from bot.store.tables import BatchRow, EventRow, LineRow, RequestRow

_BODY = select(BatchRow.body)
_BATCH = Prepared(_BODY.where(col(BatchRow.id) == bindparam("batch")))
_LINES = select(RequestRow.id, RequestRow.body).where(
    col(RequestRow.id).in_(bindparam("lines", expanding=True))
)
_LINE_STATES = Prepared(
    select(RequestRow.state, func.count())
    .where(col(RequestRow.id).in_(select(LineRow.request_id).where(col(LineRow.batch) == bindparam("batch"))))
    .group_by(col(RequestRow.state))
)


class Unit(RequestUnit):
    """A database transaction in the words of the bot. Use it inside `Store.write` or `Store.read`."""

    def begin_batch(self, batch: Batch) -> None:
        """Save what was asked for together, and its first event; `begin` its lines after that."""
        self.note_of_batch(batch.id, batch.asked)
        row = {
            "id": batch.id,
            "is_open": True,
            "provider": batch.asked.provider,
            "requester": str(batch.requester),
            "created_at": batch.created_at,
            "body": dump_batch(batch),
        }
        self._change_all(insert(BatchRow), [row])
        lines = enumerate(batch.asked.lines, 1)
        self._change_all(
            insert(LineRow), [{"request_id": one, "batch": batch.id, "number": n} for n, one in lines]
        )

    def note_of_batch(self, batch_id: str, event: BatchEvent) -> None:
        self._link([(batch_id, event.kind, dump_batch_event(event))])

    def questions_about(self, batch_id: str) -> list[BatchQuestioned]:
        """What was asked about a batch so far."""
        asked = EventRow.request_id == batch_id, EventRow.kind == "batch_questioned"
        mine = select(EventRow.body).where(*asked).order_by(col(EventRow.seq))
        found = [load_batch_event(body) for body in self._ask(mine).scalars()]
        return [one for one in found if isinstance(one, BatchQuestioned)]

    def batch(self, batch_id: str) -> Batch | None:
        body = self._ask(_BATCH, batch=batch_id).scalar()
        return None if body is None else load_batch(body)

    def prove_batch(self, batch: Batch) -> None:
        """Raise `ChainBroken` unless it is what its first event says."""
        mine = select(EventRow.at, EventRow.body).where(EventRow.request_id == batch.id)
        first = self._ask(mine.order_by(col(EventRow.seq)).limit(1)).first()
        if first is None or Batch(batch.id, first.at, load_batch_event(first.body)) != batch:  # type: ignore[arg-type]
            raise ChainBroken(0, f"batch {batch.id} is not what its history says")

    def find_batches(self, prefix: str) -> list[Batch]:
        """Those whose ID begins with `prefix`; at most two."""
        mine = begins_with(col(BatchRow.id), prefix)
        return self._batches(_BODY.where(*mine).limit(2))

    def batches(
        self,
        *,
        is_open: bool | None = None,
        states: Sequence[str] = (),
        requester: str | None = None,
        provider: str | None = None,
        limit: int = 50,
        skip: int = 0,
        oldest_first: bool = False,
    ) -> list[Batch]:
        """The newest first, unless `oldest_first`. With `states`, those with a line in one of them."""
        values = {"is_open": is_open, "requester": requester, "provider": provider}
        given = {name: value for name, value in values.items() if value is not None}
        query = _listing(tuple(states), frozenset(given), oldest_first)
        return self._batches(query, **given, limit=limit, skip=skip)

    def _batches(self, query: Executable, **values: Any) -> list[Batch]:
        return [load_batch(body) for body in self._ask(query, **values).scalars()]

    def lines_of(self, batch: Batch) -> list[Request]:
        """Its requests, in the order in which they were asked for."""
        found = dict(map(tuple, self._ask(_LINES, lines=batch.asked.lines)))
        return [load_request(found[one]) for one in batch.asked.lines]

    def line_of(self, batch_id: str) -> Request | None:
        """The line of a batch that people can still decide on, if there is one; else its first."""
        batch = self.batch(batch_id)
        if batch is None:
            return None
        lines = self.lines_of(batch)
        return next((line for line in lines if line.state in BEFORE_PERMIT), lines[0])

    def line_states(self, batch_id: str) -> dict[State, int]:
        """How many lines of a batch are in each state."""
        return {State(state): n for state, n in self._ask(_LINE_STATES, batch=batch_id)}

    def close_batch(self, batch_id: str) -> bool:
        """Note that nothing happens to it by itself any more. False when that was noted before."""
        mine = (col(BatchRow.id) == batch_id) & col(BatchRow.is_open)
        return self._change(update(BatchRow).where(mine).values(is_open=False)) == 1

    def open_requests_among(self, keys: Sequence[str]) -> dict[str, Request]:
        """Those of these orders that are being dealt with, by their reference keys."""
        mine = col(RequestRow.reference_key).in_(list(keys)) & col(RequestRow.is_open)
        rows = self._ask(select(RequestRow.reference_key, RequestRow.body).where(mine))
        return {key: load_request(body) for key, body in rows}

    def requests_among(self, keys: Sequence[str], since: datetime) -> list[Request]:
        """All requests for any of these orders since then, the newest first."""
        mine = col(RequestRow.reference_key).in_(list(keys)) & (col(RequestRow.created_at) >= since)
        return self._requests(select(RequestRow.body).where(mine).order_by(col(RequestRow.created_at).desc()))


@cache
def _listing(states: tuple[str, ...], given: frozenset[str], oldest_first: bool) -> Executable:
    """The statement of a list of batches. `given`: the columns they are chosen by, besides their states."""
    made = col(BatchRow.created_at)
    query = _BODY.order_by(made if oldest_first else made.desc(), col(BatchRow.id))
    for name in given:
        query = query.where(col(getattr(BatchRow, name)) == bindparam(name))
    if states:
        there = select(LineRow.batch).join(RequestRow, col(RequestRow.id) == LineRow.request_id)
        query = query.where(col(BatchRow.id).in_(there.where(col(RequestRow.state).in_(states))))
    return query.limit(bindparam("limit")).offset(bindparam("skip"))
