"""One provider hangs; nobody who deals with another one notices."""

from __future__ import annotations

import asyncio

import pytest

from bot.store import slots
from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World

LANE = slots.AT_ONCE_PER_LANE
ROOM = LANE + 2
"""How much the bot does at once in these tests, so that a few calls would fill it if they were let."""


@pytest.fixture
def transport() -> str:
    return "socket"


@pytest.fixture
async def patient_world(quiet_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A town whose bot waits for a hanging provider much longer than these tests take."""
    monkeypatch.setattr(slots, "AT_ONCE", ROOM)
    await quiet_world.start_bot(PROVIDER_TIMEOUT="50s", RECONCILE_AFTER="60s")
    return quiet_world


async def is_cancelled_soon(world: World, provider: str) -> None:
    """From the command to the outcome, as if nothing else were going on."""
    vendor = world.vendor(provider)
    async with asyncio.timeout(15):
        card = await world.asked("alice", provider, vendor.samples["cancellable"])
        await world.approve("bob", card)
        await world.approve("carol", card)
        await world.reads(card, "Outcome: cancelled")
    assert vendor.sends == [vendor.samples["cancellable"]]


async def test_look_ups_that_hang_at_one_provider_delay_no_other(patient_world: World) -> None:
    world, hanging = patient_world, patient_world.vendor("cpanel")
    hanging.fail_next(Fault.HANG, on="read", times=ROOM + 1)
    for _ in range(ROOM + 1):
        await world.ask("alice", "cpanel", hanging.new_order())
    await is_cancelled_soon(world, "digicert")
    assert hanging.sends == []
    hanging.release()


async def test_cancels_that_hang_at_one_provider_delay_no_other(patient_world: World) -> None:
    world, hanging = patient_world, patient_world.vendor("digicert")
    hanging.fail_next(Fault.HANG, times=ROOM + 1)
    cards: list[Message] = []
    for _ in range(ROOM + 1):
        cards.append(await world.asked("alice", "digicert", hanging.new_order()))
    for card in cards:
        await world.approve("bob", card)
        await world.approve("carol", card)
    await hanging.wait_until(lambda: len(hanging.sends) == LANE)
    await is_cancelled_soon(world, "payvalida")
    assert len(hanging.sends) == LANE
    hanging.release()
