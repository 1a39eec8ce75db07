"""A database with a long past: requests that ended, each with its history, chained as the bot chains it.

`python -m bench.history FILE [REQUESTS]` makes one; a million take some minutes, and ten gigabytes.
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from bench.mould import Mould, Rows, Texts
from bot.events import Answered, Approved, Event, FollowedUp, OrderRead, Permitted, QuorumReached, Requested
from bot.model import Person, Request, digest, reference_key
from bot.rules import replay
from bot.store import chain, schema
from bot.store.codec import dump_event
from bot.store.requests import row_of
from bot.store.sqlite import path_of
from bot.store.tables import ActionRow, CardRow, EventRow, MessageRow, RequestRow
from providers.contract import OrderState, Outcome, Result, Standing

REQUESTS = 1_000_000
EVENTS = 8
"""Of each request."""
CARDS, REPLIES, WATCHERS = 4, 4, ("U0ALICE", "U0BOB")
"""What was said to Slack of each request: besides, somebody's App Home was painted anew."""
ACTIONS = ("check", "cancel", "follow_up", "expire")
AT_ONCE = 2000
CACHE_KIB = 256 * 1024
"""Memory for the keys that SQLite keeps in order while they come in none."""
TEAM, CHANNEL, PROVIDER, ACCOUNT = "T0NORTHWIND", "C0APPROVALS", "digicert", "acct"
PEOPLE = [f"U0{name}" for name in ("ALICE", "DAN", *(f"P{number:03}" for number in range(98)))]
APPROVERS = (Person(TEAM, "U0BOB"), Person(TEAM, "U0CAROL"))
ORDER = OrderState(
    Standing.CANCELLABLE, status="pending", known_as="shop.example", facts=(("Product", "Basic OV"),)
)
TTL = timedelta(hours=24)

AT = datetime(2001, 2, 3, 4, 5, tzinfo=UTC)
"""Of the request with the marks. The others begin with a minute as well, so no seconds have to be marked."""
TIMES = {"2001-02-03": "«day»", "2001-02-04": "«day_after»", "04:05:": "«clock»:"}


def build(url: str, requests: int) -> None:
    """Fill a new SQLite database with that many requests. The newest ended a minute ago."""
    schema.upgrade(url)
    if not requests:
        return
    asked = replay("«id»", list(_events())[:2])
    mould = Mould.of(url, _rows(), TIMES)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    each = (_texts(asked, number, now - timedelta(minutes=requests - number)) for number in range(requests))
    head = chain.Head()
    with _filled(path_of(url)) as database:
        while some := list(islice(each, AT_ONCE)):
            head = mould.cast(database, some, head)


def id_of(number: int) -> str:
    """Of the request with that number, from 0."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


@contextmanager
def _filled(file: Path) -> Iterator[sqlite3.Connection]:
    """For whoever fills it: as quick as can be, because a file that is not finished is of no use. The
    indexes are made when all is there."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            database.execute(f"PRAGMA {pragma}")
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        indexes = database.execute(query).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        yield database
        for _, statement in indexes:
            database.execute(statement)
        database.execute("PRAGMA journal_mode = WAL")


def _texts(asked: Request, number: int, at: datetime) -> Texts:
    """Of the request with that number, which was made at that minute. `asked` is the one with the marks, as
    it was when it was approved."""
    reference, user = str(10_000_000 + number), PEOPLE[number % len(PEOPLE)]
    key = reference_key(PROVIDER, ACCOUNT, reference)
    mine = replace(
        asked,
        id=id_of(number),
        reference=reference,
        reference_key=key,
        requester=Person(TEAM, user),
        created_at=at,
        expires_at=at + TTL,
    )
    return {
        "id": mine.id,
        "reference": reference,
        "key": key,
        "user": user,
        "digest": digest(mine),
        "epoch": id_of(-1 - number),
        "ts": f"{at.timestamp():.6f}",
        "day": f"{at:%Y-%m-%d}",
        "day_after": f"{mine.expires_at:%Y-%m-%d}",
        "clock": f"{at:%H:%M}",
    }


def _rows() -> Rows:
    """Of one request with marks, and all that belongs to it."""
    history = list(_events())
    head = chain.Head()
    events = [chain.link(head, "«id»", at, event.kind, dump_event(event)) for event, at in history]
    actions = [ActionRow(kind=kind, key="«id»", lane=PROVIDER, due=AT, done=True, runs=1) for kind in ACTIONS]
    return {
        EventRow: [row._asdict() | {"seq": seq} for seq, row in enumerate(events)],
        RequestRow: [row_of(replay("«id»", history))],
        CardRow: [{"request_id": "«id»", "channel": CHANNEL, "ts": "«ts»"}],
        ActionRow: [row.model_dump(exclude={"id"}) for row in actions],
        MessageRow: [row.model_dump(exclude={"id"}) for row in _messages()],
    }


def _messages() -> Iterator[MessageRow]:
    """Cards, replies, and the Homes of two people who look at theirs every day."""
    for _ in range(CARDS):
        yield _delivered("«id»", "card", CHANNEL, "«id»")
    for _ in range(REPLIES):
        yield _delivered("«id»", "reply", CHANNEL, "«id»", '{"text": "<@U0BOB> approved.", "blocks": []}')
    for user in WATCHERS:
        yield _delivered(f"home:{user}", "home", user, body="{}")


def _delivered(
    lane: str, kind: str, target: str, request_id: str | None = None, body: str = ""
) -> MessageRow:
    return MessageRow(
        lane=lane,
        kind=kind,
        target=target,
        request_id=request_id,
        body=body,
        due=AT,
        created_at=AT,
        delivered=True,
    )


def _events() -> Iterator[tuple[Event, datetime]]:
    """A cancellation that went well, one event a second."""
    happened: list[Event] = [
        Requested(
            TEAM,
            CHANNEL,
            PROVIDER,
            ACCOUNT,
            "«reference»",
            "«key»",
            Person(TEAM, "«user»"),
            "ordered twice, see the ticket",
            2,
            ("S0ONCALL",),
            AT + TTL,
        ),
        OrderRead(ORDER),
        *(Approved(person, "«digest»", True, "in a user group of approvers") for person in APPROVERS),
        QuorumReached(),
        Permitted("«epoch»", 1, ORDER, ()),
        Answered("«epoch»", Outcome(Result.ACCEPTED, "DigiCert took the request.", "http_204")),
        FollowedUp(Outcome(Result.CANCELLED, "The order is canceled.", "canceled", settled=True)),
    ]
    for seconds, event in enumerate(happened):
        yield event, AT + timedelta(seconds=seconds)


if __name__ == "__main__":
    file, *rest = sys.argv[1:]
    build(f"sqlite:///{Path(file)}", int(rest[0]) if rest else REQUESTS)
