"""A database with a long past: requests that ended, each with its history, chained as the bot chains it.

`python -m bench.history FILE [REQUESTS]` makes one; a hundred thousand take some minutes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlmodel import SQLModel

from bot.model import (
    Answered,
    Approved,
    Event,
    FollowedUp,
    OrderRead,
    Permitted,
    Person,
    QuorumReached,
    Requested,
    digest,
    reference_key,
)
from bot.rules import evolve
from bot.store import chain, schema
from bot.store.codec import dump_event
from bot.store.database import engine_for_migrations
from bot.store.tables import ActionRow, CardRow, EventRow, MessageRow, RequestRow
from bot.store.unit import row_of
from providers.contract import OrderState, Outcome, Result, Standing

EVENTS = 8
"""Of each request."""
MESSAGES = 10
ACTIONS = ("check", "cancel", "follow_up", "expire")
AT_ONCE = 2000
TEAM, CHANNEL = "T0NORTHWIND", "C0APPROVALS"
PEOPLE = [Person(TEAM, f"U0{name}") for name in ("ALICE", "DAN", *(f"P{number:03}" for number in range(98)))]
BOB, CAROL = Person(TEAM, "U0BOB"), Person(TEAM, "U0CAROL")
ORDER = OrderState(
    Standing.CANCELLABLE, status="pending", known_as="shop.example", facts=(("Product", "Basic OV"),)
)
Rows = dict[type[SQLModel], list[dict[str, Any]]]


def build(url: str, requests: int) -> None:
    """Fill a new SQLite database with that many requests. The newest ended a minute ago."""
    schema.upgrade(url)
    engine = engine_for_migrations(url)
    head = chain.Head()
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1 + requests)
    numbers = iter(range(requests))
    while some := list(islice(numbers, AT_ONCE)):
        rows: Rows = {table: [] for table in (EventRow, RequestRow, ActionRow, MessageRow, CardRow)}
        for number in some:
            head = _add(rows, head, number, first + timedelta(minutes=number))
        with engine.begin() as connection:
            for table, values in rows.items():
                connection.execute(insert(table), values)
    engine.dispose()


def id_of(number: int) -> str:
    """Of the request with that number, from 0."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def _add(rows: Rows, head: chain.Head, number: int, at: datetime) -> chain.Head:
    """One request and all that belongs to it; returns the link that its last event made."""
    request_id, request = id_of(number), None
    for step, event in enumerate(_events(number, at)):
        then = at + timedelta(seconds=step)
        if isinstance(event, Approved) and request is not None:
            event = Approved(event.by, digest(request), True, event.why)
        request = evolve(request, event, then, request_id)
        row = chain.link(head, request_id, then, event.kind, dump_event(event))
        rows[EventRow].append(row._asdict())
        head = chain.Head(row.seq, row.hash)
    assert request is not None
    rows[RequestRow].append(row_of(request))
    rows[CardRow].append({"request_id": request_id, "channel": CHANNEL, "ts": f"{at.timestamp():.6f}"})
    rows[ActionRow] += [
        {"kind": kind, "key": request_id, "lane": "digicert", "due": at, "done": True, "runs": 1}
        for kind in ACTIONS
    ]
    rows[MessageRow] += [
        {
            "lane": request_id,
            "kind": "card" if turn % 3 == 0 else "reply",
            "request_id": request_id,
            "target": CHANNEL,
            "body": "" if turn % 3 == 0 else '{"text": "<@U0BOB> approved (1 of 2).", "blocks": []}',
            "due": at,
            "created_at": at,
            "delivered": True,
            "tries": 0,
            "problem": "",
        }
        for turn in range(MESSAGES)
    ]
    return head


def _events(number: int, at: datetime) -> Iterator[Event]:
    """A cancellation that went well."""
    reference, epoch = str(10_000_000 + number), id_of(-1 - number)
    key = reference_key("digicert", "acct", reference)
    people = PEOPLE[number % len(PEOPLE)]
    yield Requested(
        TEAM,
        CHANNEL,
        "digicert",
        "acct",
        reference,
        key,
        people,
        "ordered twice, see the ticket",
        2,
        ("S0ONCALL",),
        at + timedelta(hours=24),
    )
    yield OrderRead(ORDER)
    yield Approved(BOB, "", True, "in a user group of approvers")
    yield Approved(CAROL, "", True, "in a user group of approvers")
    yield QuorumReached()
    yield Permitted(epoch, 1, ORDER, ())
    yield Answered(epoch, Outcome(Result.ACCEPTED, "DigiCert took the request.", "http_204"))
    yield FollowedUp(Outcome(Result.CANCELLED, "The order is canceled.", "canceled", settled=True))


if __name__ == "__main__":
    file, *rest = sys.argv[1:]
    build(f"sqlite:///{Path(file)}", int(rest[0]) if rest else 100_000)
