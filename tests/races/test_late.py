"""A worker that was cut off or stopped comes back with what it knew: what still counts, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from bot.app import Bot, Roles
from bot.events import Answered, Interrupted, Permitted
from bot.store.work import NAME_LENGTH
from providers import ADAPTERS
from providers.contract import Attempt, Outcome
from providers.digicert import DigiCert
from sandbox.vendors.vendor import Fault
from tests import postgres
from tests.conftest import NoPace
from tests.races.stage import Order, Stage, in_process, seeded
from tests.races.stops import by_wire, socket_of
from tests.races.wire import Line, Wire, laid_apart

WORKER = Roles(web=False)
PATIENT = {"PROVIDER_TIMEOUT": "4s", "RECONCILE_AFTER": "5s"}
"""Another bot starts in this very process meanwhile, and holds everything up for a moment."""


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.new_database() as url:
        yield url


@asynccontextmanager
async def another_worker(stage: Stage, *adapters: type[DigiCert], **settings: str) -> AsyncIterator[Bot]:
    given = replace(stage.world.settings(**settings), port=0)
    chosen = [next((own for own in adapters if issubclass(own, each)), each) for each in ADAPTERS]
    bot = Bot(given, transport="http", roles=WORKER, pace=NoPace(), adapters=chosen)
    await bot.start()
    try:
        yield bot
    finally:
        await bot.stop()


async def approved(stage: Stage) -> Order:
    stage.number += 1  # so that it is one at DigiCert
    order = await stage.asked()
    for who in ("bob", "carol"):
        await stage.click(who, order.card, "Approve")
    return order


class Stopped(DigiCert):
    """A process that stops as soon as it knows what became of a cancel, and goes on when it is let."""

    knows: ClassVar[asyncio.Event]
    may_go_on: ClassVar[asyncio.Event]

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        found = await super().follow_up(reference, attempt)
        self.knows.set()
        await self.may_go_on.wait()
        return found


async def test_what_was_found_out_about_the_first_attempt_says_nothing_about_the_second(
    database: str, tmp_path: Path
) -> None:
    """The first attempt had no effect, as two workers found. One of them was stopped before it could say so;
    by the time it does, the second attempt has cancelled the order."""
    Stopped.knows, Stopped.may_go_on = asyncio.Event(), asyncio.Event()
    async with in_process(tmp_path, seeded(1), database, (Roles(worker=False),)) as stage:
        vendor = stage.world.vendor("digicert")
        vendor.fail_next(Fault.DROP)
        vendor.fail_next(Fault.LOSE_ANSWER)
        async with another_worker(stage, Stopped, **PATIENT):
            order = await approved(stage)
            await asyncio.wait_for(Stopped.knows.wait(), 20)
            async with another_worker(stage, **PATIENT):
                free_claims(stage)
                await vendor.wait_until(lambda: vendor.performed == [order.reference], 30)
                await order.reads("outcome unknown, checking")
                Stopped.may_go_on.set()
                story = await order.ends(sends=2)
        assert story.count(Permitted) == 2
        assert stage.close() == []


async def test_an_answer_counts_although_somebody_took_the_worker_for_dead_meanwhile(
    database: str, tmp_path: Path
) -> None:
    """It was cut off from the database when the provider said no."""
    with laid_apart(Wire(socket_of(database))) as wire:
        async with in_process(tmp_path, seeded(2), database, (Roles(worker=False),)) as stage:
            vendor = stage.world.vendor("digicert")
            vendor.fail_next(Fault.REJECT)
            vendor.on_change.append(lambda: setattr(wire, "watch", cut) if vendor.sends else None)
            async with another_worker(stage, **PATIENT, DATABASE_URL=by_wire(database, wire)):
                order = await approved(stage)
                await vendor.wait_until(lambda: vendor.sends == [order.reference])
                async with another_worker(stage, **PATIENT):
                    await order.says("The bot was interrupted")
                    vendor.on_change.clear()
                    wire.watch = lambda _line, _data: None
                    story = await order.ends()
            assert (story.count(Interrupted), story.count(Answered)) == (1, 1)
            assert stage.close() == []


def cut(line: Line, _data: bytes) -> None:
    line.cut()


def free_claims(stage: Stage) -> None:
    """As the other workers do when one of them has been silent for a while."""
    for name in stage.store.read_now(lambda unit: unit.holders()):
        assert len(name) == NAME_LENGTH
        stage.store.write_now(lambda unit, name=name: unit.free_actions_of(name))  # type: ignore[misc]
