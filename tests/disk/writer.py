"""A small program that stores what the bot stores, and tells on its standard output how far it got.

`python -m tests.disk.writer DATABASE VARIANT FIRST LAST` makes the requests of these numbers. A line
`try N DIGEST NAME` comes before each commit, with a digest of everything that will be in the database
then; `ack N` when `Store.write` has returned, which is when the bot would answer Slack, or send; or
`err N` when that failed. Then it tries again, once.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from bot.errors import StorageError
from bot.events import Answered, Approved, Denied, Event, OrderRead, Permitted, QuorumReached, Requested
from bot.model import Request
from bot.store import Store, Unit
from providers.contract import Outcome, Result
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, NOW, TEAM, an_order
from tests.bot.stores import Clock

VARIANTS = {
    "as shipped": (),
    "checkpoints all the time": ("wal_autocheckpoint = 4",),
    "synchronous NORMAL": ("synchronous = NORMAL",),
    "synchronous OFF": ("synchronous = OFF",),
    "journal DELETE": ("journal_mode = DELETE",),
}
"""Pragmas that are set behind the product's back."""
SAFE = ("as shipped", "checkpoints all the time")
UNSAFE = tuple(name for name in VARIANTS if name not in SAFE)
MINUTE = timedelta(minutes=1)


def contents(connection: Any) -> str:
    """A digest of all that is in the database, by a connection of the driver."""
    tables = [
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
    ]
    found = hashlib.sha256()
    for table in tables:
        rows = connection.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall()  # noqa: S608
        found.update(repr((table, rows)).encode())
    return found.hexdigest()


class Told:
    """A store that tells what it is about to do and what it has done."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._number = 0

    async def write(self, name: str, work: Callable[[Unit], Any]) -> Any:
        """As `Store.write`."""
        self._number += 1
        number = self._number

        def watched(unit: Unit) -> Any:
            result = work(unit)
            driver = unit._connection.connection.dbapi_connection
            self._say(f"try {number} {contents(driver)} {name}")
            return result

        try:
            result = await self._store.write(watched)
        except StorageError:
            self._say(f"err {number}")
            result = await self._store.write(watched)
        self._say(f"ack {number}")
        return result


async def story(told: Told, first: int, last: int) -> None:
    """What the bot does with a few requests: one after the other is cancelled, denied, left open."""
    await told.write("started", lambda unit: unit.note("started", {"version": "1"}))
    for number in range(first, last + 1):
        await one_request(told, f"{number:032x}", is_denied=number % 3 == 1, stays_open=number % 3 == 2)
    await told.write("stopped", lambda unit: unit.note("stopped", {"version": "1"}))


async def one_request(told: Told, identity: str, *, is_denied: bool, stays_open: bool) -> None:
    async def save(name: str, request: Request, *events: Event) -> Request:
        def work(unit: Unit) -> Request:
            after = unit.save(request, events)
            unit.owe(identity, "card", request_id=identity, target=CHANNEL)
            return after

        saved: Request = await told.write(name, work)
        return saved

    request = await told.write("request", lambda unit: _begin(unit, identity))
    action = await told.write("claim", lambda unit: unit.claim("token", 3 * MINUTE, ()))
    request = await save("look-up", request, OrderRead(an_order()))
    await told.write("done", lambda unit: unit.finish(action.id, "token"))
    await told.write("card", lambda unit: unit.set_card(identity, CHANNEL, f"{identity}.1"))
    if is_denied:
        await save("denial", request, Denied(BOB, "The customer wants to keep it"))
        return
    request = await save("approval", request, Approved(BOB, "digest", True, "on the list"))
    request = await save("approval", request, Approved(CAROL, "digest", True, "on the list"), QuorumReached())
    request = await save("permit", request, Permitted(f"epoch {identity}", 1, an_order(), ()))
    if stays_open:
        return
    outcome = Outcome(Result.CANCELLED, "The order is cancelled.", "http_204")
    await save("outcome", request, Answered(f"epoch {identity}", outcome))


def _begin(unit: Unit, identity: str) -> Request:
    reason, key = "Ordered twice by mistake. " * 15, f"key {identity}"
    expires = NOW + timedelta(hours=24)
    asked = Requested(TEAM, CHANNEL, "digicert", "account", "4711", key, ALICE, reason, 2, ("S0",), expires)
    request = unit.begin(identity, asked, f"reference {identity}")
    unit.schedule("check", identity, "digicert", unit.now)
    unit.schedule("expire", identity, "", expires)
    unit.owe(identity, "card", request_id=identity, target=CHANNEL)
    return request


def set_pragmas(pragmas: tuple[str, ...]) -> None:
    """From now on set these on every connection, after the product has set its own."""

    @event.listens_for(Pool, "checkout")
    def checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")


def _say(line: str) -> None:
    os.write(1, line.encode() + b"\n")  # one call, so that the trace shows when


def main(path: str, variant: str, first: str, last: str) -> None:
    set_pragmas(VARIANTS[variant])
    store = Store(f"sqlite:///{path}", Clock())
    asyncio.run(story(Told(store, _say), int(first), int(last)))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
