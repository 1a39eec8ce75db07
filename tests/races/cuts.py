"""The connection to Postgres breaks at a commit: before it is carried out, or after, so that nobody knows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from bot.app import Roles
from bot.errors import StorageError
from sandbox.slack.person import NoSuchButton, Person
from sandbox.slack.workspace import NeverHappened
from tests.races.fleet import PATIENCE
from tests.races.stage import Order, Stage, in_process
from tests.races.stops import by_wire, socket_of
from tests.races.wire import Line, Wire, laid_apart

TRY_AGAIN = 0.2
"""Seconds after which people try again what did not work."""


class Scissors:
    """Cuts the wire at commit number `at` of what is written; with `carried_out`, when it is carried out."""

    def __init__(self, at: int, carried_out: bool, writing: bytes = b"") -> None:
        """`writing`: counts only commits of transactions in which the client says so."""
        self.at = at
        self.carried_out = carried_out
        self.commits = 0
        self._writing = writing
        self._said = b""

    def __call__(self, line: Line, data: bytes) -> None:
        if b"pg_advisory_xact_lock" not in line.heard:
            return  # it reads, and nothing is lost with that
        self._said += data
        if b"COMMIT" in data:
            counts = any(words in self._said for words in self._words_in(line))
            self.commits += counts
            self._cut(line, counts)
            self._said = b""

    def _words_in(self, line: Line) -> list[bytes]:
        """What is said, and the names under which this server knows it from the first time on."""
        if not self._writing:
            return [b""]
        known = re.compile(rb"(countersign_\d+\x00)" + re.escape(self._writing)).findall(bytes(line.heard))
        return [self._writing, *(b"\x00" + name for name in known)]

    def _cut(self, line: Line, counts: bool) -> None:
        if not counts or self.commits != self.at:
            return
        if self.carried_out:
            line.loses_next_answer = True
        else:
            line.cut()


async def cancelled_with(scissors: Scissors, folder: Path, rng: Random, database: str) -> list[str]:
    """A whole cancellation, by people who try again what did not work."""
    with laid_apart(Wire(socket_of(database))) as wire:
        through = by_wire(database, wire)
        async with in_process(folder, rng, database, (Roles(),), DATABASE_URL=through) as stage:
            wire.watch = scissors
            order = await insistently_asked(stage)
            for who in ("bob", "carol"):
                await insistently_approved(stage, order, who)
            await order.ends()
            wire.watch = lambda _line, _data: None
            stage.note(*complaints(stage))
            return stage.close()


# --- people who do not give up ------------------------------------------------------------------------


async def insistently_asked(stage: Stage) -> Order:
    """An order of which the bot has said that it is being dealt with."""
    stage.number += 1
    vendor = stage.world.vendor("digicert")
    order = Order(stage, vendor, vendor.new_order(), f"round {stage.number} of the races")
    alice = stage.world.person("alice")
    await _until_it_works(lambda: _fill_in(stage, alice, order))
    return order


async def insistently_approved(stage: Stage, order: Order, who: str) -> None:
    """Click until the history has it."""
    await _until_it_works(lambda: _click(stage, order, who))


def complaints(stage: Stage) -> list[str]:
    """What Slack has to complain about, but for what people saw while nothing could be stored."""
    problems = stage.world.workspace.problems
    found = [each for each in problems if "the person saw an error" not in each]
    problems.clear()
    return found


async def _fill_in(stage: Stage, alice: Person, order: Order) -> bool:
    stage.take_turns()
    if not (await alice.command("/cancel-order", f"digicert {order.reference} {order.reason}")).ok:
        return False
    try:
        form = await alice.modal(1.0)
    except NeverHappened:
        return False
    stage.take_turns()
    sent = await form.submit()
    return sent.ok or "already being dealt with" in str(sent.errors)


async def _click(stage: Stage, order: Order, who: str) -> bool:
    with suppress(NoSuchButton, StopIteration, StorageError):
        await stage.click(who, order.card, "Approve", stage.take_turns())
        story = await asyncio.to_thread(lambda: order.story)
        return story.approvals_of(stage.world.person(who).id) > 0
    return False


async def _until_it_works(work: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await work():  # noqa: ASYNC110
            await asyncio.sleep(TRY_AGAIN)
