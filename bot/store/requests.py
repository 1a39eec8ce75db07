"""One transaction: load requests, save what happened to them, and what follows from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any

from sqlalchemy import (
    BindParameter,
    Executable,
    bindparam,
    delete,
    func,
    insert,
    literal,
    union_all,
    update,
)
from sqlalchemy import select as sqlalchemy_select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from bot.errors import ChainBroken, Conflict
from bot.events import ApprovalTakenBack, ApprovalVoided, Approved, Event, OrderRead, Permitted
from bot.model import ENDED, OPEN, Request, State, order_key
from bot.rules import evolve, replay
from bot.store import numbers
from bot.store.chain import Head
from bot.store.codec import dump_request, load_request
from bot.store.history import History
from bot.store.messages import OwedMessages
from bot.store.numbers import Numbers, Told
from bot.store.pauses import Pauses
from bot.store.prepared import Prepared, Values
from bot.store.tables import (
    BatchRow,
    EventRow,
    HeardRow,
    PermitRow,
    ReferenceRow,
    RequestRow,
    VoteRow,
)
from bot.store.work import DueWork

_THIS: BindParameter[str] = bindparam("request")
_BODY = select(RequestRow.body)
_REQUEST = Prepared(_BODY.where(col(RequestRow.id) == _THIS))
_REFERENCE = Prepared(select(ReferenceRow.value).where(col(ReferenceRow.request_id) == _THIS))
_OPEN_FOR = Prepared(_BODY.where(col(RequestRow.reference_key) == bindparam("key"), col(RequestRow.is_open)))
_SAME_ORDER = Prepared(
    _BODY.where(
        col(RequestRow.order_key) == bindparam("key"), col(RequestRow.is_open), col(RequestRow.id) != _THIS
    )
)
_FOR = Prepared(
    _BODY.where(col(RequestRow.reference_key) == bindparam("key"))
    .where(col(RequestRow.created_at) >= bindparam("since"))
    .order_by(col(RequestRow.created_at).desc(), col(RequestRow.id))
)
_UNPROVED = ("body", "by_itself")
_PROVED = [each for each in RequestRow.__table__.c if each.name not in _UNPROVED]  # type: ignore[attr-defined]
_ROW = Prepared(sqlalchemy_select(*_PROVED).where(col(RequestRow.id) == _THIS))

_COUNTS = Prepared(
    union_all(
        *(  # each by itself, because the index has each in the order of time
            select(literal(state.value), func.count()).where(
                col(RequestRow.state) == state.value,
                col(RequestRow.created_at) >= bindparam("since"),
                col(RequestRow.created_at) < bindparam("before"),
            )
            for state in State
        )
    )
)
_CHANGED = Prepared(
    select(RequestRow.created_at).where(
        col(RequestRow.id).in_(select(EventRow.request_id).where(col(EventRow.seq) > bindparam("after")))
    )
)
_OPEN_OF = Prepared(
    select(RequestRow.state, RequestRow.by_itself, func.count())
    .where(col(RequestRow.requester) == bindparam("by"), col(RequestRow.is_open))
    .group_by(col(RequestRow.state), col(RequestRow.by_itself))
)
_OPEN_LISTS_OF = Prepared(
    select(func.count()).where(col(BatchRow.requester) == bindparam("by"), col(BatchRow.is_open))
)

_OPEN = Prepared(select(func.count()).where(col(RequestRow.is_open)))

_PERMIT = Prepared(select(PermitRow.request_id).where(col(PermitRow.epoch) == bindparam("epoch")))
_ADD_REQUEST, _ADD_REFERENCE, _ADD_VOTE, _ADD_PERMIT = (
    Prepared(insert(table)) for table in (RequestRow, ReferenceRow, VoteRow, PermitRow)
)
_CHANGING = ("version", "state", "is_open", "order_key", "body")
_STORE = Prepared(
    update(RequestRow)
    .where(col(RequestRow.id) == bindparam("was_id"), col(RequestRow.version) == bindparam("was_version"))
    .values({name: bindparam(name) for name in _CHANGING})
)
_VOTES = delete(VoteRow).where(col(VoteRow.request_id) == _THIS)
_FORGET_VOTES = Prepared(_VOTES)
_FORGET_VOTES_OF = Prepared(_VOTES.where(col(VoteRow.person) == bindparam("by")))
_WIPE = Prepared(delete(ReferenceRow).where(col(ReferenceRow.request_id) == _THIS))

_HEARD = Prepared(select(HeardRow.by).where(col(HeardRow.mark) == bindparam("mark")))
_HEAR = Prepared(insert(HeardRow))
_FORGET_HEARD = Prepared(delete(HeardRow).where(col(HeardRow.at) < bindparam("since")))

EVERY_STATE = tuple(state.value for state in State)
REMEMBERED_FOR = timedelta(hours=1)
"""Much longer than a signature counts, as clocks may differ."""
NOT_LOOKED_UP = ENDED | {State.NEEDS_PERSON}
"""States in which nothing is sent or read at the provider any more, so that nobody needs the exact
reference."""


class RequestUnit(History, DueWork, OwedMessages):
    """What a transaction does about requests and their history; `Unit` in `bot/store/unit.py` is all of
    it."""

    @cached_property
    def pauses(self) -> Pauses:
        return Pauses(self._connection, self._clock)

    # --- requests ---------------------------------------------------------------------------------

    def request(self, request_id: str) -> Request | None:
        body = self._ask(_REQUEST, request=request_id).scalar()
        return None if body is None else load_request(body)

    def find(self, prefix: str) -> list[Request]:
        """Requests whose ID begins with `prefix`; at most two, to tell "found" from "ambiguous"."""
        return self._requests(_BODY.where(*begins_with(col(RequestRow.id), prefix)).limit(2))

    def open_request_for(self, reference_key: str) -> Request | None:
        return next(iter(self._requests(_OPEN_FOR, key=reference_key)), None)

    def requests_for(self, reference_key: str, since: datetime) -> list[Request]:
        """All requests for one order since then, the newest first."""
        return self._requests(_FOR, key=reference_key, since=since)

    def open_requests_with(self, order_key: str, but: str) -> list[Request]:
        """Other open requests that turned out to be about the same order."""
        return self._requests(_SAME_ORDER, key=order_key, request=but)

    def open_requests_of(self, requester: str) -> int:
        """How many requests of one person are not decided yet."""
        # Those by themselves are chosen here, as they would be looked for among all that ever were.
        mine = self._ask(_OPEN_OF, by=requester)
        undecided = [n for state, by_itself, n in mine if by_itself and state != State.NEEDS_PERSON]
        return int(sum(undecided) + self._ask(_OPEN_LISTS_OF, by=requester).scalar())

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
        values = {"requester": requester, "provider": provider, "since": since}
        given = {name: value for name, value in values.items() if value is not None}
        if not states and requester is None:
            states = EVERY_STATE
        query = _listing(tuple(states), frozenset(given), oldest_first, with_lines)
        return self._requests(query, **given, limit=limit, skip=skip, reach=skip + limit)

    def open_now(self) -> int:
        """How many requests have not ended."""
        return int(self._ask(_OPEN).scalar())

    def counts(self, since: datetime, before: datetime) -> dict[State, int]:
        """How many requests made between these times are in each state."""
        return {State(state): n for state, n in self._ask(_COUNTS, since=since, before=before) if n}

    def made_of_changed(self, after: int) -> list[datetime]:
        """When the requests were made to which something happened after the event with this number."""
        return self._ask(_CHANGED, after=after).scalars()

    def _requests(self, query: Prepared | Executable, **values: Any) -> list[Request]:
        return [load_request(body) for body in self._ask(query, **values).scalars()]

    # --- what happens to them ---------------------------------------------------------------------

    def begin(self, request_id: str, event: Event, reference: str) -> Request:
        """Save the first event of a request, and the exact reference beside it.

        Raises `IntegrityError` when the order is spoken for by another open request.
        """
        return self.begin_all([(request_id, event, reference)])[0]

    def begin_all(self, first: Sequence[tuple[str, Event, str]]) -> list[Request]:
        """`begin` for many: their IDs, first events and exact references."""
        begun = [evolve(None, event, self.now, one) for one, event, _ in first]
        self._append([(one, event) for one, event, _ in first])
        self._change_all(_ADD_REQUEST, [row_of(request) for request in begun])
        references = [{"request_id": one, "value": reference} for one, _, reference in first]
        self._change_all(_ADD_REFERENCE, references)
        return begun

    def save(self, before: Request, events: Sequence[Event]) -> Request:
        """Append `events` and store what the request becomes.

        Raises `Conflict` when somebody else saved it since `before` was read; nothing is kept then.
        """
        return self.save_all([(before, events)])[0]

    def save_all(self, changes: Sequence[tuple[Request, Sequence[Event]]]) -> list[Request]:
        """`save` for many at once, in a few statements. Raises `Conflict` as it does."""
        saved = []
        for before, events in changes:
            after = before
            for event in events:
                after = evolve(after, event, self.now, before.id)
            saved.append(after)
        self._store_rows([before for before, _ in changes], saved)
        self._append([(before.id, event) for before, events in changes for event in events])
        self._guard(changes)
        if ended := [{"request": after.id} for after in saved if after.state in NOT_LOOKED_UP]:
            self._change_all(_WIPE, ended)
            self.wiped = True
        return saved

    def has_permit(self, request_id: str, epoch: str) -> bool:
        """Whether this permit was written, and is there still."""
        return bool(self._ask(_PERMIT, epoch=epoch).scalar() == request_id)

    def reference(self, request_id: str) -> str | None:
        """The exact reference; None when it was wiped, as nothing is looked up any more."""
        found: str | None = self._ask(_REFERENCE, request=request_id).scalar()
        return found

    def references_at(self, providers: Sequence[str]) -> list[str]:
        """The exact references of open requests."""
        mine = col(RequestRow.id) == ReferenceRow.request_id, col(RequestRow.provider).in_(list(providers))
        # Those few first: it does not help that an index knows all requests of a provider.
        there_is = select(RequestRow.id).where(*mine).exists()
        return self._ask(select(ReferenceRow.value).where(there_is)).scalars()

    def _store_rows(self, before: Sequence[Request], after: Sequence[Request]) -> None:
        changed = []
        for old, new in zip(before, after, strict=True):
            row = row_of(new)
            was = {"was_id": old.id, "was_version": old.version}
            changed.append(was | {name: row[name] for name in _CHANGING})
        if self._change_all(_STORE, changed) != len(changed):
            raise Conflict(before[0].id)

    def _guard(self, changes: Sequence[tuple[Request, Sequence[Event]]]) -> None:
        """Rows whose unique constraints hold even if the code above them were wrong: in the order of the
        events, as somebody may approve anew what they approved before it changed."""
        votes: list[Values] = []
        for before, events in changes:
            for event in events:
                match event:
                    case Approved(by, card):
                        votes.append({"request_id": before.id, "person": str(by), "digest": card})
                    case ApprovalVoided(by, _) | ApprovalTakenBack(by):
                        self._vote(votes)
                        self._change(_FORGET_VOTES_OF, request=before.id, by=str(by))
                    case OrderRead(_):
                        self._vote(votes)
                        self._change(_FORGET_VOTES, request=before.id)
                    case Permitted(epoch, attempt, _, _):
                        permit = {"epoch": epoch, "request_id": before.id, "attempt": attempt, "at": self.now}
                        self._change_all(_ADD_PERMIT, [permit])
                    case _:
                        pass
        self._vote(votes)

    def _vote(self, votes: list[Values]) -> None:
        """Write down those that are not yet, all at once. Raises `Conflict` when one counts already."""
        try:
            self._change_all(_ADD_VOTE, votes)
        except IntegrityError as taken:
            raise Conflict(str(votes[0]["request_id"])) from taken
        votes.clear()

    def prove(self, request: Request, verified: Head | None = None) -> Head:
        """Raise `ChainBroken` unless the stored request is what its history adds up to, and the chain goes on
        from `verified`, an end of it that was known before. Returns its present end.

        The chain is walked from where this request begins, or from `verified` if that is earlier: that it
        still ends in a known head proves nothing about rows that were changed behind it.
        """
        start = self._head_before(request.id)
        if verified is not None:
            self._must_be_there(verified)
            start = min(start, verified, key=lambda head: head.seq)
        end = self.verify(start)
        try:
            rebuilt = replay(request.id, self.history(request.id))
        except ValueError as problem:
            raise ChainBroken(0, f"the history of request {request.id} cannot be read") from problem
        # Its columns, but not its body: later versions spell the same request otherwise.
        stored = self._ask(_ROW, request=request.id).first()
        expected = found_by(rebuilt)
        # Versions before this one did not take the key from what was looked up for the permit.
        formerly = expected | {"order_key": order_key(replace(rebuilt, permit=None))}
        columns = stored and dict(zip((each.name for each in _PROVED), stored, strict=True))
        if rebuilt != request or columns not in (expected, formerly):
            raise ChainBroken(0, f"request {request.id} is not what its history says")
        return end

    # --- what came in ---------------------------------------------------------------------------------

    def first_time(self, mark: str, by: str) -> bool:
        """Whether what came in under this mark was not heard before by anybody else; from now on it was. What
        cannot come a second time has no mark. `by`: a name for whoever asks, who may have to ask again when
        the answer to a commit was lost."""
        if not mark:
            return True
        if (heard := self._ask(_HEARD, mark=mark).scalar()) is not None:
            return bool(heard == by)
        self._change(_FORGET_HEARD, since=self.now - REMEMBERED_FOR)
        self._change_all(_HEAR, [{"mark": mark, "by": by, "at": self.now}])
        return True

    # --- numbers ----------------------------------------------------------------------------------

    def numbers(self) -> Numbers:
        """What `/metrics` tells about the present."""
        paused = frozenset(each.provider for each in self.pauses.all())
        return numbers.count(self._connection, self.now, paused)

    def past(self, after: int, limit: int) -> tuple[int, list[Told]]:
        """The next events of the history, and the number of the last of them."""
        return numbers.past(self._connection, after, limit)

    def rewrite(self) -> None:
        """Write something that changes nothing."""
        self._connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")


def begins_with(column: Any, prefix: str) -> tuple[Any, Any]:
    """The conditions for IDs, which are hexadecimal, that begin so. An index finds them, as it would not
    find a pattern."""
    return column >= prefix, column < f"{prefix}g"


@cache
def _listing(
    states: tuple[str, ...], given: frozenset[str], oldest_first: bool, with_lines: bool
) -> Executable:
    """The statement of a list of requests. `given`: what they are chosen by, besides their states."""
    made = col(RequestRow.created_at)
    order = (made if oldest_first else made.desc(), col(RequestRow.id))
    query = _BODY
    if "provider" in given:
        query = query.where(RequestRow.provider == bindparam("provider"))
    if not with_lines:
        query = query.where(col(RequestRow.by_itself))
    if "since" in given:
        query = query.where(made >= bindparam("since"))
    if "requester" in given:
        query = query.where(RequestRow.requester == bindparam("requester"))
    if states and not given & {"requester", "provider"}:
        query = _BODY.where(col(RequestRow.id).in_(_first_of_each(query, states, order)))
    elif states:
        query = query.where(col(RequestRow.state).in_(states))
    return query.order_by(*order).limit(bindparam("limit")).offset(bindparam("skip"))


def _first_of_each(query: Any, states: Sequence[str], order: Sequence[Any]) -> Any:
    """The IDs of the first of each state by itself: the index has those in order. All states together would
    have to be sorted, however many requests have ended by now."""
    ids = query.with_only_columns(col(RequestRow.id)).order_by(*order).limit(bindparam("reach"))
    each = (ids.where(RequestRow.state == state) for state in states)
    return union_all(*(sqlalchemy_select(one.subquery().c.id) for one in each))


def row_of(request: Request) -> dict[str, Any]:
    """The columns of a request: the whole record, and what it is found by."""
    return found_by(request) | {"body": dump_request(request)}


def found_by(request: Request) -> dict[str, Any]:
    """The same without the record."""
    return {
        "id": request.id,
        "version": request.version,
        "state": request.state.value,
        "is_open": request.state in OPEN,
        "provider": request.provider,
        "reference_key": request.reference_key,
        "order_key": order_key(request),
        "requester": str(request.requester),
        "created_at": request.created_at,
    }
