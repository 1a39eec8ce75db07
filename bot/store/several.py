"""One transaction about many requests at once: what `bot/store/unit.py` does for one, in a few statements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from bot.batches import Batch, BatchEvent, BatchQuestioned
from bot.errors import ChainBroken, Conflict
from bot.model import BEFORE_PERMIT, Approved, Event, Request, State
from bot.rules import evolve
from bot.store import chain
from bot.store.codec import (
    dump_batch,
    dump_batch_event,
    dump_event,
    load_batch,
    load_batch_event,
    load_request,
)
from bot.store.tables import ActionRow, BatchRow, EventRow, LineRow, ReferenceRow, RequestRow, VoteRow
from bot.store.unit import NOT_LOOKED_UP, RequestUnit, begins_with, row_of


class Unit(RequestUnit):
    """A database transaction in the words of the bot. Use it inside `Store.write` or `Store.read`."""

    def begin_batch(self, batch: Batch) -> None:
        """Save what was asked for together, and its first event; `begin` its lines after that."""
        self.note_of_batch(batch.id, batch.asked)
        row = BatchRow(
            id=batch.id,
            is_open=True,
            provider=batch.asked.provider,
            requester=str(batch.requester),
            created_at=batch.created_at,
            body=dump_batch(batch),
        )
        self._session.add(row)
        of = enumerate(batch.asked.lines, 1)
        self._session.add_all([LineRow(request_id=one, batch=batch.id, number=n) for n, one in of])
        self._session.flush()

    def begin_all(self, first: Sequence[tuple[str, Event, str]]) -> list[Request]:
        """`begin` for many: their IDs, first events and exact references."""
        begun = [evolve(None, event, self.now, one) for one, event, _ in first]
        self._append_all([(one, event) for one, event, _ in first])
        self._session.execute(insert(RequestRow), [row_of(request).model_dump() for request in begun])
        self._session.execute(
            insert(ReferenceRow), [{"request_id": one, "value": reference} for one, _, reference in first]
        )
        return begun

    def save_all(self, changes: Sequence[tuple[Request, Sequence[Event]]]) -> list[Request]:
        """`save` for many at once, in a few statements. Raises `Conflict` as it does."""
        saved = []
        for before, events in changes:
            after = before
            for event in events:
                after = evolve(after, event, self.now, before.id)
            saved.append(after)
        self._store_rows([before for before, _ in changes], saved)
        self._append_all([(before.id, event) for before, events in changes for event in events])
        votes = []
        for before, events in changes:
            for event in events:
                if isinstance(event, Approved):
                    votes.append({"request_id": before.id, "person": str(event.by), "digest": event.digest})
                else:
                    self._guard(before, event)
        if votes:
            self._vote(votes)
        if ended := [after.id for after in saved if after.state in NOT_LOOKED_UP]:
            gone = delete(ReferenceRow).where(col(ReferenceRow.request_id).in_(ended))
            self._session.execute(gone, execution_options={"synchronize_session": False})
            self.wiped = True
        return saved

    def _store_rows(self, before: Sequence[Request], after: Sequence[Request]) -> None:
        table = RequestRow.__table__  # type: ignore[attr-defined]
        was = (table.c.id == bindparam("was_id")) & (table.c.version == bindparam("was_version"))
        changed = [
            {
                "was_id": old.id,
                "was_version": old.version,
                **row_of(new).model_dump(include={"version", "state", "is_open", "order_key", "body"}),
            }
            for old, new in zip(before, after, strict=True)
        ]
        of: dict[str, Any] = {
            name: bindparam(name) for name in ("version", "state", "is_open", "order_key", "body")
        }
        if self._session.connection().execute(update(table).where(was).values(of), changed).rowcount != len(
            changed
        ):
            raise Conflict(before[0].id)

    def _append_all(self, events: Sequence[tuple[str, Event]]) -> None:
        head, rows = self.head(), []
        for request_id, event in events:
            row = chain.link(head, request_id, self.now, event.kind, dump_event(event))
            rows.append(row.model_dump())
            head = chain.Head(row.seq, row.hash)
        self._session.execute(insert(EventRow), rows)

    def _vote(self, votes: list[dict[str, str]]) -> None:
        try:
            self._session.execute(insert(VoteRow), votes)
        except IntegrityError as taken:
            raise Conflict(votes[0]["request_id"]) from taken

    def schedule_all(self, work: Sequence[tuple[str, str, str, datetime]]) -> None:
        """`schedule` for many: kind, key, lane and due time of each."""
        if not work:
            return
        is_sqlite = self._session.get_bind().dialect.name == "sqlite"
        query = (sqlite_insert if is_sqlite else postgresql_insert)(ActionRow.__table__)  # type: ignore[attr-defined]
        names = ("lane", "due", "done", "runs", "token", "lease")
        again = {name: query.excluded[name] for name in names}
        values = [
            {"kind": kind, "key": key, "lane": lane, "due": due}
            | {"done": False, "runs": 0, "token": None, "lease": None}
            for kind, key, lane, due in work
        ]
        upsert = query.on_conflict_do_update(index_elements=["kind", "key"], set_=again)
        self._session.connection().execute(upsert, values)
        self.has_news = True

    def note_of_batch(self, batch_id: str, event: BatchEvent) -> None:
        self._session.add(chain.link(self.head(), batch_id, self.now, event.kind, dump_batch_event(event)))
        self._session.flush()

    def questions_about(self, batch_id: str) -> list[BatchQuestioned]:
        """What was asked about a batch so far."""
        asked = EventRow.request_id == batch_id, EventRow.kind == "batch_questioned"
        mine = select(EventRow.body).where(*asked).order_by(col(EventRow.seq))
        found = [load_batch_event(body) for body in self._session.exec(mine)]
        return [one for one in found if isinstance(one, BatchQuestioned)]

    def batch(self, batch_id: str) -> Batch | None:
        row = self._session.get(BatchRow, batch_id)
        return None if row is None else load_batch(row.body)

    def prove_batch(self, batch: Batch) -> None:
        """Raise `ChainBroken` unless it is what its first event says."""
        mine = select(EventRow).where(EventRow.request_id == batch.id).order_by(col(EventRow.seq)).limit(1)
        first = self._session.exec(mine).first()
        if first is None or Batch(batch.id, first.at, load_batch_event(first.body)) != batch:  # type: ignore[arg-type]
            raise ChainBroken(0, f"batch {batch.id} is not what its history says")

    def find_batches(self, prefix: str) -> list[Batch]:
        """Those whose ID begins with `prefix`; at most two."""
        mine = begins_with(col(BatchRow.id), prefix)
        return [load_batch(row.body) for row in self._session.exec(select(BatchRow).where(*mine).limit(2))]

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
        made = col(BatchRow.created_at)
        order = made if oldest_first else made.desc()
        query = select(BatchRow).order_by(order, BatchRow.id).limit(limit).offset(skip)
        if is_open is not None:
            query = query.where(col(BatchRow.is_open).is_(is_open))
        if states:
            there = select(LineRow.batch).join(RequestRow, col(RequestRow.id) == LineRow.request_id)
            query = query.where(col(BatchRow.id).in_(there.where(col(RequestRow.state).in_(list(states)))))
        if provider is not None:
            query = query.where(BatchRow.provider == provider)
        if requester is not None:
            query = query.where(BatchRow.requester == requester)
        return [load_batch(row.body) for row in self._session.exec(query)]

    def lines_of(self, batch: Batch) -> list[Request]:
        """Its requests, in the order in which they were asked for."""
        mine = col(RequestRow.id).in_(batch.asked.lines)
        # Columns, not rows: a row that was loaded before would come back as it was before it was saved.
        found = dict(self._session.exec(select(RequestRow.id, RequestRow.body).where(mine)).all())
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
        mine = col(RequestRow.id).in_(select(LineRow.request_id).where(LineRow.batch == batch_id))
        query = select(RequestRow.state, func.count()).where(mine).group_by(RequestRow.state)
        return {State(state): n for state, n in self._session.exec(query)}

    def close_batch(self, batch_id: str) -> bool:
        """Note that nothing happens to it by itself any more. False when that was noted before."""
        mine = (col(BatchRow.id) == batch_id) & col(BatchRow.is_open)
        return self._changed(update(BatchRow).where(mine).values(is_open=False)) == 1

    def open_requests_among(self, keys: Sequence[str]) -> dict[str, Request]:
        """Those of these orders that are being dealt with, by their reference keys."""
        mine = col(RequestRow.reference_key).in_(list(keys)) & col(RequestRow.is_open)
        rows = self._session.exec(select(RequestRow).where(mine))
        return {row.reference_key: load_request(row.body) for row in rows}

    def requests_among(self, keys: Sequence[str], since: datetime) -> list[Request]:
        """All requests for any of these orders since then, the newest first."""
        mine = col(RequestRow.reference_key).in_(list(keys)) & (col(RequestRow.created_at) >= since)
        rows = self._session.exec(select(RequestRow).where(mine).order_by(col(RequestRow.created_at).desc()))
        return [load_request(row.body) for row in rows]
