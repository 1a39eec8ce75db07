"""What has to be in the approvals channel, worked out from the history alone.

A request has a card and a thread of its own. Orders on a list share those of the list, but for one that
needs a person: what people find out about it is said on a card of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlmodel import Session, col, select

from bot.batch.rules import LEFT_TO_PEOPLE, Batch, BatchRequested, is_done
from bot.blocks.batch_card import batch_card
from bot.blocks.batch_words import counts
from bot.blocks.cards import Message, approval_card
from bot.blocks.words import word
from bot.errors import ChainBroken
from bot.model import OUTCOMES, Request
from bot.rules import evolve
from bot.store import Unit
from bot.store.chain import Head
from bot.store.codec import is_of_batch, load_batch_event, load_event
from bot.store.messages import mark
from bot.store.tables import EventRow, MessageRow
from providers.contract import Facts

Course = tuple[tuple[int, Request], ...]
"""A request after each of its events, as its history says."""


class Said(Protocol):
    """A message as Slack keeps it."""

    @property
    def ts(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def payload(self) -> Mapping[str, Any]: ...
    @property
    def blocks(self) -> Sequence[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Posted:
    """Where and how an outcome was posted."""

    card: str
    """Where the card was posted; empty when it never was."""
    replies: tuple[tuple[str, Message], ...]
    """Mark and content of each reply in which an outcome was posted."""


@dataclass(frozen=True, slots=True)
class Promised:
    """What has to be in the channel about one request that has an outcome."""

    request: Request
    """As its history says, not as it is stored."""
    course: Course
    posted: Posted

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def channel(self) -> str:
        return self.request.channel

    @property
    def provider(self) -> str:
        return self.request.provider

    @property
    def asked_at(self) -> datetime:
        return self.request.created_at

    def went_on(self, unit: Unit) -> bool:
        """Whether it is not any more what it was."""
        now = unit.request(self.id)
        return now is not None and now.version != self.request.version

    def stated_at(self, head: Head) -> str | None:
        """The state that a message has to name which was posted then."""
        found = _at(self.course, head)
        return found.state.value if found else None

    def is_told_by(self, message: Said, head: Head) -> bool:
        """Whether what a message says besides the state fits to that."""
        found = _at(self.course, head)
        return found is not None and word(found.state) in message.text

    def painted(self, facts: Facts) -> Message:
        return approval_card(self.request, facts)

    def is_named_in(self, text: str) -> bool:
        """Whether a card that another version of the bot painted is about this."""
        return self.request.reference in text


@dataclass(frozen=True, slots=True)
class PromisedList:
    """What has to be in the channel about a list of orders that all have an outcome."""

    batch: Batch
    courses: tuple[Course, ...]
    """Of its orders, in the order in which they were asked for."""
    posted: Posted

    @property
    def id(self) -> str:
        return self.batch.id

    @property
    def channel(self) -> str:
        return self.batch.channel

    @property
    def provider(self) -> str:
        return self.batch.asked.provider

    @property
    def asked_at(self) -> datetime:
        return self.batch.created_at

    @property
    def lines(self) -> list[Request]:
        return [course[-1][1] for course in self.courses]

    def went_on(self, unit: Unit) -> bool:
        now = unit.lines_of(self.batch)
        return [line.version for line in now] != [line.version for line in self.lines]

    def stated_at(self, head: Head) -> str | None:
        found = counts(self._lines_at(head))
        if len(found) > 1:
            return "several"
        return next((state.value for state in found), None)

    def is_told_by(self, message: Said, head: Head) -> bool:
        """By each order; in words, a reply may be as old as the moment when the last of them was done."""
        lines = self._lines_at(head)
        return message.payload.get("lines") == {
            state.value: [line.short_id for line in lines if line.state is state] for state in counts(lines)
        }

    def painted(self, facts: Facts) -> Message:
        return batch_card(self.batch, self.lines, facts)

    def is_named_in(self, text: str) -> bool:
        return all(word(state) in text for state in counts(self.lines))

    def _lines_at(self, head: Head) -> list[Request]:
        found = [_at(course, head) for course in self.courses]
        return [line for line in found if line is not None]


def _at(course: Course, head: Head) -> Request | None:
    return next((request for seq, request in reversed(course) if seq <= head.seq), None)


def promised(connection: Connection, since: datetime | None = None) -> Iterator[Promised | PromisedList]:
    """All requests and lists with an outcome, asked for since then. What is still to be delivered is not
    promised."""
    of = col(EventRow.request_id)
    with Session(connection) as session:
        unit = Unit(connection)
        for one in session.exec(select(of).where(of.is_not(None)).distinct().order_by(of)):
            found = _promised(session, unit, str(one))
            if found is not None and (since is None or found.asked_at >= since):
                yield found


def _promised(session: Session, unit: Unit, request_id: str) -> Promised | PromisedList | None:
    rows = _events(session, request_id)
    posted = _posted(session, unit, request_id)
    if posted is None:
        return None
    if is_of_batch(rows[0].kind):
        return _list(session, rows[0], posted)
    course = _course(rows, request_id)
    request = course[-1][1]
    is_on_the_list = request.batch and request.state not in LEFT_TO_PEOPLE
    if is_on_the_list or request.state not in OUTCOMES:
        return None
    return Promised(request, course, posted)


def _list(session: Session, first: EventRow, posted: Posted) -> PromisedList | None:
    asked = load_batch_event(first.body)
    if not isinstance(asked, BatchRequested):
        return None
    courses = tuple(_course(_events(session, one), one) for one in asked.lines)
    found = PromisedList(Batch(str(first.request_id), first.at, asked), courses, posted)
    return found if is_done(counts(found.lines)) else None


def _events(session: Session, request_id: str) -> Sequence[EventRow]:
    mine = select(EventRow).where(col(EventRow.request_id) == request_id)
    return session.exec(mine.order_by(col(EventRow.seq))).all()


def _course(rows: Sequence[EventRow], request_id: str) -> Course:
    found: list[tuple[int, Request]] = []
    request: Request | None = None
    for row in rows:
        request = evolve(request, load_event(row.body), row.at, request_id)
        found.append((row.seq, request))
    if not found:
        raise ChainBroken(0, f"there is no history of request {request_id}")
    return tuple(found)


def _posted(session: Session, unit: Unit, request_id: str) -> Posted | None:
    """None while something of it is still to be delivered."""
    owed = select(MessageRow).where(
        col(MessageRow.lane) == request_id, col(MessageRow.kind).in_(["card", "reply"])
    )
    messages = session.exec(owed).all()
    if not all(one.delivered for one in messages):
        return None
    card = unit.card(request_id)
    replies = [(one, json.loads(one.body)) for one in messages if one.kind == "reply"]
    outcomes = tuple(
        (mark(one.id or 0, one.created_at), Message(body["text"], body["blocks"]))
        for one, body in replies
        if body["outcome"]
    )
    return Posted(card.ts if card else "", outcomes)
