"""One transaction: load a request, save what happened to it, and what follows from that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, delete, func, insert, union_all, update
from sqlalchemy import select as sqlalchemy_select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, col, select
from sqlmodel.sql.sqltypes import UTCDateTime

from bot.errors import ChainBroken, Conflict
from bot.model import (
    ENDED,
    OPEN,
    ApprovalTakenBack,
    ApprovalVoided,
    Approved,
    Event,
    OrderRead,
    Permitted,
    Person,
    Request,
    State,
    order_key,
)
from bot.rules import evolve, replay
from bot.store import chain, numbers
from bot.store.codec import dump_event, dump_request, load_event, load_request
from bot.store.numbers import Numbers, Told
from bot.store.pauses import Pauses
from bot.store.raw import LINK, Raw
from bot.store.tables import (
    ActionRow,
    BatchRow,
    CardRow,
    EventRow,
    HomeRow,
    LineRow,
    MessageRow,
    PermitRow,
    ReferenceRow,
    RequestRow,
    VoteRow,
)

_HASH = Raw(EventRow.hash)
_ALONE = col(RequestRow.id).not_in(select(LineRow.request_id))
_WITH_ITS_OWN_CARD = _ALONE | (RequestRow.state == State.NEEDS_PERSON.value)

NAME_LENGTH = 8
"""Of a worker's name, which its tokens begin with."""

NOT_LOOKED_UP = ENDED | {State.NEEDS_PERSON}
"""States in which nothing is sent or read at the provider any more, so that nobody needs the exact
reference."""


