"""The history as it lies in the database, row by row, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true
from sqlmodel import col

from bot.store import chain
from bot.store.chain import Head
from bot.store.raw import COLUMNS
from bot.store.reading import streamed
from bot.store.tables import BatchRow, EventRow, LineRow, RequestRow


class Row(NamedTuple):
    """One link of the history, in the texts that its hash is taken over."""

    seq: int
    previous: str
    hash: str
    at: str
    """UTC, such as `2026-11-21T17:00:00.000001+00:00`."""
    request_id: str | None
    kind: str
    body: str

    @property
    def sealed(self) -> str:
        """What its hash has to be."""
        return chain.seal(self.seq, self.request_id, self.at, self.kind, self.body, self.previous)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events: all of them, unless something is given."""

    since: datetime | None = None
    until: datetime | None = None
    """Not included."""
    provider: str | None = None
    """Those of requests and lists at this provider."""
    person: str | None = None
    """Those that name this person, by their Slack ID, and what is said of the whole list where that is an
    event of an order on it."""
    state: str | None = None
    """Those of requests that are in this state now, and of lists with such an order."""

    @property
    def is_all(self) -> bool:
        return self == Choice()


def verify(connection: Connection) -> Head:
    """Walk the whole chain; returns its head. Raises `ChainBroken` at the first row that is wrong."""
    with streamed(connection, select(*COLUMNS).order_by(col(EventRow.seq))) as rows:
        return chain.follow(Head(), rows)


def chosen(connection: Connection, choice: Choice) -> Iterator[Row]:
    """The chosen rows of a history that verifies, in order."""
    query = select(*COLUMNS).where(_wanted(choice)).order_by(col(EventRow.seq))
    since, until = _spelled(choice.since), _spelled(choice.until)
    with streamed(connection, query) as rows:
        for found in rows:
            row = _row(found)
            if (not since or _spelled_at(row) >= since) and (not until or _spelled_at(row) < until):
                yield row


def _row(found: Sequence[Any]) -> Row:
    seq, request_id, at, kind, body, previous, digest = found
    owner = None if request_id is None else request_id.decode()
    texts = owner, kind.decode(), body.decode()
    return Row(seq, previous.decode(), digest.decode(), chain.time(at.decode()), *texts)


def _wanted(choice: Choice) -> ColumnElement[bool]:
    """An approval of an order on a list is bound to the whole list, and an event of the list says to which:
    where one of the orders is in, so is what is said of all."""
    conditions = list(_conditions(choice))
    if not conditions:
        return true()
    orders = select(col(EventRow.request_id)).where(*conditions)
    lists = select(col(LineRow.batch)).where(col(LineRow.request_id).in_(orders))
    return or_(and_(*conditions), col(EventRow.request_id).in_(lists))


def _conditions(choice: Choice) -> Iterator[ColumnElement[bool]]:
    """What an event has to be by itself."""
    of = col(EventRow.request_id)
    if choice.provider is not None:
        lists = select(col(BatchRow.id)).where(col(BatchRow.provider) == choice.provider)
        requests = select(col(RequestRow.id)).where(col(RequestRow.provider) == choice.provider)
        yield or_(of.in_(requests), of.in_(lists))
    if choice.state is not None:
        requests = select(col(RequestRow.id)).where(col(RequestRow.state) == choice.state)
        yield or_(
            of.in_(requests), of.in_(select(col(LineRow.batch)).where(col(LineRow.request_id).in_(requests)))
        )
    if choice.person is not None:
        # A body is JSON: within a text, such as a reason, the quotes would have a backslash in front.
        yield col(EventRow.body).contains(f'"user":"{choice.person}"', autoescape=True)


def _spelled(at: datetime | None) -> str:
    return at.isoformat(timespec="microseconds") if at else ""


def _spelled_at(row: Row) -> str:
    """With the fraction that `isoformat` leaves out, so that times compare like texts."""
    return row.at if "." in row.at else row.at.replace("+00:00", ".000000+00:00")
