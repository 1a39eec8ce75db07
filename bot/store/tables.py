"""What is on disk. Migrations in `bot/migrations` follow these tables; a test compares the two."""

# No `from __future__ import annotations` here: SQLModel reads the annotations when it maps a class.
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, Computed, Index, MetaData, Text, UniqueConstraint, text
from sqlalchemy.ext.compiler import compiles
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Table(SQLModel):
    metadata = MetaData(naming_convention=NAMING)


def _of_those(flag: str, name: str, *columns: str, is_set: bool = True) -> Index:
    """An index of the rows with a flag set, or not set. SQLite takes it where a query says so in the same
    words, which are numbers there. It does not know how many rows there are, and takes the index of which a
    query names most columns: so the flag is to be one of them."""
    words = text(flag if is_set else f"NOT {flag}")
    return Index(name, *columns, sqlite_where=text(f"{flag} = {is_set:d}"), postgresql_where=words)


class Derived(Computed):
    """What the database itself keeps up, whichever version of the bot writes. Postgres stores it; SQLite
    could not add a stored one to a table that is there."""


@compiles(Derived, "sqlite")
def _virtual(derived: Derived, _compiler: Any, **_: Any) -> str:
    return f"GENERATED ALWAYS AS ({derived.sqltext}) VIRTUAL"


NO_BATCH, SOME_BATCH = '"batch":""', '"batch":"'
BY_ITSELF = (
    f"state = 'needs_person' OR "
    f"replace(replace(body, '{NO_BATCH}', ''), '{SOME_BATCH}', '') = replace(body, '{NO_BATCH}', '')"
)
"""In JSON no text has these quotation marks as they are, so only the name of a field can read like this."""


class EventRow(Table, table=True):
    """One link of the history. Rows are only ever added."""

    __tablename__ = "event"

    seq: int = Field(primary_key=True)
    """1, 2, 3, … without a gap; the primary key keeps two writers from forking the chain."""
    request_id: str | None = Field(default=None, index=True)
    at: datetime
    kind: str
    body: str = Field(sa_column=Column(Text, nullable=False))
    previous: str
    hash: str


class RequestRow(Table, table=True):
    """A request as its events add up to it. `body` is the whole record; the rest is for finding it."""

    __tablename__ = "request"
    __table_args__ = (
        # At most one open request for the same order at the same account.
        Index(
            "uq_request_open_order",
            "reference_key",
            unique=True,
            sqlite_where=text("is_open"),
            postgresql_where=text("is_open"),
        ),
        Index("ix_request_reference_key_created_at", "reference_key", "created_at"),
        _of_those("is_open", "ix_request_open_requester", "requester", "is_open"),
        Index("ix_request_state_created_at", "state", "created_at"),
        # What people leaf through, each list in its order, however many were asked for in batches.
        _of_those("by_itself", "ix_request_listed_state", "state", "by_itself", "created_at"),
        _of_those("by_itself", "ix_request_listed_provider", "provider", "by_itself", "created_at"),
        _of_those("by_itself", "ix_request_listed_requester", "requester", "by_itself", "created_at"),
    )

    id: str = Field(primary_key=True)
    version: int
    state: str
    is_open: bool
    provider: str
    reference_key: str
    order_key: str | None = Field(default=None, index=True)
    """The order's identity by the provider's own word, once it was looked up, where references vary."""
    requester: str
    created_at: datetime
    body: str = Field(sa_column=Column(Text, nullable=False))
    by_itself: bool = Field(default=None, sa_column=Column(Boolean, Derived(BY_ITSELF, persisted=True)))
    """Whether it is listed by itself: not as a line of a batch, unless it needs a person."""


class BatchRow(Table, table=True):
    """Requests that were asked for together. `body` never changes: what becomes of it is in its lines."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_is_open_created_at", "is_open", "created_at"),
        Index("ix_batch_requester_created_at", "requester", "created_at"),
        Index("ix_batch_provider_is_open_created_at", "provider", "is_open", "created_at"),
        _of_those("is_open", "ix_batch_open_requester", "requester", "is_open"),
    )

    id: str = Field(primary_key=True)
    is_open: bool
    provider: str
    requester: str
    created_at: datetime
    body: str = Field(sa_column=Column(Text, nullable=False))


class LineRow(Table, table=True):
    """A request that was asked for in a batch, and its number there."""

    __tablename__ = "line"

    request_id: str = Field(primary_key=True)
    batch: str = Field(index=True)
    number: int


class ReferenceRow(Table, table=True):
    """The exact reference, as it goes to the provider. Deleted when the request has ended."""

    __tablename__ = "reference"

    request_id: str = Field(primary_key=True)
    value: str


class VoteRow(Table, table=True):
    """One approval. The constraint, not the code, makes a double click one vote."""

    __tablename__ = "vote"
    __table_args__ = (UniqueConstraint("request_id", "person", "digest"),)

    id: int | None = Field(default=None, primary_key=True)
    request_id: str
    person: str
    digest: str


class PermitRow(Table, table=True):
    """The right to send one cancel. No row, no send; one row, at most one send."""

    __tablename__ = "permit"
    __table_args__ = (UniqueConstraint("request_id", "attempt"),)

    epoch: str = Field(primary_key=True)
    request_id: str
    attempt: int
    at: datetime


class CardRow(Table, table=True):
    """Where the card of a request is in Slack."""

    __tablename__ = "card"

    request_id: str = Field(primary_key=True)
    channel: str
    ts: str


class HomeRow(Table, table=True):
    """Who looks at the App Home, and since when: theirs is painted again after each change."""

    __tablename__ = "home"

    person: str = Field(primary_key=True)
    opened_at: datetime = Field(index=True)


class PauseRow(Table, table=True):
    """Whether anything may be sent to a provider, and how many of its outcomes in a row stayed unknown."""

    __tablename__ = "pause"

    provider: str = Field(primary_key=True)
    """Empty: all of them."""
    since: datetime | None = None
    """None: it is not paused."""
    by: str = ""
    reason: str = Field(default="", sa_column=Column(Text, nullable=False))
    unknowns: int = 0


class HeardRow(Table, table=True):
    """What came in signed and must not count a second time, for as long as a signature counts."""

    __tablename__ = "heard"

    mark: str = Field(primary_key=True)
    by: str
    at: datetime = Field(index=True)


class ActionRow(Table, table=True):
    """Work that is due: at most one row for each kind and request."""

    __tablename__ = "action"
    __table_args__ = (UniqueConstraint("kind", "key"), Index("ix_action_due", "done", "due"))

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    key: str
    lane: str
    """The provider it will occupy, so that one that hangs never delays another."""
    due: datetime
    done: bool = False
    runs: int = 0
    token: str | None = None
    """Of the worker that holds it; cleared when it is put back."""
    lease: datetime | None = None


class MessageRow(Table, table=True):
    """A Slack message that is owed. Delivered in order within its lane."""

    __tablename__ = "message"
    __table_args__ = (
        Index("ix_message_lane", "lane", "id"),
        # The lane of somebody's App Home goes on for years; of it only what is owed is looked at.
        _of_those("delivered", "ix_message_owed", "lane", "delivered", "id", is_set=False),
    )

    id: int | None = Field(default=None, primary_key=True)
    lane: str
    kind: str
    request_id: str | None = None
    target: str = ""
    """A channel, or a person for a direct message."""
    body: str = Field(default="", sa_column=Column(Text, nullable=False))
    due: datetime
    created_at: datetime
    delivered: bool = False
    tries: int = 0
    problem: str = ""
