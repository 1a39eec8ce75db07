"""A history of two hundred events, in one database: what tests of the audit log tamper with."""

from __future__ import annotations

from datetime import timedelta

from bot.events import (
    Answered,
    Approved,
    AttemptRefused,
    Event,
    OrderRead,
    Permitted,
    QuorumReached,
    Requested,
)
from bot.model import Request, digest
from bot.store import Store, Unit
from providers.contract import Outcome, Result
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, NOW, TEAM, an_order
from tests.bot.stores import Clock

EVENTS = 200
REQUESTS = 24
TRICKY = '=cmd|"/c calc"!A1, \u00fc \u202egnp.exe \u2028 \x7f %41 \\ \' \U0001f600 \t'
"""A reason that a spreadsheet, a terminal or a reader of lines could make something of."""


def write_history(store: Store, clock: Clock) -> None:
    """Twenty-four requests, each in a transaction of its own, and notes that belong to none."""
    for _ in range(4):
        store.write_now(lambda unit: unit.note("started", {"version": "1", "settings": "ab12"}))
    for number in range(REQUESTS):
        clock.advance(timedelta(hours=1, microseconds=number * 7))
        store.write_now(lambda unit, number=number: _one(unit, number))  # type: ignore[misc]
    for _ in range(4):
        store.write_now(lambda unit: unit.note("stopped", {"version": "1", "settings": "ab12"}))


def _one(unit: Unit, number: int) -> None:
    provider = "digicert" if number % 3 else "cpanel"
    expires = NOW + timedelta(days=9)
    asked = Requested(
        TEAM, CHANNEL, provider, "acct", f"{number}", f"key{number}", ALICE, TRICKY, 2, ("S0",), expires
    )
    request = unit.begin(f"{number:032x}", asked, f"{number}")
    request = unit.save(request, [OrderRead(an_order())])
    request = unit.save(request, [AttemptRefused(ALICE, "approve", "own_request")])
    for by in (BOB, CAROL):
        request = unit.save(request, [Approved(by, digest(request), True, "on the list by name")])
    for event in _ending(request):
        request = unit.save(request, [event])


def _ending(request: Request) -> list[Event]:
    epoch = f"epoch of {request.id}"
    return [
        QuorumReached(),
        Permitted(epoch, 1, an_order(), ()),
        Answered(epoch, Outcome(Result.CANCELLED, "The order is canceled.", "http_204", settled=True)),
    ]
