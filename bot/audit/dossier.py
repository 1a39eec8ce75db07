"""Everything the history says about one request, step by step: what it was before and after each event."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlmodel import Session, col, select

from bot.audit.history import Row, verify
from bot.batch.rules import Batch, BatchEvent, batch_digest
from bot.errors import ChainBroken
from bot.events import Event
from bot.model import Request
from bot.rules import evolve
from bot.store import Unit
from bot.store.chain import Head
from bot.store.codec import load_batch_event, load_event
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
class ListStep:
    """One event about a whole list."""

    row: Row
    at: datetime
    event: BatchEvent
    digest_before: str
    """`batch_digest` of the list as it was then; empty before its orders were there."""


@dataclass(frozen=True, slots=True)
class OnList:
    """The list that a request is on."""

    batch: Batch
    number: int
    """Which of its lines, as people count."""
    card: tuple[str, str] | None
    steps: Sequence[ListStep]


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
    on_list: OnList | None = None
    """Where it was asked for together with others."""


def find(connection: Connection, prefix: str) -> list[Request]:
    """Requests whose ID begins so; at most two."""
    return Unit(connection).find(prefix) if prefix else []


def dossier(connection: Connection, request: Request) -> Dossier:
    """Raises `ChainBroken` when the history does not verify, or does not add up to what is stored."""
    head = verify(connection)
    with Session(connection) as session:
        unit = Unit(connection)
        unit.prove(request)
        steps = _steps(request.id, _events(session, request.id))
        starts = select(EventRow.body).where(
            col(EventRow.request_id).is_(None), EventRow.kind == "started", EventRow.seq < steps[0].row.seq
        )
        started = session.exec(starts.order_by(col(EventRow.seq).desc()).limit(1)).first()
        on_list = _on_list(session, unit, request) if request.batch else None
        noted = json.loads(started or "{}")
        return Dossier(steps[-1].after, steps, head, noted, _card(unit, request.id), on_list)


def find_lists(connection: Connection, prefix: str) -> list[Batch]:
    """Lists whose ID begins so; at most two."""
    return Unit(connection).find_batches(prefix) if prefix else []


def _card(unit: Unit, request_id: str) -> tuple[str, str] | None:
    card = unit.card(request_id)
    return (card.channel, card.ts) if card else None


def _on_list(session: Session, unit: Unit, request: Request) -> OnList:
    batch = unit.batch(request.batch)
    if batch is None or request.id not in batch.asked.lines:
        raise ChainBroken(0, f"request {request.id} is not on the list that it names")
    unit.prove_batch(batch)
    lines = [_steps(one, _events(session, one)) for one in batch.asked.lines]
    steps = []
    for one in _events(session, batch.id):
        row, event = _row(one), load_batch_event(one.body)
        then = [_before(line, row.seq) for line in lines]
        shown = [line for line in then if line is not None]
        whole = batch_digest(batch, shown) if len(shown) == len(lines) else ""
        steps.append(ListStep(row, one.at, event, whole))
    return OnList(batch, batch.asked.lines.index(request.id) + 1, _card(unit, batch.id), steps)


def _before(steps: Sequence[Step], seq: int) -> Request | None:
    """A request as it was right before that event."""
    return next((step.after for step in reversed(steps) if step.row.seq < seq), None)


def _events(session: Session, request_id: str) -> Sequence[EventRow]:
    mine = select(EventRow).where(EventRow.request_id == request_id)
    return session.exec(mine.order_by(col(EventRow.seq))).all()


def _row(one: EventRow) -> Row:
    row = Row(one.seq, one.previous, one.hash, one.at.isoformat(), one.request_id, one.kind, one.body)
    if row.sealed != row.hash:  # as it is read here, too
        raise ChainBroken(one.seq, f"event {one.seq} of the history was changed")
    return row


def _steps(request_id: str, rows: Sequence[EventRow]) -> list[Step]:
    found: list[Step] = []
    request: Request | None = None
    for one in rows:
        event, before = load_event(one.body), request
        request = evolve(before, event, one.at, request_id)
        found.append(Step(_row(one), one.at, event, before, request))
    if not found:
        raise ChainBroken(0, f"there is no history of request {request_id}")
    return found
