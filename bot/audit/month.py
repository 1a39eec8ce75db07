"""What happened to the requests of one month, counted from the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

from sqlalchemy import Connection
from sqlmodel import Session, col, select

from bot.audit.history import verify
from bot.batch.rules import Batch, BatchAttemptRefused
from bot.events import Approved, AttemptRefused, Event, QuorumReached
from bot.model import ENDED, Person, Request, State
from bot.rules import evolve
from bot.store import Unit
from bot.store.chain import Head
from bot.store.codec import load_batch_event
from bot.store.tables import EventRow


@dataclass(frozen=True, slots=True)
class Course:
    """How one request went."""

    request: Request
    first_approval: timedelta | None = None
    """After it was asked for; so are the others. None: it never came to that."""
    quorum: timedelta | None = None
    outcome: timedelta | None = None
    """Until it had ended, or needed a person."""
    was_unknown: bool = False
    """Nobody knew for a while what became of the cancel."""
    own_approvals: tuple[tuple[datetime, Person], ...] = ()
    """Each time somebody tried to approve a request of their own."""


@dataclass(frozen=True, slots=True)
class Month:
    begin: datetime
    end: datetime
    """Not included."""
    head: Head
    """Of the history it was counted from, which verified."""
    courses: Sequence[Course]
    """One for each order: those on a list are requests by themselves."""
    own_lists: Sequence[tuple[datetime, Person, Batch]] = ()
    """Each time somebody tried to approve a list of their own."""

    @property
    def name(self) -> str:
        return f"{self.begin:%Y-%m}"

    def by_provider(self) -> dict[str, Counter[State]]:
        """How many requests at each provider are in which state now."""
        found: dict[str, Counter[State]] = {}
        for course in self.courses:
            found.setdefault(course.request.provider, Counter())[course.request.state] += 1
        return dict(sorted(found.items()))

    def pairs(self) -> Counter[tuple[str, str]]:
        """How often each requester had an approval, that counted, of each approver."""
        return Counter(
            (course.request.requester.user, approval.by.user)
            for course in self.courses
            for approval in course.request.counted
        )


def bounds(year: int, month: int) -> tuple[datetime, datetime]:
    """The first moment of a month and of the next one, in UTC."""
    begin = datetime(year, month, 1, tzinfo=UTC)
    return begin, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def month(connection: Connection, year: int, number: int) -> Month:
    """The requests made in that month, with all that happened to them since. Raises `ChainBroken`."""
    head = verify(connection)
    begin, end = bounds(year, number)
    with Session(connection) as session:
        asked = select(EventRow.request_id).where(
            EventRow.kind == "requested", EventRow.at >= begin, EventRow.at < end
        )
        unit = Unit(connection)
        courses = [
            course(unit.history(str(one)), str(one))
            for one in session.exec(asked.order_by(col(EventRow.seq))).all()
        ]
        own_lists = list(_own_lists(session, unit, begin, end))
    return Month(begin, end, head, courses, own_lists)


def _own_lists(
    session: Session, unit: Unit, begin: datetime, end: datetime
) -> Iterator[tuple[datetime, Person, Batch]]:
    asked = select(EventRow.request_id).where(
        EventRow.kind == "batch_requested", EventRow.at >= begin, EventRow.at < end
    )
    refused = select(EventRow).where(
        EventRow.kind == "batch_attempt_refused", col(EventRow.request_id).in_(asked)
    )
    for row in session.exec(refused.order_by(col(EventRow.seq))).all():
        event, batch = load_batch_event(row.body), unit.batch(str(row.request_id))
        if isinstance(event, BatchAttemptRefused) and batch is not None and _of_their_own(event):
            yield row.at, event.by, batch


def course(history: Sequence[tuple[Event, datetime]], request_id: str) -> Course:
    """How a request went, from its events."""
    request: Request | None = None
    first: dict[str, datetime] = {}
    was_unknown, own = False, []
    for event, at in history:
        request = evolve(request, event, at, request_id)
        was_unknown = was_unknown or request.state is State.UNKNOWN
        for name in _milestones(event, request):
            first.setdefault(name, at)
        if isinstance(event, AttemptRefused) and _of_their_own(event):
            own.append((at, event.by))
    if request is None:
        raise ValueError(f"there is no history of {request_id}")
    took = {name: at - request.created_at for name, at in first.items()}
    return Course(
        request, took.get("approval"), took.get("quorum"), took.get("outcome"), was_unknown, tuple(own)
    )


def _of_their_own(event: AttemptRefused | BatchAttemptRefused) -> bool:
    return (event.action, event.rule) == ("approve", "own_request")


def _milestones(event: Event, after: Request) -> Iterator[str]:
    if isinstance(event, Approved):
        yield "approval"
    if isinstance(event, QuorumReached):
        yield "quorum"
    if after.state in ENDED or after.state is State.NEEDS_PERSON:
        yield "outcome"


def share(times: Sequence[timedelta], part: float) -> timedelta | None:
    """The time within which so great a part of them was done: the median for 0.5. None of none."""
    return sorted(times)[max(ceil(part * len(times)) - 1, 0)] if times else None