class RequestUnit:
    """What a transaction does about one request at a time; `Unit` in `bot/store/several.py` is all of it."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        self.now = now
        """One time for everything in the transaction."""
        self.has_news = False
        """Work became due or a message is owed: whoever does those should look."""
        self.pauses = Pauses(session, now)
        self.saved: list[tuple[str | None, Event | str]] = []
        """What was added to the history: the events of requests, and the kinds of notes."""
        self.wiped = False
        """A reference was deleted: its bytes must not stay in the write-ahead log."""

    # --- requests and their history ---------------------------------------------------------------

    def request(self, request_id: str) -> Request | None:
        row = self._session.get(RequestRow, request_id)
        return None if row is None else load_request(row.body)

    def find(self, prefix: str) -> list[Request]:
        """Requests whose ID begins with `prefix`; at most two, to tell "found" from "ambiguous"."""
        rows = self._session.exec(select(RequestRow).where(*begins_with(col(RequestRow.id), prefix)).limit(2))
        return [load_request(row.body) for row in rows]

    def open_request_for(self, reference_key: str) -> Request | None:
        row = self._session.exec(
            select(RequestRow).where(RequestRow.reference_key == reference_key, col(RequestRow.is_open))
        ).first()
        return None if row is None else load_request(row.body)

    def requests_for(self, reference_key: str, since: datetime) -> list[Request]:
        """All requests for one order since then, the newest first."""
        query = select(RequestRow).where(
            RequestRow.reference_key == reference_key, RequestRow.created_at >= since
        )
        rows = self._session.exec(query.order_by(col(RequestRow.created_at).desc(), RequestRow.id))
        return [load_request(row.body) for row in rows]

    def open_requests_with(self, order_key: str, but: str) -> list[Request]:
        """Other open requests that turned out to be about the same order."""
        rows = self._session.exec(
            select(RequestRow).where(
                RequestRow.order_key == order_key, col(RequestRow.is_open), RequestRow.id != but
            )
        )
        return [load_request(row.body) for row in rows]

    def open_requests_of(self, requester: str) -> int:
        """How many requests of one person are not decided yet."""
        mine = select(func.count()).where(
            RequestRow.requester == requester,
            col(RequestRow.is_open),
            RequestRow.state != State.NEEDS_PERSON.value,
            _ALONE,
        )
        together = select(func.count()).where(BatchRow.requester == requester, col(BatchRow.is_open))
        return self._session.exec(mine).one() + self._session.exec(together).one()

    def requests(
        self,
        *,
        states: Sequence[str] = (),
        requester: str | None = None,
        provider: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        skip: int = 0,
        oldest_first: bool = False,
        with_lines: bool = False,
    ) -> list[Request]:
        """The newest requests first, unless `oldest_first`. Those that were asked for in a batch only
        `with_lines`, or when one needs a person by itself."""
        made = col(RequestRow.created_at)
        order = (made if oldest_first else made.desc(), col(RequestRow.id))
        query = select(RequestRow)
        if provider is not None:
            query = query.where(RequestRow.provider == provider)
        if not with_lines:
            query = query.where(_WITH_ITS_OWN_CARD)
        if since is not None:
            query = query.where(RequestRow.created_at >= since)
        if requester is not None:
            query = query.where(RequestRow.requester == requester)
        if states and requester is None:
            some = _first_of_each(query, states, order, skip + limit)
            query = select(RequestRow).where(col(RequestRow.id).in_(some))
        elif states:
            query = query.where(col(RequestRow.state).in_(list(states)))
        found = self._session.exec(query.order_by(*order).limit(limit).offset(skip))
        return [load_request(row.body) for row in found]

    def counts(self, since: datetime) -> dict[State, int]:
        """How many requests made since then are in each state."""
        query = select(RequestRow.state, func.count()).where(RequestRow.created_at >= since)
        return {State(state): n for state, n in self._session.exec(query.group_by(RequestRow.state))}

    def history(self, request_id: str) -> list[tuple[Event, datetime]]:
        rows = self._session.exec(
            select(EventRow).where(EventRow.request_id == request_id).order_by(col(EventRow.seq))
        )
        return [(load_event(row.body), row.at) for row in rows]

    def begin(self, request_id: str, event: Event, reference: str) -> Request:
        """Save the first event of a request, and the exact reference beside it.

        Raises `IntegrityError` when the order is spoken for by another open request.
        """
        request = evolve(None, event, self.now, request_id)
        self._append(request_id, [event])
        self._session.add(row_of(request))
        self._session.add(ReferenceRow(request_id=request_id, value=reference))
        self._session.flush()
        return request

    def save(self, before: Request, events: Sequence[Event]) -> Request:
        """Append `events` and store what the request becomes.

        Raises `Conflict` when somebody else saved it since `before` was read; nothing is kept then.
        """
        after = before
        for event in events:
            after = evolve(after, event, self.now, before.id)
        self._store_row(before, after)
        self._append(before.id, events)
        for event in events:
            self._guard(before, event)
        if after.state in NOT_LOOKED_UP:
            self._session.execute(
                delete(ReferenceRow).where(col(ReferenceRow.request_id) == before.id),
                execution_options={"synchronize_session": False},
            )
            self.wiped = True
        return after

    def rewrite(self) -> None:
        """Write something that changes nothing."""
        changes_nothing = "UPDATE alembic_version SET version_num = version_num"
        self._session.connection().exec_driver_sql(changes_nothing)

    def note(self, kind: str, body: dict[str, Any]) -> None:
        """Add something to the history that belongs to no request: a start, a stop."""
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        self._session.add(chain.link(self.head(), None, self.now, kind, text))
        self.saved.append((None, kind))
        self._session.flush()

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """What was added by `note`, the oldest first."""
        of_none = select(EventRow.body).where(col(EventRow.request_id).is_(None), EventRow.kind == kind)
        return [json.loads(body) for body in self._session.exec(of_none.order_by(col(EventRow.seq)))]

    def known(self, heads: Sequence[chain.Head]) -> frozenset[chain.Head]:
        """Those of `heads` that the history went through."""
        there = select(EventRow.seq, EventRow.hash).where(col(EventRow.seq).in_([head.seq for head in heads]))
        return frozenset(heads) & {chain.Head(*row) for row in self._session.exec(there)}

    def reference(self, request_id: str) -> str | None:
        """The exact reference; None when the request has ended and it was wiped."""
        row = self._session.get(ReferenceRow, request_id)
        return None if row is None else row.value

    def references_at(self, providers: Sequence[str]) -> list[str]:
        """The exact references of open requests."""
        of = select(RequestRow.id).where(col(RequestRow.provider).in_(list(providers)))
        query = select(ReferenceRow.value).where(col(ReferenceRow.request_id).in_(of))
        return list(self._session.exec(query))

    def head(self) -> chain.Head:
        newest = select(EventRow.seq, EventRow.hash).order_by(col(EventRow.seq).desc()).limit(1)
        row = self._session.exec(newest).first()
        return chain.Head() if row is None else chain.Head(*row)

    def verify(self, since: chain.Head, limit: int | None = None) -> chain.Head:
        """Walk the chain from `since`. Raises `ChainBroken` at the first row that is wrong."""
        if since.seq:
            last = self._session.exec(select(_HASH).where(EventRow.seq == since.seq)).first()
            if last != since.hash.encode():
                raise ChainBroken(since.seq, f"event {since.seq} of the history was there before and is not")
        query = sqlalchemy_select(*LINK).order_by(col(EventRow.seq)).limit(limit)
        if since.seq:  # from the beginning, rows in front of the first one are wrong as well
            query = query.where(col(EventRow.seq) > since.seq)
        with self._session.execute(query.execution_options(yield_per=1000)) as rows:
            return chain.follow(since, rows)

    def prove(self, request: Request) -> None:
        """Raise `ChainBroken` unless the stored request is what its history adds up to.

        The chain is walked from where this request begins: that it still ends in a known head proves
        nothing about rows that were changed behind it.
        """
        self.verify(self._head_before(request.id))
        try:
            rebuilt = replay(request.id, self.history(request.id))
        except ValueError as problem:
            raise ChainBroken(0, f"the history of request {request.id} cannot be read") from problem
        row = self._session.get(RequestRow, request.id)
        if rebuilt != request or row is None or _columns(row) != _columns(row_of(rebuilt)):
            raise ChainBroken(0, f"request {request.id} is not what its history says")

    def _head_before(self, request_id: str) -> chain.Head:
        """The link that the first event of a request follows."""
        mine = select(func.min(EventRow.seq)).where(EventRow.request_id == request_id)
        first = self._session.exec(mine).one() or 1
        row = self._session.exec(select(_HASH).where(EventRow.seq == first - 1)).first()
        return chain.Head() if row is None else chain.Head(first - 1, row.decode(errors="replace"))

    def _append(self, request_id: str, events: Sequence[Event]) -> None:
        head = self.head()
        for event in events:
            row = chain.link(head, request_id, self.now, event.kind, dump_event(event))
            self._session.add(row)
            head = chain.Head(row.seq, row.hash)
            self.saved.append((request_id, event))
        self._session.flush()

    def _store_row(self, before: Request, after: Request) -> None:
        row = row_of(after)
        changed = self._changed(
            update(RequestRow)
            .where(col(RequestRow.id) == before.id, col(RequestRow.version) == before.version)
            .values(
                version=row.version,
                state=row.state,
                is_open=row.is_open,
                order_key=row.order_key,
                body=row.body,
            )
        )
        if changed != 1:
            raise Conflict(before.id)

    def _guard(self, before: Request, event: Event) -> None:
        """Rows whose unique constraints hold even if the code above them were wrong."""
        match event:
            case Approved(by=by, digest=digest):
                vote = insert(VoteRow).values(request_id=before.id, person=str(by), digest=digest)
                try:
                    self._session.execute(vote)
                except IntegrityError as taken:
                    raise Conflict(before.id) from taken
            case ApprovalVoided(by, _) | ApprovalTakenBack(by):
                self._forget_votes(VoteRow.request_id == before.id, VoteRow.person == str(by))
            case OrderRead(_):
                self._forget_votes(VoteRow.request_id == before.id)
            case Permitted(epoch, attempt, _, _):
                self._session.execute(
                    insert(PermitRow).values(epoch=epoch, request_id=before.id, attempt=attempt, at=self.now)
                )
            case _:
                pass

    def _forget_votes(self, *conditions: Any) -> None:
        self._session.execute(
            delete(VoteRow).where(*conditions), execution_options={"synchronize_session": False}
        )

    # --- the agenda -------------------------------------------------------------------------------

    def schedule(self, kind: str, key: str, lane: str, due: datetime) -> None:
        """Make work due. Rescheduling takes it away from whoever holds it now: their `finish` and
        `put_back` find nothing, and the new due time stands."""
        values = {"lane": lane, "due": due, "done": False, "runs": 0, "token": None, "lease": None}
        self._upsert(ActionRow, {"kind": kind, "key": key}, values)
        self.has_news = True

    def claim(
        self, token: str, lease: timedelta, full: Sequence[str], running: Sequence[int] = ()
    ) -> ActionRow | None:
        """Take one due action, leaving out the lanes in `full` and the actions whose task is `running`
        in this process: a step of the clock may end their lease, but not the task. None when there
        is none. What `token` holds already is returned again: the connection broke right after the commit."""
        held = select(ActionRow).where(~col(ActionRow.done), ActionRow.token == token)
        if mine := self._session.exec(held).first():
            return mine
        free = (col(ActionRow.token).is_(None)) | (col(ActionRow.lease) < self.now)
        due = (
            select(ActionRow.id)
            .where(~col(ActionRow.done), ActionRow.due <= self.now, free)
            .where(col(ActionRow.lane).not_in(list(full)), col(ActionRow.id).not_in(list(running)))
            .order_by(col(ActionRow.due), col(ActionRow.id))
            .limit(1)
        )
        claimed = self._session.execute(
            update(ActionRow)
            .where(col(ActionRow.id).in_(due.scalar_subquery()))
            .values(token=token, lease=self.now + lease, runs=ActionRow.runs + 1)
            .returning(col(ActionRow.id)),
            execution_options={"synchronize_session": False},
        ).scalar_one_or_none()
        return None if claimed is None else self._session.get(ActionRow, claimed)

    def hasten(self, kind: str, provider: str) -> None:
        """Whatever of this kind waits in the lanes of a provider is due now; of all, if none is named."""
        waits = update(ActionRow).where(col(ActionRow.kind) == kind, ~col(ActionRow.done))
        if provider:
            lane = col(ActionRow.lane)
            waits = waits.where((lane == provider) | lane.startswith(f"{provider}/", autoescape=True))
        self._changed(waits.where(col(ActionRow.due) > self.now).values(due=self.now))
        self.has_news = True

    def finish(self, action_id: int, token: str) -> None:
        self._changed(
            update(ActionRow)
            .where(col(ActionRow.id) == action_id, col(ActionRow.token) == token)
            .values(done=True, token=None, lease=None)
        )

    def put_back(self, action_id: int, token: str, after: timedelta) -> None:
        self._changed(
            update(ActionRow)
            .where(col(ActionRow.id) == action_id, col(ActionRow.token) == token)
            .values(due=self.now + after, token=None, lease=None)
        )

    def numbers(self) -> Numbers:
        """What `/metrics` tells about the present."""
        return numbers.count(self._session, self.now, frozenset(each.provider for each in self.pauses.all()))

    def past(self, after: int, limit: int) -> tuple[int, list[Told]]:
        """The next events of the history, and the number of the last of them."""
        return numbers.past(self._session, after, limit)

    def free_all_actions(self) -> None:
        """Void every lease. Only for the sole process on a database, at its start."""
        self._changed(
            update(ActionRow).where(col(ActionRow.token).is_not(None)).values(token=None, lease=None)
        )

    def holders(self) -> frozenset[str]:
        """The workers that hold claims, by the `NAME_LENGTH` characters their tokens begin with."""
        name = func.substr(col(ActionRow.token), 1, NAME_LENGTH)
        held = select(name).where(~col(ActionRow.done), col(ActionRow.token).is_not(None))
        return frozenset(self._session.exec(held.distinct()))

    def free_actions_of(self, name: str) -> None:
        """Void the leases of a worker that is gone."""
        held = col(ActionRow.token).startswith(name, autoescape=True)
        self._changed(update(ActionRow).where(held).values(token=None, lease=None))
        self.has_news = True

    def until_due(self, running: Sequence[int] = ()) -> timedelta | None:
        """How long until the next action can be claimed: at its due time, or at the end of a lease that
        nobody gave back. None: there is none."""
        claimable = func.coalesce(col(ActionRow.lease), col(ActionRow.due), type_=UTCDateTime())
        waiting = select(claimable).where(~col(ActionRow.done), col(ActionRow.id).not_in(list(running)))
        due = self._session.exec(waiting.order_by(claimable).limit(1)).first()
        return None if due is None else due - self.now

    # --- the outbox -------------------------------------------------------------------------------

    def owe(self, lane: str, kind: str, *, request_id: str | None, target: str, body: str = "") -> None:
        self.has_news = True
        self._session.add(
            MessageRow(
                lane=lane,
                kind=kind,
                request_id=request_id,
                target=target,
                body=body,
                due=self.now,
                created_at=self.now,
            )
        )

    def owed(self) -> list[MessageRow]:
        """The first undelivered message of each lane, the oldest first."""
        first = select(func.min(MessageRow.id)).where(~col(MessageRow.delivered)).group_by(MessageRow.lane)
        query = select(MessageRow).where(col(MessageRow.id).in_(first)).order_by(col(MessageRow.id))
        return list(self._session.exec(query))

    def delivered(self, message_id: int) -> None:
        self._changed(
            update(MessageRow).where(col(MessageRow.id) == message_id).values(delivered=True, problem="")
        )

    def covered(self, request_id: str, last_id: int) -> None:
        """A card rendered now shows everything up to `last_id`: older paintings are not owed any more."""
        self._changed(
            update(MessageRow)
            .where(col(MessageRow.request_id) == request_id, col(MessageRow.kind) == "card")
            .where(~col(MessageRow.delivered), col(MessageRow.id) <= last_id)
            .values(delivered=True)
        )

    def last_owed_card(self, request_id: str) -> int:
        query = select(MessageRow.id).where(MessageRow.request_id == request_id, MessageRow.kind == "card")
        return self._session.exec(query.order_by(col(MessageRow.id).desc()).limit(1)).first() or 0

    def postpone(self, message_id: int, due: datetime, problem: str) -> None:
        self._changed(
            update(MessageRow)
            .where(col(MessageRow.id) == message_id)
            .values(due=due, tries=MessageRow.tries + 1, problem=problem)
        )

    def painted(self, lane: str, last_id: int) -> None:
        """An App Home painted now shows everything up to `last_id`."""
        self._changed(
            update(MessageRow)
            .where(col(MessageRow.lane) == lane, ~col(MessageRow.delivered), col(MessageRow.id) <= last_id)
            .values(delivered=True)
        )

    def last_owed_in(self, lane: str) -> int:
        query = select(MessageRow.id).where(MessageRow.lane == lane)
        return self._session.exec(query.order_by(col(MessageRow.id).desc()).limit(1)).first() or 0

    def home_opened(self, person: str) -> None:
        self._upsert(HomeRow, {"person": person}, {"opened_at": self.now})

    def home_watchers(self, since: datetime, limit: int) -> list[Person]:
        """Who opened their App Home since then, the latest first."""
        query = select(HomeRow.person).where(HomeRow.opened_at >= since)
        rows = self._session.exec(query.order_by(col(HomeRow.opened_at).desc()).limit(limit))
        return [Person(*person.split("/", 1)) for person in rows]

    def card(self, request_id: str) -> CardRow | None:
        return self._session.get(CardRow, request_id)

    def set_card(self, request_id: str, channel: str, ts: str) -> None:
        self._upsert(CardRow, {"request_id": request_id}, {"channel": channel, "ts": ts})

    def _upsert(self, table: type[SQLModel], key: dict[str, Any], values: dict[str, Any]) -> None:
        is_sqlite = self._session.get_bind().dialect.name == "sqlite"
        query = (sqlite_insert if is_sqlite else postgresql_insert)(table).values(**key, **values)
        self._session.execute(query.on_conflict_do_update(index_elements=list(key), set_=values))

    def _changed(self, statement: Any) -> int:
        result = self._session.execute(statement, execution_options={"synchronize_session": False})
        return result.rowcount if isinstance(result, CursorResult) else 0


def begins_with(column: Any, prefix: str) -> tuple[Any, Any]:
    """The conditions for IDs, which are hexadecimal, that begin so. An index finds them, as it would not
    find a pattern."""
    return column >= prefix, column < f"{prefix}g"


def _first_of_each(query: Any, states: Sequence[str], order: Sequence[Any], limit: int) -> Any:
    """The IDs of the first of each state by itself: the index has those in order. All states together would
    have to be sorted, however many requests have ended by now."""
    ids = query.with_only_columns(col(RequestRow.id))
    each = (ids.where(RequestRow.state == state).order_by(*order).limit(limit) for state in states)
    return union_all(*(sqlalchemy_select(one.subquery().c.id) for one in each))


def _columns(row: RequestRow) -> dict[str, Any]:
    """What a row is found by. Not its body: later versions spell the same request otherwise."""
    return row.model_dump(exclude={"body"})


def row_of(request: Request) -> RequestRow:
    return RequestRow(
        id=request.id,
        version=request.version,
        state=request.state.value,
        is_open=request.state in OPEN,
        provider=request.provider,
        reference_key=request.reference_key,
        order_key=order_key(request),
        requester=str(request.requester),
        created_at=request.created_at,
        body=dump_request(request),
    )
