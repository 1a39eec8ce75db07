"""Everything the history says about one request, step by step: what it was before and after each event."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from sqlmodel import Session, col, select

from bot.audit.history import Row, verify
from bot.errors import ChainBroken
from bot.model import Event, Request
from bot.rules import evolve
from bot.store import Unit
from bot.store.chain import Head
from bot.store.codec import load_event
from bot.store.tables import EventRow


@dataclass(frozen=True, slots=True)
class Step:
    """One event, and what it made of the request."""

    row: Row
    at: datetime
    event: Event
    before: Request | None
    after: Request


@dataclass(frozen=True, slots=True)
class Dossier:
    request: Request
    """As its events add up to it."""
    steps: Sequence[Step]
    head: Head
    """Of the history that it was taken from, which verified."""
    started: Mapping[str, Any]
    """What the bot noted at its last start before the request: its version, and a hash of its settings."""
    card: tuple[str, str] | None
    """Where it is in Slack: channel and timestamp."""


def find(connection: Connection, prefix: str) -> list[Request]:
    """Requests whose ID begins so; at most two."""
    with Session(connection) as session:
        return Unit(session, datetime.now(UTC)).find(prefix) if prefix else []


def dossier(connection: Connection, request: Request) -> Dossier:
    """Raises `ChainBroken` when the history does not verify, or does not add up to what is stored."""
    head = verify(connection)
    with Session(connection) as session:
        unit = Unit(session, datetime.now(UTC))
        unit.prove(request)
        events = select(EventRow).where(EventRow.request_id == request.id).order_by(col(EventRow.seq))
        steps = _steps(request.id, session.exec(events).all())
        starts = select(EventRow.body).where(
            col(EventRow.request_id).is_(None), EventRow.kind == "started", EventRow.seq < steps[0].row.seq
        )
        started = session.exec(starts.order_by(col(EventRow.seq).desc()).limit(1)).first()
        card = unit.card(request.id)
        where = (card.channel, card.ts) if card else None
        return Dossier(steps[-1].after, steps, head, json.loads(started or "{}"), where)


def _steps(request_id: str, rows: Sequence[EventRow]) -> list[Step]:
    found: list[Step] = []
    request: Request | None = None
    for one in rows:
        event, before = load_event(one.body), request
        request = evolve(before, event, one.at, request_id)
        row = Row(one.seq, one.previous, one.hash, one.at.isoformat(), one.request_id, one.kind, one.body)
        if row.sealed != row.hash:  # as it is read here, too
            raise ChainBroken(one.seq, f"event {one.seq} of the history was changed")
        found.append(Step(row, one.at, event, before, request))
    if not found:
        raise ChainBroken(0, f"there is no history of request {request_id}")
    return found
