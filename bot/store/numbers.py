"""Numbers about the database, each from an index, inside one transaction of the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func
from sqlmodel import col, select

from bot.batch.rules import BatchAttemptRefused
from bot.events import Event
from bot.model import OPEN
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


def count(connection: Connection, now: datetime, paused: frozenset[str]) -> Numbers:
    state, made = RequestRow.state, col(RequestRow.created_at)
    is_open = col(state).in_([each.value for each in OPEN])
    by_state = connection.execute(select(state, func.count(), func.min(made)).where(is_open).group_by(state))
    owed = select(func.count(), func.min(MessageRow.created_at)).where(~col(MessageRow.delivered))
    due = col(ActionRow.due)
    is_free = col(ActionRow.token).is_(None) | (col(ActionRow.lease) < now)
    waiting = select(due).where(~col(ActionRow.done), due <= now, is_free).order_by(due).limit(1)
    messages, oldest = connection.execute(owed).one()
    return Numbers(
        open={name: (number, _age(first, now)) for name, number, first in by_state},
        owed=(messages, _age(oldest, now)),
        overdue=_age(connection.execute(waiting).scalar(), now),
        events=connection.execute(select(func.max(EventRow.seq))).scalar() or 0,
        paused=paused,
    )


Told = tuple[str, Event | BatchAttemptRefused, datetime]
"""The request or list, what happened to it, and when."""


def past(connection: Connection, after: int, limit: int) -> tuple[int, list[Told]]:
    """The next events of the history after number `after`, and the number of the last of them. Left out are
    notes, which belong to no request, and what is said of a whole list: its orders have events of their own,
    but for an attempt that did not count."""
    columns = (EventRow.seq, EventRow.request_id, EventRow.kind, EventRow.body, EventRow.at)
    query = select(*map(col, columns)).where(col(EventRow.seq) > after).order_by(col(EventRow.seq))
    rows: list[tuple[Any, ...]] = [tuple(row) for row in connection.execute(query.limit(limit))]
    told = [
        (request_id, event, at)
        for _, request_id, kind, body, at in rows
        if request_id is not None and (event := _counted(kind, body)) is not None
    ]
    return (rows[-1][0] if rows else after), told


def _counted(kind: str, body: str) -> Event | BatchAttemptRefused | None:
    if not is_of_batch(kind):
        return load_event(body)
    event = load_batch_event(body)
    return event if isinstance(event, BatchAttemptRefused) else None


def _age(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max((now - at).total_seconds(), 0.0)
