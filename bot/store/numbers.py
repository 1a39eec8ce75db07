"""Numbers about the database, each from an index, inside one transaction of the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from bot.batches import BatchAttemptRefused
from bot.model import OPEN, Event
from bot.store.codec import is_of_batch, load_batch_event, load_event
from bot.store.tables import ActionRow, EventRow, MessageRow, RequestRow


@dataclass(frozen=True, slots=True)
class Numbers:
    """Ages are in seconds; 0 where there is nothing that could be old."""

    open: dict[str, tuple[int, float]]
    """How many requests are in each open state, and the age of the oldest."""
    owed: tuple[int, float]
    """Messages that Slack has not taken, and the age of the oldest."""
    overdue: float
    """For how long work has been due that no worker has taken."""
    events: int
    """Length of the history."""
    paused: frozenset[str]
    """Providers; an empty name stands for all of them."""


def count(session: Session, now: datetime, paused: frozenset[str]) -> Numbers:
    state, made = RequestRow.state, col(RequestRow.created_at)
    is_open = col(state).in_([each.value for each in OPEN])
    by_state = session.exec(select(state, func.count(), func.min(made)).where(is_open).group_by(state))
    owed = select(func.count(), func.min(MessageRow.created_at)).where(~col(MessageRow.delivered))
    due = col(ActionRow.due)
    is_free = col(ActionRow.token).is_(None) | (col(ActionRow.lease) < now)
    waiting = select(due).where(~col(ActionRow.done), due <= now, is_free).order_by(due).limit(1)
    messages, oldest = session.exec(owed).one()
    return Numbers(
        open={name: (number, _age(first, now)) for name, number, first in by_state},
        owed=(messages, _age(oldest, now)),
        overdue=_age(session.exec(waiting).first(), now),
        events=session.exec(select(func.max(EventRow.seq))).one() or 0,
        paused=paused,
    )


Told = tuple[str, Event | BatchAttemptRefused, datetime]
"""The request or list, what happened to it, and when."""


def past(session: Session, after: int, limit: int) -> tuple[int, list[Told]]:
    """The next events of the history after number `after`, and the number of the last of them. Left out are
    notes, which belong to no request, and what is said of a whole list: its orders have events of their own,
    but for an attempt that did not count."""
    query = select(EventRow).where(col(EventRow.seq) > after).order_by(col(EventRow.seq)).limit(limit)
    rows = list(session.exec(query))
    told = [(str(row.request_id), event, row.at) for row in rows if (event := _counted(row)) is not None]
    return (rows[-1].seq if rows else after), told


def _counted(row: EventRow) -> Event | BatchAttemptRefused | None:
    if row.request_id is None:
        return None
    if not is_of_batch(row.kind):
        return load_event(row.body)
    event = load_batch_event(row.body)
    return event if isinstance(event, BatchAttemptRefused) else None


def _age(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max((now - at).total_seconds(), 0.0)
